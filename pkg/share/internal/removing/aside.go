package removing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// No call moves a directory on the condition that it is still that of a volume. So between our look and the move another
// process, which believes to lead too, may have deleted the volume and made another one in its place. Therefore a
// directory is moved aside first, where nobody removes it, then we look whose its name is, and only then it goes to the trash.
// Whoever makes a volume reserves the directory before making it: if the name is another volume's, so is what we moved, and it
// is moved back. What a crash leaves aside goes with the next try for the volume, and with nothing else.

// asideTimeout bounds bringing a directory that is aside to where it belongs, which goes on when the caller has gone.
const asideTimeout = 30 * time.Second

// aside is a directory that was moved aside.
type aside struct {
	name string // in staging: the directory itself, or the note of one that is on another file system
	at   string // where the directory is; "": nothing was moved
}

// heldOf lists what earlier tries for the volume with the given key have moved aside: directories and reservations.
func (s *Remover) heldOf(ctx context.Context, key string) ([]string, error) {
	infos, err := s.ListStaging(ctx)
	var held []string
	for _, info := range infos {
		if k, of, _ := registry.StagedBy(info.Name()); of == key && (k == registry.OfDeleted || k == registry.OfReservation) {
			held = append(held, info.Name())
		}
	}
	return held, err
}

// trash moves the directory away, which frees its name at once, and has its content removed later.
func (d *deletion) trash(ctx context.Context) error {
	moved, err := d.moveAside(ctx)
	if errors.Is(err, syscall.EXDEV) {
		moved, err = d.moveBeside(ctx)
	}
	switch {
	case err != nil:
		return err
	case moved.at == "":
		return d.disposeHeld(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), asideTimeout)
	defer cancel()
	return d.dispose(ctx, moved)
}

// disposeHeld is for a directory that has gone. Whoever moved it aside may not have come further, so we look for that now: no
// other volume gets the name before what had it is in the trash.
func (d *deletion) disposeHeld(ctx context.Context) (err error) {
	if d.held, err = d.heldOf(ctx, d.seen.Key); err != nil {
		return err
	}
	return d.dispose(ctx, aside{})
}

// moveAside moves the directory to a name that no other try has.
func (d *deletion) moveAside(ctx context.Context) (aside, error) {
	name := registry.StagingName(registry.OfDeleted, d.seen.Key)
	moved, err := d.move(ctx, string(d.id.Dir), registry.StagingDir+"/"+name)
	if err != nil || !moved {
		return aside{}, err
	}
	return aside{name: name, at: registry.StagingDir + "/" + name}, nil
}

// returnHeld is for a directory that is another volume's by now. What is still aside is that one's, moved there by a try that
// has not come further.
func (d *deletion) returnHeld(ctx context.Context) error {
	if !slices.ContainsFunc(d.held, d.holdsDir) {
		return nil
	}
	return d.disposeHeld(ctx)
}

// holdsDir says whether a name in staging is that of a directory of the volume, or of a note on one.
func (d *deletion) holdsDir(name string) bool {
	return d.holds(name, registry.OfDeleted)
}

// holds says whether a name in staging is that of a part of the volume.
func (d *deletion) holds(name string, k registry.Kind) bool {
	is, of, _ := registry.StagedBy(name)
	return is == k && of == d.seen.Key
}

// dispose brings what was moved aside, just now and by earlier tries, to the trash, unless the directory's name is
// another volume's.
func (d *deletion) dispose(ctx context.Context, moved aside) error {
	held := d.held
	if moved.at != "" {
		held = append(held, moved.name)
	}
	held, err := d.ownHeld(ctx, held, moved)
	if err != nil {
		return err
	}
	for _, name := range held {
		if _, err := d.DiscardAs(ctx, registry.StagingDir+"/"+name, volume.Key(d.id.Name()), name[strings.LastIndexByte(name, '+')+1:]); err != nil {
			return err
		}
	}
	return nil
}

// ownHeld chooses the directories and notes from what is aside. If they are another volume's they are moved back.
func (d *deletion) ownHeld(ctx context.Context, held []string, moved aside) ([]string, error) {
	held = slices.DeleteFunc(slices.Clone(held), func(name string) bool { return !d.holdsDir(name) })
	if len(held) == 0 {
		return nil, nil
	}
	if err := d.Ensure(ctx); err != nil {
		return nil, err
	}
	owner, err := d.claimant(ctx)
	if err == nil && owner != "" {
		return nil, d.giveBack(ctx, moved, held[0], owner)
	}
	return held, err
}

// claimant is the key of another volume that the directory is reserved for now, "" if it is not.
func (d *deletion) claimant(ctx context.Context) (string, error) {
	owner, err := d.ReservedFor(ctx, d.id.Dir)
	if errors.Is(err, registry.ErrExpiring) || owner == d.seen.Key {
		return "", nil
	}
	return owner, err
}

// giveBack moves a directory back that has become another volume's before we moved it.
func (d *deletion) giveBack(ctx context.Context, moved aside, held, owner string) error {
	if moved.at == "" {
		still, err := d.Lstat(ctx, registry.StagingDir+"/"+held)
		if err != nil || still == nil { // in the trash by now, and was our volume's
			return err
		}
		info, err := d.Lstat(ctx, string(d.id.Dir))
		if err != nil {
			return err
		}
		if info != nil || strings.HasSuffix(held, registry.RecordSuffix) {
			return fmt.Errorf("%w: %q is, or says where is, what has been moved away from %q, the directory of volume %q: move it where it belongs",
				volume.ErrInvalid, registry.StagingDir+"/"+held, d.id.Dir, owner)
		}
		moved = aside{name: held, at: registry.StagingDir + "/" + held}
	}
	if err := d.putBack(ctx, moved.at); err != nil {
		return fmt.Errorf("moving %q back to %q, which is the directory of volume %q by now: %w", moved.at, d.id.Dir, owner, err)
	}
	if name := registry.StagingDir + "/" + moved.name; moved.name != "" && name != moved.at {
		if err := d.Remove(ctx, name); err != nil {
			return err
		}
	}
	return d.passedOn(owner)
}

// putBack moves what is aside to the directory's name. That it has gone is fine: another try has found it, while it still was our
// volume's. What is above the directory may have gone meanwhile, which was empty.
func (d *deletion) putBack(ctx context.Context, from string) error {
	var made []volume.Dir
	var err error
	for range registry.Attempts {
		if err = d.FS.Rename(ctx, from, string(d.id.Dir)); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if info, err := d.Lstat(ctx, from); err != nil || info == nil {
			return err
		}
		fresh, err := d.MakeParents(ctx, d.id.Dir)
		if err != nil {
			return err
		}
		made = append(made, fresh...)
	}
	d.MarkParents(ctx, made)
	return err
}

func (d *deletion) passedOn(owner string) error {
	return fmt.Errorf("%w: directory %q has just become that of volume %q", volume.ErrBusy, d.id.Dir, owner)
}

// Retire moves the directory of a volume, which its maker gives up, to the trash.
func (s *Remover) Retire(ctx context.Context, r volume.Record) error {
	return s.deletionOf(r).trash(ctx)
}

// DisposeHeld moves to the trash, or archives, what deletions of a volume that is made again have left aside; if its directory is another
// volume's by now, back to there: [volume.ErrBusy].
func (s *Remover) DisposeHeld(ctx context.Context, r volume.Record) error {
	d := s.deletionOf(r)
	if !d.policy.Archives() {
		return d.disposeHeld(ctx)
	}
	held, err := d.heldOf(ctx, d.seen.Key)
	if err != nil {
		return err
	}
	return d.archiveHeld(ctx, held, aside{})
}

func (s *Remover) deletionOf(r volume.Record) *deletion {
	return &deletion{Remover: s, id: r.ID(s.Location), seen: registry.State{Key: volume.Key(r.Name), Record: r}, policy: r.Policy}
}

// settleHeld settles what earlier tries have left, of which some are directories, see aside.
func (d *deletion) settleHeld(ctx context.Context) error {
	for _, name := range d.held {
		if d.holds(name, registry.OfReservation) {
			if err := d.Settle(ctx, name, d.id.Dir, d.seen.Key); err != nil {
				return err
			}
		}
	}
	return nil
}
