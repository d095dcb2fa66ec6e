package nfs4

import (
	"context"
	"fmt"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// What our longest compound needs besides the names on the way to where it works: operations, and bytes of its request,
// without data, the target of a link and the names to remove.
const (
	reserveOps     = 10
	reserveRequest = 2 << 10
)

// Sizes in a cached reply, of a LOOKUP and of everything else in our longest compound.
const (
	lookupReply  = 8
	reserveReply = 512
)

// mostOfWay is how many bytes of names on the way one compound carries.
const mostOfWay = 2 << 10

// lookupArgs is the size of a LOOKUP in a request.
func lookupArgs(name string) int { return 8 + (len(name)+3)&^3 }

// way is how many of the names one compound can look up, with 1/share of what it may hold.
func (l limits) way(names []string, share int) int {
	lookups := min(int(l.ops)-reserveOps, (int(l.cached)-reserveReply)/lookupReply) / share
	return fitting(names, max(lookups, 1), mostOfWay/share)
}

// fitting is how many names, at least one, fit into a number of operations and of bytes.
func fitting(names []string, most, room int) int {
	n := min(len(names), most)
	for i, name := range names[:n] {
		if room -= lookupArgs(name); room < 0 {
			return max(i, 1)
		}
	}
	return n
}

// place is a directory or file that a compound starts from: a handle, and the names below it that are looked up in the
// same round trip.
type place struct {
	handle file.Handle
	names  []string
	root   bool // handle is the export's
}

func (c *Client) rootHandle() file.Handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.root
}

// at finds where to start for a path below the export, of which at most 1/share of a compound's operations may be used.
// Only paths with too many elements for one compound need a round trip.
func (c *Client) at(ctx context.Context, cred *rpc.Credential, path []string, share int) (place, error) {
	p := place{handle: c.rootHandle(), names: path, root: true}
	l, err := c.ready(ctx)
	if err != nil {
		return p, err
	}
	for {
		longest := l.way(p.names, share)
		if longest == len(p.names) {
			return p, nil
		}
		step := place{handle: p.handle, names: p.names[:longest], root: p.root}
		r, err := c.do(ctx, cred, func(b *compound) {
			b.place(c, step)
			b.op(opGetFH)
		})
		if err != nil {
			return p, err
		}
		if p.handle, err = r.handle(); err != nil {
			return p, err
		}
		p.names, p.root = p.names[longest:], false
	}
}

// place makes p the current file handle.
func (b *compound) place(c *Client, p place) {
	if p.root {
		b.fromRoot = b.fromRoot || len(b.ops) == b.first
		p.handle = c.rootHandle() // which may be another since p was made
	}
	b.putFH(p.handle)
	b.lookup(p.names)
}

// call runs a compound that starts at a path, and returns its results.
func (c *Client) call(ctx context.Context, cred *rpc.Credential, path []string, build func(*compound)) (*results, error) {
	p, err := c.at(ctx, cred, path, 1)
	if err != nil {
		return nil, err
	}
	return c.do(ctx, cred, func(b *compound) {
		b.place(c, p)
		build(b)
	})
}

// Step is one directory on the way from the server's root to the export.
type Step struct {
	FSID file.FSID
	Attr file.Attr

	handle   file.Handle
	transfer transfer
}

// Walk looks up the export from the server's root and remembers its handle. The steps, the server's root first, tell
// which file systems were crossed. Links are not followed: a server does not look up anything below one.
//
// A name is looked up as the owner of the directory that it is in where cred may not, if Config.AsOwner says so: an export
// may squash root and have directories that are closed to others.
func (c *Client) Walk(ctx context.Context, cred *rpc.Credential) ([]Step, error) {
	steps, err := c.walk(ctx, cred)
	if err == nil {
		c.arrive(steps[len(steps)-1])
	}
	return steps, err
}

// rediscover walks to the export once more when the server does not know its handle any longer. Only the directory that
// was found first will do: an export that is withdrawn, or whose disk is not mounted yet, shows the directory underneath
// or nothing at all, where everything that we have would seem to be removed.
func (c *Client) rediscover(ctx context.Context, cred *rpc.Credential) error {
	steps, err := c.walk(ctx, cred)
	if status.Is(err, status.NoEnt, status.NotDir, status.Symlink) || status.Refused(err) || status.Dead(err) {
		return fmt.Errorf("%w: %v", status.ErrNoExport, err) // its status would be taken for that of a name in the export
	}
	if err != nil {
		return err
	}
	export := steps[len(steps)-1]
	c.mu.Lock()
	fsid, id := c.fsid, c.fileID
	c.mu.Unlock()
	if export.FSID != fsid || export.Attr.FileID != id {
		return fmt.Errorf("%w: its path leads to another directory now", status.ErrNoExport)
	}
	c.arrive(export)
	return nil
}

func (c *Client) walk(ctx context.Context, cred *rpc.Credential) ([]Step, error) {
	steps, err := c.walkSome(ctx, cred, "", c.export)
	for len(steps) > 0 && len(steps) <= len(c.export) {
		here, rest := steps[len(steps)-1], c.export[len(steps)-1:]
		var more []Step
		more, err = c.walkSome(ctx, cred, here.handle, rest)
		if other := c.otherThan(cred, here, err); len(more) == 0 && other != nil {
			more, err = c.walkSome(ctx, other, here.handle, rest[:1])
		}
		if len(more) == 0 {
			return nil, err
		}
		steps = append(steps, more...)
	}
	if len(steps) == 0 {
		return nil, err
	}
	return steps, nil
}

// otherThan is whom to go on as in a directory that refused cred, nil where nobody else could do more. Root is no step up:
// either we are root, or the server squashes it.
func (c *Client) otherThan(cred *rpc.Credential, here Step, refused error) *rpc.Credential {
	uid, gid := here.Attr.Owner()
	if !c.asOwner || !status.Refused(refused) || here.Attr.OwnerNamed || uid == 0 || uid == cred.UID {
		return nil
	}
	return &rpc.Credential{UID: uid, GID: gid}
}

// arrive takes the last step for the export.
func (c *Client) arrive(export Step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.root, c.fsid, c.fileID = export.handle, export.FSID, export.Attr.FileID
	if c.minor == 0 {
		c.limits = plainLimits(export.transfer)
	}
}

// walkSome goes as far as one compound can from a directory, the server's root for "", and returns the directories that
// it came to: at least one, or an error.
func (c *Client) walkSome(ctx context.Context, cred *rpc.Credential, from file.Handle, names []string) ([]Step, error) {
	l, err := c.ready(ctx)
	if err != nil {
		return nil, err
	}
	names = names[:l.walk(names)]
	r, err := c.do(ctx, cred, func(b *compound) {
		if from == "" {
			b.op(opPutRootFH)
			b.step()
		} else {
			b.putFH(from)
		}
		for _, name := range names {
			b.lookup([]string{name})
			b.step()
		}
	})
	if err != nil {
		return nil, err
	}
	var steps []Step
	for range r.expected(opGetFH) {
		step, err := r.step()
		if err != nil {
			return steps, err
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// Sizes of one step of a walk: operations, and bytes of a response with long names for the owners.
const (
	stepOps   = 3
	stepReply = 1 << 10
)

// walk is how many of the names one compound of a walk can hold. Besides them it has SEQUENCE and the start.
func (l limits) walk(names []string) int {
	if len(names) == 0 {
		return 0
	}
	most := min((int(l.ops)-2-stepOps+1)/stepOps, int(l.response)/stepReply-2)
	return fitting(names, max(most, 1), mostOfWay)
}

// step asks for what [results.step] reads.
func (b *compound) step() {
	want := statBits
	if b.minor == 0 {
		want |= transferBits
	}
	b.getattr(want)
	b.op(opGetFH)
}

func (r *results) step() (Step, error) {
	a, err := r.attr()
	if err != nil {
		return Step{}, err
	}
	h, err := r.handle()
	return Step{FSID: a.FSID, Attr: a.Attr, handle: h, transfer: a.transfer}, err
}
