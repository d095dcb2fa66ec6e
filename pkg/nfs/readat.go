package nfs

import (
	"context"
	"fmt"
	"io"
	"io/fs"
)

// ReadAt reads from a regular file into data, as much as there is; io.EOF where nothing is. What is not a regular file
// matches what WriteAt answers for it.
func (f *FS) ReadAt(ctx context.Context, name string, data []byte, offset int64) (n int, err error) {
	path, err := split(name)
	if err == nil && offset < 0 {
		err = fmt.Errorf("offset %d: %w", offset, fs.ErrInvalid)
	}
	ended := false
	err = f.call(ctx, "read", err, func() error {
		h, attr, err := f.client.Lookup(ctx, &f.cred, path)
		if err == nil {
			err = writable(attr)
		}
		if err != nil {
			return err
		}
		l, err := f.client.Limits(ctx)
		for n = 0; err == nil && n < len(data) && !ended; {
			var part []byte
			part, ended, err = f.client.ReadAt(ctx, &f.cred, h, uint64(offset)+uint64(n), min(len(data)-n, l.Chunk))
			n += copy(data[n:], part)
			ended = ended || len(part) == 0
		}
		return err
	}, name)
	if err == nil && n == 0 && ended {
		err = io.EOF
	}
	return n, err
}
