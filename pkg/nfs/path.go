package nfs

import (
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// maxName is as long as a name can be on any server's file system. Longer ones are not sent, because some servers take
// them for garbage.
const maxName = 255

// split turns a name into its elements, none for the root itself. What could lead anywhere but straight down is refused.
func split(name string) ([]string, error) {
	if name == "." {
		return nil, nil
	}
	elements := strings.Split(name, "/")
	for _, e := range elements {
		if e == "" || e == "." || e == ".." || strings.IndexByte(e, 0) >= 0 {
			return nil, fmt.Errorf("name %q: %w", name, fs.ErrInvalid)
		}
		if len(e) > maxName {
			return nil, syscall.ENAMETOOLONG
		}
	}
	return elements, nil
}

// splitNew is split for a name that is made, moved or taken away, which the root cannot be.
func splitNew(name string) ([]string, error) {
	elements, err := split(name)
	if err == nil && len(elements) == 0 {
		err = fmt.Errorf("name %q is the export itself: %w", name, fs.ErrInvalid)
	}
	return elements, err
}

// splitExport turns an export's path into its elements, none for "/".
func splitExport(path string) ([]string, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("export %q must be an absolute path: %w", path, fs.ErrInvalid)
	}
	trimmed := strings.Trim(path, "/")
	if trimmed == "" {
		return nil, nil
	}
	elements, err := split(trimmed)
	if err != nil || trimmed == "." {
		return nil, fmt.Errorf("export %q must be a plain path: %w", path, fs.ErrInvalid)
	}
	return elements, nil
}
