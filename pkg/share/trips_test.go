package share_test

import (
	"context"
	"io"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/share/sharetest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// trip is how long the network of the tests here takes for a call and its reply. Their clock is a bubble's, so the
// time that an operation takes counts its round trips exactly.
const trip = time.Second

// far makes a Manager of a share that is a trip away.
func far(fsys share.FS, change func(*share.Config)) *share.Manager {
	slow := func(ctx context.Context, _ sharetest.Call) error {
		select {
		case <-time.After(trip):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	c := share.Config{
		Open: func(context.Context, volume.Location, []string) (share.FS, io.Closer, error) {
			return &sharetest.Hooked{FS: fsys, Before: slow}, io.NopCloser(nil), nil
		},
		IdleTimeout: time.Hour,
	}
	if change != nil {
		change(&c)
	}
	return share.NewManager(c)
}

// TestRoundTrips pins what each operation costs once a share is in use.
func TestRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := far(memfs.New(), nil)
		defer m.Close()
		var v volume.Volume
		create := func(name, dir string, policy volume.Policy) func() error {
			return func() (err error) { v, err = m.Create(t.Context(), request(name, dir, policy, false)); return err }
		}
		drop := func() error { return m.Delete(t.Context(), v.ID, nil) }
		for _, tt := range []struct {
			what string
			want int
			do   func() error
		}{
			{"the first volume of a share", 5, create("a", "a", volume.Delete)},
			{"a volume", 3, create("b", "b", volume.Delete)},
			{"the same again", 1, create("b", "b", volume.Delete)},
			{"get", 1, func() error { _, err := m.Get(t.Context(), v.ID); return err }},
			{"list", 2, func() error { _, _, err := m.List(t.Context(), "", 0); return err }},
			{"delete", 7, drop},
			{"delete again", 2, drop},
			{"a directory below a new one", 6, create("c", "ns/c", volume.Retain)},
			{"retain", 4, drop},
			{"a directory below another", 4, create("d", "ns/d", volume.Archive)},
			{"archive, and mark what is above it", 19, drop},
			{"a directory below two new ones", 7, create("e", "two/new/e", volume.Delete)},
			{"delete it, and what is above it", 12, drop},
		} {
			began := time.Now()
			if err := tt.do(); err != nil {
				t.Fatalf("%s: %v", tt.what, err)
			}
			if got := int(time.Since(began) / trip); got != tt.want {
				t.Errorf("%s: %d round trips, want %d", tt.what, got, tt.want)
			}
		}
	})
}

// TestRoundTripsOfCopies pins what is around a copy, which counts as one trip, and what changes cost.
func TestRoundTripsOfCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := far(memfs.New(), nil)
		defer m.Close()
		source, err := m.Create(t.Context(), request("source", "source", volume.Delete, false))
		if err != nil {
			t.Fatal(err)
		}
		var x volume.Snapshot
		var v volume.Volume
		mode := fs.FileMode(0o700)
		freeze := func() (err error) {
			x, err = m.CreateSnapshot(t.Context(), volume.SnapshotRequest{Name: "x", Source: source.ID})
			return err
		}
		fill := func(name string, from func() volume.Source) func() error {
			return func() (err error) {
				v, err = m.Create(t.Context(), filling(name, name, volume.Delete, from()))
				return err
			}
		}
		clone := fill("clone", func() volume.Source { return volume.Source{Volume: &source.ID} })
		for _, tt := range []struct {
			what string
			want int
			do   func() error
		}{
			{"snapshot", 8, freeze},
			{"the same again", 1, freeze},
			{"list snapshots", 2, func() error {
				_, _, err := m.ListSnapshots(t.Context(), volume.SnapshotFilter{}, "", 0)
				return err
			}},
			{"restore", 13, fill("restored", func() volume.Source { return volume.Source{Snapshot: &x.ID} })},
			{"clone", 13, clone},
			{"the same clone again", 2, clone},
			{"delete a clone", 9, func() error { return m.Delete(t.Context(), v.ID, nil) }},
			{"delete a snapshot", 5, func() error { return m.DeleteSnapshot(t.Context(), x.ID, nil) }},
			{"expand", 5, func() error { _, err := m.Expand(t.Context(), source.ID, 2<<20, 0, nil); return err }},
			{"expand again", 1, func() error { _, err := m.Expand(t.Context(), source.ID, 2<<20, 0, nil); return err }},
			{"modify", 6, func() error {
				return m.Modify(t.Context(), source.ID, volume.Changes{Policy: volume.Retain, Mode: &mode, UID: -1, GID: -1}, nil)
			}},
		} {
			began := time.Now()
			if err := tt.do(); err != nil {
				t.Fatalf("%s: %v", tt.what, err)
			}
			if got := int(time.Since(began) / trip); got != tt.want {
				t.Errorf("%s: %d round trips, want %d", tt.what, got, tt.want)
			}
		}
	})
}
