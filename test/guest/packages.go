package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
)

// debianPackages hold the guest's kernel and the programs init runs in it.
var debianPackages = []string{"user-mode-linux", "nfs-kernel-server", "nfs-common", "rpcbind", "iproute2", "e2fsprogs", "xfsprogs"}

// programs must be found, in the host's directories or among the unpacked packages.
var programs = []string{
	"usr/bin/linux.uml", "usr/sbin/rpc.nfsd", "usr/sbin/rpc.mountd", "usr/sbin/exportfs", "usr/sbin/rpc.statd",
	"usr/sbin/rpcbind", "usr/sbin/ip", "usr/sbin/mkfs.ext4", "usr/sbin/mkfs.xfs",
}

// packages says where the guest's kernel, modules and programs are.
type packages struct {
	root    string // of the unpacked packages, "" if the host has all
	kernel  string
	modules string
}

// findPackages looks for the programs on the host. What is missing is downloaded by apt-get, without installing it, and
// unpacked in the cache: installing would start services on the host.
func findPackages(ctx context.Context) (packages, error) {
	root := filepath.Join(cacheDir(), "packages")
	if missing(root) == "" {
		return locate(root)
	}
	unlock, err := lock(root + ".lock")
	if err != nil {
		return packages{}, err
	}
	defer unlock()
	if missing(root) != "" { // still: no other run has unpacked them meanwhile
		if err := unpackPackages(ctx, root); err != nil {
			return packages{}, err
		}
	}
	if program := missing(root); program != "" {
		return packages{}, fmt.Errorf("/%s is neither on this host nor in the packages %v", program, debianPackages)
	}
	return locate(root)
}

func cacheDir() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "nfs-csi", "guest")
}

// missing names the first program that is neither below root nor on the host.
func missing(root string) string {
	for _, program := range programs {
		if find(root, program) == "" {
			return program
		}
	}
	return ""
}

func find(root, file string) string {
	for _, dir := range []string{root, "/"} {
		full := filepath.Join(dir, file)
		if _, err := os.Stat(full); err == nil {
			return full
		}
	}
	return ""
}

func locate(root string) (packages, error) {
	p := packages{root: root, kernel: find(root, programs[0])}
	if _, err := os.Stat(root); err != nil {
		p.root = ""
	}
	for _, dir := range []string{root, "/"} {
		found, err := filepath.Glob(filepath.Join(dir, "usr/lib/uml/modules/*/modules.dep"))
		if err != nil {
			return p, err
		}
		if len(found) > 0 {
			p.modules = filepath.Dir(found[0])
			return p, nil
		}
	}
	return p, errors.New("no modules for user-mode-linux in /usr/lib/uml/modules")
}

// unpackPackages fills root with all packages that apt would have to install on this host.
func unpackPackages(ctx context.Context, root string) error {
	fmt.Fprintln(os.Stderr, "guest: fetching the guest's kernel and NFS server (Debian packages, not installed on the host)")
	work, err := os.MkdirTemp(cacheDir(), "unpack-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if fetch(ctx, work) != nil { // a fresh machine has no list of packages, an old one has a list that is out of date
		if out, err := exec.CommandContext(ctx, "apt-get", "-q", "update").CombinedOutput(); err != nil {
			return fmt.Errorf("asking for the list of packages: %w\n%s", err, out)
		}
		if err := fetch(ctx, work); err != nil {
			return err
		}
	}
	files, err := filepath.Glob(filepath.Join(work, "*.deb"))
	if err != nil {
		return err
	}
	tree := filepath.Join(work, "root")
	for _, file := range files {
		if err := unpack(ctx, file, tree); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(root); err != nil {
		return err
	}
	return os.Rename(tree, root)
}

// fetch downloads into dir the packages that apt would install.
func fetch(ctx context.Context, dir string) error {
	names, err := toInstall(ctx)
	if err != nil {
		return err
	}
	download := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-o", "APT::Sandbox::User=root", "download"}, names...)...)
	download.Dir = dir
	if out, err := download.CombinedOutput(); err != nil {
		return fmt.Errorf("downloading %v: %w\n%s", names, err, out)
	}
	return nil
}

// toInstall asks apt which packages of our list, and of what they depend on, this host lacks.
func toInstall(ctx context.Context) ([]string, error) {
	plan := exec.CommandContext(ctx, "apt-get", append([]string{"-s", "-q", "--no-install-recommends", "install"}, debianPackages...)...)
	out, err := plan.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("asking apt for %v: %w\n%s", debianPackages, err, out)
	}
	var names []string
	for _, match := range regexp.MustCompile(`(?m)^Inst (\S+)`).FindAllSubmatch(out, -1) {
		names = append(names, string(match[1]))
	}
	if len(names) == 0 {
		return nil, errors.New("apt finds all packages installed, but programs are missing: reinstall them")
	}
	return names, nil
}

// unpack extracts one package and moves what it has in /bin, /sbin and /lib below /usr, where these names lead on the host.
func unpack(ctx context.Context, file, tree string) error {
	part := file + ".d"
	if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", file, part).CombinedOutput(); err != nil {
		return fmt.Errorf("unpacking %s: %w\n%s", filepath.Base(file), err, out)
	}
	for from, to := range map[string]string{"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "etc": "etc", "usr": "usr"} {
		if err := merge(filepath.Join(part, from), filepath.Join(tree, to)); err != nil {
			return err
		}
	}
	return nil
}

// merge moves all files below from to the same places below to.
func merge(from, to string) error {
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		return os.Rename(path, filepath.Join(to, rel))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// lock takes an exclusive lock among runs.
func lock(file string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", file, err)
	}
	return func() { f.Close() }, nil
}
