package share_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// texts are files with what they hold, by name.
type texts map[string]string

// copyLife is a life in which volumes are copied, frozen, restored and changed too, and what each of them must hold.
type copyLife struct {
	life
	data      map[string]texts // of each volume, by name
	snapshots map[string]volume.Snapshot
	frozen    map[string]texts // of each snapshot, by name
	written   int
}

// TestCopyLives checks after every operation that the share holds exactly the volumes and snapshots that were made and
// not deleted, each with the data that it was made with.
func TestCopyLives(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l := &copyLife{
				life: life{world: &world{T: t, fs: memfs.New()}, random: rand.New(rand.NewPCG(seed, 1)), volumes: map[string]volume.Volume{}},
				data: map[string]texts{}, snapshots: map[string]volume.Snapshot{}, frozen: map[string]texts{},
			}
			l.through(l.step, l.check)
		})
	}
}

// step does one of the things that can be done.
func (l *copyLife) step() {
	l.Helper()
	if l.random.IntN(4) == 0 {
		l.restart()
	}
	name := fmt.Sprint("pvc-", l.random.IntN(4))
	v, exists := l.volumes[name]
	if !exists {
		l.make(name)
		return
	}
	switch l.random.IntN(6) {
	case 0:
		l.drop(v)
	case 1:
		l.freeze(v)
	case 2:
		l.thaw()
	case 3:
		l.change(v)
	default:
		l.fill(v)
	}
}

// make makes a volume: empty, or a copy of something.
func (l *copyLife) make(name string) {
	l.Helper()
	r, want := request(name, "dir-"+name, volume.Delete, false), texts{}
	sources, snapshots := slices.Sorted(maps.Keys(l.volumes)), slices.Sorted(maps.Keys(l.snapshots))
	switch n := l.random.IntN(3); {
	case n == 1 && len(sources) > 0:
		from := sources[l.random.IntN(len(sources))]
		id := l.volumes[from].ID
		r.Source, want = &volume.Source{Volume: &id}, maps.Clone(l.data[from])
	case n == 2 && len(snapshots) > 0:
		from := snapshots[l.random.IntN(len(snapshots))]
		id := l.snapshots[from].ID
		r.Source, want = &volume.Source{Snapshot: &id}, maps.Clone(l.frozen[from])
	}
	if r.Source != nil {
		r.RequiredBytes = 0 // as much as the source
	}
	var v volume.Volume
	l.must(l.persist(creates(&v, r)))
	l.volumes[name], l.data[name] = v, want
}

// fill writes into a volume, or takes something out of it.
func (l *copyLife) fill(v volume.Volume) {
	l.Helper()
	dir, data := string(v.ID.Dir), l.data[v.ID.Name()]
	for file := range data {
		if l.random.IntN(3) == 0 {
			l.must(l.fs.Remove(l.Context(), dir+"/"+file))
			delete(data, file)
		}
	}
	l.written++
	file := fmt.Sprint("file-", l.written)
	data[file] = "text of " + file
	l.write(dir+"/"+file, data[file])
}

func (l *copyLife) drop(v volume.Volume) {
	l.Helper()
	l.must(l.persist(deletes(v.ID)))
	delete(l.volumes, v.ID.Name())
	delete(l.data, v.ID.Name())
}

func (l *copyLife) freeze(v volume.Volume) {
	l.Helper()
	name := fmt.Sprint("x-", l.random.IntN(3))
	var x volume.Snapshot
	err := l.persist(freezes(&x, name, v.ID))
	old, exists := l.snapshots[name]
	switch {
	case err == nil && exists:
		if x != old {
			l.Errorf("made again: %v, was %v", x, old)
		}
	case err == nil:
		l.snapshots[name], l.frozen[name] = x, maps.Clone(l.data[v.ID.Name()])
	case !errors.Is(err, volume.ErrExists) || !exists || old.ID.Source == v.ID.Name():
		l.Errorf("freezing %v as %s: %v", v, name, err)
	}
}

func (l *copyLife) thaw() {
	l.Helper()
	name := fmt.Sprint("x-", l.random.IntN(3))
	id := volume.SnapshotID{Location: place, Name: name, Source: "pvc-0"}
	if x, exists := l.snapshots[name]; exists {
		id = x.ID
	}
	l.must(l.persist(thaws(id)))
	delete(l.snapshots, name)
	delete(l.frozen, name)
}

// change makes a volume larger.
func (l *copyLife) change(v volume.Volume) {
	l.Helper()
	var larger volume.Volume
	l.must(l.persist(func(p *process) (err error) {
		larger, err = p.Expand(p.ctx, v.ID, v.CapacityBytes+1, 0, nil)
		return err
	}))
	l.volumes[v.ID.Name()] = larger
}

func (l *copyLife) check() {
	l.Helper()
	volumes, snapshots := slices.Collect(maps.Values(l.volumes)), slices.Collect(maps.Values(l.snapshots))
	if err := sharetest.AuditAll(l.Context(), l.fs, volumes, snapshots); err != nil {
		l.Fatal(err)
	}
	for name, want := range l.data {
		l.holdsTexts(string(l.volumes[name].ID.Dir), want)
	}
	for name, want := range l.frozen {
		l.holdsTexts(volume.Reserved+"/snapshots/"+name, want)
	}
}

func (l *copyLife) holdsTexts(dir string, want texts) {
	l.Helper()
	got := texts{}
	for _, entry := range l.tree(dir) {
		name, text, _ := strings.Cut(entry, "=")
		got[strings.TrimPrefix(name, dir+"/")] = text
	}
	if !maps.Equal(got, want) {
		l.Fatalf("%q holds %q, want %q", dir, got, want)
	}
}
