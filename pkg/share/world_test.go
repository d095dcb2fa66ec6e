package share_test

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// world is a share and the processes that work on it one after the other.
type world struct {
	*testing.T
	fs     *memfs.FS
	faulty func() *process
	used   *process
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// clean runs do in a process without faults.
func (w *world) clean(do func(p *process) error) error {
	p := newProcess(w.fs, "", 0, 0)
	defer p.Close()
	return do(p)
}

// disturbed runs do in the process with the fault.
func (w *world) disturbed(do func(p *process) error) error {
	w.used = w.faulty()
	err := do(w.used)
	w.must(w.used.Close())
	return err
}

// disturbedBy runs do in a process that another one gets in the way of, at one of its calls.
func (w *world) disturbedBy(rival func(), do func(p *process) error) error {
	w.used = w.faulty()
	w.used.rival = rival
	err := do(w.used)
	w.must(w.used.Close())
	if !w.used.fired() {
		rival()
	}
	return err
}

// final says whether nobody comes again after err.
func final(err error) bool {
	for _, again := range []error{volume.ErrUnavailable, volume.ErrBusy, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, again) {
			return false
		}
	}
	return true
}

func (w *world) mkdir(names ...string) {
	w.Helper()
	for _, name := range names {
		w.must(w.fs.Mkdir(w.Context(), name, 0o755, -1, -1))
	}
}

func (w *world) write(name, text string) {
	w.Helper()
	w.must(w.fs.CreateFile(w.Context(), name, []byte(text), 0o644))
}

// keeps checks volumes and snapshots, and that the rest of the share is exactly as said.
func (w *world) keeps(volumes []volume.Volume, snapshots []volume.Snapshot, want ...string) {
	w.Helper()
	if err := sharetest.AuditAll(w.Context(), w.fs, volumes, snapshots); err != nil {
		w.Error(err)
	}
	w.marks()
	w.shows(want...)
}

// holds checks volumes and that the rest of the share is exactly as said: files with their content, and directories.
func (w *world) holds(volumes []volume.Volume, want ...string) {
	w.Helper()
	if err := sharetest.Audit(w.Context(), w.fs, volumes...); err != nil {
		w.Error(err)
	}
	w.marks()
	w.shows(want...)
}

// marks checks that what is marked is there, at the latest when the share was opened once more.
func (w *world) marks() {
	w.Helper()
	if sharetest.AuditMarks(w.Context(), w.fs) == nil {
		return
	}
	w.must(w.clean(func(p *process) error {
		_, err := p.Space(p.ctx, place, nil)
		for deadline := time.Now().Add(20 * time.Second); err == nil; pause() {
			if err := sharetest.AuditMarks(w.Context(), w.fs); err == nil || time.Now().After(deadline) {
				return err
			}
		}
		return err
	}))
}

func (w *world) shows(want ...string) {
	w.Helper()
	got := w.tree(".")
	slices.Sort(want)
	if !slices.Equal(got, want) {
		w.Errorf("the share holds %q, want %q", got, want)
	}
}

// tree lists what is below dir besides our own: directories end with "/", files with "=" and what they hold.
func (w *world) tree(dir string) []string {
	w.Helper()
	infos, err := w.fs.ReadDir(w.Context(), dir)
	w.must(err)
	var all []string
	for _, info := range infos {
		name := path.Join(dir, info.Name())
		switch {
		case name == volume.Reserved:
		case info.IsDir():
			all = append(append(all, name+"/"), w.tree(name)...)
		case info.Mode().Type() == fs.ModeSymlink:
			all = append(all, name+"@")
		default:
			data, err := w.fs.ReadFile(w.Context(), name, 1<<20)
			w.must(err)
			all = append(all, name+"="+string(data))
		}
	}
	slices.Sort(all)
	return all
}

// emptied waits until the trash is empty, which no process may fail to reach.
func (w *world) emptied() {
	w.Helper()
	w.must(w.clean(func(p *process) error {
		if _, err := p.Space(p.ctx, place, nil); err != nil {
			return err
		}
		for len(w.list(volume.Reserved+"/trash")) > 0 && w.Context().Err() == nil {
			pause()
		}
		return nil
	}))
}

// pause is between two looks at something that must come.
func pause() { time.Sleep(50 * time.Microsecond) }

func (w *world) list(dir string) []fs.FileInfo {
	infos, err := w.fs.ReadDir(w.Context(), dir)
	if !errors.Is(err, fs.ErrNotExist) {
		w.must(err)
	}
	return infos
}

func request(name, dir string, policy volume.Policy, adopt bool) volume.Request {
	template, err := volume.ParseTemplate(dir)
	if err != nil {
		panic(err) // the tests' own constants
	}
	return volume.Request{Name: name, RequiredBytes: 1 << 20, Changes: volume.Unchanged(), Class: volume.Class{
		Location: place, Template: template, Policy: policy, Mode: 0o770, UID: -1, GID: -1, Adopt: adopt,
	}}
}

// creates makes a volume and keeps it in v.
func creates(v *volume.Volume, r volume.Request) func(p *process) error {
	return func(p *process) (err error) { *v, err = p.Create(p.ctx, r); return err }
}

func deletes(id volume.ID) func(p *process) error {
	return func(p *process) error { return p.Delete(p.ctx, id, nil) }
}

// filling asks for a volume that is filled from a source.
func filling(name, dir string, policy volume.Policy, from volume.Source) volume.Request {
	r := request(name, dir, policy, false)
	r.Source = &from
	return r
}

// freezes makes a snapshot of a volume and keeps it in x.
func freezes(x *volume.Snapshot, name string, of volume.ID) func(p *process) error {
	return func(p *process) (err error) {
		*x, err = p.CreateSnapshot(p.ctx, volume.SnapshotRequest{Name: name, Source: of})
		return err
	}
}

func thaws(id volume.SnapshotID) func(p *process) error {
	return func(p *process) error { return p.DeleteSnapshot(p.ctx, id, nil) }
}
