package check

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
)

// ScratchPrefix begins the name of the directory that a check makes at the top of an export and removes again.
const ScratchPrefix = ".nfs-csi-check-"

// stranger is a user that owns nothing anywhere.
const stranger = 54321

const (
	contentBytes = 16 << 10
	skewAllowed  = 2 * time.Second
)

// scratch is the directory, and what was made in it, in that order.
type scratch struct {
	*checker
	dir  string
	made []string
	fs   *nfs.FS
}

// write tries what the driver does on an export, in a directory of its own, and sees from it whom the server makes of us, what
// time it has and what it copies by itself.
func (c *checker) write(ctx context.Context) {
	s := &scratch{checker: c, dir: ScratchPrefix + rand.Text(), fs: c.fs}
	info, err := s.inTime(ctx, s.fill)
	switch {
	case errors.Is(err, nfs.ErrGrace):
		c.found(Line{Check: "grace", Status: Warn, Text: "the server restarted and is in its grace period: until it ends files can be neither made nor removed, so that " +
			"writing was not tried", Fix: fixOf(err)})
	case err != nil:
		c.found(Line{Check: "write", Status: Fail, Text: c.short(err), Fix: fixOf(err)})
	default:
		who := c.fs.ActingAs().UID
		c.found(Line{Check: "write", Status: OK, Text: fmt.Sprintf("user %d made a directory and a file, wrote and read it", who)})
		c.found(Line{Check: "grace", Status: OK, Text: "the server is not in its grace period"})
		s.squash(ctx, info)
		s.clock(info)
		s.copies(ctx)
		s.throughput(ctx)
	}
	s.remove(ctx)
}

// made is what the directory and the file in it tell.
type made struct {
	dir, file   fs.FileInfo
	began, done time.Time // of making the file, by our clock
}

func (s *scratch) inTime(ctx context.Context, do func(context.Context) (made, error)) (made, error) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	return do(ctx)
}

// fill makes the directory and a file in it. A server in its grace period says so when something is to be removed, which must
// come first: it would let us make the directory, and not remove it. What may have been made although the server did not say so counts as made.
func (s *scratch) fill(ctx context.Context) (m made, err error) {
	if err := s.fs.Remove(ctx, s.dir); errors.Is(err, nfs.ErrGrace) {
		return m, err
	}
	s.made = append(s.made, s.dir)
	if err := s.fs.Mkdir(ctx, s.dir, 0o777, -1, -1); err != nil {
		return m, err
	}
	data := []byte(rand.Text())
	data = bytes.Repeat(data, contentBytes/len(data))
	m.began = time.Now()
	if err := s.create(ctx, "file", data); err != nil {
		return m, err
	}
	m.done = time.Now()
	got, err := s.fs.ReadFile(ctx, s.dir+"/file", contentBytes)
	if err != nil {
		return m, err
	}
	if !bytes.Equal(got, data) {
		return m, errors.New("what was read is not what was written")
	}
	if m.dir, err = s.fs.Lstat(ctx, s.dir); err != nil {
		return m, err
	}
	m.file, err = s.fs.Lstat(ctx, s.dir+"/file")
	return m, err
}

func (s *scratch) create(ctx context.Context, name string, data []byte) error {
	name = s.dir + "/" + name
	s.made = append(s.made, name)
	return s.fs.CreateFile(ctx, name, data, 0o600)
}

// remove takes away what was made, by name and in reverse: whatever else is there stays.
func (s *scratch) remove(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Timeout)
	defer cancel()
	for i := len(s.made) - 1; i >= 0; i-- {
		if err := s.fs.Remove(ctx, s.made[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
				if _, looked := s.fs.Lstat(ctx, s.dir); errors.Is(looked, fs.ErrNotExist) {
					return // it was never made
				}
			}
			s.found(Line{Check: "left", Status: Warn, Text: fmt.Sprintf("%q stays on the export: %v", s.dir, err), Fix: "remove it by hand"})
			return
		}
	}
}

// clock compares the time that the server gave the file with ours.
func (s *scratch) clock(m made) {
	middle := m.began.Add(m.done.Sub(m.began) / 2)
	skew := m.file.ModTime().Sub(middle)
	l := Line{Check: "clock", Status: OK, Text: "the server's clock agrees with this machine's", Data: map[string]any{"skewSeconds": skew.Seconds()}}
	if skew.Abs() > skewAllowed+m.done.Sub(m.began) {
		l.Status, l.Text = Warn, fmt.Sprintf("the server's clock is %s %s this machine's", skew.Abs().Round(time.Second), ahead(skew))
		l.Fix = "run chrony or another NTP client on both: programs that compare the times of files go wrong"
	}
	s.found(l)
}

func ahead(d time.Duration) string {
	if d > 0 {
		return "ahead of"
	}
	return "behind"
}

// copies finds out what the server copies by itself.
func (s *scratch) copies(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	var o nfs.Offload
	err := s.create(ctx, "copy", []byte("to be replaced"))
	if err == nil {
		o, err = s.fs.Offload(ctx, s.dir+"/file", s.dir+"/copy")
	}
	l := Line{Check: "copies", Status: OK, Data: map[string]any{"clone": o.Clone, "copy": o.Copy}}
	switch {
	case err != nil:
		l.Status, l.Text, l.Fix = Warn, err.Error(), fixOf(err)
	case o.Clone:
		l.Text = "the server shares blocks (CLONE): snapshots and clones take no time and no room"
	case o.Copy:
		l.Text = "the server copies by itself (COPY): the content of snapshots and clones does not cross the network"
	default:
		l.Text = "the server does not copy by itself: snapshots and clones are read and written by the driver"
	}
	s.found(l)
}
