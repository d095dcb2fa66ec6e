package volume

import (
	"fmt"
	"strings"
)

// Claim is what a template may know of the PersistentVolumeClaim and PersistentVolume that a volume is made for.
type Claim struct {
	Namespace   string
	Name        string
	Volume      string // the PersistentVolume's name
	Labels      map[string]string
	Annotations map[string]string
}

// Template is a pattern for the names of volume directories: text with ${variable} or ${variable:-fallback} in it.
// The zero value is the default, see [Template.Expand].
type Template struct {
	text  string
	parts []part
	// mayBeEmpty is set for the pathPattern of nfs-subdir-external-provisioner, where a pattern whose variables are
	// all missing means the default name.
	mayBeEmpty bool
}

type part struct {
	literal  string
	variable string // "" for a literal; else namespace, name, volume, label or annotation
	key      string // of a label or an annotation
	fallback string
	original string // as the user wrote it, for messages
}

// String is the pattern as it was written.
func (t Template) String() string { return t.text }

// ParseTemplate reads the subDir of a class. It knows ${pvc.metadata.name}, ${pvc.metadata.namespace},
// ${pv.metadata.name}, ${pvc.metadata.labels.KEY}, ${pvc.metadata.annotations.KEY}, and the spelling of
// nfs-subdir-external-provisioner: ${.PVC.name}, ${.PVC.namespace}, ${.PVC.labels.KEY}, ${.PVC.annotations.KEY}.
// KEY runs to the first "}" or ":-". An unknown variable is [ErrInvalid].
func ParseTemplate(text string) (Template, error) {
	t := Template{text: text}
	rest := text
	for rest != "" {
		before, after, found := strings.Cut(rest, "${")
		if before != "" {
			t.parts = append(t.parts, part{literal: before})
		}
		if !found {
			break
		}
		inside, next, closed := strings.Cut(after, "}")
		if !closed {
			return Template{}, fmt.Errorf("%w: directory template %q has a ${ without its }", ErrInvalid, text)
		}
		p, err := parseVariable(inside)
		if err != nil {
			return Template{}, fmt.Errorf("directory template %q: %w", text, err)
		}
		t.parts, rest = append(t.parts, p), next
	}
	return t, nil
}

func parseVariable(inside string) (part, error) {
	name, fallback, _ := strings.Cut(inside, ":-")
	p := part{fallback: fallback, original: "${" + inside + "}"}
	switch name {
	case "pvc.metadata.name", ".PVC.name":
		p.variable = "name"
	case "pvc.metadata.namespace", ".PVC.namespace":
		p.variable = "namespace"
	case "pv.metadata.name":
		p.variable = "volume"
	default:
		for _, prefix := range []struct{ text, variable string }{
			{"pvc.metadata.labels.", "label"}, {".PVC.labels.", "label"},
			{"pvc.metadata.annotations.", "annotation"}, {".PVC.annotations.", "annotation"},
		} {
			if key, ok := strings.CutPrefix(name, prefix.text); ok && key != "" {
				p.variable, p.key = prefix.variable, key
				return p, nil
			}
		}
		return part{}, fmt.Errorf("%w: variable %s is not known", ErrInvalid, p.original)
	}
	return p, nil
}

// Keys lists the labels and annotations that t asks for.
func (t Template) Keys() (labels, annotations []string) { return keys(t.parts) }

func keys(parts []part) (labels, annotations []string) {
	for _, p := range parts {
		switch p.variable {
		case "label":
			labels = append(labels, p.key)
		case "annotation":
			annotations = append(annotations, p.key)
		}
	}
	return labels, annotations
}

// Expand makes the directory of a claim's volume. Without a template it is namespace-claim-volume, as
// nfs-subdir-external-provisioner has it, or the volume's name where no claim is known. A value that is missing and
// has no fallback is [ErrInvalid], so that "${namespace}/${annotation}" never becomes the directory of a whole
// namespace; so is a value with an element "..".
func (t Template) Expand(c Claim) (Dir, error) {
	if len(t.parts) == 0 {
		return defaultDir(c)
	}
	var b strings.Builder
	var missing []string
	for _, p := range t.parts {
		v := p.value(c)
		if v == "" && p.variable != "" {
			missing = append(missing, p.original)
		}
		b.WriteString(v)
	}
	if t.mayBeEmpty && strings.Trim(b.String(), "/") == "" {
		return defaultDir(c)
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("%w: directory template %q: the claim has no %s: set it, or give the template a fallback (${...:-fallback})",
			ErrInvalid, t.text, strings.Join(missing, ", "))
	}
	d, err := ParseDir(b.String())
	if err != nil {
		return "", fmt.Errorf("directory template %q: %w", t.text, err)
	}
	return d, nil
}

func (p part) value(c Claim) string {
	var v string
	switch p.variable {
	case "":
		return p.literal
	case "name":
		v = c.Name
	case "namespace":
		v = c.Namespace
	case "volume":
		v = c.Volume
	case "label":
		v = c.Labels[p.key]
	case "annotation":
		v = c.Annotations[p.key]
	}
	if v == "" {
		return p.fallback
	}
	return v
}

func defaultDir(c Claim) (Dir, error) {
	if c.Namespace == "" || c.Name == "" {
		return ParseDir(c.Volume)
	}
	name := c.Namespace + "-" + c.Name + "-" + c.Volume
	if len(name) > maxElement { // a claim's name may have 253 bytes
		name = c.Volume
	}
	return ParseDir(name)
}
