package mount

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// What was being done when a system call failed, where the meaning of an errno depends on it.
const (
	doingConnect = "mounting"
	doingOption  = "setting a mount option"
	doingRoot    = "changing the directory"
)

// failure is a system call that failed in the child.
type failure struct {
	Doing   string
	Errno   unix.Errno `json:",omitempty"`
	Option  string     `json:",omitempty"` // that the kernel did not take, without its value
	Log     []string   `json:",omitempty"` // the kernel's own words
	Version string     `json:",omitempty"` // of NFS, of the attempt
	Address string     `json:",omitempty"` // of the server, of the attempt
}

func failed(doing string, err error, log []string) *failure {
	f := &failure{Doing: doing, Log: log}
	if !errors.As(err, &f.Errno) {
		f.Log = append(f.Log, err.Error())
	}
	return f
}

// wrongVersion: the server, or this kernel, does not speak that version of NFS; another may do.
func (f *failure) wrongVersion() bool {
	return f.Errno == unix.EPROTONOSUPPORT || f.Doing == doingOption && f.Option == "vers" && f.Errno == unix.EINVAL
}

// unreachable: nothing at that address answered; another address may.
func (f *failure) unreachable() bool {
	return f.Doing == doingConnect && slices.Contains([]unix.Errno{
		unix.ECONNREFUSED, unix.ETIMEDOUT, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN, unix.ECONNRESET, unix.EPIPE,
	}, f.Errno)
}

func (f *failure) Error() string {
	parts := append([]string{f.Doing}, f.Log...)
	if f.Errno != 0 {
		parts = append(parts, f.Errno.Error())
	}
	if f.Version != "" {
		parts = append(parts, "NFS "+f.Version+" at "+f.Address)
	}
	return strings.Join(parts, ": ")
}

func (f *failure) Unwrap() error {
	if f.Errno == 0 {
		return nil
	}
	return f.Errno
}

// meanings say what an errno of a mount means to the user and what to do. The kind is nil where the fault is this node's.
var meanings = map[unix.Errno]struct {
	kind  error
	words string // with SERVER and PATH in their places
}{
	unix.ENOENT: {volume.ErrNotFound, "server SERVER has no directory PATH that this node may see: check the path (NFSv4 paths begin at" +
		" the server's pseudo root), and that this node's address is among the export's clients"},
	unix.ENOTDIR:      {volume.ErrInvalid, "PATH on server SERVER is not a directory"},
	unix.ELOOP:        {volume.ErrInvalid, "PATH on server SERVER is a symbolic link: name the directory it leads to"},
	unix.ENAMETOOLONG: {volume.ErrInvalid, "the path PATH is too long for server SERVER"},
	unix.EACCES: {volume.ErrRefused, "server SERVER does not let this node mount PATH: check that this path is exported," +
		" and that this node's address is among the export's clients"},
	unix.EPERM: {volume.ErrRefused, "server SERVER refuses PATH to this node: export it to this node's address, with the option insecure" +
		" if a firewall or NAT changes source ports; or give the mount option sec= if it wants Kerberos"},
	unix.EPROTO:        {volume.ErrUnavailable, "server SERVER gave an answer that is not NFS: check its address and port"},
	unix.ECONNREFUSED:  {volume.ErrUnavailable, "nothing at SERVER accepts NFS connections: start the NFS server or open its port (2049) to this node"},
	unix.ECONNRESET:    {volume.ErrUnavailable, "server SERVER closes connections of this node: look at its log and at the firewall"},
	unix.ETIMEDOUT:     {volume.ErrUnavailable, "server SERVER does not answer: check that it is up and that the network lets this node reach it"},
	unix.EHOSTUNREACH:  {volume.ErrUnavailable, "server SERVER cannot be reached from this node: check that it is up and the routes to it"},
	unix.ENETUNREACH:   {volume.ErrUnavailable, "this node has no route to server SERVER: check its address and the node's network"},
	unix.EHOSTDOWN:     {volume.ErrUnavailable, "server SERVER is down"},
	unix.EIO:           {volume.ErrUnavailable, "server SERVER failed at PATH: look at its log"},
	unix.ESTALE:        {volume.ErrUnavailable, "server SERVER has replaced the file system of PATH: export it again"},
	unix.EADDRNOTAVAIL: {volume.ErrUnavailable, "this node has no free source port to reach server SERVER: it will be tried again"},
	unix.EBUSY:         {volume.ErrBusy, "PATH of server SERVER is being mounted with other options, or the mount is in use"},
	unix.ENODEV:        {nil, "this node's kernel has no NFS client: load or build the module nfs"},
	unix.EPROTONOSUPPORT: {volume.ErrUnsupported, "server SERVER speaks none of the NFS versions that were tried:" +
		" name one that it has with the mount option nfsvers="},
}

// unknownParameter is what the kernel says about an option that it does not know (fs/fs_context.c, fs/fs_parser.c).
var unknownParameter = regexp.MustCompile(`Unknown parameter '([^']*)'`)

// kerberos finds the options that need rpc.gssd.
var kerberos = regexp.MustCompile(`(^|,)sec=[^,]*krb5`)

// explain puts a failure to mount into words.
func explain(f *failure, s Source) error {
	kind, words := volume.ErrInvalid, ""
	meaning, known := meanings[f.Errno]
	switch option := f.unknownOption(); {
	case option != "":
		words = fmt.Sprintf("mount option %q is not known to this node's NFS client: correct or remove it", option)
	case f.Doing == doingOption && f.Errno == unix.EINVAL && !f.wrongVersion():
		words = fmt.Sprintf("mount option %q has a value that this node's NFS client does not take", f.Option)
	case f.wrongVersion():
		meaning = meanings[unix.EPROTONOSUPPORT]
		kind, words = meaning.kind, s.fill(meaning.words)
	case f.Doing == doingConnect && f.Errno == unix.EINVAL && kerberos.MatchString(strings.Join(s.Options, ",")):
		words = fmt.Sprintf("%s cannot be mounted with Kerberos: run rpc.gssd on this node and give it a keytab", s)
	case f.Doing == doingConnect && f.Errno == unix.EINVAL:
		words = fmt.Sprintf("the kernel does not take the mount options %s, or a value of theirs, for %s", strings.Join(namesOf(s.Options), ","), s)
	case f.Doing == doingConnect && known, f.Errno == unix.ENODEV:
		kind, words = meaning.kind, s.fill(meaning.words)
	case f.Doing == doingRoot:
		kind, words = volume.ErrRefused, s.fill("server SERVER does not let root change mode or owner of PATH as the PersistentVolume's attributes mountPermissions,"+
			" uid and gid say: change them on the server, or export it with no_root_squash")
	case f.Errno == unix.EPERM:
		kind, words = nil, "this process may not mount: run the node's container privileged"
	default:
		kind, words = nil, fmt.Sprintf("mounting %s", s)
	}
	if kind == nil {
		return fmt.Errorf("%s (%w)", words, f)
	}
	return fmt.Errorf("%w: %s (%w)", kind, words, f)
}

// unknownOption is the option of which the kernel says that it does not know it, or "".
func (f *failure) unknownOption() string {
	for _, line := range f.Log {
		if match := unknownParameter.FindStringSubmatch(line); match != nil {
			return match[1]
		}
	}
	return ""
}
