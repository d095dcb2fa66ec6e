package share_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/share/memfs"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// passive is a Manager that looks at w's share, some time ahead of its clock.
func (w *world) passive(ahead time.Duration) *share.Manager {
	m := share.NewManager(share.Config{
		Open: func(context.Context, volume.Location, []string) (share.FS, io.Closer, error) {
			return w.fs, io.NopCloser(nil), nil
		},
		Now:     func() time.Time { return time.Now().Add(ahead) },
		Passive: true,
	})
	w.Cleanup(func() { w.must(m.Close()) })
	return m
}

// survey prints what a survey found, a line for each.
func (w *world) survey(m *share.Manager) []string {
	w.Helper()
	before := w.tree(".")
	found, err := m.Survey(w.Context(), place, nil)
	w.must(err)
	if after := w.tree("."); !slices.Equal(before, after) {
		w.Errorf("looking changed %q to %q", before, after)
	}
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, v := range found.Volumes {
		add("volume %s in %s there=%t filled=%t", v.Record.Name, v.Record.Dir, v.Info != nil, v.Filled)
	}
	for _, s := range found.Snapshots {
		add("snapshot %s whole=%t", s.Record.Name, s.Whole)
	}
	for _, a := range found.Archives {
		add("archive %s of %s there=%t", a.Dir, a.Volume, a.There)
	}
	for _, p := range found.Trash {
		add("trash of %s", p.Of)
	}
	for _, p := range found.Staging {
		add("staging of %s", p.Of)
	}
	for _, r := range found.Reservations {
		add("reservation %s for %s", r.Name, r.For)
	}
	for _, d := range found.Directories {
		add("directory %s", d.Dir)
	}
	for _, d := range found.Damaged {
		add("damaged %s", d)
	}
	return lines
}

func (w *world) surveys(m *share.Manager, want ...string) {
	w.Helper()
	if got := w.survey(m); !slices.Equal(got, want) {
		w.Errorf("the survey is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestSurvey looks at a share with one of everything.
func TestSurvey(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	m := w.passive(0)
	w.surveys(m)
	if len(w.list(".")) > 0 {
		t.Error("looking at an empty share made something")
	}

	var a, nested, gone volume.Volume
	var x volume.Snapshot
	w.must(w.clean(creates(&a, request("pvc-a", "a", volume.Delete, false))))
	w.must(w.clean(creates(&nested, request("pvc-n", "ns/n", volume.Archive, false))))
	w.must(w.clean(creates(&gone, request("pvc-gone", "gone", volume.Delete, false))))
	w.must(w.clean(freezes(&x, "snap", a.ID)))
	var archived volume.Volume
	w.must(w.clean(creates(&archived, archiving("pvc-old", "old", time.Hour))))
	w.must(w.clean(deletes(archived.ID)))
	w.must(w.fs.Remove(t.Context(), "gone"))
	w.mkdir("stranger", "ns/other", "plain", volume.Reserved+"-trash-X")
	w.write("plain/file", "x")
	w.write(volume.Reserved+"/volumes/bad.json", "{")
	w.must(w.fs.Symlink(t.Context(), "../volumes/pvc-lost.json", volume.Reserved+"/directories/lost"))
	var d volume.Volume
	w.must(w.clean(creates(&d, request("pvc-d", "d", volume.Delete, false))))
	w.must(m.Delete(t.Context(), d.ID, nil))
	w.mkdir(volume.Reserved + "/staging/s+snap2+RANDOM")

	all := []string{
		"volume pvc-a in a there=true filled=true", "volume pvc-gone in gone there=false filled=true", "volume pvc-n in ns/n there=true filled=true",
		"snapshot snap whole=true", "archive archived-old of pvc-old there=true", "trash of pvc-d", "staging of snap2",
		"reservation lost for pvc-lost", "directory ns/other", "directory plain", "directory stranger", "damaged .nfs-csi/volumes/bad.json",
	}
	w.surveys(m, all...)
	w.surveys(w.passive(1000*time.Hour), all...) // however long it waits, a passive Manager removes nothing

	used, err := m.Usage(t.Context(), place, ".", nil)
	if err != nil || used.Files < 10 || used.Bytes < 1 || used.Partly {
		t.Errorf("%+v, %v", used, err)
	}
	used, err = m.Usage(t.Context(), place, "plain", nil)
	if err != nil || used != (share.Used{Files: 1, Bytes: 1}) {
		t.Errorf("%+v, %v", used, err)
	}
	if used, err = m.Usage(t.Context(), place, "nowhere", nil); err != nil || !used.Partly {
		t.Errorf("%+v, %v", used, err)
	}
}

// TestByHand removes one thing of each kind, once it may.
func TestByHand(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	m, ctx := w.passive(0), t.Context()
	var v volume.Volume
	w.must(w.clean(creates(&v, archiving("pvc-1", "one", 0))))
	w.must(m.Delete(ctx, v.ID, nil))
	w.must(w.fs.Symlink(ctx, "../volumes/pvc-lost.json", volume.Reserved+"/directories/lost"))
	w.surveys(m, "archive archived-one of pvc-1 there=true", "reservation lost for pvc-lost")

	if err := m.Expire(ctx, place, "one", nil); !errors.Is(err, volume.ErrNotFound) {
		t.Errorf("expiring what is no archive: %v", err)
	}
	lost := share.Reservation{Name: "lost", For: "pvc-lost"}
	if err := m.DropReservation(ctx, place, lost, time.Hour, nil); !errors.Is(err, volume.ErrBusy) {
		t.Errorf("dropping a young reservation: %v", err)
	}
	later := w.passive(2 * time.Hour)
	if err := later.DropReservation(ctx, place, share.Reservation{Name: "lost", For: "pvc-other"}, time.Hour, nil); !errors.Is(err, volume.ErrBusy) {
		t.Errorf("dropping another's reservation: %v", err)
	}
	w.must(later.DropReservation(ctx, place, lost, time.Hour, nil))
	w.must(later.DropReservation(ctx, place, lost, time.Hour, nil))
	w.must(m.Expire(ctx, place, "archived-one", nil))
	w.surveys(m, "trash of pvc-1")
	w.must(m.RemoveTrash(ctx, place, "other", nil))
	w.surveys(m, "trash of pvc-1")
	found, err := m.Survey(ctx, place, nil)
	w.must(err)
	w.must(m.RemoveTrash(ctx, place, found.Trash[0].Name, nil))
	w.surveys(m)
}

// TestExpireKeepsWhatIsNotSure: a directory that took an archive's place is nobody's to remove.
func TestExpireKeepsWhatIsNotSure(t *testing.T) {
	w := &world{T: t, fs: memfs.New()}
	m, ctx := w.passive(0), t.Context()
	var v volume.Volume
	w.must(w.clean(creates(&v, archiving("pvc-1", "one", 0))))
	w.must(m.Delete(ctx, v.ID, nil))
	w.must(w.fs.Remove(ctx, "archived-one"))
	w.mkdir("archived-one")
	w.write("archived-one/file", "x")
	if err := m.Expire(ctx, place, "archived-one", nil); !errors.Is(err, volume.ErrExists) {
		t.Errorf("got %v", err)
	}
	w.shows("archived-one/", "archived-one/file=x")
}
