package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strconv"
	"strings"
	"time"
)

// The parameters of classes, read in any case; [Parameters] says where each may be written.
const (
	ParamServer           = "server"
	ParamShare            = "share"
	ParamSubDir           = "subDir"
	ParamPathPattern      = "pathPattern" // subDir in the grammar of nfs-subdir-external-provisioner
	ParamOnDelete         = "onDelete"
	ParamArchiveOnDelete  = "archiveOnDelete"
	ParamMountPermissions = "mountPermissions"
	ParamUID              = "uid"
	ParamGID              = "gid"
	ParamOnExisting       = "onExisting"
	ParamArchiveRetention = "archiveRetention"
	ParamCapacityCheck    = "capacityCheck"
	ParamCapacityReserve  = "capacityReserve"
)

// What the provisioner adds to a class's parameters to say which claim a volume is for; the first three are those of
// external-provisioner's --extra-create-metadata.
const (
	ParamClaimName        = "csi.storage.k8s.io/pvc/name"
	ParamClaimNamespace   = "csi.storage.k8s.io/pvc/namespace"
	ParamVolumeName       = "csi.storage.k8s.io/pv/name"
	ParamLabelPrefix      = "csi.storage.k8s.io/pvc/labels/"
	ParamAnnotationPrefix = "csi.storage.k8s.io/pvc/annotations/"
	paramPrefix           = "csi.storage.k8s.io/"
)

// DefaultMode lets a pod of any user without an fsGroup write, as both predecessors do.
const DefaultMode fs.FileMode = 0o777

// Class is a StorageClass's parameters, checked, together with the claim they are applied to.
type Class struct {
	Location
	Template Template
	Policy   Policy
	Mode     fs.FileMode // of a new directory: permission bits, setuid, setgid and sticky as in [fs.FileMode]
	UID, GID int         // owner of a new directory; -1: whom the server takes us for
	// ModeGiven says that Mode is the class's own. A directory that is filled from a source keeps the source's mode, and
	// the source's owner, where the class names none.
	ModeGiven bool
	Adopt     bool // use a directory that exists already and belongs to no volume
	// ArchiveRetention is how long the archive of a deleted volume is kept; 0: for ever.
	ArchiveRetention time.Duration
	StrictCapacity   bool    // refuse a volume that the export has no room for
	Reserve          Reserve // of the export that no volume may count on
	Claim            Claim
}

// With is the class as c changes it.
func (class Class) With(c Changes) Class {
	if c.Policy != "" {
		class.Policy = c.Policy
	}
	if c.ArchiveRetention != nil {
		class.ArchiveRetention = *c.ArchiveRetention
	}
	if c.Mode != nil {
		class.Mode, class.ModeGiven = *c.Mode, true
	}
	if c.UID >= 0 {
		class.UID = c.UID
	}
	if c.GID >= 0 {
		class.GID = c.GID
	}
	return class
}

// Defaults are what the install says where a class is silent.
type Defaults struct {
	Server, Share string      // may be empty: then every class must name them
	Policy        Policy      // empty: delete
	Mode          fs.FileMode // 0: [DefaultMode]
	Template      Template    // of directories; the zero value: see [Template.Expand]
}

// ParseClass checks parameters and reports all mistakes at once, each [ErrInvalid]. Unknown parameters are mistakes,
// since a misspelt onDelete would cost somebody's data.
func ParseClass(parameters map[string]string, defaults Defaults) (Class, error) {
	p := classParser{class: Class{Policy: defaults.Policy, Mode: defaults.Mode, UID: -1, GID: -1}, seen: map[string]string{}}
	if p.class.Policy == "" {
		p.class.Policy = Delete
	}
	if p.class.Mode == 0 {
		p.class.Mode = DefaultMode
	}
	server, share := defaults.Server, defaults.Share
	for _, key := range sortedKeys(parameters) {
		p.parameter(key, parameters[key])
	}
	if v, ok := p.seen[ParamServer]; ok {
		server = v
	}
	if v, ok := p.seen[ParamShare]; ok {
		share = v
	}
	p.location(server, share)
	p.template(defaults.Template)
	p.policy()
	return p.class, errors.Join(p.mistakes...)
}

type classParser struct {
	class    Class
	seen     map[string]string // by the constant's spelling
	mistakes []error
}

func (p *classParser) mistake(err error) {
	if err != nil {
		p.mistakes = append(p.mistakes, err)
	}
}

var knownParameters = Names(InClass)

func (p *classParser) parameter(key, value string) {
	if strings.HasPrefix(key, paramPrefix) {
		p.claim(key, value)
		return
	}
	if err := checkParameter(key, value); err != nil {
		p.mistake(err)
		return
	}
	for _, known := range knownParameters {
		if !strings.EqualFold(key, known) {
			continue
		}
		if _, twice := p.seen[known]; twice {
			p.mistake(fmt.Errorf("%w: parameter %s is given twice in different case", ErrInvalid, known))
		}
		p.seen[known] = value
		p.value(known, value)
		return
	}
	p.mistake(fmt.Errorf("%w: parameter %q is not known; known are %s", ErrInvalid, key, strings.Join(knownParameters, ", ")))
}

// maxParameter bounds a parameter's value in bytes, and its name to a quarter of that: messages quote both.
const maxParameter = 1024

func checkParameter(key, value string) error {
	switch {
	case len(key) > maxParameter/4:
		return fmt.Errorf("%w: the name of a parameter is %d bytes long, at most %d fit", ErrInvalid, len(key), maxParameter/4)
	case len(value) > maxParameter:
		return fmt.Errorf("%w: parameter %q is %d bytes long, at most %d fit", ErrInvalid, key, len(value), maxParameter)
	}
	return nil
}

func (p *classParser) value(key, value string) {
	var err error
	switch key {
	case ParamMountPermissions:
		err = p.mode(value)
	case ParamUID:
		p.class.UID, err = parseOwner(key, value)
	case ParamGID:
		p.class.GID, err = parseOwner(key, value)
	case ParamOnExisting:
		p.class.Adopt, err = parseChoice(key, value, "refuse", "adopt")
	case ParamArchiveRetention:
		p.class.ArchiveRetention, err = parseRetention(value)
	case ParamCapacityCheck:
		p.class.StrictCapacity, err = parseChoice(key, value, "none", "strict")
	case ParamCapacityReserve:
		p.class.Reserve, err = ParseReserve(value)
	}
	p.mistake(err)
}

func (p *classParser) claim(key, value string) {
	c := &p.class.Claim
	switch key {
	case ParamClaimName:
		c.Name = value
	case ParamClaimNamespace:
		c.Namespace = value
	case ParamVolumeName:
		c.Volume = value
	}
	if k, ok := strings.CutPrefix(key, ParamLabelPrefix); ok {
		c.Labels = set(c.Labels, k, value)
	}
	if k, ok := strings.CutPrefix(key, ParamAnnotationPrefix); ok {
		c.Annotations = set(c.Annotations, k, value)
	}
	// Anything else below the prefix (fstype, names of secrets) is the orchestrator's and not for us.
}

func (p *classParser) location(server, share string) {
	l := Location{}
	var err error
	switch {
	case server == "" && share == "":
		err = fmt.Errorf("%w: parameters server and share are missing, and the install has no default for them", ErrInvalid)
	default:
		l, err = ParseLocation(server, share)
	}
	p.class.Location = l
	p.mistake(err)
}

func (p *classParser) template(otherwise Template) {
	subDir, pattern := p.seen[ParamSubDir], p.seen[ParamPathPattern]
	if subDir != "" && pattern != "" {
		p.mistake(fmt.Errorf("%w: parameters %s and %s say the same thing: give one", ErrInvalid, ParamSubDir, ParamPathPattern))
		return
	}
	if subDir+pattern == "" {
		p.class.Template = otherwise
		return
	}
	t, err := ParseTemplate(subDir + pattern)
	t.mayBeEmpty = pattern != ""
	p.class.Template = t
	p.mistake(err)
}

func (p *classParser) policy() {
	onDelete, hasOnDelete := p.seen[ParamOnDelete]
	archive, hasArchive := p.seen[ParamArchiveOnDelete]
	var first, second Policy
	var err error
	if hasOnDelete && onDelete != "" {
		first, err = ParsePolicy(onDelete)
		p.mistake(err)
	}
	if hasArchive && archive != "" {
		second, err = parseArchiveOnDelete(archive)
		p.mistake(err)
	}
	switch {
	case first != "" && second != "" && first != second:
		p.mistake(fmt.Errorf("%w: onDelete %q and archiveOnDelete %q contradict each other: give one", ErrInvalid, onDelete, archive))
	case first != "":
		p.class.Policy = first
	case second != "":
		p.class.Policy = second
	}
}

// mode reads mountPermissions; "0" and empty mean the default, as with csi-driver-nfs.
func (p *classParser) mode(s string) error {
	m, err := ParseMode(s)
	if err == nil && m != 0 {
		p.class.Mode, p.class.ModeGiven = m, true
	}
	return err
}

// parseChoice reads one of two words, of which no or nothing is the default.
func parseChoice(key, s, no, yes string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "", no:
		return false, nil
	case yes:
		return true, nil
	}
	return false, fmt.Errorf("%w: %s is %q, it must be %s or %s", ErrInvalid, key, s, no, yes)
}

// parseRetention reads a duration; "" and "0" are 0, which means for ever.
func parseRetention(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%w: %s is %q, it must be a duration such as 720h, or 0 to keep archives for ever", ErrInvalid, ParamArchiveRetention, s)
	}
	return d, nil
}

// ParseMode reads an octal mode such as "0770" or "2775"; "" is 0.
func ParseMode(s string) (fs.FileMode, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, 16)
	if err != nil || n > 0o7777 {
		return 0, fmt.Errorf("%w: mode %q is not an octal number such as 0777", ErrInvalid, s)
	}
	m := fs.FileMode(n & 0o777)
	for _, b := range specialBits {
		if uint32(n)&b.unix != 0 {
			m |= b.mode
		}
	}
	return m, nil
}

// FormatMode prints m as [ParseMode] reads it, in four digits.
func FormatMode(m fs.FileMode) string { return fmt.Sprintf("%04o", UnixMode(m)) }

// UnixMode is m in the twelve bits of chmod(2).
func UnixMode(m fs.FileMode) uint32 {
	n := uint32(m.Perm())
	for _, b := range specialBits {
		if m&b.mode != 0 {
			n |= b.unix
		}
	}
	return n
}

var specialBits = [...]struct {
	unix uint32
	mode fs.FileMode
}{{0o4000, fs.ModeSetuid}, {0o2000, fs.ModeSetgid}, {0o1000, fs.ModeSticky}}

func parseOwner(key, s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n == 1<<32-1 {
		return -1, fmt.Errorf("%w: %s is %q, it must be a number from 0 to 4294967294", ErrInvalid, key, s)
	}
	return int(n), nil
}

func set(m map[string]string, k, v string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	m[k] = v
	return m
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
