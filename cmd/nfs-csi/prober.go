package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"sync"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
)

// probeIdle is how long a connection is kept for the next mount.
const probeIdle = time.Minute

// lookTimeout bounds the look over a connection that is kept: it may have died meanwhile.
const lookTimeout = 3 * time.Second

// prober tells whether directories can be mounted. Volumes lie side by side on their share, so it keeps a connection to
// the directory above each and only looks whether the volume is there: to connect costs a server many times what a mount
// costs it. What that does not settle is asked by [nfs.Probe].
type prober struct {
	closing context.Context
	end     context.CancelFunc
	tasks   sync.WaitGroup

	mu   sync.Mutex
	kept map[string]*parent // by what beside makes of server, directory and options
}

// parent is an open directory, or one that is being opened.
type parent struct {
	ready chan struct{} // closed when fs and fsid, or err, are set
	fs    *nfs.FS
	fsid  any
	err   error // it cannot be opened, as where only the volume itself is exported
	idle  *time.Timer
}

func newProber() *prober {
	p := &prober{kept: map[string]*parent{}}
	p.closing, p.end = context.WithCancel(context.Background())
	return p
}

// probe is [nfs.Probe] for an export that is to be mounted with these options, faster for the second of a share.
func (p *prober) probe(ctx context.Context, c nfs.Config, mountOptions []string) error {
	there, err := p.beside(ctx, c, mountOptions)
	if there || err != nil {
		return err
	}
	return nfs.Probe(ctx, c)
}

// beside tells whether the directory is certainly there and on the same export as the one above it, which admits us. Its error
// is that nothing answers: asking once more would take as long again.
func (p *prober) beside(ctx context.Context, c nfs.Config, mountOptions []string) (there bool, err error) {
	above, name := path.Split(path.Clean(c.Export))
	if name == "" {
		return false, nil
	}
	c.Export = path.Clean(above)
	key := fmt.Sprintf("%s:%s %q", c.Server, c.Export, mountOptions)
	d := p.parent(key, c)
	select {
	case <-d.ready:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	switch {
	case errors.Is(d.err, nfs.ErrUnreachable):
		return false, d.err
	case d.err != nil:
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	found, err := d.fs.Lstat(ctx, name)
	if err != nil {
		p.drop(key, d)
		return false, nil
	}
	d.idle.Reset(probeIdle)
	return found.IsDir() && fsid(found) == d.fsid, nil
}

func fsid(i fs.FileInfo) any {
	if a, ok := i.Sys().(*nfs.Attr); ok {
		return a.FSID
	}
	return nil
}

// parent answers the open directory for c, or one that is being opened.
func (p *prober) parent(key string, c nfs.Config) *parent {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := p.kept[key]; d != nil {
		return d
	}
	d := &parent{ready: make(chan struct{})}
	d.idle = time.AfterFunc(probeIdle, func() { p.drop(key, d) })
	p.kept[key] = d
	p.tasks.Go(func() {
		d.err = d.open(p.closing, c)
		close(d.ready)
		if errors.Is(d.err, nfs.ErrUnreachable) { // it may be back at any moment
			p.drop(key, d)
		}
	})
	return d
}

func (d *parent) open(ctx context.Context, c nfs.Config) error {
	ctx, cancel := context.WithTimeout(ctx, preflightTimeout)
	defer cancel()
	opened, err := nfs.Open(ctx, c)
	if err != nil {
		return err
	}
	itself, err := opened.Lstat(ctx, ".")
	if err != nil {
		return errors.Join(err, opened.Close())
	}
	d.fs, d.fsid = opened, fsid(itself)
	return nil
}

// drop forgets a directory and closes it.
func (p *prober) drop(key string, d *parent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kept[key] != d {
		return
	}
	delete(p.kept, key)
	d.idle.Stop()
	p.tasks.Go(func() {
		<-d.ready
		if d.err == nil {
			_ = d.fs.Close() // the server may be gone
		}
	})
}

// close leaves all servers.
func (p *prober) close() {
	p.end()
	p.mu.Lock()
	kept := maps.Clone(p.kept)
	p.mu.Unlock()
	for key, d := range kept {
		p.drop(key, d)
	}
	p.tasks.Wait()
}
