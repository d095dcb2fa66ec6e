package volume

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
)

// MaxID bounds a volume ID in bytes: ten kilobytes of text in a static PV must not cost more than one look.
const MaxID = 4096

// Location is one share: a directory of an export of a server.
type Location struct {
	Server string // host name or address, IPv6 without brackets
	Share  string // absolute, clean path: "/" or "/exports/k8s"
}

// String prints the location as mount(8) takes it: "server:/share", IPv6 in brackets.
func (l Location) String() string {
	if strings.Contains(l.Server, ":") {
		return "[" + l.Server + "]:" + l.Share
	}
	return l.Server + ":" + l.Share
}

// ParseExport reads SERVER:/PATH, as [Location.String] prints it.
func ParseExport(s string) (Location, error) {
	server, share, ok := strings.Cut(s, ":/")
	if !ok {
		return Location{}, fmt.Errorf("%w: export %q is not of the form SERVER:/PATH", ErrInvalid, s)
	}
	return ParseLocation(server, "/"+share)
}

// Path is the absolute path of d on the server.
func (l Location) Path(d Dir) string { return strings.TrimSuffix(l.Share, "/") + "/" + string(d) }

// ID is a volume handle: server#share#subDir#uuid#onDelete, the format of csi-driver-nfs, whose volumes are therefore
// ours without conversion.
type ID struct {
	Location
	Dir    Dir
	UUID   string // the CSI volume name (PV name) where Dir does not say it; empty in some handles of csi-driver-nfs
	Policy Policy // never empty
}

// Name is what the volume's record and lock are keyed by: the CSI name it was created with.
func (id ID) Name() string {
	if id.UUID != "" {
		return id.UUID
	}
	return string(id.Dir)
}

// String prints the five fields. Slashes at both ends of the share are dropped and the policy delete is an empty last
// field, as csi-driver-nfs writes it.
func (id ID) String() string {
	policy := id.Policy
	if policy == Delete {
		policy = ""
	}
	return strings.Join([]string{id.Server, strings.Trim(id.Share, "/"), string(id.Dir), id.UUID, string(policy)}, "#")
}

// ParseID reads a handle that may be deleted: every form that csi-driver-nfs ever wrote. These are 3, 4 or 5 fields
// between "#", and before that server/base/dir. Free text, as static PVs carry, and a handle that names no directory
// strictly below its share are [ErrInvalid]: such a volume is never touched. A handle that is whole but for its directory is
// [ErrShareItself] too.
func ParseID(s string) (ID, error) {
	if len(s) > MaxID {
		return ID{}, fmt.Errorf("%w: volume ID is %d bytes long, at most %d are read", ErrInvalid, len(s), MaxID)
	}
	id, err := parseFields(s)
	if err != nil {
		return ID{}, fmt.Errorf("volume ID %q: %w", s, err)
	}
	return id, nil
}

func parseFields(s string) (ID, error) {
	f := strings.Split(s, "#")
	switch {
	case len(f) == 1:
		var err error
		if f, err = splitSlashes(s); err != nil {
			return ID{}, err
		}
	case len(f) < 3 || len(f) > 5:
		return ID{}, fmt.Errorf("%w: %d fields between #, server#share#subDir#uuid#onDelete has 5", ErrInvalid, len(f))
	}
	for len(f) < 5 {
		f = append(f, "")
	}
	location, err := ParseLocation(f[0], "/"+strings.Trim(f[1], "/"))
	if err != nil {
		return ID{}, err
	}
	dir := strings.Trim(f[2], "/")
	if dir == "" {
		dir = strings.Trim(f[3], "/") // csi-driver-nfs mounts share/uuid for a handle without subDir
	}
	if dir == "" {
		return ID{}, ErrShareItself
	}
	d, err := ParseDir(dir)
	if err != nil {
		return ID{}, err
	}
	if err := checkUUID(f[3]); err != nil {
		return ID{}, err
	}
	policy, err := ParsePolicy(f[4])
	if err != nil {
		return ID{}, err
	}
	return ID{Location: location, Dir: d, UUID: f[3], Policy: policy}, nil
}

// Explicit is String with the policy said even where it is to delete, for volumes without a record: no install's default counts then.
func (id ID) Explicit() string {
	if id.Policy == Delete {
		return id.String() + string(Delete)
	}
	return id.String()
}

// SaysPolicy says whether a handle tells what becomes of its directory. Those of csi-driver-nfs that say nothing mean delete, or what
// the install's default is when they are deleted.
func SaysPolicy(handle string) bool {
	f := strings.Split(handle, "#")
	return len(f) == 5 && strings.TrimSpace(f[4]) != ""
}

// splitSlashes reads server/base/dir: the first slash ends the server, the last one begins the directory.
func splitSlashes(s string) ([]string, error) {
	server, rest, ok := strings.Cut(s, "/")
	i := strings.LastIndexByte(rest, '/')
	if !ok || i < 0 {
		return nil, fmt.Errorf("%w: it is not of the form server#share#subDir#uuid#onDelete", ErrInvalid)
	}
	return []string{server, rest[:i], rest[i+1:]}, nil
}

// checkUUID refuses what cannot be a volume name. It never becomes a path as it is, but older drivers make it one.
func checkUUID(s string) error {
	if len(s) > MaxDir { // no directory, which stands there in some handles, is longer
		return fmt.Errorf("%w: uuid is %d bytes long, at most %d fit", ErrInvalid, len(s), MaxDir)
	}
	if s == "." || s == ".." || strings.ContainsAny(s, "\x00\n") || strings.Contains("/"+strings.ReplaceAll(s, `\`, "/")+"/", "/../") {
		return fmt.Errorf("%w: uuid %q is not a volume name", ErrInvalid, s)
	}
	return nil
}

// ParseLocation checks a server and a share as a class, a flag or a volume context gives them. Brackets around an
// IPv6 address and slashes at the end of the share are dropped; a share without a leading slash gets one.
func ParseLocation(server, share string) (Location, error) {
	server = strings.TrimSpace(server)
	if strings.HasPrefix(server, "[") && strings.HasSuffix(server, "]") {
		server = server[1 : len(server)-1]
	}
	if err := checkServer(server); err != nil {
		return Location{}, err
	}
	clean, err := parseShare(share)
	if err != nil {
		return Location{}, err
	}
	return Location{Server: server, Share: clean}, nil
}

// maxServer is the longest name that the domain name system has, in bytes.
const maxServer = 253

func checkServer(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: server is missing: name the NFS server's host name or address", ErrInvalid)
	case len(s) > maxServer:
		return fmt.Errorf("%w: server is %d bytes long, at most %d fit", ErrInvalid, len(s), maxServer)
	}
	if strings.Contains(s, ":") {
		if a, err := netip.ParseAddr(s); err != nil || !plainText(a.Zone()) {
			return fmt.Errorf("%w: server %q is neither a host name nor an address (a port goes into mountOptions: port=...)", ErrInvalid, s)
		}
		return nil
	}
	for i := range len(s) {
		if !plain(s[i]) {
			return fmt.Errorf("%w: server %q has the character %q, a host name or an address has none", ErrInvalid, s, s[i])
		}
	}
	if strings.HasPrefix(s, "-") {
		return fmt.Errorf("%w: server %q is not a host name", ErrInvalid, s)
	}
	return nil
}

func parseShare(s string) (string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return "", fmt.Errorf("%w: share is missing: name the exported path, \"/\" for the root of an NFSv4 server", ErrInvalid)
	}
	trimmed := strings.Trim(s, "/")
	if trimmed == "" {
		return "/", nil
	}
	if len(trimmed) > MaxDir {
		return "", fmt.Errorf("%w: share is %d bytes long, at most %d fit", ErrInvalid, len(trimmed), MaxDir)
	}
	for _, e := range strings.Split(trimmed, "/") {
		if err := checkElement(e); err != nil {
			return "", fmt.Errorf("%w: share %q: %s", ErrInvalid, s, err)
		}
	}
	if trimmed != strings.TrimRightFunc(trimmed, unicode.IsSpace) { // "/e /": read again from a handle, it would be another share
		return "", fmt.Errorf("%w: share %q ends in white space", ErrInvalid, s)
	}
	return "/" + trimmed, nil
}
