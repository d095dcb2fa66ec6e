package mount

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// parameter is one option for the kernel's NFS client. A flag has no value.
type parameter struct {
	Key   string
	Value string `json:",omitempty"`
	Flag  bool   `json:",omitempty"`
}

func (p parameter) String() string {
	if p.Flag {
		return p.Key
	}
	return p.Key + "=" + p.Value
}

// options are mount options sorted by who understands them.
type options struct {
	given      []string    // all of them, one each, as they came
	attributes uint64      // MOUNT_ATTR_*: what the kernel's VFS does with this one mount
	parameters []parameter // for the NFS client, in the order given
	versions   []string    // of NFS to try, in order: "4.2", "4.1", "4.0", "3"
	address    string      // of the server, where the name is not to be resolved
	port       int         // 0 unless given
	network    string      // "tcp4", "tcp6" or "" where either may be used; "none" where TCP is not used
	locking    bool        // NFSv3 locks were asked for, or refused, by name
	security   bool        // sec= was given
}

// defaultVersions are tried when no option names one, and those of version 4 when it is named without its minor version.
var defaultVersions = []string{"4.2", "4.1", "4.0", "3"}

// maxOption bounds one option in bytes: the kernel's limit of a string parameter (fs/fsopen.c).
const maxOption = 255

// attributes of one mount, as mount(8) calls them: the bits to set and to clear.
var attributeOptions = map[string]struct{ set, clear uint64 }{
	"ro":            {set: unix.MOUNT_ATTR_RDONLY},
	"rw":            {clear: unix.MOUNT_ATTR_RDONLY},
	"nosuid":        {set: unix.MOUNT_ATTR_NOSUID},
	"suid":          {clear: unix.MOUNT_ATTR_NOSUID},
	"nodev":         {set: unix.MOUNT_ATTR_NODEV},
	"dev":           {clear: unix.MOUNT_ATTR_NODEV},
	"noexec":        {set: unix.MOUNT_ATTR_NOEXEC},
	"exec":          {clear: unix.MOUNT_ATTR_NOEXEC},
	"nodiratime":    {set: unix.MOUNT_ATTR_NODIRATIME},
	"diratime":      {clear: unix.MOUNT_ATTR_NODIRATIME},
	"nosymfollow":   {set: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"symfollow":     {clear: unix.MOUNT_ATTR_NOSYMFOLLOW},
	"noatime":       {set: unix.MOUNT_ATTR_NOATIME, clear: unix.MOUNT_ATTR__ATIME},
	"strictatime":   {set: unix.MOUNT_ATTR_STRICTATIME, clear: unix.MOUNT_ATTR__ATIME},
	"relatime":      {clear: unix.MOUNT_ATTR__ATIME},
	"atime":         {clear: unix.MOUNT_ATTR__ATIME},
	"nostrictatime": {clear: unix.MOUNT_ATTR_STRICTATIME},
}

// userSpaceOptions mean something to mount(8), mount.nfs or fstab only, or nothing any more. The kernel would refuse most.
var userSpaceOptions = []string{
	"defaults", "auto", "noauto", "user", "nouser", "users", "owner", "noowner", "group", "nogroup", "nofail", "_netdev",
	"silent", "loud", "norelatime", "bg", "fg", "retry", "intr", "nointr", "comment",
}

// knownOptions of the NFS client may be given by everybody who may give mount options (nfs(5), Linux 6.12). Beside the admin's own
// additions all others are refused, above all addr, mountaddr and mounthost: they mount from another server than the volume
// names, past every list of servers.
var knownOptions = strings.Fields(`
	vers nfsvers v3 v4 v4.0 v4.1 v4.2 minorversion proto tcp udp rdma port sec xprtsec nconnect max_connect resvport noresvport clientaddr
	mountport mountproto mountvers
	soft softerr hard softreval nosoftreval timeo retrans rsize wsize write
	ac noac acregmin acregmax acdirmin acdirmax actimeo cto nocto lookupcache rdirplus nordirplus fsc nofsc namlen
	lock nolock local_lock posix noposix acl noacl migration nomigration sharecache nosharecache trunkdiscovery notrunkdiscovery fatal_neterrors
	sync async dirsync lazytime nolazytime mand nomand context fscontext defcontext rootcontext
`)

// opposites are the options of which the stricter may have been forced by the class: together they are refused, whichever comes
// first, so that nobody who adds options undoes it.
var opposites = map[string]string{"nosuid": "suid", "nodev": "dev", "noexec": "exec", "nosymfollow": "symfollow"}

// notOptions are the kernel's words for other operations, and what we say ourselves.
var notOptions = []string{
	"remount", "bind", "rbind", "move", "private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable",
	"runbindable", "source",
}

// parseOptions reads mount options as users write them: one each, or several joined by commas, where double quotes keep a
// comma. It answers all mistakes at once, as [volume.ErrInvalid], without the options' values, which may be sensitive. The options in
// allowed go to the kernel beside those that are known.
func parseOptions(given, allowed []string) (options, error) {
	o := options{versions: defaultVersions}
	var mistakes []error
	var minor string
	for _, list := range given {
		items, err := splitOptions(list)
		if err != nil {
			mistakes = append(mistakes, err)
		}
		for _, item := range items {
			key, value, valued := strings.Cut(item, "=")
			o.given = append(o.given, item)
			if key == "minorversion" {
				minor = value
			} else if err := o.add(key, value, valued, allowed); err != nil {
				mistakes = append(mistakes, fmt.Errorf("mount option %q: %w", key, err))
			}
		}
	}
	mistakes = append(mistakes, o.checkOpposites()...)
	if err := o.setMinor(minor); err != nil {
		mistakes = append(mistakes, err)
	}
	if len(mistakes) > 0 {
		return options{}, fmt.Errorf("%w: %w", volume.ErrInvalid, errors.Join(mistakes...))
	}
	return o, nil
}

// splitOptions separates options at commas outside double quotes, drops the quotes and empty options.
func splitOptions(list string) ([]string, error) {
	var items []string
	var item strings.Builder
	quoted := false
	for _, b := range []byte(list + ",") {
		switch {
		case b == '"':
			quoted = !quoted
		case b == ',' && !quoted:
			if s := strings.TrimSpace(item.String()); s != "" {
				items = append(items, s)
			}
			item.Reset()
		case b < ' ' || b == 0x7f:
			return nil, errors.New("mount options: control characters are not allowed")
		default:
			item.WriteByte(b)
		}
	}
	if quoted {
		return nil, errors.New("mount options: a quote is not closed")
	}
	return items, nil
}

// namesOf are options without their values.
func namesOf(given []string) (names []string) {
	for _, list := range given {
		items, _ := splitOptions(list)
		for _, item := range items {
			name, _, _ := strings.Cut(item, "=")
			names = append(names, name)
		}
	}
	return names
}

// checkOpposites finds options that undo a stricter one.
func (o *options) checkOpposites() (mistakes []error) {
	for _, strict := range slices.Sorted(maps.Keys(opposites)) {
		if slices.Contains(o.given, strict) && slices.Contains(o.given, opposites[strict]) {
			mistakes = append(mistakes, fmt.Errorf("mount option %q contradicts %q, which cannot be undone: remove one", opposites[strict], strict))
		}
	}
	return mistakes
}

func (o *options) add(key, value string, valued bool, allowed []string) error {
	attribute, isAttribute := attributeOptions[key]
	switch {
	case key == "":
		return errors.New("it has no name")
	case len(key) > maxOption || len(value) > maxOption:
		return fmt.Errorf("it is longer than %d bytes", maxOption)
	case slices.Contains(notOptions, key):
		return errors.New("it is no option of an NFS mount: remove it")
	case isAttribute && valued:
		return errors.New("it takes no value")
	case isAttribute:
		o.attributes = o.attributes&^attribute.clear | attribute.set
		return nil
	case slices.Contains(userSpaceOptions, key), strings.HasPrefix(key, "x-"), strings.HasPrefix(key, "X-"):
		return nil
	case !slices.Contains(knownOptions, key) && !slices.Contains(allowed, key):
		return fmt.Errorf("it is not among those that may be given: correct or remove it, or have the node's administrator allow it with --allow-mount-option=%s", key)
	}
	return o.addParameter(key, value, valued)
}

// addParameter keeps an option for the NFS client, after a look at those that decide how we reach the server.
func (o *options) addParameter(key, value string, valued bool) (err error) {
	switch key {
	case "vers", "nfsvers":
		return o.setVersion(value)
	case "v3", "v4", "v4.0", "v4.1", "v4.2":
		return o.setVersion(key[1:])
	case "addr":
		address, err := netip.ParseAddr(value)
		if err != nil {
			return errors.New("it must be an IP address")
		}
		o.address = address.String()
		return nil
	case "port":
		if o.port, err = strconv.Atoi(value); err != nil || o.port < 1 || o.port > 65535 {
			return errors.New("a port is a number from 1 to 65535")
		}
	case "proto":
		if o.network, err = networkOf(value); err != nil {
			return err
		}
	case "tcp":
		o.network = "tcp4"
	case "udp", "rdma":
		o.network = "none"
	case "lock", "nolock", "local_lock":
		o.locking = true
	case "sec":
		o.security = true
	}
	o.parameters = append(o.parameters, parameter{Key: key, Value: value, Flag: !valued})
	return nil
}

// networkOf is the Go network in which a server's addresses count for a proto= option: the netids without a 6 mean IPv4
// (RFC 5665, section 5.2.3.1).
func networkOf(proto string) (string, error) {
	switch proto {
	case "tcp":
		return "tcp4", nil
	case "tcp6":
		return "tcp6", nil
	case "udp", "udp6", "rdma", "rdma6":
		return "none", nil
	}
	return "", errors.New("it must be tcp, tcp6, rdma, rdma6, udp or udp6")
}

func (o *options) setVersion(v string) error {
	switch {
	case v == "4":
		o.versions = defaultVersions[:3]
	case slices.Contains(defaultVersions, v):
		o.versions = []string{v}
	default:
		return errors.New("the NFS version must be 3, 4, 4.0, 4.1 or 4.2")
	}
	return nil
}

// setMinor applies minorversion=, which means something beside vers=4, or alone.
func (o *options) setMinor(minor string) error {
	if minor == "" {
		return nil
	}
	full := "4." + minor
	if !slices.Contains(defaultVersions, full) {
		return errors.New("mount option minorversion: the minor version must be 0, 1 or 2")
	}
	if !slices.Contains(o.versions, full) {
		return fmt.Errorf("mount option minorversion contradicts version %s", strings.Join(o.versions, " or "))
	}
	o.versions = []string{full}
	return nil
}

// parametersFor are the parameters of one attempt. Without sec= the kernel tries Kerberos first, asking for its modules and for
// rpc.gssd at each mount: AUTH_SYS, which the controller uses too, is several times faster to mount. NFSv3 gets nolock unless
// locking was spoken of: its locks need rpc.statd on this node, and without it flock hangs. Locks are then seen by this
// node's pods only.
func (o options) parametersFor(version, address string) []parameter {
	p := slices.Concat(o.parameters, []parameter{{Key: "vers", Value: version}, {Key: "addr", Value: address}})
	if !o.security {
		p = append(p, parameter{Key: "sec", Value: "sys"})
	}
	if version == "3" && !o.locking {
		p = append(p, parameter{Key: "nolock", Flag: true})
	}
	return p
}
