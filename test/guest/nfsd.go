package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// deadAddress is routed to an interface that drops everything: a server that is switched off.
const deadAddress = "198.51.100.2"

func startNetwork() error {
	for _, args := range []string{
		"link set lo up", "link add dead type dummy", "addr add 198.51.100.1/24 dev dead", "link set dead up",
	} {
		if err := command("/usr/sbin/ip", strings.Fields(args)...); err != nil {
			return err
		}
	}
	return nil
}

// export is one exported directory. All versions of NFS know it by the same path.
type export struct {
	variable string // of the environment that tells the program its path
	dir      string
	clients  string
	options  string
	fs       string // options of the tmpfs mounted there; or "ext4", or "xfs", which has reflinks
	mode     os.FileMode
	owner    int
}

const everyone = "*"

var exports = []export{
	{"NFS_TEST_EXPORT", "/exports/open", everyone, "rw,no_root_squash,insecure", "size=64m", 0o755, 0},
	{"NFS_TEST_EXPORT_EXT4", "/exports/ext4", everyone, "rw,no_root_squash,insecure", "ext4", 0o755, 0},
	{"NFS_TEST_EXPORT_XFS", "/exports/xfs", everyone, "rw,no_root_squash,insecure", "xfs", 0o755, 0},
	{"NFS_TEST_EXPORT_NESTED", "/exports/no/export/here/nested", everyone, "rw,no_root_squash,insecure", "size=64m", 0o755, 0},
	{"NFS_TEST_EXPORT_SQUASH", "/exports/squash", everyone, "rw,root_squash,insecure", "size=64m", 0o770, 1000},
	{"NFS_TEST_EXPORT_ALL_SQUASH", "/exports/allsquash", everyone, "rw,all_squash,anonuid=1000,anongid=1000,insecure", "size=64m", 0o770, 1000},
	{"NFS_TEST_EXPORT_SECURE", "/exports/secure", everyone, "rw,no_root_squash,secure", "size=64m", 0o755, 0},
	{"NFS_TEST_EXPORT_READONLY", "/exports/readonly", everyone, "ro,no_root_squash,insecure", "size=1m", 0o755, 0},
	{"NFS_TEST_EXPORT_REFUSED", "/exports/refused", "192.0.2.1", "rw,no_root_squash,insecure", "size=1m", 0o755, 0},
	{"NFS_TEST_EXPORT_REFUSED_BESIDE", "/exports/no/export/here/refused", "192.0.2.1", "rw,no_root_squash,insecure", "size=1m", 0o755, 0},
	{"NFS_TEST_EXPORT_SMALL", "/exports/small", everyone, "rw,no_root_squash,insecure", "size=1m", 0o755, 0},
}

// startServer exports the directories and starts the kernel's NFS server, for all versions, past its grace period.
func startServer() (env []string, err error) {
	if err := errors.Join(stateDirs(), addUser(rpcbindUser)); err != nil {
		return nil, err
	}
	for _, program := range []string{"/usr/sbin/rpcbind", "/usr/sbin/rpc.statd --no-notify", "/usr/sbin/rpc.mountd --port 20048"} {
		words := strings.Fields(program)
		if err := command(words[0], words[1:]...); err != nil {
			return nil, err
		}
	}
	env = []string{"NFS_TEST_SERVER=127.0.0.1", "NFS_TEST_DEAD=" + deadAddress}
	var table strings.Builder
	for i, e := range exports {
		if err := e.make(i + 1); err != nil {
			return nil, err
		}
		env = append(env, e.variable+"="+e.dir)
		fmt.Fprintf(&table, "%s %s(%s,no_subtree_check,fsid=%d)\n", e.dir, e.clients, e.options, i+1)
	}
	if err := os.WriteFile("/etc/exports", []byte(table.String()), 0o644); err != nil {
		return nil, err
	}
	if err := command("/usr/sbin/exportfs", "-a"); err != nil {
		return nil, err
	}
	if err := command("/usr/sbin/rpc.nfsd", "--grace-time", "10", "--lease-time", "15", "8"); err != nil {
		return nil, err
	}
	if err := os.WriteFile("/proc/fs/nfsd/v4_end_grace", []byte("Y\n"), 0); err != nil {
		return nil, fmt.Errorf("ending the grace period: %w", err)
	}
	return env, waitForServer("127.0.0.1:2049")
}

// rpcbindUser is whom Debian's rpcbind becomes. Installing the package makes that user, unpacking it does not.
const rpcbindUser = "_rpc"

// addUser makes a user without rights where the host has none of that name; the guest's own /etc/passwd takes it.
func addUser(name string) error {
	if _, err := user.Lookup(name); err == nil {
		return nil
	}
	passwd, err := os.OpenFile("/etc/passwd", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(passwd, "%s:x:65533:65534::/run/rpcbind:/usr/sbin/nologin\n", name)
	return errors.Join(err, passwd.Close())
}

func stateDirs() error {
	if err := os.MkdirAll("/var/lib/nfs", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", "/var/lib/nfs", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for _, dir := range []string{"v4recovery", "rpc_pipefs", "sm", "sm.bak"} {
		if err := os.Mkdir(filepath.Join("/var/lib/nfs", dir), 0o755); err != nil {
			return err
		}
	}
	for _, file := range []string{"etab", "rmtab", "state"} {
		if err := os.WriteFile(filepath.Join("/var/lib/nfs", file), nil, 0o644); err != nil {
			return err
		}
	}
	if err := os.MkdirAll("/run/rpcbind", 0o755); err != nil {
		return err
	}
	if err := unix.Mount("rpc_pipefs", "/var/lib/nfs/rpc_pipefs", "rpc_pipefs", 0, ""); err != nil {
		return err
	}
	return unix.Mount("nfsd", "/proc/fs/nfsd", "nfsd", 0, "")
}

func (e export) make(number int) error {
	if err := os.MkdirAll(e.dir, 0o755); err != nil {
		return err
	}
	if err := e.mount(number); err != nil {
		return fmt.Errorf("mounting %s: %w", e.dir, err)
	}
	if err := os.Chmod(e.dir, e.mode); err != nil {
		return err
	}
	return os.Chown(e.dir, e.owner, e.owner)
}

func (e export) mount(number int) error {
	image := fmt.Sprintf("/run/export%d.img", number)
	switch e.fs {
	case "ext4":
		if err := makeExt4(image, image, 128<<20); err != nil {
			return err
		}
	case "xfs":
		if err := makeXFS(image); err != nil {
			return err
		}
	default:
		return unix.Mount("tmpfs", e.dir, "tmpfs", 0, e.fs)
	}
	return mountImageFile(image, e.dir, e.fs)
}

// makeXFS makes an XFS file system with reflinks; it cannot be smaller.
func makeXFS(image string) error {
	if err := makeEmpty(image, 320<<20); err != nil {
		return err
	}
	return command("/usr/sbin/mkfs.xfs", "-q", "-K", "-m", "reflink=1", image)
}

func waitForServer(address string) error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// command runs a program that either does its work or becomes a daemon. Its output goes to a file, since a daemon would
// hold a pipe open.
func command(name string, args ...string) error {
	log, err := os.CreateTemp("/run", filepath.Base(name)+"-")
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, "/"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if err := cmd.Run(); err != nil {
		said, readErr := os.ReadFile(log.Name())
		return errors.Join(fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, said), readErr)
	}
	return nil
}
