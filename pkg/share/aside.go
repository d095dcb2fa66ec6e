package share

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// No call moves a directory on the condition that it is still that of a volume. So between our look and the move another
// process, which believes to lead too, may have deleted the volume and made another one in its place. Therefore a
// directory is moved aside first, where nobody removes it, then we look whose its name is, and only then it goes to the trash.
// Whoever makes a volume reserves the directory before making it: if the name is another volume's, so is what we moved, and it
// is moved back. What a crash leaves aside goes with the next try for the volume, and with nothing else.

// aside is a directory that was moved aside.
type aside struct {
	name string // in staging: the directory itself, or the note of one that is on another file system
	at   string // where the directory is; "": nothing was moved
}

// heldOf lists what earlier tries for the volume with the given key have moved aside.
func (s *share) heldOf(ctx context.Context, key string) ([]string, error) {
	infos, err := s.listStaging(ctx)
	var held []string
	for _, info := range infos {
		if strings.HasPrefix(info.Name(), stagingPrefix(ofDeleted, key)) {
			held = append(held, info.Name())
		}
	}
	return held, err
}

// trash moves the directory away, which frees its name at once, and has its content removed later.
func (d *deletion) trash(ctx context.Context) error {
	moved, err := d.moveAside(ctx)
	if err != nil {
		return err
	}
	return d.dispose(ctx, moved)
}

// moveAside moves the directory to a name that no other try has.
func (d *deletion) moveAside(ctx context.Context) (aside, error) {
	name := stagingName(ofDeleted, d.seen.key)
	moved, err := d.move(ctx, stagingDir+"/"+name)
	switch {
	case errors.Is(err, syscall.EXDEV):
		return d.moveBeside(ctx, name)
	case err != nil || !moved:
		return aside{}, err
	}
	return aside{name: name, at: stagingDir + "/" + name}, nil
}

// dispose brings what was moved aside, just now and by earlier tries, to the trash, unless the directory's name is
// another volume's.
func (d *deletion) dispose(ctx context.Context, moved aside) error {
	held := d.held
	if moved.at != "" {
		held = append(held, moved.name)
	}
	if len(held) == 0 {
		return nil
	}
	if err := d.layout.ensure(ctx, d.fs); err != nil {
		return err
	}
	owner, err := d.claimant(ctx)
	if err != nil {
		return err
	}
	if owner != "" {
		return d.giveBack(ctx, moved, owner)
	}
	for _, name := range held {
		if _, err := d.moveToTrash(ctx, stagingDir+"/"+name, trashNamed(d.seen.key, d.now(), name[strings.LastIndexByte(name, '+')+1:])); err != nil {
			return err
		}
	}
	return nil
}

// claimant is the key of another volume that the directory is reserved for now, "" if it is not.
func (d *deletion) claimant(ctx context.Context) (string, error) {
	owner, err := d.reservedFor(ctx, d.id.Dir)
	if errors.Is(err, errExpiring) || owner == d.seen.key {
		return "", nil
	}
	return owner, err
}

// giveBack moves a directory back that has become another volume's before we moved it.
func (d *deletion) giveBack(ctx context.Context, moved aside, owner string) error {
	if moved.at == "" {
		return fmt.Errorf("%w: %q is what was the directory %q of volume %q, or that of volume %q: move it where it belongs",
			volume.ErrInvalid, stagingDir+"/"+d.held[0], d.id.Dir, d.id.Name(), owner)
	}
	if err := d.fs.Rename(ctx, moved.at, string(d.id.Dir)); err != nil {
		return fmt.Errorf("moving %q back to %q, which is the directory of volume %q by now: %w", moved.at, d.id.Dir, owner, err)
	}
	if name := stagingDir + "/" + moved.name; moved.name != "" && name != moved.at {
		if err := d.remove(ctx, name); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: directory %q has just become that of volume %q", volume.ErrBusy, d.id.Dir, owner)
}

// retire moves the directory of the volume with the given name and key, which its maker gives up, to the trash.
func (s *share) retire(ctx context.Context, r volume.Record) error {
	d := &deletion{share: s, id: r.ID(s.location), seen: state{key: volume.Key(r.Name)}}
	return d.trash(ctx)
}
