package inventory_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/share/inventory"
	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

var place = volume.Location{Server: "nfs.test", Share: "/exports/k8s"}

// world is a share, and a Manager that looks at it.
type world struct {
	*testing.T
	fs *memfs.FS
	*share.Manager
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, fs: memfs.New()}
	w.Manager = share.NewManager(share.Config{
		Open: func(context.Context, volume.Location, []string) (share.FS, io.Closer, error) {
			return w.fs, io.NopCloser(nil), nil
		},
		Passive: true,
	})
	t.Cleanup(func() { w.must(w.Close()) })
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// makes makes a volume; claim is namespace/name or "".
func (w *world) makes(name, dir string, policy volume.Policy, claim string) volume.ID {
	w.Helper()
	template, err := volume.ParseTemplate(dir)
	w.must(err)
	r := volume.Request{Name: name, RequiredBytes: 1 << 20, Changes: volume.Unchanged(), Class: volume.Class{
		Location: place, Template: template, Policy: policy, Mode: 0o770, UID: -1, GID: -1,
	}}
	r.Class.Claim.Namespace, r.Class.Claim.Name, _ = strings.Cut(claim, "/")
	v, err := w.Create(w.Context(), r)
	w.must(err)
	w.must(w.fs.CreateFile(w.Context(), dir+"/data", []byte("precious"), 0o600))
	return v.ID
}

const later = 2 * inventory.Grace

// take prints an inventory, taken a while later, a line for each.
func (w *world) take(c *inventory.Cluster) (items []inventory.Item, lines []string) {
	w.Helper()
	items, err := inventory.Take(w.Context(), w, place, c, time.Now().Add(later))
	w.must(err)
	for _, i := range items {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", i.Kind, i.State, i.Directory, i.PV)))
	}
	return items, lines
}

func (w *world) shows(c *inventory.Cluster, want ...string) []inventory.Item {
	w.Helper()
	items, got := w.take(c)
	if !slices.Equal(got, want) {
		w.Errorf("the inventory is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	return items
}

// TestStates: what a cluster says decides.
func TestStates(t *testing.T) {
	w := newWorld(t)
	w.makes("pvc-used", "used", volume.Delete, "")
	w.makes("pvc-renamed", "renamed", volume.Delete, "")
	w.makes("pvc-claimed", "claimed", volume.Delete, "ns/c")
	w.makes("pvc-mounted", "ns/mounted", volume.Delete, "")
	w.makes("by-claim", "byclaim", volume.Delete, "ns/here")
	w.makes("pvc-stale", "stale", volume.Delete, "ns/here") // the claim's name is another's now: its UID counts
	w.makes("pvc-orphan", "orphan", volume.Delete, "ns/gone")
	lost := w.makes("pvc-lost", "lost", volume.Delete, "")
	w.must(w.fs.RemoveAll(t.Context(), string(lost.Dir), nil))
	old := w.makes("pvc-old", "old", volume.Archive, "")
	w.must(w.Delete(t.Context(), old, nil))
	kept := w.makes("pvc-kept", "kept", volume.Retain, "")
	w.must(w.Delete(t.Context(), kept, nil))
	for _, dir := range []string{"legacy", "archived-legacy", "stranger"} {
		w.must(w.fs.Mkdir(t.Context(), dir, 0o755, -1, -1))
	}

	cluster := (&inventory.Cluster{
		Volumes: []inventory.PersistentVolume{
			{Name: "pvc-used", Volume: "pvc-used", Server: "nfs.test", Path: "/exports/k8s/used"},
			{Name: "another", Server: "10.0.0.9", Path: "/k8s/renamed"}, // the same directory by another name of the server
			{Name: "legacy-pv", Server: "nfs.test", Path: "/exports/k8s/legacy"},
			{Name: "gone-pv", Server: "NFS.test", Path: "/exports/k8s/gone", Claim: "ns/g"},
			{Name: "elsewhere", Server: "nfs.test", Path: "/exports/other/x"},
		},
		Claims: []inventory.Claim{{"ns", "c", "claimed"}, {"ns", "here", "1234"}},
		Mounts: []inventory.Mount{{"ns/pod", "/exports/k8s/ns/mounted/below"}},
	}).Index()
	w.shows(cluster,
		"volume in-use byclaim", "volume in-use claimed", "volume missing gone gone-pv", "volume in-use legacy legacy-pv", "volume orphan lost",
		"volume in-use ns/mounted", "volume orphan orphan", "volume in-use renamed another", "volume orphan stale", "volume in-use used pvc-used",
		"archive kept archived-old", "directory unknown archived-legacy", "directory unknown kept", "directory unknown stranger")
	w.shows(nil,
		"volume recorded byclaim", "volume recorded claimed", "volume missing lost", "volume recorded ns/mounted", "volume recorded orphan",
		"volume recorded renamed", "volume recorded stale", "volume recorded used",
		"archive kept archived-old", "directory unknown archived-legacy", "directory unknown kept", "directory unknown legacy", "directory unknown stranger")

	items, err := inventory.Take(t.Context(), w, place, (&inventory.Cluster{}).Index(), time.Now())
	w.must(err)
	for _, i := range items {
		if i.Kind == inventory.Volume && i.State != inventory.New {
			t.Errorf("a volume made just now is %s: %+v", i.State, i)
		}
	}
	w.must(inventory.Measure(t.Context(), w, place, items))
	for _, i := range items {
		if i.Directory == "used" && (i.Used == nil || i.Used.Bytes != int64(len("precious")) || i.Used.Files != 1) {
			t.Errorf("it takes %+v", i.Used)
		}
	}
}

// collect plans a wish and carries it out, and answers what was done to what.
func (w *world) collect(c *inventory.Cluster, wish inventory.Wish) (did []string, err error) {
	w.Helper()
	items, _ := w.take(c)
	now := time.Now().Add(later)
	acts, err := inventory.Plan(items, wish, c != nil, now)
	if err != nil {
		return nil, err
	}
	var again func(context.Context) (*inventory.Cluster, error)
	if c != nil {
		again = func(context.Context) (*inventory.Cluster, error) { return c, nil }
	}
	for _, a := range acts {
		if err := inventory.Carry(w.Context(), w, place, a, wish, again, now); err != nil {
			return did, err
		}
		did = append(did, string(a.Do)+" "+a.Item.Directory)
	}
	return did, nil
}

func (w *world) collects(c *inventory.Cluster, wish inventory.Wish, want ...string) {
	w.Helper()
	did, err := w.collect(c, wish)
	w.must(err)
	if !slices.Equal(did, want) {
		w.Errorf("did %q, want %q", did, want)
	}
}

func (w *world) holds(name string) {
	w.Helper()
	if data, err := w.fs.ReadFile(w.Context(), name, 100); err != nil || string(data) != "precious" {
		w.Errorf("%s holds %q, %v", name, data, err)
	}
}

// TestCollect: orphans become archives that expire, and each kind is removed only when it is asked for.
func TestCollect(t *testing.T) {
	w := newWorld(t)
	empty := (&inventory.Cluster{}).Index()
	w.makes("pvc-1", "one", volume.Delete, "")
	w.makes("pvc-2", "ns/two", volume.Archive, "")
	w.makes("pvc-r", "retain", volume.Retain, "")
	lost := w.makes("pvc-lost", "lost", volume.Delete, "")
	w.must(w.fs.RemoveAll(t.Context(), string(lost.Dir), nil))
	w.must(w.Delete(t.Context(), w.makes("pvc-t", "trashed", volume.Delete, ""), nil))

	w.collects(empty, inventory.Wish{})
	w.collects(empty, inventory.Wish{Orphans: true, Keep: time.Hour}, "forget lost", "archive ns/two", "archive one")
	w.holds("archived-one/data")
	w.holds("archived-ns/two/data")
	w.holds("retain/data")
	items, _ := w.take(empty)
	for _, i := range items {
		if i.Kind == inventory.Archive && i.Expires.Sub(i.Created) != time.Hour {
			t.Errorf("%+v does not expire after an hour", i)
		}
	}
	w.collects(empty, inventory.Wish{Orphans: true, Keep: time.Hour, Directories: []string{"retain"}}, "archive retain")
	w.collects(empty, inventory.Wish{OlderThan: 2 * later})
	w.collects(empty, inventory.Wish{OlderThan: later / 2}, "trash archived-ns/two", "trash archived-one", "trash archived-retain")
	if did, err := w.collect(empty, inventory.Wish{Trash: true}); err != nil || len(did) != 4 {
		t.Errorf("%q, %v", did, err)
	}
	w.shows(empty) // what was made above volumes has gone too
}

// TestCollectRefuses: in doubt everything stays.
func TestCollectRefuses(t *testing.T) {
	w := newWorld(t)
	w.makes("pvc-1", "one", volume.Delete, "")
	w.must(w.fs.Mkdir(t.Context(), "stranger", 0o755, -1, -1))
	used := (&inventory.Cluster{Volumes: []inventory.PersistentVolume{{Name: "pvc-1", Path: "/x"}}}).Index()
	empty := (&inventory.Cluster{}).Index()
	for name, tt := range map[string]struct {
		cluster *inventory.Cluster
		wish    inventory.Wish
		words   string
	}{
		"no cluster":              {nil, inventory.Wish{Orphans: true}, "only a cluster tells"},
		"in use":                  {used, inventory.Wish{Orphans: true, Directories: []string{"one"}}, `volume "one" is in-use`},
		"not there":               {empty, inventory.Wish{Orphans: true, Directories: []string{"none"}}, "there is no directory"},
		"unknown, with a cluster": {empty, inventory.Wish{Orphans: true, Directories: []string{"stranger"}}, `directory "stranger" is unknown`},
	} {
		if did, err := w.collect(tt.cluster, tt.wish); !errors.Is(err, inventory.ErrRefused) || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: did %q, %v", name, did, err)
		}
	}

	// A volume that somebody needs by the time that its turn comes.
	items, _ := w.take(empty)
	now := time.Now().Add(later)
	wish := inventory.Wish{Orphans: true, Keep: time.Hour}
	acts, err := inventory.Plan(items, wish, true, now)
	w.must(err)
	again := func(context.Context) (*inventory.Cluster, error) { return used, nil }
	if err := inventory.Carry(t.Context(), w, place, acts[0], wish, again, now); !errors.Is(err, inventory.ErrRefused) {
		t.Errorf("got %v", err)
	}
	gone := errors.New("the API server is gone")
	again = func(context.Context) (*inventory.Cluster, error) { return nil, gone }
	if err := inventory.Carry(t.Context(), w, place, acts[0], wish, again, now); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	w.holds("one/data")

	// By name, without a cluster, old enough: a person says so.
	if _, err := inventory.Plan(items, inventory.Wish{Orphans: true, Directories: []string{"stranger"}}, false, time.Now()); !errors.Is(err, inventory.ErrRefused) {
		t.Errorf("a directory made just now: %v", err)
	}
	w.collects(nil, inventory.Wish{Orphans: true, Directories: []string{"one", "stranger"}}, "archive one", "archive stranger")
	w.holds("archived-one/data")
}

// TestArchivesInUse: an archive stays that somebody mounts to get files back, or a part of it, or what it is in; also one that is mounted by the
// time that its turn comes.
func TestArchivesInUse(t *testing.T) {
	w := newWorld(t)
	for _, dir := range []string{"byhand", "pod", "inside", "ns/one", "team/one", "free"} {
		w.must(w.Delete(t.Context(), w.makes("pvc-"+strings.ReplaceAll(dir, "/", "-"), dir, volume.Archive, ""), nil))
	}
	at := func(dir string) string { return "/exports/k8s/" + dir }
	cluster := (&inventory.Cluster{
		Volumes: []inventory.PersistentVolume{
			{Name: "rescue", Server: place.Server, Path: at("archived-byhand")}, {Name: "all", Server: place.Server, Path: "/exports/k8s"},
			{Name: "sibling", Server: place.Server, Path: at("archived-team/other")},
		},
		Mounts: []inventory.Mount{{Pod: "shop/reader", Path: at("archived-pod")}, {Pod: "shop/reader", Path: at("archived-inside/sub")}, {Pod: "shop/reader", Path: at("archived-ns")}},
	}).Index()
	wish := inventory.Wish{OlderThan: later / 2}
	items, _ := w.take(cluster)
	states := map[string]inventory.State{}
	for _, i := range items {
		if i.Kind == inventory.Archive {
			states[i.Directory] = i.State
		}
	}
	want := map[string]inventory.State{
		"archived-byhand": inventory.InUse, "archived-pod": inventory.InUse, "archived-inside": inventory.InUse, "archived-ns/one": inventory.InUse,
		"archived-team/one": inventory.Kept, "archived-free": inventory.Kept,
	}
	if !maps.Equal(states, want) {
		t.Errorf("archives are %v, want %v", states, want)
	}

	empty := (&inventory.Cluster{}).Index()
	items, _ = w.take(empty)
	now := time.Now().Add(later)
	acts, err := inventory.Plan(items, wish, true, now)
	w.must(err)
	again := func(context.Context) (*inventory.Cluster, error) { return cluster, nil }
	for _, a := range acts {
		err := inventory.Carry(t.Context(), w, place, a, wish, again, now)
		if used := want[a.Item.Directory] == inventory.InUse; used != errors.Is(err, inventory.ErrRefused) || !used && err != nil {
			t.Errorf("%s: %v", a.Item.Directory, err)
		}
	}
	w.collects(cluster, wish)
	for dir, state := range want {
		if state == inventory.InUse {
			w.holds(dir + "/data")
		}
	}
	w.collects(nil, wish, "trash archived-byhand", "trash archived-inside", "trash archived-ns/one", "trash archived-pod")
}

// killed is a process that dies when it has moved something.
func (w *world) killed(do func(*share.Manager) error) {
	w.Helper()
	killed, dead := errors.New("killed"), atomic.Bool{}
	m := share.NewManager(share.Config{Passive: true, Open: func(context.Context, volume.Location, []string) (share.FS, io.Closer, error) {
		return &sharetest.Hooked{FS: w.fs,
			Before: func(context.Context, sharetest.Call) error {
				if dead.Load() {
					return killed
				}
				return nil
			},
			After: func(_ context.Context, c sharetest.Call) error {
				if c.Op == "Rename" {
					dead.Store(true)
					return killed
				}
				return nil
			}}, io.NopCloser(nil), nil
	}})
	if err := do(m); !errors.Is(err, killed) {
		w.Fatalf("it did not die: %v", err)
	}
	w.must(m.Close())
}

// A directory that was named is not lost from sight when whoever collects it is killed: naming it again goes on.
func TestCollectionOfADirectoryGoesOn(t *testing.T) {
	w := newWorld(t)
	stranger := func() {
		w.Helper()
		w.must(w.fs.Mkdir(t.Context(), "stranger", 0o755, -1, -1))
		w.must(w.fs.CreateFile(t.Context(), "stranger/data", []byte("precious"), 0o600))
	}
	stranger()
	wish, now := inventory.Wish{Orphans: true, Directories: []string{"stranger"}}, time.Now().Add(later)
	items, _ := w.take(nil)
	acts, err := inventory.Plan(items, wish, false, now)
	w.must(err)
	w.killed(func(m *share.Manager) error { return inventory.Carry(t.Context(), m, place, acts[0], wish, nil, now) })
	items, _ = w.take(nil)
	for what, plan := range map[string]func() ([]inventory.Act, error){
		"of another name": func() ([]inventory.Act, error) {
			return inventory.Plan(items, inventory.Wish{Orphans: true, Directories: []string{"strange"}}, false, now)
		},
		"where a cluster says": func() ([]inventory.Act, error) { return inventory.Plan(items, wish, true, now) },
		"too early":            func() ([]inventory.Act, error) { return inventory.Plan(items, wish, false, time.Now()) },
	} {
		if acts, err := plan(); !errors.Is(err, inventory.ErrRefused) {
			t.Errorf("%s: %v, %v", what, acts, err)
		}
	}
	acts, err = inventory.Plan(items, wish, false, now)
	w.must(err)
	if len(acts) != 1 || acts[0].Item.Kind != inventory.Staging || acts[0].Do != inventory.Shelve {
		t.Fatalf("planned is %+v", acts)
	}

	// Somebody has made it again: only once it is named anew, all of it goes.
	stranger()
	if err := inventory.Carry(t.Context(), w, place, acts[0], wish, nil, now); !errors.Is(err, inventory.ErrRefused) {
		t.Errorf("a directory that nobody has named: %v", err)
	}
	w.holds("stranger/data")
	w.must(w.fs.RemoveAll(t.Context(), "stranger", nil))
	w.must(inventory.Carry(t.Context(), w, place, acts[0], wish, nil, now))
	w.holds("archived-stranger/data")
	w.shows(nil, "archive kept archived-stranger")
}

// What is aside is not taken for a directory's where a volume of that name has a record: it is the volume's, and goes on with that.
func TestPartsOfVolumesAreTheirs(t *testing.T) {
	w := newWorld(t)
	id := w.makes("pvc-1", "one", volume.Archive, "")
	w.killed(func(m *share.Manager) error { return m.Delete(t.Context(), id, nil) })
	if did, err := w.collect(nil, inventory.Wish{Orphans: true, Directories: []string{"pvc-1"}}); !errors.Is(err, inventory.ErrRefused) {
		t.Errorf("did %q, %v", did, err)
	}
	w.collects(nil, inventory.Wish{Orphans: true, Directories: []string{"one"}}, "forget one")
	w.holds("archived-one/data")
}

// TestVolumeInWhatIsMounted: a volume is no orphan while somebody mounts a directory that it is in; the whole share does not count.
func TestVolumeInWhatIsMounted(t *testing.T) {
	w := newWorld(t)
	w.makes("pvc-1", "team/ns/one", volume.Delete, "")
	w.makes("pvc-2", "other/two", volume.Delete, "")
	cluster := (&inventory.Cluster{
		Volumes: []inventory.PersistentVolume{{Name: "all", Server: place.Server, Path: "/exports/k8s"}},
		Mounts:  []inventory.Mount{{Pod: "shop/reader", Path: "/exports/k8s/team"}},
	}).Index()
	w.shows(cluster, "volume orphan other/two", "volume in-use team/ns/one")
	w.collects(cluster, inventory.Wish{Orphans: true}, "archive other/two")
	w.holds("team/ns/one/data")
}

// A PersistentVolume of people may write two slashes, as servers understand.
func TestTwoSlashes(t *testing.T) {
	w := newWorld(t)
	w.makes("a", "ns/a", volume.Delete, "")
	w.shows((&inventory.Cluster{Volumes: []inventory.PersistentVolume{{Name: "by-hand", Path: "/exports/k8s/ns//a"}}}).Index(), "volume in-use ns/a by-hand")
}
