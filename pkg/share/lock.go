package share

import (
	"fmt"
	"sync"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// locks keeps operations on the same volume, and on the same directory, apart. Nobody waits: whoever comes second is
// told so and comes again, as CSI has it.
type locks struct {
	mu   sync.Mutex
	held map[string]bool
}

// hold locks the volume called id.Name and the directory id.Dir of a location, or answers [volume.ErrBusy].
func (l *locks) hold(id volume.ID) (release func(), err error) {
	place := id.Location.String() + "#"
	name, dir := place+"volume#"+id.Name(), place+"directory#"+string(id.Dir)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.held[name]:
		return nil, fmt.Errorf("%w: on volume %q", volume.ErrBusy, id.Name())
	case l.held[dir]:
		return nil, fmt.Errorf("%w: on directory %q", volume.ErrBusy, id.Dir)
	}
	if l.held == nil {
		l.held = map[string]bool{}
	}
	l.held[name], l.held[dir] = true, true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.held, name)
		delete(l.held, dir)
	}, nil
}
