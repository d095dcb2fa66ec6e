package volume

import (
	"fmt"
	"strconv"
	"strings"
)

// Policy says what deleting a volume does to its directory. It is fixed when the volume is made.
type Policy string

// The policies. The zero value, seen only in handles of predecessors, means [Delete].
const (
	Delete  Policy = "delete"  // the directory is removed with all that is in it
	Retain  Policy = "retain"  // the directory stays where it is
	Archive Policy = "archive" // the directory is renamed, see [Dir.Archived]
	// ArchiveFlat renames the directory to "archived-" and its last element, at the top of the share, as
	// nfs-subdir-external-provisioner does.
	ArchiveFlat Policy = "archive-flat"
)

// ParsePolicy reads onDelete as a class or a handle has it: any case, empty means delete.
func ParsePolicy(s string) (Policy, error) {
	p := Policy(strings.ToLower(strings.TrimSpace(s)))
	if p == "" {
		return Delete, nil
	}
	if p.known() {
		return p, nil
	}
	return "", fmt.Errorf("%w: onDelete is %q, it must be delete, retain or archive", ErrInvalid, s)
}

func (p Policy) known() bool { return p == Delete || p == Retain || p.Archives() }

// Archives says whether deleting a volume keeps its directory under another name.
func (p Policy) Archives() bool { return p == Archive || p == ArchiveFlat }

// parseArchiveOnDelete reads the older way to say it: "true" archives, "false" deletes.
func parseArchiveOnDelete(s string) (Policy, error) {
	yes, err := strconv.ParseBool(strings.ToLower(strings.TrimSpace(s)))
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: archiveOnDelete is %q, it must be \"true\" or \"false\"", ErrInvalid, s)
	case yes:
		return Archive, nil
	}
	return Delete, nil
}
