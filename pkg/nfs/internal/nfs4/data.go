package nfs4

import (
	"context"
	"crypto/rand"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// Many small files are read, made and finished by one compound each. Content is read and written with the anonymous
// stateid (RFC 8881 section 8.2.3), so that a file is open for no longer than it takes to make it and nothing is lost with
// a session.

// Operations of one file in the longest compound, bytes of it besides name and content, and calls in flight: a server
// handles the files of one compound one after the other.
const (
	makeOps   = 5
	readOps   = 2
	finishOps = 4
	fileBytes = 512
	copyCalls = 24
	fewestOps = 2 // SEQUENCE, and one to spare
)

// Limits tells how much to ask for at once.
func (c *Client) Limits(ctx context.Context) (file.Limits, error) {
	l, err := c.ready(ctx)
	if err != nil {
		return file.Limits{}, err
	}
	return file.Limits{Chunk: l.chunk(), Files: l.files(makeOps), Calls: max(1, min(copyCalls, int(l.slots)))}, nil
}

// files is how many files fit into a compound, going by operations.
func (l limits) files(opsEach int) int { return max(1, (int(l.ops)-fewestOps)/opsEach) }

// step is what a batch does to each of its files.
type step struct {
	ops     int                              // operations of one file, at most
	content bool                             // goes over the wire
	makes   bool                             // the files: when an answer was lost, any of them may be there
	start   func(*compound)                  // before the first file, nil for nothing
	build   func(*compound, *file.Copy)      // adds the operations of one file
	read    func(*results, *file.Copy) error // takes their results
}

// fit is how many of the files one compound carries, at least one: no more than the operations allow and than fit into a
// message with their content.
func (l limits) fit(files []*file.Copy, s step) int {
	room, n := l.chunk(), 0
	for _, f := range files[:min(len(files), l.files(s.ops))] {
		room -= fileBytes + len(f.Name)
		if s.content {
			room -= int(f.Attr.Size)
		}
		if room < 0 && n > 0 {
			break
		}
		n++
	}
	return n
}

// batch carries out compounds for files in order, as many files as fit into each, up to the first that cannot be done:
// done are, err is about the next.
func (c *Client) batch(ctx context.Context, cred *rpc.Credential, files []*file.Copy, s step) (done int, err error) {
	for tries := 1; done < len(files); tries++ {
		some := files[done:]
		some = some[:c.granted().fit(some, s)]
		r, err := c.do(ctx, cred, func(b *compound) {
			if s.start != nil {
				s.start(b)
			}
			for _, f := range some {
				s.build(b, f)
			}
		})
		if err != nil {
			return done, err
		}
		n := 0
		for ; n < len(some); n++ {
			if err = s.read(r, some[n]); err != nil {
				break
			}
			done++
			tries = 0
		}
		if err == nil {
			continue
		}
		if s.makes && r.resent {
			for _, f := range files[done : done+len(some)-n] {
				f.Begun = true
			}
		}
		if !status.Later(err) {
			return done, err
		}
		if rpc.Sleep(ctx, rpc.Pause(tries+1)) != nil {
			return done, err
		}
	}
	return done, nil
}

// ReadFiles reads the content of files that fit into one READ each.
func (c *Client) ReadFiles(ctx context.Context, cred *rpc.Credential, files []*file.Copy) (done int, err error) {
	build := func(b *compound, f *file.Copy) {
		b.putFH(f.From)
		b.read(0, max(int(f.Attr.Size), 1))
	}
	read := func(r *results, f *file.Copy) error {
		if err := r.pass(opRead); err != nil {
			return err
		}
		eof := r.d.Bool()
		f.Data = r.d.Opaque(rpc.MaxRecord)
		for uint64(len(f.Data)) < f.Attr.Size && !eof && r.d.Err() == nil {
			more, end, err := c.ReadAt(ctx, cred, f.From, uint64(len(f.Data)), int(f.Attr.Size)-len(f.Data))
			if err != nil {
				return err
			}
			f.Data, eof = append(f.Data, more...), end
		}
		f.Data = f.Data[:min(len(f.Data), int(f.Attr.Size))]
		return r.d.Err()
	}
	return c.batch(ctx, cred, files, step{ops: readOps, content: true, build: build, read: read})
}

// MakeFiles makes files in a directory with their content, for which COMMIT is left to [Client.FinishFiles].
func (c *Client) MakeFiles(ctx context.Context, cred *rpc.Credential, dir file.Handle, files []*file.Copy) (done int, err error) {
	if c.minor == 0 {
		return c.makePlain(ctx, cred, dir, files)
	}
	for done < len(files) {
		if files[done].Begun {
			if err := c.makeAgain(ctx, cred, dir, files[done]); err != nil {
				return done, err
			}
			done++
			continue
		}
		n, err := c.makeNew(ctx, cred, dir, files[done:])
		done += n
		if err != nil {
			next := files[done]
			if !next.Begun && !status.MaybeOurs(err, "OPEN") {
				return done, err
			}
			next.Begun = true
			if !status.Later(err) && !status.Is(err, status.Exist) {
				return done, err
			}
		}
	}
	return done, nil
}

// newMode is a file's mode until it gets its own.
const newMode = 0o600

func (c *Client) makeNew(ctx context.Context, cred *rpc.Credential, dir file.Handle, files []*file.Copy) (done int, err error) {
	for i, f := range files {
		if f.Begun {
			files = files[:i]
			break
		}
	}
	var owner *openOwner
	start := func(b *compound) {
		owner = &openOwner{name: rand.Text(), clientID: c.id()}
		b.uncached = true
	}
	build := func(b *compound, f *file.Copy) {
		mode := uint32(newMode)
		b.putFH(dir)
		b.openNew(owner, f.Name, file.Set{Mode: &mode, UID: -1, GID: -1})
		b.close(owner, currentState())
		b.op(opGetFH)
		if len(f.Data) > 0 {
			b.writeSome(file.Segment{Data: f.Data})
		}
	}
	read := func(r *results, f *file.Copy) error {
		if f.Begun { // an earlier compound was cut off in this file
			return &status.Error{Version: 4, Op: "OPEN", Code: status.Exist}
		}
		if _, _, err := r.open(); err != nil {
			return err
		}
		f.Begun = true
		var err error
		if f.To, err = r.handle(); err != nil {
			return err
		}
		return c.wrote(ctx, cred, r, f)
	}
	return c.batch(ctx, cred, files, step{ops: makeOps, content: true, makes: true, start: start, build: build, read: read})
}

// wrote takes the result of a WRITE of a file's whole content, and writes what was left of it.
func (c *Client) wrote(ctx context.Context, cred *rpc.Credential, r *results, f *file.Copy) error {
	if len(f.Data) == 0 {
		return nil
	}
	n, verifier, err := r.wroteSome()
	if err != nil {
		return err
	}
	f.Wrote(verifier)
	if n < len(f.Data) {
		return c.WriteAt(ctx, cred, f, []file.Segment{{Offset: uint64(n), Data: f.Data[n:]}})
	}
	return nil
}

// makeAgain makes a file that may be there already, whole or in part, and if so because of us.
func (c *Client) makeAgain(ctx context.Context, cred *rpc.Credential, dir file.Handle, f *file.Copy) error {
	h, a, err := c.LookupIn(ctx, cred, dir, f.Name)
	if status.Is(err, status.NoEnt) {
		f.Begun = false
		_, err = c.makeNew(ctx, cred, dir, []*file.Copy{f})
		return err
	}
	if err != nil {
		return err
	}
	if a.Type != 0 {
		return &status.Error{Version: 4, Op: "OPEN", Code: status.Exist}
	}
	var empty uint64
	mode := uint32(newMode)
	if _, err := c.SetattrOf(ctx, cred, h, file.Set{Mode: &mode, UID: -1, GID: -1, Size: &empty}); err != nil {
		return err
	}
	f.To = h
	return c.WriteAt(ctx, cred, f, []file.Segment{{Data: f.Data}})
}

// makePlain is for version 4.0, in which a file cannot be closed in the compound that opens it.
func (c *Client) makePlain(ctx context.Context, cred *rpc.Credential, dir file.Handle, files []*file.Copy) (done int, err error) {
	mode := uint32(newMode)
	set := file.Set{Mode: &mode, UID: -1, GID: -1}
	for _, f := range files {
		var made *opened
		if !f.Begun {
			made, _, err = c.create(ctx, cred, place{handle: dir}, f.Name, set, nil, false)
		}
		f.Begun = f.Begun || made != nil || status.MaybeOurs(err, "OPEN")
		switch {
		case made != nil:
			c.closeFile(ctx, cred, made)
			f.To = made.handle
			if err == nil {
				err = c.WriteAt(ctx, cred, f, []file.Segment{{Data: f.Data}})
			}
		case f.Begun:
			err = c.makeAgain(ctx, cred, dir, f)
		}
		if err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}

// FinishFiles puts the content of files on stable storage and gives them their attributes. A file that must be written
// again is marked as lost.
func (c *Client) FinishFiles(ctx context.Context, cred *rpc.Credential, files []*file.Copy, want func(*file.Copy) []file.Set) (done int, err error) {
	build := func(b *compound, f *file.Copy) {
		b.putFH(f.To)
		if f.Written {
			b.commit()
		}
		for _, set := range want(f) {
			b.setattr(set)
		}
	}
	read := func(r *results, f *file.Copy) error {
		if err := r.passed(opPutFH); err != nil {
			return err
		}
		if f.Written {
			v, err := r.committed()
			if err != nil {
				return err
			}
			f.Committed(v)
		}
		for range want(f) {
			if err := r.passed(opSetattr); err != nil {
				return err
			}
		}
		return nil
	}
	return c.batch(ctx, cred, files, step{ops: finishOps, build: build, read: read})
}
