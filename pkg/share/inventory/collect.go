package inventory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Wish is what somebody wants to be rid of. The zero value is nothing.
type Wish struct {
	Trash       bool
	OlderThan   time.Duration // archives that are, and nobody mounts; 0: none
	Orphans     bool          // volumes and reservations that nobody needs
	Directories []string      // of the orphans these only; with no cluster asked, volumes and directories of anybody
	Keep        time.Duration // how long the archives of orphans are kept; 0: until somebody removes them
}

// Do is what becomes of an item.
type Do string

// What may become of items.
const (
	Remove  Do = "remove"  // for good
	Discard Do = "trash"   // to the trash, which the driver empties
	Shelve  Do = "archive" // to the archives, whence it can be taken back
	Forget  Do = "forget"  // the record of a volume without a directory
	Release Do = "release" // the reservation
)

// Act is what is to become of one item.
type Act struct {
	Item Item `json:"item"`
	Do   Do   `json:"do"`

	was string // of Staging: the directory that it was, as it is named
}

// ErrRefused is matched when a wish is not granted because it might cost data.
var ErrRefused = errors.New("nothing is done")

// Plan says what granting a wish means. It refuses a directory that is not there, and one that is needed or may be.
func Plan(items []Item, w Wish, clusterAsked bool, now time.Time) ([]Act, error) {
	if w.Orphans && !clusterAsked && len(w.Directories) == 0 {
		return nil, fmt.Errorf("%w: only a cluster tells which volumes nobody needs: name one, or name the directories", ErrRefused)
	}
	var acts []Act
	for _, i := range items {
		if do := w.of(i, clusterAsked, now); do != "" && i.Kind != Staging {
			acts = append(acts, Act{Item: i, Do: do})
		}
	}
	for _, d := range w.Directories {
		if slices.ContainsFunc(acts, func(a Act) bool { return a.Item.Directory == d || a.was == d }) {
			continue
		}
		part := begun(items, d)
		if part == nil || w.of(*part, clusterAsked, now) == "" {
			return nil, fmt.Errorf("%w: %s", ErrRefused, whyNot(items, d))
		}
		acts = append(acts, Act{Item: *part, Do: Shelve, was: d})
	}
	return acts, nil
}

// begun is the part in staging of a directory that nothing is recorded of, which somebody was killed in shelving; nil: there is none.
func begun(items []Item, dir string) *Item {
	var part *Item
	for n, i := range items {
		switch {
		case i.Directory == dir, i.Kind == Reservation && i.Directory == volume.Key(dir), i.Kind == Volume && i.Name == dir:
			return nil // there is something of that name, to which the part may belong
		case i.wasOf(dir):
			part = &items[n]
		}
	}
	return part
}

func (i Item) wasOf(dir string) bool { return i.deleted && i.Name == volume.Key(dir) }

// of is what becomes of one item, "" for nothing.
func (w Wish) of(i Item, clusterAsked bool, now time.Time) Do {
	switch i.Kind {
	case Trash:
		if w.Trash {
			return Remove
		}
	case Archive:
		if w.isOld(i, now) {
			return Discard
		}
	case Reservation:
		if w.Orphans && clusterAsked && i.State == Left && (len(w.Directories) == 0 || w.names(i)) {
			return Release
		}
	case Staging:
		return w.ofPart(i, clusterAsked, now)
	case Volume, Directory:
		if w.Orphans && (clusterAsked && w.isOrphan(i) || !clusterAsked && w.names(i) && mayBeNamed(i, now)) {
			if i.gone() {
				return Forget
			}
			return Shelve
		}
	}
	return ""
}

// ofPart is what becomes of a part in staging: one of a directory that is named goes on.
func (w Wish) ofPart(i Item, clusterAsked bool, now time.Time) Do {
	if w.Orphans && !clusterAsked && slices.ContainsFunc(w.Directories, i.wasOf) && mayBeNamed(i, now) {
		return Shelve
	}
	return ""
}

func (w Wish) isOld(archive Item, now time.Time) bool {
	return w.OlderThan > 0 && (archive.State == Kept || archive.State == Due) && now.Sub(archive.Created) > w.OlderThan
}

func (w Wish) names(i Item) bool { return slices.Contains(w.Directories, i.Directory) }

// isOrphan: one whose policy was to be kept has to be named.
func (w Wish) isOrphan(i Item) bool {
	return i.State == Orphan && (w.names(i) || len(w.Directories) == 0 && i.Policy != volume.Retain)
}

// mayBeNamed is what a person may name where no cluster is asked: what is old enough, and nobody is working on.
func mayBeNamed(i Item, now time.Time) bool {
	return now.Sub(i.Created) >= Grace && (i.Kind == Directory || i.deleted || i.State == Recorded || i.State == Missing)
}

func (i Item) gone() bool { return i.State == Missing || i.State == Orphan && i.Note == goneToo }

const goneToo = "its directory is gone, too"

func whyNot(items []Item, dir string) string {
	for _, i := range items {
		if i.Directory == dir {
			return fmt.Sprintf("%s %q is %s (%s)", i.Kind, dir, i.State, i.Note)
		}
	}
	if part := begun(items, dir); part != nil {
		return fmt.Sprintf("directory %q was on its way to the archives and is %q in %s/staging: that goes on where no cluster is asked, once it is %v old",
			dir, part.Directory, volume.Reserved, Grace)
	}
	return fmt.Sprintf("there is no directory %q on the share, or it is inside another one", dir)
}

// Hand is what carrying out needs of a [share.Manager].
type Hand interface {
	Shares
	Modify(ctx context.Context, id volume.ID, c volume.Changes, mountOptions []string) error
	Delete(ctx context.Context, id volume.ID, mountOptions []string) error
	Expire(ctx context.Context, l volume.Location, dir volume.Dir, mountOptions []string) error
	RemoveTrash(ctx context.Context, l volume.Location, name string, mountOptions []string) error
	DropReservation(ctx context.Context, l volume.Location, r share.Reservation, atLeast time.Duration, mountOptions []string) error
}

// Carry does what a plan says with one item. It takes the inventory once more before, with what the cluster says then (again; nil:
// no cluster), and refuses what is not as it was.
func Carry(ctx context.Context, hand Hand, l volume.Location, a Act, w Wish, again func(context.Context) (*Cluster, error), now time.Time) error {
	if a.Do == Remove {
		return hand.RemoveTrash(ctx, l, a.Item.Directory, nil)
	}
	var cluster *Cluster
	if again != nil {
		var err error
		if cluster, err = again(ctx); err != nil {
			return err
		}
	}
	items, err := Take(ctx, hand, l, cluster, now)
	if err != nil {
		return err
	}
	same := slices.ContainsFunc(items, func(i Item) bool {
		return i.Kind == a.Item.Kind && i.Directory == a.Item.Directory && i.Name == a.Item.Name && i.State == a.Item.State && i.id == a.Item.id &&
			w.of(i, cluster != nil, now) == a.Do
	})
	if !same {
		return fmt.Errorf("%w: %s %q is not as it was any more: look again", ErrRefused, a.Item.Kind, a.Item.Directory)
	}
	switch a.Do {
	case Discard:
		return hand.Expire(ctx, l, volume.Dir(a.Item.Directory), nil)
	case Release:
		return hand.DropReservation(ctx, l, a.Item.reservation, Grace, nil)
	}
	return shelve(ctx, hand, l, a, w.Keep)
}

// shelve archives the directory of a volume, or a directory that is no volume's. Changing the volume's policy first makes it an
// archive whatever interrupts us, and whoever deletes it then.
func shelve(ctx context.Context, hand Hand, l volume.Location, a Act, keep time.Duration) error {
	id := a.Item.id
	if a.Item.Kind == Directory || a.Item.Kind == Staging {
		dir, err := unrecorded(ctx, hand, l, a)
		if err != nil {
			return err
		}
		id = volume.ID{Location: l, Dir: dir, Policy: volume.Archive}
	} else {
		c := volume.Unchanged()
		c.Policy, c.ArchiveRetention = volume.Archive, &keep
		err := hand.Modify(ctx, id, c, nil)
		if err != nil && !(a.Do == Forget && errors.Is(err, volume.ErrNotFound)) {
			return err
		}
	}
	return hand.Delete(ctx, id, nil)
}

// unrecorded is the directory of an act on what nothing is recorded of. One that was on its way is still away: what has its name by now is
// not what was named.
func unrecorded(ctx context.Context, hand Hand, l volume.Location, a Act) (volume.Dir, error) {
	if a.Item.Kind == Directory {
		return volume.ParseDir(a.Item.Directory)
	}
	info, err := hand.Lstat(ctx, l, a.was, nil)
	if err == nil && info != nil {
		err = fmt.Errorf("%w: there is a directory %q again: look again", ErrRefused, a.was)
	}
	if err != nil {
		return "", err
	}
	return volume.ParseDir(a.was)
}
