package removing

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/failure"
	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
)

// A directory that lies on another file system of the server than the trash cannot be moved there. It is moved to a name
// beside its own, which frees that at once just as well, and a note that goes through staging to the trash says where it is. The
// note is written first, so a crash never leaves a directory that nobody knows of; and only a directory whose name has the same
// random end as its note is ever removed, so a note cannot point at anything else, whoever wrote it.

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
