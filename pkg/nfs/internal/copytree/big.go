package copytree

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

const (
	block   = 4096     // holes are made of such
	stretch = 16 << 20 // bytes that a server is asked to copy at once
)

// errGone is a source that somebody removed while it was copied.
var errGone = errors.New("removed meanwhile")

// big copies a file that takes more than one READ, or that has holes.
func (c *copier) big(ctx context.Context, d *dir, t *thing) error {
	if err := c.create(ctx, d, []*thing{t}); err != nil || t.left {
		return err
	}
	return c.fill(ctx, d, t)
}

// fill gives a copy its content; a copy of what is gone meanwhile is removed again.
func (c *copier) fill(ctx context.Context, d *dir, t *thing) error {
	err := c.content(ctx, t)
	if err == nil {
		c.tell(t, int64(t.Attr.Size)-t.told) // what was not moved: clones and holes
		return nil
	}
	if !errors.Is(err, errGone) {
		return fmt.Errorf("copying %q: %w", d.child(t.Name), err)
	}
	return c.discard(ctx, d, t)
}

// tell counts bytes of a file.
func (c *copier) tell(t *thing, bytes int64) {
	t.told += bytes
	c.progress.add(0, bytes)
}

// discard removes the copy of what is gone.
func (c *copier) discard(ctx context.Context, d *dir, t *thing) error {
	t.left = true
	c.tell(t, -t.told)
	cred := []rpc.Credential{c.as(&t.Attr)}
	return c.try(ctx, cred, func(cred *rpc.Credential) error {
		_, err := c.RemoveNames(ctx, cred, d.to, []file.Entry{{Name: t.Name}})
		return err
	})
}

// rewrite gives a copy its content once more after the server lost it.
func (c *copier) rewrite(ctx context.Context, d *dir, t *thing) error {
	mode, empty := uint32(0o600), uint64(0)
	err := c.try(ctx, []rpc.Credential{c.as(&t.Attr)}, func(cred *rpc.Credential) error {
		_, err := c.SetattrOf(ctx, cred, t.To, file.Set{Mode: &mode, UID: -1, GID: -1, Size: &empty})
		return err
	})
	if err != nil {
		return fmt.Errorf("writing the copy of %q again: %w", d.child(t.Name), err)
	}
	c.tell(t, -t.told)
	t.Lost, t.Written = false, false
	return c.fill(ctx, d, t)
}

// content copies the content of a file by the best way that the server has.
func (c *copier) content(ctx context.Context, t *thing) error {
	cloned, err := c.cloneFile(ctx, t)
	if cloned || err != nil {
		return err
	}
	s := &stream{copier: c, thing: t, group: &group{copier: c}, end: t.Attr.Size}
	if err := s.all(ctx); err != nil {
		return err
	}
	shorter := s.end < t.Attr.Size
	t.Attr.Size = s.end
	if !s.holes && !shorter {
		return nil
	}
	return c.try(ctx, []rpc.Credential{c.as(&t.Attr)}, func(cred *rpc.Credential) error {
		_, err := c.SetattrOf(ctx, cred, t.To, file.Set{UID: -1, GID: -1, Size: &s.end})
		return err
	})
}

// cannot tells that a server has no such operation, or not for these files.
func cannot(err error) bool {
	return status.Is(err, status.NotSupp, status.XDev, status.Inval, status.WrongType, status.OpIllegal, status.OffloadNoReqs)
}

func (c *copier) cloneFile(ctx context.Context, t *thing) (bool, error) {
	if c.noClone.Load() || t.Attr.Size == 0 {
		return false, nil
	}
	err := c.try(ctx, c.movers(t), func(cred *rpc.Credential) error {
		size, err := c.CloneFile(ctx, cred, &t.Copy)
		if err == nil {
			t.Attr.Size = size
			t.Written = false
			c.cloned.Add(int64(size))
		}
		return err
	})
	switch {
	case cannot(err), status.Refused(err):
		if status.Is(err, status.NotSupp, status.OpIllegal) {
			c.noClone.Store(true)
		}
		return false, nil
	case gone(err):
		return false, errGone
	}
	return err == nil, err
}

// movers are those who may both read the file and write the copy.
func (c *copier) movers(t *thing) []rpc.Credential { return []rpc.Credential{c.as(&t.Attr)} }

// stream copies one file's content, several parts at once.
type stream struct {
	*copier
	*thing
	group *group
	holes bool // the copy may be too short at the end

	mu  sync.Mutex
	end uint64 // of the file: less than its size when it became shorter
}

// all copies the parts of a file that have data.
func (s *stream) all(ctx context.Context) error {
	err := s.segments(ctx)
	if failed := s.group.wait(); err == nil {
		err = failed
	}
	return err
}

func (s *stream) segments(ctx context.Context) error {
	size := s.Attr.Size
	s.holes = sparse(&s.Attr)
	if !s.holes || s.noSeek.Load() {
		return s.part(ctx, 0, size, !s.holes)
	}
	for offset := uint64(0); offset < size; {
		var start, end uint64
		var ok bool
		err := s.try(ctx, s.readers(&s.Attr), func(cred *rpc.Credential) (err error) {
			start, end, ok, err = s.Segment(ctx, cred, s.From, offset)
			return err
		})
		switch {
		case cannot(err):
			s.noSeek.Store(true)
			return s.part(ctx, offset, size, false)
		case gone(err):
			return errGone
		case err != nil:
			return err
		case !ok && offset == 0 && s.Attr.Used > 0: // what is on disk then? preallocated space, or a server that lies
			return s.part(ctx, 0, size, false)
		case !ok:
			return nil
		}
		if start < size {
			if err := s.part(ctx, start, min(end, size), true); err != nil {
				return err
			}
		}
		offset = end
	}
	return nil
}

// part starts the copying of a part of the file. full tells that there are no holes in it, which a server would fill.
func (s *stream) part(ctx context.Context, start, end uint64, full bool) error {
	step, do := uint64(s.limits.Chunk), s.move
	if full && !s.noCopy.Load() {
		step, do = stretch, s.let
	}
	for offset := start; offset < end && !s.ended(offset) && ctx.Err() == nil; offset += step {
		s.group.start(ctx, s.chunks, func() error { return do(ctx, offset, min(step, end-offset)) })
	}
	return context.Cause(ctx)
}

// let has the server copy n bytes at offset, or copies them when it cannot.
func (s *stream) let(ctx context.Context, offset, n uint64) error {
	for n > 0 && !s.noCopy.Load() {
		part := file.Copy{From: s.From, To: s.To}
		var copied uint64
		err := s.try(ctx, s.movers(s.thing), func(cred *rpc.Credential) (err error) {
			copied, err = s.CopyRange(ctx, cred, &part, offset, n)
			return err
		})
		switch {
		case cannot(err), status.Refused(err):
			s.noCopy.Store(true)
			continue
		case gone(err):
			return errGone
		case err != nil:
			return err
		}
		if copied == 0 { // only READ says for sure where a file ends
			break
		}
		s.wrote(&part)
		s.copied.Add(int64(copied))
		s.moved(copied)
		offset, n = offset+copied, n-copied
	}
	for n > 0 {
		some := min(n, uint64(s.limits.Chunk))
		if err := s.move(ctx, offset, some); err != nil {
			return err
		}
		offset, n = offset+some, n-some
	}
	return nil
}

// move reads and writes n bytes at offset. What is zero in a file with holes is not written.
func (s *stream) move(ctx context.Context, offset, n uint64) error {
	for n > 0 {
		var data []byte
		var eof bool
		err := s.try(ctx, s.readers(&s.Attr), func(cred *rpc.Credential) (err error) {
			data, eof, err = s.ReadAt(ctx, cred, s.From, offset, int(n))
			return err
		})
		if gone(err) {
			return errGone
		}
		if err != nil {
			return err
		}
		part := file.Copy{From: s.From, To: s.To}
		parts := []file.Segment{{Offset: offset, Data: data}}
		if s.holes {
			parts = nonzero(offset, data)
		}
		if len(data) > 0 && len(parts) > 0 {
			err = s.try(ctx, []rpc.Credential{s.as(&s.Attr)}, func(cred *rpc.Credential) error {
				return s.WriteAt(ctx, cred, &part, parts)
			})
			if err != nil {
				return err
			}
			s.wrote(&part)
			s.carried.Add(int64(len(data)))
		}
		s.moved(uint64(len(data)))
		offset, n = offset+uint64(len(data)), n-uint64(len(data))
		if eof && n > 0 {
			s.ends(offset)
			return nil
		}
	}
	return nil
}

// wrote notes what became of one part.
func (s *stream) wrote(part *file.Copy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if part.Written {
		s.Wrote(part.Verifier)
	}
	s.Lost = s.Lost || part.Lost
}

// moved tells of a part, which of a large file is all that is heard for long.
func (s *stream) moved(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell(s.thing, int64(n))
}

// ends notes where the file ends now.
func (s *stream) ends(offset uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end = min(s.end, offset)
}

// ended tells that the file has turned out to end at offset or before: a size that is wrong may be any number.
func (s *stream) ended(offset uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return offset >= s.end
}

// nonzero returns the parts of data that are not blocks of zeroes.
func nonzero(offset uint64, data []byte) []file.Segment {
	var parts []file.Segment
	for len(data) > 0 {
		n := min(len(data), int(block-offset%block))
		if !zero(data[:n]) {
			last := len(parts) - 1
			if last >= 0 && parts[last].Offset+uint64(len(parts[last].Data)) == offset {
				parts[last].Data = parts[last].Data[:len(parts[last].Data)+n]
			} else {
				parts = append(parts, file.Segment{Offset: offset, Data: data[:n]})
			}
		}
		offset, data = offset+uint64(n), data[n:]
	}
	return parts
}

func zero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}
