package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/failure"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// A directory that lies on another file system of the server than the trash cannot be moved there. It is moved to a name
// beside its own, which frees that at once just as well, and a note that goes through staging to the trash says where it is. The
// note is written first, so a crash never leaves a directory that nobody knows of; and only a directory whose name has the same
// random end as its note is ever removed, so a note cannot point at anything else, whoever wrote it.

// besideGrace is how long a note may be there before its directory is.
const besideGrace = time.Hour

var errBeside = errors.New("a deletion has not come to moving its directory: it is waited for")

// moveBeside moves the directory to a name beside its own, with a note in staging.
func (d *deletion) moveBeside(ctx context.Context) (aside, error) {
	name := registry.StagingName(registry.OfDeleted, d.seen.Key)
	random := name[strings.LastIndexByte(name, '+')+1:]
	dir, data, err := registry.NewNote(d.id, random)
	if err != nil {
		return aside{}, err
	}
	note := name + registry.RecordSuffix
	if err := d.FS.CreateFile(ctx, registry.StagingDir+"/"+note, data, registry.RecordMode); err != nil {
		return aside{}, fmt.Errorf("writing %q: %w", registry.StagingDir+"/"+note, err)
	}
	moved, err := d.move(ctx, string(d.id.Dir), string(dir))
	if failure.Definite(err, d.Classify) || err == nil && !moved {
		err = errors.Join(err, d.Remove(ctx, registry.StagingDir+"/"+note))
	}
	if err != nil || !moved {
		return aside{}, err
	}
	return aside{name: note, at: string(dir)}, nil
}

// removeBeside removes what a note in the trash says, if it is one.
func (p *purger) removeBeside(ctx context.Context, info fs.FileInfo) error {
	trash, is := strings.CutSuffix(info.Name(), registry.RecordSuffix)
	if !is || !info.Mode().IsRegular() {
		return nil
	}
	data, err := p.share.FS.ReadFile(ctx, registry.TrashDir+"/"+info.Name(), registry.MaxRecord)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(failure.Kind(err, p.share.Classify), volume.ErrInvalid) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %q: %w", registry.TrashDir+"/"+info.Name(), err)
	}
	dir, ok := registry.NotedDir(trash, data)
	if !ok {
		return nil // cut short by a crash, so nothing was moved; or somebody else's
	}
	there, err := p.share.Lstat(ctx, string(dir))
	if err != nil {
		return err
	}
	if at, told := registry.TrashedAt(trash); there == nil && told && p.share.Now().Sub(at) < besideGrace {
		return errBeside
	}
	return p.removeTree(ctx, string(dir))
}
