package share

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/failure"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// A directory that lies on another file system of the server than the trash cannot be moved there. It is moved to a name
// beside its own, which frees that at once just as well, and a note that goes through staging to the trash says where it is. The
// note is written first, so a crash never leaves a directory that nobody knows of; and only a directory whose name has the same
// random end as its note is ever removed, so a note cannot point at anything else, whoever wrote it.

// besidePrefix begins the name of a deleted directory that is not in the trash.
const besidePrefix = volume.Reserved + "-trash-"

// besideNote is the file TRASHNAME.json in the trash.
type besideNote struct {
	Version int        `json:"version"`
	Dir     volume.Dir `json:"directory"` // where the content is now
	From    volume.Dir `json:"from"`      // for people
	Volume  string     `json:"volume"`    // for people
}

const besideVersion = 1

// besideGrace is how long a note may be there before its directory is.
const besideGrace = time.Hour

var errBeside = errors.New("a deletion has not come to moving its directory: it is waited for")

// moveBeside moves the directory to a name beside its own, with a note in staging.
func (d *deletion) moveBeside(ctx context.Context) (aside, error) {
	name := stagingName(ofDeleted, d.seen.key)
	random := name[strings.LastIndexByte(name, '+')+1:]
	n := besideNote{Version: besideVersion, From: d.id.Dir, Volume: d.id.Name(), Dir: volume.Dir(path.Join(path.Dir(string(d.id.Dir)), besidePrefix+random))}
	data, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return aside{}, fmt.Errorf("encoding the note on directory %q: %w", d.id.Dir, err)
	}
	if _, ok := besideDir("-"+random, data); !ok {
		return aside{}, fmt.Errorf("%w: directory %q is on another file system of the server than its share, and its name is too long to move it: "+
			"remove its content by hand, then the volume", volume.ErrUnsupported, d.id.Dir)
	}
	note := name + recordSuffix
	if err := d.fs.CreateFile(ctx, stagingDir+"/"+note, append(data, '\n'), recordMode); err != nil {
		return aside{}, fmt.Errorf("writing %q: %w", stagingDir+"/"+note, err)
	}
	moved, err := d.move(ctx, string(d.id.Dir), string(n.Dir))
	if failure.Definite(err, d.classify) || err == nil && !moved {
		err = errors.Join(err, d.remove(ctx, stagingDir+"/"+note))
	}
	if err != nil || !moved {
		return aside{}, err
	}
	return aside{name: note, at: string(n.Dir)}, nil
}

// removeBeside removes what a note in the trash says, if it is one.
func (p *purger) removeBeside(ctx context.Context, info fs.FileInfo) error {
	trash, is := strings.CutSuffix(info.Name(), recordSuffix)
	if !is || !info.Mode().IsRegular() {
		return nil
	}
	data, err := p.share.fs.ReadFile(ctx, trashDir+"/"+info.Name(), maxRecord)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(failure.Kind(err, p.share.classify), volume.ErrInvalid) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %q: %w", trashDir+"/"+info.Name(), err)
	}
	dir, ok := besideDir(trash, data)
	if !ok {
		return nil // cut short by a crash, so nothing was moved; or somebody else's
	}
	there, err := p.share.lstat(ctx, string(dir))
	if err != nil {
		return err
	}
	if at, told := trashedAt(trash); there == nil && told && p.share.now().Sub(at) < besideGrace {
		return errBeside
	}
	return p.removeTree(ctx, string(dir))
}

// besideDir reads the directory from a note that was written for the given name in the trash.
func besideDir(trash string, data []byte) (volume.Dir, bool) {
	var n besideNote
	if json.Unmarshal(data, &n) != nil || n.Version != besideVersion {
		return "", false
	}
	dir, err := volume.ParseDir(string(n.Dir))
	random, is := strings.CutPrefix(path.Base(string(dir)), besidePrefix)
	return dir, err == nil && dir == n.Dir && is && random != "" && strings.HasSuffix(trash, "-"+random)
}
