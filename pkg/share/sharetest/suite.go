package sharetest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

const (
	testTimeout = 2 * time.Minute // of one test, on the slowest server
	fileMode    = fs.FileMode(0o644)
	dirMode     = fs.FileMode(0o755)
)

// now is when all volumes of the suite are made.
var now = time.Date(2026, 11, 20, 10, 30, 0, 0, time.UTC)

var (
	here  = volume.Location{Server: "server.test", Share: "/exports/here"}
	there = volume.Location{Server: "server.test", Share: "/exports/there"}
)

// suite is one test's share and the Manager that keeps volumes on it.
type suite struct {
	*testing.T
	*share.Manager
	ctx    context.Context
	fs     share.FS
	shares map[volume.Location]share.FS
	open   func(t *testing.T) share.FS
	ahead  time.Duration // how much later than now it is
}

func newSuite(t *testing.T, open func(t *testing.T) share.FS) *suite {
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	s := &suite{T: t, ctx: ctx, fs: open(t), open: open}
	s.shares = map[volume.Location]share.FS{here: s.fs}
	s.start()
	t.Cleanup(func() { s.must(s.Manager.Close()) })
	return s
}

// start makes a new Manager, as a restarted process does.
func (s *suite) start() {
	if s.Manager != nil {
		s.must(s.Manager.Close())
	}
	s.Manager = share.NewManager(share.Config{
		Open: func(_ context.Context, l volume.Location, _ []string) (share.FS, io.Closer, error) {
			return s.shares[l], nopCloser{}, nil
		},
		Locations: []volume.Location{here},
		Now:       later(s.ahead),
	})
}

func later(d time.Duration) func() time.Time { return func() time.Time { return now.Add(d) } }

type nopCloser struct{}

func (nopCloser) Close() error { return nil }

// parameters are those of a class, besides the location.
type parameters map[string]string

// request asks for a volume of 1 MiB. Without subDir in p its directory has the volume's name.
func (s *suite) request(name string, p parameters) volume.Request {
	s.Helper()
	all := map[string]string{volume.ParamServer: here.Server, volume.ParamShare: here.Share}
	for k, v := range p {
		all[k] = v
	}
	class, err := volume.ParseClass(all, volume.Defaults{})
	s.must(err)
	return volume.Request{Name: name, Class: class, RequiredBytes: 1 << 20, Changes: volume.Unchanged()}
}

func (s *suite) make(name string, p parameters) volume.Volume {
	s.Helper()
	v, err := s.Create(s.ctx, s.request(name, p))
	s.must(err)
	return v
}

// refuses checks that a volume is refused with an error that says enough.
func (s *suite) refuses(name string, p parameters, kind error, words ...string) {
	s.Helper()
	v, err := s.Create(s.ctx, s.request(name, p))
	s.wants(err, kind, words...)
	if v != (volume.Volume{}) {
		s.Errorf("answered %v besides an error", v)
	}
}

func (s *suite) wants(err, kind error, words ...string) {
	s.Helper()
	if !errors.Is(err, kind) {
		s.Errorf("got %v, want %v", err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			s.Errorf("error %q does not say %q", err, w)
		}
	}
}

func (s *suite) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *suite) drop(id volume.ID) { s.Helper(); s.must(s.Delete(s.ctx, id, nil)) }

// mkdir makes directories by hand, the parents too.
func (s *suite) mkdir(name string) {
	s.Helper()
	for i, c := range name + "/" {
		if c != '/' {
			continue
		}
		if err := s.fs.Mkdir(s.ctx, name[:i], dirMode, -1, -1); !errors.Is(err, fs.ErrExist) {
			s.must(err)
		}
	}
}

func (s *suite) write(name, text string) {
	s.Helper()
	s.must(s.fs.CreateFile(s.ctx, name, []byte(text), fileMode))
}

func (s *suite) symlink(target, name string) {
	s.Helper()
	s.must(s.fs.Symlink(s.ctx, target, name))
}

func (s *suite) content(name, want string) {
	s.Helper()
	got, err := s.fs.ReadFile(s.ctx, name, 1<<20)
	s.must(err)
	if string(got) != want {
		s.Errorf("%q holds %q, want %q", name, got, want)
	}
}

func (s *suite) info(name string) fs.FileInfo {
	s.Helper()
	info, err := s.fs.Lstat(s.ctx, name)
	s.must(err)
	return info
}

func (s *suite) names(dir string) []string {
	s.Helper()
	infos, err := s.fs.ReadDir(s.ctx, dir)
	s.must(err)
	var names []string
	for _, info := range infos {
		names = append(names, info.Name())
	}
	return names
}

// root checks what is at the top of the share besides our own directory.
func (s *suite) root(want ...string) {
	s.Helper()
	got := slices.DeleteFunc(s.names("."), func(name string) bool { return name == volume.Reserved })
	slices.Sort(want)
	if !slices.Equal(got, want) {
		s.Errorf("the share holds %q, want %q", got, want)
	}
}

// holds checks that the share holds exactly these volumes and nothing that was left behind.
func (s *suite) holds(volumes ...volume.Volume) {
	s.Helper()
	if err := s.audit(volumes); err != nil {
		s.Error(err)
	}
}

func (s *suite) audit(volumes []volume.Volume) error {
	return errors.Join(Audit(s.ctx, s.fs, volumes...), AuditMarks(s.ctx, s.fs))
}

// settles waits until the share holds what it should: an archive that a look in the background passes over is reserved meanwhile.
func (s *suite) settles(volumes ...volume.Volume) {
	s.Helper()
	for {
		err := s.audit(volumes)
		if err == nil {
			return
		}
		select {
		case <-s.ctx.Done():
			s.Fatal(err)
		case <-time.After(time.Millisecond):
		}
	}
}

// purged waits until nothing is in the trash, and the Manager knows it.
func (s *suite) purged() {
	s.Helper()
	for len(s.names(path.Join(volume.Reserved, "trash"))) > 0 || s.Trash() > 0 {
		select {
		case <-s.ctx.Done():
			s.Fatalf("still in the trash: %q", s.names(path.Join(volume.Reserved, "trash")))
		case <-time.After(time.Millisecond):
		}
	}
}
