package volume

import (
	"fmt"
	"strconv"
	"strings"
)

// LegacyClass is a StorageClass in the words of nfs-subdir-external-provisioner (v4.0.2 and later), whose parameters are
// case-sensitive. It names no export: that is the install's.
type LegacyClass struct {
	Policy  Policy   // [Delete], [Retain] or [ArchiveFlat]
	Ignored []string // parameters that are passed over, as its own provisioner does, sorted
	pattern string
	adopt   bool
}

// SpeaksLegacy says whether a class of a provisioner name that was a predecessor's is to be read by [ParseLegacyClass]: one that
// names its own export or subDir cannot be meant for the predecessor, which knows neither.
func SpeaksLegacy(parameters map[string]string) bool {
	for key := range parameters {
		for _, own := range []string{ParamServer, ParamShare, ParamSubDir} {
			if strings.EqualFold(key, own) {
				return false
			}
		}
	}
	return true
}

// ParseLegacyClass reads pathPattern, onDelete and archiveOnDelete. onDelete counts if it is exactly "delete" or "retain", then
// archiveOnDelete; a class without both archives. onExisting is read too, which the predecessor does not know. [ErrInvalid]: a
// value means nothing.
func ParseLegacyClass(parameters map[string]string) (LegacyClass, error) {
	c := LegacyClass{Policy: ArchiveFlat}
	for _, key := range sortedKeys(parameters) {
		if err := checkParameter(key, parameters[key]); err != nil {
			return LegacyClass{}, err
		}
		switch key {
		case ParamPathPattern:
			c.pattern = parameters[key]
		case ParamOnDelete, ParamArchiveOnDelete:
		case ParamOnExisting:
			var err error
			if c.adopt, err = parseChoice(key, parameters[key], "refuse", "adopt"); err != nil {
				return LegacyClass{}, err
			}
		default:
			if !strings.HasPrefix(key, paramPrefix) {
				c.Ignored = append(c.Ignored, key)
			}
		}
	}
	switch parameters[ParamOnDelete] {
	case string(Delete):
		c.Policy = Delete
		return c, nil
	case string(Retain):
		c.Policy = Retain
		return c, nil
	}
	if text, ok := parameters[ParamArchiveOnDelete]; ok {
		archive, err := strconv.ParseBool(text)
		if err != nil {
			return LegacyClass{}, fmt.Errorf("%w: archiveOnDelete is %q, it must be \"true\" or \"false\": make the class anew with one of them", ErrInvalid, text)
		}
		if !archive {
			c.Policy = Delete
		}
	}
	return c, nil
}

// Keys lists the labels and annotations that the class's pattern asks for.
func (c LegacyClass) Keys() (labels, annotations []string) { return keys(legacyParts(c.pattern)) }

// Dir is the directory of a claim's volume: namespace-claim-volume, or what pathPattern says, where a value that the claim lacks
// is empty; a pattern that becomes empty means the default. adopt: a directory that is there is used, and belongs to the
// claim's namespace as far as the pattern goes. [ErrInvalid]: the directory is the share or leaves it.
func (c LegacyClass) Dir(claim Claim) (d Dir, adopt bool, err error) {
	parts := legacyParts(c.pattern)
	var text strings.Builder
	missing := false
	for _, p := range parts {
		v := p.value(claim)
		missing = missing || p.variable != "" && cleanSlashes(v) == ""
		text.WriteString(v)
	}
	if text.Len() == 0 {
		d, err = defaultDir(claim)
		return d, true, err // the volume's name has the claim's UID in it: nobody else's directory is called that
	}
	if d, err = ParseDir(cleanSlashes(text.String())); err != nil {
		return "", false, fmt.Errorf("pathPattern %q: %w", c.pattern, err)
	}
	if strings.Contains(string(d), "${") {
		return "", false, fmt.Errorf("%w: pathPattern %q gives %q, which still has a ${ in it: known are ${.PVC.name}, ${.PVC.namespace}, ${.PVC.labels.KEY} and ${.PVC.annotations.KEY}",
			ErrInvalid, c.pattern, d)
	}
	return d, c.adopt || !missing && ofNamespace(parts), nil
}

// legacyVariable begins a variable; any other ${ is text.
const legacyVariable = "${.PVC."

// legacyParts reads a pattern. A variable runs to the first "}"; one that nobody knows is always empty.
func legacyParts(pattern string) []part {
	var parts []part
	for pattern != "" {
		before, after, found := strings.Cut(pattern, legacyVariable)
		inside, rest, closed := strings.Cut(after, "}")
		if !found || !closed {
			return append(parts, part{literal: pattern})
		}
		if before != "" {
			parts = append(parts, part{literal: before})
		}
		p := part{variable: "unknown"}
		if key, ok := strings.CutPrefix(inside, "labels."); ok {
			p = part{variable: "label", key: key}
		} else if key, ok := strings.CutPrefix(inside, "annotations."); ok {
			p = part{variable: "annotation", key: key}
		} else if inside == "name" || inside == "namespace" {
			p.variable = inside
		}
		parts, pattern = append(parts, p), rest
	}
	return parts
}

// ofNamespace says whether a pattern puts each directory below one that is called as the claim's namespace, before anything that
// the claim's author chooses: then nobody names a directory of another namespace.
func ofNamespace(parts []part) bool {
	begins := true // of an element
	for i, p := range parts {
		switch {
		case p.variable == "":
			begins = strings.HasSuffix(p.literal, "/")
		case p.variable != "namespace" || !begins:
			return false
		default:
			return i+1 < len(parts) && strings.HasPrefix(parts[i+1].literal, "/")
		}
	}
	return false
}

// cleanSlashes leaves out empty and "." elements, as the predecessor does. A ".." stays, to be refused.
func cleanSlashes(s string) string {
	var elements []string
	for e := range strings.SplitSeq(s, "/") {
		if e != "" && e != "." {
			elements = append(elements, e)
		}
	}
	return strings.Join(elements, "/")
}

// Below is the directory at an absolute path on a server, if that is strictly below the share of l: how volumes are named that
// are no CSI volumes. [ErrInvalid]: it is not, or has an element "..".
func (l Location) Below(path string) (Dir, error) {
	share := strings.TrimSuffix(l.Share, "/") + "/"
	rest, ok := strings.CutPrefix(path, share)
	if !ok {
		return "", fmt.Errorf("%w: path %q is not below %q", ErrInvalid, path, l.Share)
	}
	return ParseDir(cleanSlashes(rest))
}

// In says whether d is in the directory above.
func (d Dir) In(above Dir) bool { return strings.HasPrefix(string(d), string(above)+"/") }
