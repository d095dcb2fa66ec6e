//go:build !guest

package conformance

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

func TestOpen(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	if err := os.Mkdir(filepath.Join(g.Export, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub", filepath.Join(g.Export, "link")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, export string
		want         error // nil: opens
		text         string
	}{
		{"export", g.Export, nil, ""},
		{"trailing slash", g.Export + "/", nil, ""},
		{"directory below", g.Export + "/sub", nil, ""},
		{"read-only", g.ReadOnly, nil, ""},
		{"squashed", g.Squashed, nil, ""},
		{"missing below", g.Export + "/none", fs.ErrNotExist, "does not exist on the server"},
		{"missing at the top", "/none", nil, ""}, // filled in below: versions differ
		{"link below", g.Export + "/link", syscall.ELOOP, "name the directory that it leads to"},
		{"relative", "exports", fs.ErrInvalid, "absolute"},
		{"dots", g.Export + "/../exp", fs.ErrInvalid, "plain path"},
	}
	for _, v := range versions {
		for _, tt := range tests {
			t.Run("v"+v.String()+" "+tt.name, func(t *testing.T) {
				f, err := nfs.Open(t.Context(), nfs.Config{Server: g.Host, Export: tt.export, Versions: []nfs.Version{v}, Dial: g.Dial})
				if err == nil {
					defer f.Close()
				}
				switch {
				case tt.name == "missing at the top" || v == nfs.V3 && tt.name == "link below":
					if err == nil {
						t.Error("opened")
					}
				case v == nfs.V3 && errors.Is(err, nfs.ErrRefused): // MOUNT does not tell missing from refused
					if !errors.Is(tt.want, fs.ErrNotExist) || !strings.Contains(err.Error(), "check the path") {
						t.Errorf("got %v, want %v", err, tt.want)
					}
				case !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.text):
					t.Errorf("got %v, want %v (%q)", err, tt.want, tt.text)
				}
			})
		}
	}
}

// TestPseudoRoot: directories that exist only to lead to exports, and exports that do not admit us, are no exports to make
// volumes on.
func TestPseudoRoot(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for _, v := range versions {
		for name, export := range map[string]string{"root": "/", "on the way": filepath.Dir(g.Export), "not for us": g.Refused} {
			t.Run("v"+v.String()+" "+name, func(t *testing.T) {
				c := nfs.Config{Server: g.Host, Export: export, Versions: []nfs.Version{v}, ActAsOwner: true, Dial: g.Dial}
				f, err := nfs.Open(t.Context(), c)
				if err == nil {
					f.Close()
				}
				if !errors.Is(err, nfs.ErrRefused) && !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("Open: %v", err)
				}
				if probed := nfs.Probe(t.Context(), c); probed == nil {
					t.Error("Probe: no error")
				}
				t.Log(err)
			})
		}
	}
}

func TestActAsOwner(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for _, v := range versions {
		t.Run("v"+v.String(), func(t *testing.T) {
			c := nfs.Config{Server: g.Host, Export: g.Squashed, Versions: []nfs.Version{v}, Dial: g.Dial}
			as := open(t, c).ActingAs()
			if as.UID != 0 {
				t.Errorf("not asked for, yet acting as %d", as.UID)
			}
			if err := open(t, c).Mkdir(t.Context(), "x", 0o777, -1, -1); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("Mkdir as squashed root: %v", err)
			}
			c.ActAsOwner = true
			if as := open(t, c).ActingAs(); as.UID != nfsserver.SquashUID || as.GID != nfsserver.SquashGID {
				t.Errorf("acting as %d:%d", as.UID, as.GID)
			}
			c.Export = g.Export
			if as := open(t, c).ActingAs(); as.UID != 0 || as.GID != 0 {
				t.Errorf("root may write, yet acting as %d:%d", as.UID, as.GID)
			}
		})
	}
}

// TestRemoveForeign removes, on an export that squashes root, what belongs to users who keep everybody else out.
func TestRemoveForeign(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for _, v := range versions {
		t.Run("v"+v.String(), func(t *testing.T) {
			f := open(t, nfs.Config{Server: g.Host, Export: g.Squashed, Versions: []nfs.Version{v}, ActAsOwner: true, Dial: g.Dial})
			volume := filepath.Join(g.Squashed, "volume")
			for i, dir := range []string{"", "a", "a/b", "c", "c/d"} {
				path := filepath.Join(volume, dir)
				err := errors.Join(
					os.Mkdir(path, 0o700),
					os.WriteFile(filepath.Join(path, "file"), nil, 0o600),
					os.Chown(path, nfsserver.SquashUID+i, nfsserver.SquashGID+i),
				)
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Chmod(filepath.Join(volume, "c"), 0o500); err != nil {
				t.Fatal(err)
			}
			if err := f.RemoveAll(t.Context(), "volume", nil); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(volume); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the volume is still there: %v", err)
			}
		})
	}
}

func TestReadOnly(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	for _, v := range versions {
		c := nfs.Config{Server: g.Host, Export: g.ReadOnly, Versions: []nfs.Version{v}, Dial: g.Dial}
		if err := nfs.Probe(t.Context(), c); err != nil {
			t.Errorf("v%v: Probe: %v", v, err)
		}
		if err := open(t, c).Mkdir(t.Context(), "x", 0o777, -1, -1); !errors.Is(err, syscall.EROFS) {
			t.Errorf("v%v: Mkdir: %v", v, err)
		}
		c.ActAsOwner = true
		if err := nfs.Probe(t.Context(), c); !errors.Is(err, nfs.ErrRefused) || !strings.Contains(err.Error(), "read-write") {
			t.Errorf("v%v: to make volumes: %v", v, err)
		}
	}
}

// TestNegotiate: nothing asked for gives the highest version; a server of version 3 only is found too.
func TestNegotiate(t *testing.T) {
	g := nfsserver.StartGanesha(t)
	if v := open(t, nfs.Config{Server: g.Host, Export: g.Export, Dial: g.Dial}).Version(); v != nfs.V42 {
		t.Errorf("ganesha: %v", v)
	}
	old := nfsserver.StartGoNFS(t)
	c := nfs.Config{Server: old.Host, Export: old.Export, Port: old.Port, MountPort: old.Port}
	if v := open(t, c).Version(); v != nfs.V3 {
		t.Errorf("go-nfs: %v", v)
	}
	c.Versions = []nfs.Version{nfs.V42, nfs.V41}
	if _, err := nfs.Open(t.Context(), c); !errors.Is(err, nfs.ErrRefused) || !strings.Contains(err.Error(), "none of the versions") {
		t.Errorf("go-nfs with version 4 only: %v", err)
	}
}

// TestUnreachable: each way of not answering ends in time and says what to look at.
func TestUnreachable(t *testing.T) {
	deaf, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	port := func(l net.Listener) int { return l.Addr().(*net.TCPAddr).Port }
	for _, tt := range []struct {
		name, server string
		port         int
		patience     time.Duration
		text         string
	}{
		{"nothing listens", "127.0.0.1", port(closed), 10 * time.Second, "nothing listens there"},
		{"no such host", "no-such-host.invalid", 0, 10 * time.Second, "DNS"},
		{"no answer", "127.0.0.1", port(deaf), 200 * time.Millisecond, "no answer in time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			_, err := nfs.Open(ctx, nfs.Config{
				Server: tt.server, Export: "/x", Port: tt.port, Versions: []nfs.Version{nfs.V42},
				DialTimeout: tt.patience, CallTimeout: tt.patience,
			})
			if !errors.Is(err, nfs.ErrUnreachable) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("got %v", err)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err = nfs.Open(ctx, nfs.Config{Server: "127.0.0.1", Export: "/x", Port: port(deaf)})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("context's end: %v", err)
	}
}

func TestObserve(t *testing.T) {
	g := nfsserver.StartGoNFS(t)
	var ops []string
	f := open(t, nfs.Config{
		Server: g.Host, Export: g.Export, Port: g.Port, MountPort: g.Port, Versions: []nfs.Version{nfs.V3},
		Observe: func(op string, d time.Duration, err error) {
			if d <= 0 {
				t.Errorf("%s took %v", op, d)
			}
			if err != nil {
				op += "!"
			}
			ops = append(ops, op)
		},
	})
	f.Mkdir(t.Context(), "a", 0o755, -1, -1)
	f.Mkdir(t.Context(), "a", 0o755, -1, -1)
	f.Lstat(t.Context(), "..")
	if got := strings.Join(ops, " "); got != "mkdir mkdir! lstat!" {
		t.Errorf("observed %q", got)
	}
}
