// Package inventory says what is on a share, whose it is and what nobody needs any more.
//
// A share tells by its records what volumes there are; only clusters tell which of them are in use. What neither tells, such as a
// directory without a record, is unknown and never an orphan: predecessors' volumes have no records, and neither have directories
// that were retained.
package inventory

import (
	"context"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Kind is what an item is.
type Kind string

// The kinds of items.
const (
	Volume      Kind = "volume"
	Snapshot    Kind = "snapshot"
	Archive     Kind = "archive"     // of a deleted volume
	Trash       Kind = "trash"       // a deleted volume on its way out
	Staging     Kind = "staging"     // something on its way in
	Reservation Kind = "reservation" // of a directory, for a volume that has no record
	Directory   Kind = "directory"   // of which nothing is recorded
	Damaged     Kind = "damaged"     // a file that should be a record and is none
)

// Kinds are all of them, in the order in which they are listed.
func Kinds() []Kind {
	return []Kind{Volume, Snapshot, Archive, Trash, Staging, Reservation, Directory, Damaged}
}

// State is how an item is.
type State string

// The states of items.
const (
	InUse    State = "in-use"   // a PersistentVolume, a claim or a pod needs it
	Recorded State = "recorded" // it is a volume, and no cluster was asked whether anybody needs it
	New      State = "new"      // nobody needs it yet, and it is younger than [Grace]
	Orphan   State = "orphan"   // it is a volume that nobody needs
	Missing  State = "missing"  // its directory, or its content, is gone
	Filling  State = "filling"  // it is being filled from its source
	Retained State = "retained" // the volume was deleted and its directory kept, by its policy
	Kept     State = "kept"     // an archive, or a snapshot
	Due      State = "due"      // an archive that the driver is about to remove
	Waiting  State = "waiting"  // to be removed by the driver, or to be finished
	Left     State = "left"     // nobody is going to finish it
	Unknown  State = "unknown"  // whose it is cannot be told
)

// States are all of them.
func States() []State {
	return []State{InUse, Recorded, New, Orphan, Missing, Filling, Retained, Kept, Due, Waiting, Left, Unknown}
}

// Grace is how old a volume must be to be an orphan: while it is being made there is no PersistentVolume yet.
const Grace = time.Hour

// Item is one thing on a share.
type Item struct {
	Kind          Kind          `json:"kind"`
	State         State         `json:"state"`
	Directory     string        `json:"directory,omitempty"` // relative to the share, or the name of what has none
	Name          string        `json:"name,omitempty"`      // of the volume or the snapshot
	Claim         string        `json:"claim,omitempty"`     // namespace/name, of when the volume was made
	PV            string        `json:"persistentVolume,omitempty"`
	Policy        volume.Policy `json:"onDelete,omitempty"`
	CapacityBytes int64         `json:"capacityBytes,omitempty"`
	Used          *Used         `json:"used,omitempty"`
	Created       time.Time     `json:"created,omitzero"` // or when it came where it is
	Expires       time.Time     `json:"expires,omitzero"` // when the driver removes an archive
	Note          string        `json:"note,omitempty"`

	id          volume.ID // of a volume with a record
	reservation share.Reservation
	path        string // on the share, of what can be measured; "" for the rest
	deleted     bool   // of Staging: a directory on its way out
}

// Used is what an item takes.
type Used struct {
	Bytes  int64 `json:"bytes"`
	Files  int64 `json:"files"`
	Partly bool  `json:"partly,omitempty"` // some of it could not be read
}

// Shares is what a survey needs of a [share.Manager].
type Shares interface {
	Survey(ctx context.Context, l volume.Location, mountOptions []string) (share.Survey, error)
	Lstat(ctx context.Context, l volume.Location, name string, mountOptions []string) (fs.FileInfo, error)
	Usage(ctx context.Context, l volume.Location, dir string, mountOptions []string) (share.Used, error)
}

// Take lists what is on the share at l. cluster is nil where none was asked.
func Take(ctx context.Context, shares Shares, l volume.Location, cluster *Cluster, now time.Time) ([]Item, error) {
	found, err := shares.Survey(ctx, l, nil)
	if err != nil {
		return nil, err
	}
	t := taking{location: l, cluster: cluster, now: now, dirs: map[string]bool{}}
	t.volumes(found)
	t.archives(found)
	t.parts(found)
	t.directories(found)
	if err := t.vanished(ctx, shares); err != nil {
		return nil, err
	}
	slices.SortStableFunc(t.items, func(a, b Item) int {
		if d := slices.Index(Kinds(), a.Kind) - slices.Index(Kinds(), b.Kind); d != 0 {
			return d
		}
		return strings.Compare(a.Directory, b.Directory)
	})
	return t.items, nil
}

// taking is one inventory on its way.
type taking struct {
	location volume.Location
	cluster  *Cluster
	now      time.Time
	items    []Item
	dirs     map[string]bool // those that there are
}

func (t *taking) add(i Item) { t.items = append(t.items, i) }

func (t *taking) volumes(found share.Survey) {
	for _, v := range found.Volumes {
		r := v.Record
		i := Item{
			Kind: Volume, Directory: string(r.Dir), Name: r.Name, Claim: r.Claim, Policy: r.Policy, CapacityBytes: r.CapacityBytes, Created: r.Created,
			id: r.ID(t.location), path: string(r.Dir),
		}
		if v.Info != nil {
			t.dirs[i.Directory] = true
		}
		i.State, i.PV, i.Note = t.judge(v)
		t.add(i)
	}
	for _, s := range found.Snapshots {
		i := Item{Kind: Snapshot, State: Kept, Directory: s.Record.Name, Name: s.Record.Name, CapacityBytes: s.Record.SizeBytes, Created: s.Record.Created, Note: "of " + s.Record.Source}
		if !s.Whole {
			i.State, i.Note = Missing, i.Note+"; it has no content: it is being made, or was interrupted"
		}
		t.add(i)
	}
}

// judge says how a recorded volume is.
func (t *taking) judge(v share.SurveyedVolume) (s State, pv, note string) {
	if v.Record.Retained {
		return Retained, "", "deleted; its directory stays by its policy"
	}
	if t.cluster == nil {
		switch {
		case !v.Filled:
			return Filling, "", ""
		case v.Info == nil:
			return Missing, "", "its directory is gone"
		}
		return Recorded, "", ""
	}
	use := t.cluster.use(v.Record.Name, v.Record.Dir, v.Record.Claim)
	switch {
	case use.found && !v.Filled:
		return Filling, use.pv, use.why
	case use.found && v.Info == nil:
		return Missing, use.pv, "its directory is gone"
	case use.found:
		return InUse, use.pv, use.why
	case !v.Filled:
		return Filling, "", "nobody asks for it now"
	case t.young(v.Record.Created) || t.young(v.Recorded):
		return New, "", "no PersistentVolume has it yet"
	case v.Info == nil:
		return Orphan, "", goneToo
	}
	return Orphan, "", "no PersistentVolume has it"
}

// young is also what came from the future: clocks differ.
func (t *taking) young(at time.Time) bool { return t.now.Sub(at) < Grace }

func (t *taking) archives(found share.Survey) {
	for _, a := range found.Archives {
		i := Item{Kind: Archive, State: Kept, Directory: string(a.Dir), Name: a.Volume, Created: a.Archived.Archived, Expires: a.Expires, path: string(a.Dir)}
		switch {
		case !a.There:
			i.State, i.Note = Missing, "its directory is gone, or is another one"
		case !a.Expires.IsZero() && a.Expires.Before(t.now):
			i.State = Due
		}
		if t.cluster != nil && a.There {
			if use := t.cluster.use("", a.Dir, ""); use.found {
				i.State, i.PV, i.Note = InUse, use.pv, use.why
			}
		}
		t.dirs[i.Directory] = t.dirs[i.Directory] || a.There
		t.add(i)
	}
}

// parts are what is neither here nor there.
func (t *taking) parts(found share.Survey) {
	for _, p := range found.Trash {
		t.add(Item{Kind: Trash, State: Waiting, Directory: p.Name, Name: p.Of, Created: p.Since, path: volume.Reserved + "/trash/" + p.Name})
	}
	for _, p := range found.Staging {
		t.add(Item{Kind: Staging, State: Waiting, Directory: p.Name, Name: p.Of, Created: p.Since, path: volume.Reserved + "/staging/" + p.Name, deleted: p.Deleted})
	}
	for _, r := range found.Reservations {
		i := Item{Kind: Reservation, State: Left, Directory: r.Name, Name: r.For, Created: r.Made, Note: "its volume has no record", reservation: r}
		if t.young(r.Made) {
			i.State = New
		}
		t.add(i)
	}
	for _, d := range found.Damaged {
		t.add(Item{Kind: Damaged, State: Left, Directory: d, Note: "no whole record: a crash cut it short, or somebody else wrote it"})
	}
}

// directories are what nothing is recorded of. A PersistentVolume may know them.
func (t *taking) directories(found share.Survey) {
	for _, d := range found.Directories {
		t.dirs[d.Dir] = true
		i := Item{Kind: Directory, State: Unknown, Directory: d.Dir, Created: d.Info.ModTime(), path: d.Dir}
		if strings.HasPrefix(d.Dir, volume.ArchivePrefix) {
			i.Note = "looks like an archive of a predecessor"
		}
		if t.cluster != nil {
			if use := t.cluster.use("", volume.Dir(d.Dir), ""); use.found {
				i.State, i.PV, i.Note = InUse, use.pv, use.why
				if use.pv != "" {
					i.Kind, i.Name, i.Note = Volume, use.pv, "it has no record: made by a predecessor, or by hand"
				}
			}
		}
		t.add(i)
	}
}

// vanished adds the PersistentVolumes whose directory is gone.
func (t *taking) vanished(ctx context.Context, shares Shares) error {
	if t.cluster == nil {
		return nil
	}
	for _, pv := range t.cluster.Volumes {
		dir, ok := pv.below(t.location)
		if !ok || t.dirs[dir] || slices.ContainsFunc(t.items, func(i Item) bool { return i.Kind == Volume && i.Directory == dir }) {
			continue
		}
		info, err := shares.Lstat(ctx, t.location, dir, nil)
		if err != nil {
			return err
		}
		if info == nil {
			t.add(Item{Kind: Volume, State: Missing, Directory: dir, Name: pv.Name, PV: pv.Name, Claim: pv.Claim, Note: "its directory is gone"})
		}
	}
	return nil
}
