package registry

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// BesidePrefix begins the name of a deleted directory that is not in the trash.
const BesidePrefix = volume.Reserved + "-trash-"

// besideNote is the file TRASHNAME.json in the trash.
type note struct {
	Version int        `json:"version"`
	Dir     volume.Dir `json:"directory"` // where the content is now
	From    volume.Dir `json:"from"`      // for people
	Volume  string     `json:"volume"`    // for people
}

const noteVersion = 1

// NewNote is what is to be written of the directory of a volume before it is moved to dir, which has the random end.
// [volume.ErrUnsupported]: its name would be too long.
func NewNote(id volume.ID, random string) (dir volume.Dir, data []byte, err error) {
	dir = volume.Dir(path.Join(path.Dir(string(id.Dir)), BesidePrefix+random))
	data, err = json.MarshalIndent(note{Version: noteVersion, From: id.Dir, Volume: id.Name(), Dir: dir}, "", "  ")
	if err != nil {
		return "", nil, fmt.Errorf("encoding the note on directory %q: %w", id.Dir, err)
	}
	if _, ok := NotedDir("-"+random, data); !ok {
		return "", nil, fmt.Errorf("%w: directory %q is on another file system of the server than its share, and its name is too long to move it: "+
			"remove its content by hand, then the volume", volume.ErrUnsupported, id.Dir)
	}
	return dir, append(data, '\n'), nil
}

// NotedDir reads the directory from a note that was written for the given name in the trash.
func NotedDir(trash string, data []byte) (volume.Dir, bool) {
	var n note
	if json.Unmarshal(data, &n) != nil || n.Version != noteVersion {
		return "", false
	}
	dir, err := volume.ParseDir(string(n.Dir))
	random, is := strings.CutPrefix(path.Base(string(dir)), BesidePrefix)
	return dir, err == nil && dir == n.Dir && is && random != "" && strings.HasSuffix(trash, "-"+random)
}
