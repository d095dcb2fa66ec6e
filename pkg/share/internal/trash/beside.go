package trash

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

// besideGrace is how long a note may be there before its directory is.
const besideGrace = time.Hour

// errBeside is what a purge ends with for such a note, so that it is looked at again.
var errBeside = errors.New("a deletion has not come to moving its directory: it is waited for")

// removeBeside removes what a note in the trash says, if it is one.
func (p *Purger) removeBeside(ctx context.Context, info fs.FileInfo) error {
	trash, is := strings.CutSuffix(info.Name(), registry.RecordSuffix)
	if !is || !info.Mode().IsRegular() {
		return nil
	}
	data, err := p.Share.FS.ReadFile(ctx, registry.TrashDir+"/"+info.Name(), registry.MaxRecord)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(failure.Kind(err, p.Share.Classify), volume.ErrInvalid) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %q: %w", registry.TrashDir+"/"+info.Name(), err)
	}
	dir, ok := registry.NotedDir(trash, data)
	if !ok {
		return nil // cut short by a crash, so nothing was moved; or somebody else's
	}
	there, err := p.Share.Lstat(ctx, string(dir))
	if err != nil {
		return err
	}
	if at, told := registry.TrashedAt(trash); there == nil && told && p.Share.Now().Sub(at) < besideGrace {
		return errBeside
	}
	return p.removeTree(ctx, string(dir))
}
