package migrate

import (
	"context"
	"errors"
	"path"
	"strings"
	"sync"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Used is what a directory takes.
type Used struct {
	Bytes  int64 `json:"bytes"`
	Files  int64 `json:"files"`
	Partly bool  `json:"partly,omitempty"` // some of it could not be read
}

// Ask walks through a directory below a share of an NFS server, and changes nothing. Errors match those of package volume.
type Ask func(ctx context.Context, l volume.Location, dir volume.Dir) (Used, error)

// measured is how many volumes are measured at once.
const measured = 4

// Measure asks what each volume takes, and notes the answer, or why there is none. A share that was silent or refused us is not asked
// again. It ends with ctx, whose error it returns.
func (p Plan) Measure(ctx context.Context, ask Ask) error {
	m := measuring{ask: ask, failed: map[volume.Location]error{}}
	queue := make(chan *Volume)
	var workers sync.WaitGroup
	for range measured {
		workers.Go(func() {
			for v := range queue {
				m.measure(ctx, v)
			}
		})
	}
	for i := range p.Volumes {
		queue <- &p.Volumes[i]
	}
	close(queue)
	workers.Wait()
	return ctx.Err()
}

type measuring struct {
	ask Ask

	mu     sync.Mutex
	failed map[volume.Location]error
}

func (m *measuring) measure(ctx context.Context, v *Volume) {
	l, dir, ok := v.place()
	if !ok {
		v.UsedError = "where it is is not known"
		return
	}
	m.mu.Lock()
	err := m.failed[l]
	m.mu.Unlock()
	if err == nil {
		err = ctx.Err()
	}
	var used Used
	if err == nil {
		used, err = m.ask(ctx, l, dir)
	}
	if err != nil {
		v.UsedError = err.Error()
		if errors.Is(err, volume.ErrUnavailable) || errors.Is(err, volume.ErrRefused) {
			m.mu.Lock()
			m.failed[l] = err
			m.mu.Unlock()
		}
		return
	}
	v.Used = &used
}

// place is the share and the directory in it, by the volume's handle; of one that has none the share is the directory above.
func (v *Volume) place() (volume.Location, volume.Dir, bool) {
	if id, err := volume.ParseID(v.Handle); err == nil && strings.EqualFold(id.Server, v.Server) && id.Path(id.Dir) == v.Path {
		return id.Location, id.Dir, true
	}
	l, err := volume.ParseLocation(v.Server, path.Dir(v.Path))
	if err != nil {
		return l, "", false
	}
	dir, err := volume.ParseDir(path.Base(v.Path))
	return l, dir, err == nil
}
