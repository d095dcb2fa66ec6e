package copytree

import (
	"context"
	"fmt"
	"hash/maphash"
	"io/fs"
	"slices"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// sums stand for the things in a directory, in whatever order they are met and however many there are.
type sums struct {
	things, bytes               int64
	shapes, owners, modes, ages uint64 // of names with type and size, with owner, with mode, with time
}

func (s *sums) add(o sums) {
	s.things += o.things
	s.bytes += o.bytes
	s.shapes += o.shapes
	s.owners += o.owners
	s.modes += o.modes
	s.ages += o.ages
}

// sum stands for one thing.
func (c *copier) sum(name string, a *file.Attr) sums {
	s := sums{things: 1, shapes: uint64(a.Type), modes: uint64(a.Mode), ages: uint64(a.Mtime.UnixNano())}
	switch {
	case a.Type == 0:
		s.bytes = int64(a.Size)
	case a.Type&fs.ModeDevice != 0:
		s.shapes += uint64(a.Major)<<40 + uint64(a.Minor)<<8
	case a.Type == fs.ModeSymlink: // its mode means nothing, and ganesha does not keep its times
		s.modes, s.ages = 0, 0
	}
	s.owners = uint64(a.UID)<<32 + uint64(a.GID)
	hash := func(v uint64, text string) uint64 {
		return maphash.Comparable(c.seed, struct {
			name, text string
			v, bytes   uint64
		}{name, text, v, uint64(s.bytes)})
	}
	s.shapes, s.modes, s.ages = hash(s.shapes, ""), hash(s.modes, ""), hash(s.ages, "")
	s.owners = hash(s.owners, a.OwnerName+"\x00"+a.GroupName)
	return s
}

// compare tells in which way the copy of a directory is not what it should be.
func (s sums) compare(name string, want sums) error {
	what := ""
	switch {
	case s.things != want.things || s.bytes != want.bytes || s.shapes != want.shapes:
		what = fmt.Sprintf("%d things of %d bytes are there, %d of %d were made", s.things, s.bytes, want.things, want.bytes)
	case s.owners != want.owners:
		what = "the server did not keep the owners (does it squash root, or map owners?)"
	case s.modes != want.modes:
		what = "the server did not keep the modes"
	case s.ages != want.ages:
		what = "the server did not keep the times"
	default:
		return nil
	}
	return fmt.Errorf("the copy of %q is not what was copied: %s: %w", name, what, syscall.EIO)
}

// verify lists the copy of a directory and compares it with what was made.
func (c *copier) verify(ctx context.Context, d *dir) error {
	for restarted := 0; ; restarted++ {
		got, missing, err := c.look(ctx, d)
		if status.Is(err, status.BadCookie, status.NotSame) && restarted < restarts {
			continue
		}
		if err != nil {
			return fmt.Errorf("verifying the copy of %q: %w", d.path(), err)
		}
		if len(missing) > 0 {
			return fmt.Errorf("%q and another name are one name in the copy: %w", d.child(missing[0]), fs.ErrExist)
		}
		return got.compare(d.path(), d.made)
	}
}

// look sums up the copy of a directory, and tells which of the doubles are not in it.
func (c *copier) look(ctx context.Context, d *dir) (got sums, missing []string, err error) {
	missing = slices.Clone(d.doubles)
	var from file.Cookie
	var course file.Course
	for {
		var page file.Page
		err := c.try(ctx, []rpc.Credential{d.own}, func(cred *rpc.Credential) (err error) {
			page, err = c.ReadPage(ctx, cred, d.to, from)
			return err
		})
		if err == nil && !page.EOF && course.Circles(page.Cookie) {
			err = status.ErrCircle
		}
		if err != nil {
			return got, nil, err
		}
		for _, e := range page.Entries {
			if err := c.lookAt(ctx, d, &e); err != nil {
				return got, nil, err
			}
			got.add(c.sum(e.Name, &e.Attr))
			if len(missing) > 0 {
				missing = slices.DeleteFunc(missing, func(name string) bool { return name == e.Name })
			}
		}
		if page.EOF {
			return got, missing, nil
		}
		from = page.Cookie
	}
}

// lookAt describes an entry that the listing did not.
func (c *copier) lookAt(ctx context.Context, d *dir, e *file.Entry) error {
	if !e.NoAttr {
		return nil
	}
	return c.try(ctx, []rpc.Credential{d.own}, func(cred *rpc.Credential) (err error) {
		_, e.Attr, err = c.LookupIn(ctx, cred, d.to, e.Name)
		return err
	})
}
