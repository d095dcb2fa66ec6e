package nfs3

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// procedure is one remote procedure of version 3.
type procedure uint32

const (
	procGetattr     procedure = 1
	procSetattr     procedure = 2
	procLookup      procedure = 3
	procAccess      procedure = 4
	procReadlink    procedure = 5
	procRead        procedure = 6
	procWrite       procedure = 7
	procCreate      procedure = 8
	procMkdir       procedure = 9
	procSymlink     procedure = 10
	procMknod       procedure = 11
	procRemove      procedure = 12
	procRmdir       procedure = 13
	procRename      procedure = 14
	procLink        procedure = 15
	procReaddirplus procedure = 17
	procFsstat      procedure = 18
	procFsinfo      procedure = 19
	procCommit      procedure = 21
)

var procedureNames = map[procedure]string{
	procGetattr: "GETATTR", procSetattr: "SETATTR", procLookup: "LOOKUP", procAccess: "ACCESS", procReadlink: "READLINK",
	procRead: "READ", procWrite: "WRITE", procCreate: "CREATE", procMkdir: "MKDIR", procSymlink: "SYMLINK",
	procRemove: "REMOVE", procRmdir: "RMDIR", procRename: "RENAME", procReaddirplus: "READDIRPLUS", procFsstat: "FSSTAT",
	procFsinfo: "FSINFO", procMknod: "MKNOD", procLink: "LINK", procCommit: "COMMIT",
}

// Client is one connection to one export.
type Client struct {
	cfg   Config
	link  *rpc.Link
	chunk int // bytes of one READ or WRITE

	mu   sync.Mutex
	root file.Handle
	was  *file.Attr        // of the export's root when it was opened, nil where the server did not tell
	dirs map[string]cached // by path
}

// cached is a directory's handle. It is believed for a short time only, because another client may have moved the
// directory and made another in its place.
type cached struct {
	handle file.Handle
	until  time.Time
}

const (
	believed    = 2 * time.Second
	mostCached  = 4096
	undoTimeout = 5 * time.Second // of taking back what could not be finished
)

// Connect finds the ports, mounts the export and connects.
func Connect(ctx context.Context, cfg Config) (*Client, error) {
	port, mountPorts, err := cfg.ports(ctx)
	if err != nil {
		return nil, err
	}
	link, err := rpc.NewLink(ctx, cfg.Dialer.To(port, program, version), cfg.Silence)
	if err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, link: link, dirs: make(map[string]cached)}
	if err := c.start(ctx, mountPorts); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Client) start(ctx context.Context, mountPorts []int) error {
	if _, _, err := c.link.Call(ctx, &rpc.Request{Program: program, Version: version}); err != nil { // NULL: is it there?
		return err
	}
	root, err := c.cfg.mountRoot(ctx, mountPorts)
	if err != nil {
		return err
	}
	c.root = root
	return c.fsinfo(ctx)
}

// Close ends the connection and every call on it.
func (c *Client) Close() error { return c.link.Close() }

const (
	smallestChunk = 512
	largestChunk  = 1 << 20
)

func (c *Client) fsinfo(ctx context.Context) error {
	d, err := c.call(ctx, &c.cfg.Cred, procFsinfo, c.root, nil)
	if err != nil {
		return err
	}
	if a, ok := postOpAttr(d); ok {
		c.was = &a
	}
	d.Uint32() // rtmax
	rtpref := d.Uint32()
	d.Fixed(8) // rtmult, wtmax
	wtpref := d.Uint32()
	c.chunk = int(min(max(min(rtpref, wtpref), smallestChunk), largestChunk))
	return d.Err()
}

// call runs one procedure on a handle, with patience for a server that asks for it. The results follow in the decoder.
func (c *Client) call(ctx context.Context, cred *rpc.Credential, p procedure, h file.Handle, args func(*xdr.Encoder)) (*xdr.Decoder, error) {
	var e xdr.Encoder
	e.String(string(h))
	if args != nil {
		args(&e)
	}
	q := &rpc.Request{Program: program, Version: version, Procedure: uint32(p), Credential: cred, Args: e.B}
	resent := false
	for tries := 1; ; tries++ {
		body, again, err := c.link.Call(ctx, q)
		if err != nil {
			return nil, err
		}
		resent = resent || again
		d := xdr.NewDecoder(body)
		code := status.Code(d.Uint32())
		if d.Err() != nil {
			return nil, fmt.Errorf("%s: %w", procedureNames[p], d.Err())
		}
		if code == status.OK {
			return d, nil
		}
		err = &status.Error{Version: 3, Op: procedureNames[p], Code: code, Resent: resent}
		if !status.Later(err) {
			return nil, err
		}
		if over := rpc.Sleep(ctx, rpc.Pause(tries+1)); over != nil {
			return nil, fmt.Errorf("%w: %w", err, over)
		}
	}
}

// dir finds the handle of the directory at path, each step from the cache or by a call.
func (c *Client) dir(ctx context.Context, cred *rpc.Credential, path []string) (h file.Handle, fresh bool, err error) {
	start := len(path)
	for ; start > 0; start-- {
		if h = c.remembered(path[:start]); h != "" {
			break
		}
	}
	if start == 0 {
		h = c.rootHandle()
	}
	for i := start; i < len(path); i++ {
		next, attr, err := c.lookup(ctx, cred, h, path[i])
		if err != nil {
			return "", start == 0, err
		}
		if !attr.IsDir() {
			return "", false, &status.Error{Version: 3, Op: "LOOKUP", Code: status.NotDir}
		}
		h = next
		c.remember(path[:i+1], h)
	}
	return h, start == 0, nil
}

// inDir does something in the directory at path. When the cache led to a directory that is gone, it is done again.
func (c *Client) inDir(ctx context.Context, cred *rpc.Credential, path []string, do func(dir file.Handle) error) error {
	resent := false
	for tries := 1; ; tries++ {
		h, fresh, err := c.dir(ctx, cred, path)
		if err == nil {
			err = do(h)
		}
		resent = status.NoteResent(err, resent)
		if !status.Dead(err) || tries > 2 || fresh && len(path) > 0 && tries > 1 {
			return err
		}
		c.forget(nil)
		if fresh {
			if err := c.remount(ctx); err != nil {
				return err
			}
		}
	}
}

// remount asks for the export's handle again: servers that restarted may have given it another. Only the directory that was
// opened will do: below an export that is withdrawn, or whose disk is not mounted yet, there is another one, or none, where
// everything that we have would seem to be removed.
func (c *Client) remount(ctx context.Context) error {
	_, ports, err := c.cfg.ports(ctx)
	if err != nil {
		return err
	}
	root, err := c.cfg.mountRoot(ctx, ports)
	if status.Of(err) != status.OK {
		return fmt.Errorf("%w: %v", status.ErrNoExport, err) // its status would be taken for that of a name in the export
	}
	if err != nil {
		return err
	}
	a, err := c.getattr(ctx, &c.cfg.Cred, root)
	if status.Of(err) != status.OK {
		return fmt.Errorf("%w: %v", status.ErrNoExport, err)
	}
	if err != nil {
		return err
	}
	if c.was != nil && (a.FSID != c.was.FSID || a.FileID != c.was.FileID) {
		return fmt.Errorf("%w: its path leads to another directory now", status.ErrNoExport)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.root = root
	return nil
}

func (c *Client) rootHandle() file.Handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.root
}

func (c *Client) remembered(path []string) file.Handle {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found, ok := c.dirs[strings.Join(path, "/")]; ok && time.Now().Before(found.until) {
		return found.handle
	}
	return ""
}

func (c *Client) remember(path []string, h file.Handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.dirs) >= mostCached {
		clear(c.dirs)
	}
	c.dirs[strings.Join(path, "/")] = cached{h, time.Now().Add(believed)}
}

// forget drops what is known at and below path.
func (c *Client) forget(path []string) {
	top := strings.Join(path, "/")
	c.mu.Lock()
	defer c.mu.Unlock()
	for known := range c.dirs {
		if top == "" || known == top || strings.HasPrefix(known, top+"/") {
			delete(c.dirs, known)
		}
	}
}
