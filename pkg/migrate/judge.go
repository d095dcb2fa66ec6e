package migrate

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// annReclaimPolicy says on a volume that has Retain while it is moved what its reclaim policy is else.
const annReclaimPolicy = "nfs-csi.github.io/reclaim-policy"

// The finalizers that are understood: Kubernetes' own, which it adds by itself, and that of CSI provisioners, which a volume with
// Retain does not need.
const (
	finalizerProtection  = "kubernetes.io/pv-protection"
	finalizerProvisioner = "external-provisioner.volume.kubernetes.io/finalizer"
)

// judge says what would become of a volume that no note speaks of.
func (m *Migration) judge(c *cluster, pv *v1.PersistentVolume) Volume {
	v := m.describe(c, pv)
	v.old = original(pv)
	refusal := check(c, pv)
	if refusal == nil {
		v.new, refusal = m.successor(c, pv)
	}
	if refusal == nil {
		refusal = cmp.Or(alone(c, pv, v), locks(pv, v.new))
	}
	if refusal != nil {
		v.State, v.Reason = Refused, refusal.Error()
		return v
	}
	v.State = Convertible
	v.addFate()
	if len(v.Pods) > 0 {
		v.Reason = "pods that run keep their mount; pods that start later get it from the driver"
	}
	v.addRemark(c)
	return v
}

// addFate says what the volume is as one of ours.
func (v *Volume) addFate() {
	v.Handle = v.new.Spec.CSI.VolumeHandle
	if id, err := volume.ParseID(v.Handle); err == nil {
		v.OnDelete = string(id.Policy)
	}
}

func (m *Migration) describe(c *cluster, pv *v1.PersistentVolume) Volume {
	size := pv.Spec.Capacity[v1.ResourceStorage]
	v := Volume{Name: pv.Name, Class: className(pv), Provisioner: pv.Annotations[annProvisionedBy], Capacity: size.String(),
		ReclaimPolicy: string(pv.Spec.PersistentVolumeReclaimPolicy)}
	v.Server, v.Path = placeOf(pv)
	if ref := pv.Spec.ClaimRef; ref != nil {
		v.Claim = ref.Namespace + "/" + ref.Name
		v.Pods = slices.Sorted(slices.Values(c.pods[v.Claim]))
	}
	return v
}

// check refuses what is not a plain volume in use by its claim.
func check(c *cluster, pv *v1.PersistentVolume) error {
	ref := pv.Spec.ClaimRef
	if pv.DeletionTimestamp != nil {
		return fmt.Errorf("it is being deleted")
	}
	if pv.Status.Phase != v1.VolumeBound || ref == nil {
		return fmt.Errorf("it is %s: only volumes that are bound to a claim are moved; where the controller answers to its provisioner's name, it deletes it as its class says", pv.Status.Phase)
	}
	claim := c.claims[ref.Namespace+"/"+ref.Name]
	switch {
	case claim == nil || claim.UID != ref.UID:
		return fmt.Errorf("its claim is gone")
	case claim.DeletionTimestamp != nil:
		return fmt.Errorf("its claim is being deleted")
	case claim.Spec.VolumeName != pv.Name:
		return fmt.Errorf("its claim is bound to volume %q", claim.Spec.VolumeName)
	case pv.Spec.VolumeMode != nil && *pv.Spec.VolumeMode != v1.PersistentVolumeFilesystem:
		return fmt.Errorf("it is no file system")
	}
	for _, f := range pv.Finalizers {
		if f != finalizerProtection && f != finalizerProvisioner {
			return fmt.Errorf("it has the finalizer %s, whose owner would have to agree", f)
		}
	}
	return nil
}

// original is what an old volume is made from again.
func original(pv *v1.PersistentVolume) *v1.PersistentVolume {
	o := &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: pv.Name, Labels: pv.Labels, Annotations: maps.Clone(pv.Annotations)},
		Spec:       *pv.Spec.DeepCopy(),
	}
	delete(o.Annotations, annReclaimPolicy)
	if o.Spec.ClaimRef != nil {
		o.Spec.ClaimRef.ResourceVersion = ""
	}
	return o
}

// successor is the volume as one of ours.
func (m *Migration) successor(c *cluster, pv *v1.PersistentVolume) (*v1.PersistentVolume, error) {
	next := original(pv)
	from := pv.Annotations[annProvisionedBy]
	if pv.Spec.CSI != nil {
		from = pv.Spec.CSI.Driver
		next.Spec.CSI.Driver = m.DriverName
		if _, err := volume.ParseContext(pv.Spec.CSI.VolumeAttributes); err != nil {
			return nil, fmt.Errorf("its attributes do not say where it is: %w", err)
		}
	} else {
		source, err := m.source(c, pv)
		if err != nil {
			return nil, err
		}
		next.Spec.PersistentVolumeSource = v1.PersistentVolumeSource{CSI: source}
		takeMountOptions(next)
	}
	metav1.SetMetaDataAnnotation(&next.ObjectMeta, annProvisionedBy, m.DriverName)
	metav1.SetMetaDataAnnotation(&next.ObjectMeta, volume.AnnMigratedFrom, from)
	return next, nil
}

// takeMountOptions moves the mount options of the annotation, which counts more than the field with in-tree volumes, to the field: no
// API server takes a CSI volume with the annotation.
func takeMountOptions(pv *v1.PersistentVolume) {
	if options, ok := pv.Annotations[v1.MountOptionAnnotation]; ok {
		pv.Spec.MountOptions = volume.SplitOptions(options)
		delete(pv.Annotations, v1.MountOptionAnnotation)
	}
}

// source describes the directory of an in-tree volume.
func (m *Migration) source(c *cluster, pv *v1.PersistentVolume) (*v1.CSIPersistentVolumeSource, error) {
	by := pv.Annotations[annProvisionedBy]
	export, known := c.exports[by]
	if !known {
		export, known = c.exports[""]
	}
	if !known {
		return nil, fmt.Errorf("the export of provisioner %s is not known, and its Deployment does not tell: give its NFS_SERVER and NFS_PATH with --export %s=SERVER:/PATH", by, by)
	}
	location, err := volume.ParseLocation(pv.Spec.NFS.Server, export.Share)
	if err != nil {
		return nil, err
	}
	dir, err := location.Below(pv.Spec.NFS.Path)
	if err != nil {
		return nil, fmt.Errorf("%w: is it the export of another provisioner (--export NAME=SERVER:/PATH)?", err)
	}
	policy, err := policyOf(c, pv)
	if err != nil {
		return nil, err
	}
	id := volume.ID{Location: location, Dir: dir, Policy: policy}
	if string(dir) != pv.Name {
		id.UUID = pv.Name
	}
	return &v1.CSIPersistentVolumeSource{Driver: m.DriverName, VolumeHandle: id.Explicit(), VolumeAttributes: id.Context(), ReadOnly: pv.Spec.NFS.ReadOnly}, nil
}

// policyOf is what the volume's class says now, which is from then on the volume's own. Without its class the data are kept.
func policyOf(c *cluster, pv *v1.PersistentVolume) (volume.Policy, error) {
	class := c.classes[className(pv)]
	if class == nil || class.Provisioner != pv.Annotations[annProvisionedBy] {
		return volume.ArchiveFlat, nil
	}
	parsed, err := volume.ParseLegacyClass(class.Parameters)
	if err != nil {
		return "", fmt.Errorf("its class: %w", err)
	}
	return parsed.Policy, nil
}

// className is also that of volumes from before classes had a field.
func className(pv *v1.PersistentVolume) string {
	return cmp.Or(pv.Annotations[v1.BetaStorageClassAnnotation], pv.Spec.StorageClassName)
}

// placeOf is where the directory of an NFS volume is, of whichever kind; empty for other volumes.
func placeOf(pv *v1.PersistentVolume) (server, path string) {
	switch {
	case pv.Spec.NFS != nil:
		return strings.Trim(pv.Spec.NFS.Server, "[]"), plain(pv.Spec.NFS.Path)
	case pv.Spec.CSI != nil:
		if m, err := volume.ParseContext(pv.Spec.CSI.VolumeAttributes); err == nil {
			return m.Server, m.Path
		}
	}
	return "", ""
}

// plain is a path with one spelling.
func plain(p string) string { return strings.TrimRight(path.Clean(p), "/") }

// place is where the directory of a volume is.
type place struct{ volume, server, path string }

func placesOf(volumes []v1.PersistentVolume) []place {
	var places []place
	for i := range volumes {
		if server, path := placeOf(&volumes[i]); server != "" {
			places = append(places, place{volumes[i].Name, strings.ToLower(server), path})
		}
	}
	return places
}

// alone refuses a volume whose directory is another's too, or holds another's: of two CSI volumes each could be deleted alone.
func alone(c *cluster, pv *v1.PersistentVolume, v Volume) error {
	server, below := strings.ToLower(v.Server), v.Path+"/"
	for _, other := range c.places {
		if other.server == server && (other.path == v.Path || strings.HasPrefix(other.path, below)) && other.volume != pv.Name {
			return fmt.Errorf("the directory of PersistentVolume %s, %s, is the same or in it: delete one of the two", other.volume, other.path)
		}
	}
	return nil
}

// progressed says how far a volume is that has a note.
func (m *Migration) progressed(c *cluster, n note) Volume {
	var there *v1.PersistentVolume
	for i := range c.volumes {
		if pv := &c.volumes[i]; pv.Name == n.new.Name && (same(pv, n.new) || same(pv, n.old)) {
			there = pv
			n = n.changed(pv)
		}
	}
	v := m.describe(c, n.old)
	v.old, v.new, v.State, v.Reason = n.old, n.new, Begun, "an earlier run was stopped: apply goes on, undo goes back"
	v.addFate()
	claim := c.claims[v.Claim]
	switch {
	case claim == nil || claim.UID != n.old.Spec.ClaimRef.UID:
		v.State, v.Reason = Gone, "its claim was deleted since: see whether PersistentVolume "+v.Name+" or the directory is still there; finish forgets it"
	case there != nil && same(there, n.new) && there.DeletionTimestamp == nil && bound(there, claim) &&
		there.Annotations[annReclaimPolicy] == "":
		v.State, v.Reason = Converted, "undo is possible until finish"
	}
	if v.State != Gone {
		v.addRemark(c)
	}
	return v
}

// changed is a note of a volume that has got a greater size or another reclaim policy since it was written.
func (n note) changed(pv *v1.PersistentVolume) note {
	n.old, n.new = n.old.DeepCopy(), n.new.DeepCopy()
	size := pv.Spec.Capacity[v1.ResourceStorage]
	for _, side := range []*v1.PersistentVolume{n.old, n.new} {
		if was := side.Spec.Capacity[v1.ResourceStorage]; size.Cmp(was) > 0 {
			side.Spec.Capacity = v1.ResourceList{v1.ResourceStorage: size}
		}
		side.Spec.PersistentVolumeReclaimPolicy = reclaimPolicy(pv)
	}
	return n
}

// reclaimPolicy is that of a volume while nobody moves it.
func reclaimPolicy(pv *v1.PersistentVolume) v1.PersistentVolumeReclaimPolicy {
	return cmp.Or(v1.PersistentVolumeReclaimPolicy(pv.Annotations[annReclaimPolicy]), pv.Spec.PersistentVolumeReclaimPolicy)
}

// same says whether a volume of the cluster is one that a note has, whatever its reclaim policy is now.
func same(pv, noted *v1.PersistentVolume) bool {
	if pv.Spec.ClaimRef == nil || noted.Spec.ClaimRef == nil {
		return false
	}
	return equality.Semantic.DeepEqual(pv.Spec.PersistentVolumeSource, noted.Spec.PersistentVolumeSource) && pv.Spec.ClaimRef.UID == noted.Spec.ClaimRef.UID
}

func bound(pv *v1.PersistentVolume, claim *v1.PersistentVolumeClaim) bool {
	return pv.Status.Phase == v1.VolumeBound && claim.Status.Phase == v1.ClaimBound && claim.Spec.VolumeName == pv.Name && claim.UID == pv.Spec.ClaimRef.UID
}
