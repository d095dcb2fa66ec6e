package file

import (
	"errors"
	"io/fs"
)

// Node is something to be made that is no regular file.
type Node struct {
	Name         string
	Type         fs.FileMode // as in Attr
	Mode         uint32      // of everything but a link
	Target       string      // of a link
	Major, Minor uint32      // of a device node
}

// Copy is a regular file on its way to its copy.
type Copy struct {
	Name string // of the copy in its directory
	From Handle
	Attr Attr   // of the file when it was listed; Size is what is to be copied
	Data []byte // of a file that one READ brings: all of it, once Read has been called
	// Clone has the copy made with the content of From instead of Data, of which Size is then the size. Made without it, the
	// copy has Begun.
	Clone bool

	To       Handle   // of the copy, once it has been made
	Begun    bool     // the copy's name may exist because of us: making it again may start from there
	Written  bool     // there is content that needs a COMMIT
	Verifier Verifier // of the server that has the content
	Lost     bool     // the server restarted in between: the content must be written again
}

// Read fills Data with as many bytes as Size says, or as there are. at reads up to n bytes at an offset.
func (c *Copy) Read(at func(offset uint64, n int) (data []byte, eof bool, err error)) error {
	c.Data = nil
	for eof := false; !eof && uint64(len(c.Data)) < c.Attr.Size; {
		var more []byte
		var err error
		if more, eof, err = at(uint64(len(c.Data)), int(c.Attr.Size)-len(c.Data)); err != nil {
			return err
		}
		if c.Data == nil {
			c.Data = more
		} else {
			c.Data = append(c.Data, more...)
		}
	}
	return nil
}

// Cloned notes what came of a CLONE; a failed one leaves the size, up to which the content is to be copied then.
func (c *Copy) Cloned(size uint64, err error) error {
	if err == nil {
		c.Attr.Size = size
	}
	return err
}

// Wrote notes that a server with this verifier has some of the content.
func (c *Copy) Wrote(v Verifier) {
	if c.Written && c.Verifier != v {
		c.Lost = true
	}
	c.Written, c.Verifier = true, v
}

// Committed notes that a server with this verifier has put everything it has on stable storage.
func (c *Copy) Committed(v Verifier) {
	if c.Written && c.Verifier != v {
		c.Lost = true
	}
}

// Verifier changes when a server loses what it has not put on stable storage yet.
type Verifier [8]byte

// Segment is a part of a file's content.
type Segment struct {
	Offset uint64
	Data   []byte
}

// Limits is what one client can do at once.
type Limits struct {
	Chunk int  // bytes of one READ or WRITE
	Files int  // small files that are best made by one call
	Calls int  // calls in flight
	Clone bool // the server may know how to share the content of files
}

// Pair is a file or directory and its copy.
type Pair struct{ From, To Handle }

// ErrNoXattrs is returned where the server, or the version of the protocol, has no extended attributes.
var ErrNoXattrs = errors.New("no extended attributes")
