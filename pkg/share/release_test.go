package share_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// reserved puts a reservation for directory dir on the share, of an age, as a crash leaves it.
func (w *world) reserved(dir, key string, age time.Duration) {
	w.Helper()
	link := volume.Reserved + "/directories/" + volume.Key(dir)
	w.must(w.fs.Symlink(w.Context(), "../volumes/"+key+".json", link))
	w.must(w.fs.Chtimes(w.Context(), link, time.Now().Add(-age), time.Now().Add(-age)))
}

// TestStaleReservations: a reservation that a crash left without a record does not keep a directory for ever, and one
// that somebody may come back for does.
func TestStaleReservations(t *testing.T) {
	for name, tt := range map[string]struct {
		dir      string
		age      time.Duration
		prepare  func(w *world)
		released bool
	}{
		"old":          {age: time.Hour, released: true},
		"young":        {age: time.Minute},
		"with content": {age: time.Hour, prepare: func(w *world) { w.mkdir("data") }},
		"torn record":  {age: time.Hour, prepare: func(w *world) { w.write(volume.Reserved+"/volumes/gone.json", "{") }},
		"other directory": {age: time.Hour, released: true, prepare: func(w *world) {
			w.must(w.clean(creates(new(volume.Volume), request("gone", "elsewhere", volume.Delete, false))))
		}},
		"archive": {dir: "archived-data", age: time.Hour, prepare: func(w *world) {
			w.must(w.clean(creates(new(volume.Volume), request("gone", "elsewhere", volume.Archive, false))))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{T: t, fs: memfs.New()}
			var first, v volume.Volume
			w.must(w.clean(creates(&first, request("pvc-0", "first", volume.Delete, false)))) // makes the layout
			if tt.dir == "" {
				tt.dir = "data"
			}
			w.reserved(tt.dir, "gone", tt.age)
			if tt.prepare != nil {
				tt.prepare(w)
			}
			err := w.clean(creates(&v, request("pvc-1", tt.dir, volume.Delete, false)))
			if tt.released && err != nil || !tt.released && !errors.Is(err, volume.ErrExists) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestComesBack: a volume comes back for its reservation just when it is taken away: one of the two gets the directory.
func TestComesBack(t *testing.T) {
	for name, tt := range map[string]struct{ filled, backFirst bool }{
		"another": {false, false}, "another, filled": {true, false}, "the volume": {false, true}, "the volume, filled": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			everyMoment(t, func(t *testing.T, w *world) {
				v, x := w.sourced()
				w.reserved("data-1", "gone", time.Hour)
				requests := []volume.Request{request("pvc-1", "data-1", volume.Delete, false), request("gone", "data-1", volume.Delete, false)}
				if tt.backFirst {
					slices.Reverse(requests)
				}
				if tt.filled {
					requests[0].Source = &volume.Source{Volume: &v.ID}
				}
				var a, b volume.Volume
				var errB error
				errA := w.disturbedBy(func() { errB = w.clean(creates(&b, requests[1])) }, creates(&a, requests[0]))
				errA, errB = w.again(errA, creates(&a, requests[0])), w.again(errB, creates(&b, requests[1]))
				volumes := []volume.Volume{v}
				for made, err := range map[*volume.Volume]error{&a: errA, &b: errB} {
					if err == nil {
						volumes = append(volumes, *made)
					} else if !errors.Is(err, volume.ErrExists) {
						t.Error(err)
					}
				}
				if len(volumes) != 2 {
					t.Errorf("made %v", volumes)
				}
				w.tidied()
				if err := sharetest.AuditAll(t.Context(), w.fs, volumes, []volume.Snapshot{x}); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
