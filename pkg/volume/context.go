package volume

import (
	"errors"
	"fmt"
	"strings"
)

// The attributes of a volume that the node needs, in a PersistentVolume's volumeAttributes; keys are read in any case.
const (
	attributeServer       = "server"
	attributeShare        = "share"
	attributeSubDir       = "subdir"
	attributeMountOptions = "mountoptions"
)

// Mountpoint is what a node mounts: one directory of one share.
type Mountpoint struct {
	Location
	Path    string   // absolute on the server: the share, or a directory below it
	Options []string // that the PersistentVolume carries in its attributes, besides its mountOptions
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
		d, err := contextDir(sub, attributes)
		if err != nil {
			mistakes = append(mistakes, err)
		}
		m.Path = l.Path(d)
	}
	if o := values[attributeMountOptions]; o != "" {
		m.Options = strings.Split(o, ",")
	}
	if err := errors.Join(mistakes...); err != nil {
		return Mountpoint{}, fmt.Errorf("volume attributes: %w", err)
	}
	return m, nil
}

// contextDir reads a subdir attribute. csi-driver-nfs lets it be a template, filled from the claim's metadata.
func contextDir(s string, attributes map[string]string) (Dir, error) {
	if !strings.Contains(s, "${") {
		return ParseDir(s)
	}
	t, err := ParseTemplate(s)
	if err != nil {
		return "", err
	}
	return t.Expand(Claim{Namespace: attributes[ParamClaimNamespace], Name: attributes[ParamClaimName], Volume: attributes[ParamVolumeName]})
}
