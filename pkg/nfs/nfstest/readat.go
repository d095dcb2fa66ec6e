package nfstest

import (
	"io"
	"io/fs"
	"syscall"
)

func (s *suite) readAt() {
	long := pattern(2_500_001)
	s.write(s.in("file"), string(long))
	s.write(s.in("empty"), "")
	s.mkdir(s.in("dir"))
	s.symlink("file", s.in("link"))
	for _, tt := range []struct {
		offset int64
		size   int
		want   []byte
	}{
		{0, 10, long[:10]}, {5, 10, long[5:15]}, {0, len(long), long}, {0, len(long) + 10, long}, {1, 2_000_000, long[1:2_000_001]},
		{2_500_000, 10, long[2_500_000:]}, {0, 0, nil},
	} {
		data := make([]byte, tt.size)
		n, err := s.fs.ReadAt(s.ctx, s.in("file"), data, tt.offset)
		if err != nil || string(data[:n]) != string(tt.want) {
			s.Errorf("%d bytes at %d are %d, %v; want %d, all as written", tt.size, tt.offset, n, err, len(tt.want))
		}
	}
	read := func(name string, offset int64) error {
		_, err := s.fs.ReadAt(s.ctx, name, make([]byte, 5), offset)
		return err
	}
	s.wants("at the end", read(s.in("file"), 2_500_001), io.EOF)
	s.wants("behind the end", read(s.in("file"), 1<<40), io.EOF)
	s.wants("empty", read(s.in("empty"), 0), io.EOF)
	s.wants("negative", read(s.in("file"), -1), fs.ErrInvalid)
	s.wants("nothing", read(s.in("none"), 0), fs.ErrNotExist)
	s.wants("directory", read(s.in("dir"), 0), syscall.EISDIR)
	s.wants("link", read(s.in("link"), 0), syscall.ELOOP)
}
