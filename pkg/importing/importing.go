// Package importing writes PersistentVolumes for volumes that lie on an export, in a cluster that has lost them.
package importing

import (
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Config says what is written where.
type Config struct {
	Client        kubernetes.Interface
	DriverName    string
	Export        Export
	Location      volume.Location                  // of Export, as the volumes are to name it
	Class         string                           // of the volumes; "": none
	Only          []string                         // names of volumes; empty: all
	Directories   bool                             // also directories without a record that are called as a provisioner calls them
	Claims        bool                             // write the claims too that are not there
	Capacity      resource.Quantity                // of volumes whose size nobody knows
	ReclaimPolicy v1.PersistentVolumeReclaimPolicy // of the volumes
	Progress      func(done, of int, name string, err error)
}

// State says what becomes of a volume.
type State string

// The states. Present: the cluster has it already.
const (
	Importable State = "importable"
	Present    State = "present"
	Refused    State = "refused"
)

// Plan is what lies on the export. In JSON it is the format of `nfs-csi import -o json`.
type Plan struct {
	Export  string   `json:"export"`
	Volumes []Volume `json:"volumes"`
}

// Volume is one volume on the export.
type Volume struct {
	Name      string `json:"name"`
	State     State  `json:"state"`
	Reason    string `json:"reason,omitempty"` // why it is refused, or what to know
	Directory string `json:"directory"`
	Recorded  bool   `json:"recorded"`
	Claim     string `json:"claim,omitempty"`     // namespace/name, that it is for
	MakeClaim bool   `json:"makeClaim,omitempty"` // the claim is to be written
	Capacity  string `json:"capacity"`
	OnDelete  string `json:"onDelete"`
	Handle    string `json:"handle"`

	id       volume.ID
	capacity resource.Quantity
	claimUID types.UID // of a claim that names the volume already, which takes no other answer
}

// Count is how many volumes are in a state.
func (p Plan) Count(s State) int {
	n := 0
	for _, v := range p.Volumes {
		if v.State == s {
			n++
		}
	}
	return n
}

// Apply writes what a plan says can be. It can be repeated: of a volume that is there the claim is still written.
func (c Config) Apply(ctx context.Context, p Plan) error {
	mountOptions, err := c.classOptions(ctx)
	if err != nil {
		return err
	}
	work := slices.DeleteFunc(slices.Clone(p.Volumes), func(v Volume) bool { return v.State != Importable && !v.MakeClaim })
	done, of := 0, len(work)
	var first error
	failures := 0
	for _, v := range work {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("stopped after %d of %d volumes: run it again to go on: %w", done, of, err)
		}
		err := c.write(ctx, v, mountOptions)
		done++
		if c.Progress != nil {
			c.Progress(done, of, v.Name, err)
		}
		if err != nil {
			failures++
			if first == nil {
				first = fmt.Errorf("%s: %w", v.Name, err)
			}
		}
	}
	if failures > 1 {
		return fmt.Errorf("%d volumes failed, the first was %w", failures, first)
	}
	return first
}

func (c Config) write(ctx context.Context, v Volume, mountOptions []string) error {
	if v.State == Importable {
		if _, err := c.Client.CoreV1().PersistentVolumes().Create(ctx, c.persistentVolume(v, mountOptions), metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("writing the volume: %w", err)
		}
	}
	if !v.MakeClaim {
		return nil
	}
	claim := c.claim(v)
	if _, err := c.Client.CoreV1().PersistentVolumeClaims(claim.Namespace).Create(ctx, claim, metav1.CreateOptions{}); err != nil && !errors.IsAlreadyExists(err) {
		return fmt.Errorf("writing claim %s: %w", v.Claim, err)
	}
	return nil
}

// persistentVolume has every access mode: nobody recorded which ones its claim asked for. For no claim it has no class either: any claim of
// that class could get the data.
func (c Config) persistentVolume(v Volume, mountOptions []string) *v1.PersistentVolume {
	pv := &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: v.Name, Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": c.DriverName}},
		Spec: v1.PersistentVolumeSpec{
			AccessModes:                   []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce, v1.ReadOnlyMany, v1.ReadWriteMany},
			Capacity:                      v1.ResourceList{v1.ResourceStorage: v.capacity},
			PersistentVolumeReclaimPolicy: c.ReclaimPolicy,
			StorageClassName:              c.Class,
			MountOptions:                  mountOptions,
			PersistentVolumeSource: v1.PersistentVolumeSource{CSI: &v1.CSIPersistentVolumeSource{
				Driver: c.DriverName, VolumeHandle: v.Handle, VolumeAttributes: v.id.Context(),
			}},
		},
	}
	if !v.Recorded {
		pv.Annotations[volume.AnnMigratedFrom] = c.Location.String() // so the controller knows that the share does not
	}
	if namespace, name, ok := strings.Cut(v.Claim, "/"); ok {
		pv.Spec.ClaimRef = &v1.ObjectReference{APIVersion: "v1", Kind: "PersistentVolumeClaim", Namespace: namespace, Name: name, UID: v.claimUID}
	} else {
		pv.Spec.StorageClassName = ""
	}
	return pv
}

func (c Config) claim(v Volume) *v1.PersistentVolumeClaim {
	namespace, name, _ := strings.Cut(v.Claim, "/")
	return &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1.PersistentVolumeClaimSpec{
			AccessModes:      []v1.PersistentVolumeAccessMode{v1.ReadWriteMany},
			StorageClassName: &c.Class,
			VolumeName:       v.Name,
			Resources:        v1.VolumeResourceRequirements{Requests: v1.ResourceList{v1.ResourceStorage: v.capacity}},
		},
	}
}

// classOptions are the mount options of the class that the volumes get.
func (c Config) classOptions(ctx context.Context) ([]string, error) {
	if c.Class == "" {
		return nil, nil
	}
	class, err := c.Client.StorageV1().StorageClasses().Get(ctx, c.Class, metav1.GetOptions{})
	if errors.IsNotFound(err) {
		return nil, fmt.Errorf("the cluster has no StorageClass %q: make it first, or name another one with --class", c.Class)
	}
	if err != nil {
		return nil, fmt.Errorf("looking for StorageClass %q: %w", c.Class, err)
	}
	return class.MountOptions, nil
}
