package driver

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// attributeEphemeral is set by kubelet for a volume that a pod's author wrote into the pod, where the CSIDriver object has
// podInfoOnMount.
const attributeEphemeral = "csi.storage.k8s.io/ephemeral"

// inlineHandle is the form of the handles that kubelet makes for such volumes, whatever the CSIDriver object has.
var inlineHandle = regexp.MustCompile(`^csi-[0-9a-f]{64}$`)

// Inline lists the exports that a pod may mount without a claim; nothing is the default. Whoever may make pods may then mount
// and write all that lies below them.
type Inline []volume.Location

// ParseInline reads entries "server", for all that the server exports, and "server:/share", for that share and what is below
// it. It answers all mistakes at once.
func ParseInline(entries []string) (Inline, error) {
	var list Inline
	var mistakes []error
	for _, e := range entries {
		server, share, given := strings.Cut(e, ":/")
		if !given {
			share = ""
		}
		l, err := volume.ParseLocation(server, "/"+share)
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("inline server %q, which must be SERVER or SERVER:/SHARE: %w", e, err))
			continue
		}
		list = append(list, l)
	}
	return list, errors.Join(mistakes...)
}

// inlineOptions are the mount options that a pod's author may give: none that leads to another server or another service of it, or
// that concerns more than this one mount.
var inlineOptions = strings.Fields(`
	ro rw nosuid nodev noexec nosymfollow noatime nodiratime relatime vers nfsvers v4 v4.0 v4.1 v4.2 minorversion
	soft softerr hard timeo retrans rsize wsize ac noac acregmin acregmax acdirmin acdirmax actimeo cto nocto lookupcache
	rdirplus nordirplus lock nolock local_lock sec xprtsec
`)

// forcedInline is what every inline volume is mounted with, so that no pod brings programs or devices to another's node.
var forcedInline = []string{"nosuid", "nodev"}

// Version 3 is not for inline volumes: its servers follow symbolic links in the path without a word, and who writes a listed share
// can put one there that leads to what is not listed. With version 4 the kernel does, and says where it got to.
const inlineVersion = "vers=4"

// isInline: the volume was written into a pod by its author.
func isInline(handle string, attributes map[string]string) bool {
	return attributes[attributeEphemeral] == "true" || inlineHandle.MatchString(handle)
}

// check answers m as it may be mounted for a pod's author, or every reason why it may not.
func (list Inline) check(m volume.Mountpoint) (volume.Mountpoint, error) {
	if len(list) == 0 {
		return m, fmt.Errorf("%w: inline volumes are not allowed, since a pod could name any server: use a claim, or have the administrator"+
			" list the exports that pods may name (--inline-servers, in the chart inlineVolumes.servers)", volume.ErrInvalid)
	}
	var mistakes []error
	mistake := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("%w: "+format, append([]any{volume.ErrInvalid}, args...)...))
	}
	if !slices.ContainsFunc(list, func(l volume.Location) bool { return covers(l, m) }) {
		mistake("%s:%s is not among the exports that inline volumes may name: use a claim, or have the administrator add it to --inline-servers", m.Server, m.Path)
	}
	if volume.InReserved(m.Path) {
		mistake("%q belongs to this driver: an inline volume may not name it", volume.Reserved)
	}
	if m.Root != nil {
		mistake("an inline volume cannot set mode and owner of a directory: leave out mountPermissions, uid and gid")
	}
	forced := append([]string{inlineVersion}, forcedInline...)
	for _, o := range m.Options {
		key, value, _ := strings.Cut(o, "=")
		isVersion := strings.HasSuffix(key, "vers")
		switch {
		case !slices.Contains(inlineOptions, key):
			mistake("an inline volume cannot have the mount option %q: remove it, or use a claim", key)
		case isVersion && !strings.HasPrefix(value, "4"):
			mistake("an inline volume is mounted with NFSv4: remove the mount option %q, or use a claim", key)
		}
		if isVersion || strings.HasPrefix(key, "v4") {
			forced = forcedInline
		}
	}
	m.Options, m.Literal = slices.Concat(m.Options, forced), true
	return m, errors.Join(mistakes...)
}

// covers: m lies on l's share or below it.
func covers(l volume.Location, m volume.Mountpoint) bool {
	return strings.EqualFold(l.Server, m.Server) && (l.Share == "/" || m.Path == l.Share || strings.HasPrefix(m.Path, l.Share+"/"))
}
