package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// The attributes of a volume that the node needs, in a PersistentVolume's volumeAttributes; keys are read in any case.
const (
	attributeServer       = "server"
	attributeShare        = "share"
	attributeSubDir       = "subdir"
	attributeMountOptions = "mountoptions"
	attributePermissions  = "mountpermissions"
	attributeUID          = "uid"
	attributeGID          = "gid"
	// attributeProvisioner is put by external-provisioner into the PersistentVolumes that it makes.
	attributeProvisioner = "storage.kubernetes.io/csiprovisioneridentity"
)

// Mountpoint is what a node mounts: one directory of one share.
type Mountpoint struct {
	Location
	Path    string   // absolute on the server: the share, or a directory below it
	Options []string // that the PersistentVolume carries in its attributes, besides its mountOptions
	Root    *Root    // what Path is made once it is mounted; nil: left as it is
	Literal bool     // Path is refused where a symbolic link in it leads elsewhere
}

// Root is what a PersistentVolume of csi-driver-nfs says of its directory, each time that it is mounted.
type Root struct {
	Mode     fs.FileMode // as in [Class]; 0: left as it is
	UID, GID int         // -1: left as it is
}

// Context makes the volume context of id: all that a node needs to mount it, since a node never reads a handle.
func (id ID) Context() map[string]string {
	return map[string]string{ParamServer: id.Server, ParamShare: id.Share, ParamSubDir: string(id.Dir)}
}

// ParseContext reads a volume context, ours or that of a static or a predecessor's PersistentVolume. Attributes that
// are not ours are passed over: Kubernetes and the predecessors put some there.
func ParseContext(attributes map[string]string) (Mountpoint, error) {
	values := map[string]string{}
	for _, k := range sortedKeys(attributes) {
		values[strings.ToLower(k)] = attributes[k]
	}
	var mistakes []error
	l, err := ParseLocation(values[attributeServer], values[attributeShare])
	if err != nil {
		mistakes = append(mistakes, err)
	}
	m := Mountpoint{Location: l, Path: l.Share}
	if sub := values[attributeSubDir]; strings.Trim(sub, "/") != "" {
		d, err := contextDir(sub, values)
		if err != nil {
			mistakes = append(mistakes, err)
		}
		m.Path = l.Path(d)
	}
	m.Options = SplitOptions(values[attributeMountOptions])
	if m.Root, err = parseRoot(values); err != nil {
		mistakes = append(mistakes, err)
	}
	if err := errors.Join(mistakes...); err != nil {
		return Mountpoint{}, fmt.Errorf("volume attributes: %w", err)
	}
	return m, nil
}

// parseRoot reads what csi-driver-nfs does to a directory after mounting it. The owner is for static PersistentVolumes only:
// that of others was set when they were made, and is their pods' since.
func parseRoot(values map[string]string) (*Root, error) {
	root := Root{UID: -1, GID: -1}
	var err, uidErr, gidErr error
	root.Mode, err = ParseMode(values[attributePermissions])
	static := values[attributeProvisioner] == ""
	if v := values[attributeUID]; v != "" && static {
		root.UID, uidErr = parseOwner(attributeUID, v)
	}
	if v := values[attributeGID]; v != "" && static {
		root.GID, gidErr = parseOwner(attributeGID, v)
	}
	err = errors.Join(err, uidErr, gidErr)
	if root == (Root{UID: -1, GID: -1}) {
		return nil, err
	}
	return &root, err
}

// contextDir reads a subdir attribute. csi-driver-nfs replaces three variables in it by other attributes where those are given,
// and takes everything else for the directory's name, two slashes for one.
func contextDir(s string, values map[string]string) (Dir, error) {
	var replace []string
	for _, known := range [...]struct{ variable, attribute string }{
		{"${pvc.metadata.namespace}", ParamClaimNamespace}, {"${pvc.metadata.name}", ParamClaimName}, {"${pv.metadata.name}", ParamVolumeName},
	} {
		if v := values[known.attribute]; v != "" {
			replace = append(replace, known.variable, v)
		}
	}
	s = strings.NewReplacer(replace...).Replace(s)
	for strings.Contains(s, "//") {
		s = strings.ReplaceAll(s, "//", "/")
	}
	return ParseDir(s)
}
