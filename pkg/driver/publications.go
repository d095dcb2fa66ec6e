package driver

import (
	"fmt"
	"slices"
	"sync"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// publications remembers which volume this process published at which target, so that a volume for one workload is not
// given to a second one, and lets one call at a time work on a target. A restarted process has forgotten: then the
// scheduler and kubelet, which enforce ReadWriteOncePod by themselves, are alone with it.
type publications struct {
	mu       sync.Mutex
	byTarget map[string]publication
}

// publication is what is at a target; the zero value is nothing.
type publication struct {
	volume    string
	exclusive bool
	busy      bool // a call works on the target
}

// begin reserves target for one call, which must end it, and answers what is there. [volume.ErrBusy]: another call works
// on it.
func (p *publications) begin(target string) (publication, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.byTarget[target]
	if at.busy {
		return publication{}, fmt.Errorf("%w: on target %q; retry when it is done", volume.ErrBusy, target)
	}
	p.set(target, publication{volume: at.volume, exclusive: at.exclusive, busy: true})
	return at, nil
}

// claim says, between begin and end, that next is about to be at target. If its volume is at another target and one of
// both is exclusive, claim changes nothing and answers that other target.
func (p *publications) claim(target string, next publication) (other string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t, at := range p.byTarget {
		if t != target && at.volume == next.volume && (at.exclusive || next.exclusive) {
			return t
		}
	}
	next.busy = true
	p.set(target, next)
	return ""
}

// end gives target back with what is there now.
func (p *publications) end(target string, now publication) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.volume == "" {
		delete(p.byTarget, target)
		return
	}
	now.busy = false
	p.set(target, now)
}

// forget drops a target where nothing is mounted any more; false if a call works on it.
func (p *publications) forget(target string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byTarget[target].busy {
		return false
	}
	delete(p.byTarget, target)
	return true
}

// targets lists where a volume is, in order.
func (p *publications) targets(volume string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var at []string
	for target, is := range p.byTarget {
		if is.volume == volume {
			at = append(at, target)
		}
	}
	slices.Sort(at)
	return at
}

func (p *publications) set(target string, at publication) {
	if p.byTarget == nil {
		p.byTarget = map[string]publication{}
	}
	p.byTarget[target] = at
}
