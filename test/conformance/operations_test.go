package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
)

// operation is one method of nfs.FS at work in a directory of its own.
type operation struct {
	name    string
	prepare func(dir string) error // what is there before; dir is on the server's disk
	do      func(ctx context.Context, f *nfs.FS, dir string) (answer string, err error)
	trusts  bool // what it leaves is what the server said: damage to that cannot be seen
}

// changes makes an operation of one that answers nothing.
func changes(do func(ctx context.Context, f *nfs.FS, dir string) error) func(context.Context, *nfs.FS, string) (string, error) {
	return func(ctx context.Context, f *nfs.FS, dir string) (string, error) { return "", do(ctx, f, dir) }
}

var long = bytes.Repeat([]byte("0123456789abcde\n"), 150_000) // more than one WRITE carries

// operations are all methods, in the ways that make them speak differently to the server.
var operations = []operation{
	{"Mkdir", nothing, changes(func(ctx context.Context, f *nfs.FS, dir string) error {
		return f.Mkdir(ctx, dir+"/new", 0o750, -1, -1)
	}), false},
	{"Mkdir as asked", nothing, changes(func(ctx context.Context, f *nfs.FS, dir string) error {
		return f.Mkdir(ctx, dir+"/new", 0o770|fs.ModeSetgid, 1000, 2000)
	}), false},
	{"Symlink", nothing, changes(func(ctx context.Context, f *nfs.FS, dir string) error {
		return f.Symlink(ctx, "some/target", dir+"/new")
	}), false},
	{"CreateFile", nothing, changes(func(ctx context.Context, f *nfs.FS, dir string) error {
		return f.CreateFile(ctx, dir+"/new", []byte("content"), 0o640)
	}), false},
	{"CreateFile long", nothing, changes(func(ctx context.Context, f *nfs.FS, dir string) error {
		return f.CreateFile(ctx, dir+"/new", long, 0o640)
	}), false},
	{"Rename", nothing, changes(func(ctx context.Context, f *nfs.FS, dir string) error {
		return f.Rename(ctx, dir+"/full", dir+"/moved")
	}), false},
	{"Rename over", nothing, changes(func(ctx context.Context, f *nfs.FS, dir string) error {
		return f.Rename(ctx, dir+"/full/file", dir+"/file")
	}), false},
	{"Remove file", nothing, changes(func(ctx context.Context, f *nfs.FS, dir string) error {
		return f.Remove(ctx, dir+"/file")
	}), false},
	{"Remove directory", nothing, changes(func(ctx context.Context, f *nfs.FS, dir string) error {
		return f.Remove(ctx, dir+"/empty")
	}), false},
	{"RemoveAll", plantTree, changes(func(ctx context.Context, f *nfs.FS, dir string) error {
		return f.RemoveAll(ctx, dir+"/tree", nil)
	}), false},
	{"CopyTree", plantTree, changes(func(ctx context.Context, f *nfs.FS, dir string) error {
		return f.CopyTree(ctx, dir+"/tree", dir+"/copy", nil)
	}), true},
	{"Chmod", nothing, changes(func(ctx context.Context, f *nfs.FS, dir string) error {
		return f.Chmod(ctx, dir+"/full", 0o711)
	}), false},
	{"Chown", nothing, changes(func(ctx context.Context, f *nfs.FS, dir string) error {
		return f.Chown(ctx, dir+"/file", 12, 34)
	}), false},
	{"Lstat", nothing, func(ctx context.Context, f *nfs.FS, dir string) (string, error) {
		info, err := f.Lstat(ctx, dir+"/full/file")
		if err != nil {
			return "", err
		}
		return fmt.Sprint(info.Name(), info.Mode(), info.Size()), nil
	}, false},
	{"ReadDir", nothing, func(ctx context.Context, f *nfs.FS, dir string) (string, error) {
		infos, err := f.ReadDir(ctx, dir)
		var list []string
		for _, info := range infos {
			list = append(list, fmt.Sprint(info.Name(), info.Mode()))
		}
		return strings.Join(list, " "), err
	}, false},
	{"ReadFile", plantLong, func(ctx context.Context, f *nfs.FS, dir string) (string, error) {
		data, err := f.ReadFile(ctx, dir+"/long", 4<<20)
		return digest(data), err
	}, false},
	{"Readlink", nothing, func(ctx context.Context, f *nfs.FS, dir string) (string, error) {
		return f.Readlink(ctx, dir+"/link")
	}, false},
	{"Space", nothing, func(ctx context.Context, f *nfs.FS, _ string) (string, error) {
		total, _, _, err := f.Space(ctx)
		return fmt.Sprint(total), err
	}, false},
}

// plantCommon is what is there before every operation.
func plantCommon(dir string) error {
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "empty"), 0o755),
		os.Mkdir(filepath.Join(dir, "full"), 0o755),
		os.WriteFile(filepath.Join(dir, "full", "file"), []byte("inside"), 0o644),
		os.WriteFile(filepath.Join(dir, "file"), []byte("outside"), 0o644),
		os.Symlink("full/file", filepath.Join(dir, "link")),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func nothing(string) error { return nil }

func plantLong(dir string) error { return os.WriteFile(filepath.Join(dir, "long"), long, 0o644) }

// plantTree makes a tree with links to what lies beside it.
func plantTree(dir string) error {
	for _, sub := range []string{"tree", "tree/a", "tree/a/b", "tree/c"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
		for i := range 4 {
			if err := os.WriteFile(filepath.Join(dir, sub, fmt.Sprint(i)), nil, 0o644); err != nil {
				return err
			}
		}
		if err := os.Symlink("../full", filepath.Join(dir, sub, "link")); err != nil {
			return err
		}
	}
	return nil
}

// snapshot describes everything below a directory of the server's disk, by name. What goes away meanwhile is left out.
func snapshot(dir string) (map[string]string, error) {
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		text := ""
		if err == nil {
			text, err = describe(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		found[strings.TrimPrefix(path, dir)] = text
		return err
	})
	return found, err
}

func describe(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	st := info.Sys().(*syscall.Stat_t)
	text := fmt.Sprintf("%v %d:%d", info.Mode(), st.Uid, st.Gid)
	switch info.Mode().Type() {
	case 0:
		data, err := os.ReadFile(path)
		return text + " " + digest(data), err
	case fs.ModeSymlink:
		target, err := os.Readlink(path)
		return text + " -> " + target, err
	}
	return text, nil
}

func digest(data []byte) string {
	if len(data) < 100 {
		return fmt.Sprintf("%q", data)
	}
	return fmt.Sprintf("%d bytes %x", len(data), sha256.Sum256(data))
}

// differences lists the names that two snapshots do not agree on.
func differences(got, want map[string]string) string {
	var lines []string
	for name, text := range want {
		if got[name] != text {
			lines = append(lines, fmt.Sprintf("%s: got %q, want %q", name, got[name], text))
		}
	}
	for name, text := range got {
		if _, ok := want[name]; !ok {
			lines = append(lines, fmt.Sprintf("%s: got %q, want nothing", name, text))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
