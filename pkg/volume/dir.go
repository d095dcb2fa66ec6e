package volume

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Dir is the path of a volume's directory relative to its share: one or more elements joined by "/", never empty,
// never absolute, valid UTF-8, never with an empty, "." or ".." element, a NUL, a control character or one that hides what is there, at most [MaxDir] bytes,
// each element at most 255 bytes, none of them [Reserved]. A Dir that parses names a directory strictly below the share.
type Dir string

// MaxDir bounds a Dir in bytes; a CSI volume ID, which holds it, should stay below 1,024.
const MaxDir = 768

// maxElement is NAME_MAX of every file system in use.
const maxElement = 255

// Reserved is the directory at the top of a share that is ours; no volume may be in it, nor in that of another share, which may lie below.
const Reserved = ".nfs-csi"

// InReserved says whether a path leads to, or through, what is [Reserved] on some share. To some servers the case of letters is all one.
func InReserved(path string) bool {
	return slices.ContainsFunc(strings.Split(path, "/"), func(e string) bool { return strings.EqualFold(e, Reserved) })
}

// ArchivePrefix begins the name of an archived volume's directory, as both predecessors have it.
const ArchivePrefix = "archived-"

// ParseDir reads a directory as written in a handle or a class. Slashes at both ends are dropped; nothing else is
// cleaned: what looks like an attempt to leave the share is an error ([ErrInvalid]) and not repaired (CVE-2026-3864).
func ParseDir(s string) (Dir, error) {
	d := strings.Trim(s, "/")
	switch {
	case d == "":
		return "", fmt.Errorf("%w: directory %q is the share itself", ErrInvalid, s)
	case len(d) > MaxDir:
		return "", fmt.Errorf("%w: directory is %d bytes long, at most %d fit", ErrInvalid, len(d), MaxDir)
	}
	if !utf8.ValidString(d) { // neither a handle in the API server nor a record could hold it
		return "", fmt.Errorf("%w: directory %q is not valid UTF-8", ErrInvalid, s)
	}
	if strings.ContainsFunc(d, misleading) {
		return "", fmt.Errorf("%w: directory %q has a character that terminals obey and nobody sees", ErrInvalid, s)
	}
	for _, e := range strings.Split(d, "/") {
		if err := checkElement(e); err != nil {
			return "", fmt.Errorf("%w: directory %q: %s", ErrInvalid, s, err)
		}
	}
	if InReserved(d) {
		return "", fmt.Errorf("%w: directory %q: %q is reserved for this driver", ErrInvalid, s, Reserved)
	}
	return Dir(d), nil
}

// misleading are the characters that make a terminal or a log show something else than what is there: the control characters
// past ASCII, line and paragraph separators, and those that turn the direction of writing.
func misleading(r rune) bool {
	return r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 || unicode.Is(unicode.Bidi_Control, r)
}

// Parents lists the directories above d, outermost first: of "a/b/c" they are "a" and "a/b".
func (d Dir) Parents() []Dir {
	var up []Dir
	for i, c := range d {
		if c == '/' {
			up = append(up, d[:i])
		}
	}
	return up
}

// Archived is the name of d once archived: [ArchivePrefix] before its first element.
func (d Dir) Archived() Dir { return ArchivePrefix + d }

func checkElement(e string) error {
	switch {
	case e == "":
		return fmt.Errorf("it has an empty element")
	case e == "." || e == "..":
		return fmt.Errorf("%q is not allowed in it", e)
	case len(e) > maxElement:
		return fmt.Errorf("an element is %d bytes long, at most %d fit", len(e), maxElement)
	}
	for i := range len(e) {
		if c := e[i]; c < 0x20 || c == 0x7f || c == '\\' || c == '#' {
			return fmt.Errorf("character %q is not allowed in it", c)
		}
	}
	return nil
}
