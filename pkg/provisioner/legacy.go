package provisioner

import (
	"context"
	"fmt"
	"slices"

	"github.com/container-storage-interface/spec/lib/go/csi"
	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Legacy are the provisioner names of nfs-subdir-external-provisioner that are ours now. Classes of such a name speak its language
// unless they name an export of their own ([volume.SpeaksLegacy]), and its PersistentVolumes, which are in-tree NFS volumes, are
// deleted as it would have.
type Legacy struct {
	Names   []string
	Exports map[string]volume.Location // by name, where it is not Default
	Default volume.Location            // NFS_SERVER and NFS_PATH; the zero value: there is none
	InTree  bool                       // describe new volumes as it does, for nodes without our node service
}

// speaks says whether a class is to be read as the predecessor's.
func (l Legacy) speaks(class *storage.StorageClass) bool {
	return slices.Contains(l.Names, class.Provisioner) && volume.SpeaksLegacy(class.Parameters)
}

// Parameters are a class's parameters as the CSI service reads them, without what depends on a claim: the export, for a class of
// the predecessor's.
func (l Legacy) Parameters(class *storage.StorageClass) map[string]string {
	if !l.speaks(class) {
		return class.Parameters
	}
	return exportOf(l.export(class.Provisioner))
}

func (l Legacy) export(name string) volume.Location {
	if export, ok := l.Exports[name]; ok {
		return export
	}
	return l.Default
}

func exportOf(l volume.Location) map[string]string {
	if l == (volume.Location{}) {
		return map[string]string{} // the CSI service says that there is none
	}
	return map[string]string{volume.ParamServer: l.Server, volume.ParamShare: l.Share}
}

// translate makes the request for a volume of a class of the predecessor's.
func (p *provisioner) translate(ctx context.Context, o controller.ProvisionOptions, r *csi.CreateVolumeRequest) error {
	if name := attributesClass(o.PVC); p.legacy.InTree && name != nil {
		return fmt.Errorf("the claim asks for the volume attributes class %q, which an in-tree volume (volumeSource: nfs) cannot have: make the claim anew without it, or of another StorageClass", *name)
	}
	class, err := volume.ParseLegacyClass(o.StorageClass.Parameters)
	if err != nil {
		return err
	}
	p.notices.ignored(ctx, o.StorageClass, o.PVC, class.Ignored)
	claim := volume.Claim{Namespace: o.PVC.Namespace, Name: o.PVC.Name, Volume: o.PVName, Labels: o.PVC.Labels, Annotations: o.PVC.Annotations}
	dir, adopt, err := class.Dir(claim)
	if err != nil {
		return err
	}
	export := p.legacy.export(o.StorageClass.Provisioner)
	counts := func(other *v1.PersistentVolume, lies relation) bool { return lies != around || made(other) }
	if other := p.neighbour(export, dir, o.PVName, counts); other != nil {
		return tooNear(dir, other, volume.ParamPathPattern)
	}
	r.Parameters = exportOf(export)
	r.Parameters[volume.ParamSubDir] = string(dir)
	r.Parameters[volume.ParamOnDelete] = string(class.Policy)
	if adopt {
		r.Parameters[volume.ParamOnExisting] = "adopt"
	}
	r.Parameters[volume.ParamClaimName] = claim.Name
	r.Parameters[volume.ParamClaimNamespace] = claim.Namespace
	r.Parameters[volume.ParamVolumeName] = claim.Volume
	return nil
}

// inTree describes a volume as the predecessor does.
func inTree(pv *v1.PersistentVolume) error {
	m, err := volume.ParseContext(pv.Spec.CSI.VolumeAttributes)
	if err != nil {
		return err
	}
	pv.Spec.PersistentVolumeSource = v1.PersistentVolumeSource{NFS: &v1.NFSVolumeSource{Server: m.Server, Path: m.Path}}
	return nil
}

// handle is what an in-tree volume of the predecessor's is called to the CSI service: its directory, and what its class says now.
// Of a volume that we made there is a record, whose policy counts.
func (p *provisioner) handle(pv *v1.PersistentVolume) (string, error) {
	name := pv.Annotations[annProvisionedBy]
	if !slices.Contains(p.legacy.Names, name) {
		return "", &controller.IgnoredError{Reason: "it is an NFS volume of the provisioner " + name}
	}
	export := p.legacy.export(name)
	location, err := volume.ParseLocation(pv.Spec.NFS.Server, export.Share)
	if err != nil {
		return "", fmt.Errorf("the export of provisioner %s is not known: set NFS_SERVER and NFS_PATH, or --provisioner-name=%s=SERVER:/PATH: %w", name, name, err)
	}
	dir, err := location.Below(pv.Spec.NFS.Path)
	if err != nil {
		return "", fmt.Errorf("nothing is deleted: %w: if it is the export of another nfs-subdir-external-provisioner, name that with "+
			"--provisioner-name=NAME=SERVER:/PATH; else see to the directory by hand, and delete the PersistentVolume", err)
	}
	policy, err := p.policyNow(pv)
	if err != nil {
		return "", err
	}
	if policy != volume.Retain {
		stays := func(other *v1.PersistentVolume, lies relation) bool {
			return lies != around && !p.condemned(other, policy)
		}
		if other := p.neighbour(location, dir, pv.Name, stays); other != nil {
			return "", fmt.Errorf("nothing is deleted of directory %q: %s", dir, saysWhere(other))
		}
	}
	id := volume.ID{Location: location, Dir: dir, Policy: policy}
	if string(dir) != pv.Name {
		id.UUID = pv.Name
	}
	return id.Explicit(), nil // what the class says counts, not the install's default
}

// policyNow is what the class of a volume says at this moment. Without a class that is ours the data are kept.
func (p *provisioner) policyNow(pv *v1.PersistentVolume) (volume.Policy, error) {
	name := pv.Spec.StorageClassName
	object, found, err := p.classes.GetByKey(name)
	if err != nil {
		return "", fmt.Errorf("looking for class %q: %w", name, err)
	}
	class, ok := object.(*storage.StorageClass)
	if !found || !ok || class.Provisioner != p.driver && !slices.Contains(p.legacy.Names, class.Provisioner) {
		p.log.Warn("the class of a volume is gone or another provisioner's: its directory is archived", "volume", pv.Name, "class", name)
		return volume.ArchiveFlat, nil
	}
	parsed, err := volume.ParseLegacyClass(class.Parameters)
	if err != nil {
		return "", fmt.Errorf("class %q: %w", name, err)
	}
	return parsed.Policy, nil
}

const (
	// annProvisionedBy names the provisioner of a PersistentVolume.
	annProvisionedBy = "pv.kubernetes.io/provisioned-by"
	// annMadeBy is the same in our cache, where the library does not see it.
	annMadeBy = "nfs-csi.github.io/made-by"
)

// slim keeps of an NFS volume what tells where it is, and of a released one of the predecessor's what deleting it needs.
// While it is bound the library does not learn that it is ours: it would put its finalizer there, which the predecessor, should
// somebody go back to it, never takes off.
func (l Legacy) slim(pv *v1.PersistentVolume) *v1.PersistentVolume {
	slim := &v1.PersistentVolume{ObjectMeta: identity(pv.ObjectMeta)}
	if server, _ := placeOf(pv); server == "" {
		return slim
	}
	by := pv.Annotations[annProvisionedBy]
	metav1.SetMetaDataAnnotation(&slim.ObjectMeta, annMadeBy, by)
	slim.Spec.ClaimRef = pv.Spec.ClaimRef
	if kept(pv) {
		slim.Status.Phase, slim.Spec.PersistentVolumeReclaimPolicy = pv.Status.Phase, pv.Spec.PersistentVolumeReclaimPolicy
	}
	if pv.Spec.CSI != nil {
		slim.Spec.CSI = &v1.CSIPersistentVolumeSource{Driver: pv.Spec.CSI.Driver, VolumeAttributes: pv.Spec.CSI.VolumeAttributes}
		return slim
	}
	slim.Spec.NFS = pv.Spec.NFS
	if pv.Status.Phase != v1.VolumeReleased || !slices.Contains(l.Names, by) {
		return slim
	}
	metav1.SetMetaDataAnnotation(&slim.ObjectMeta, annProvisionedBy, by)
	slim.Finalizers, slim.DeletionTimestamp = pv.Finalizers, pv.DeletionTimestamp
	slim.Status.Phase = pv.Status.Phase
	slim.Spec.PersistentVolumeReclaimPolicy = pv.Spec.PersistentVolumeReclaimPolicy
	slim.Spec.StorageClassName, slim.Spec.MountOptions = className(pv), pv.Spec.MountOptions
	return slim
}

// className is also that of volumes from before classes had a field.
func className(pv *v1.PersistentVolume) string {
	if name := pv.Annotations[v1.BetaStorageClassAnnotation]; name != "" {
		return name
	}
	return pv.Spec.StorageClassName
}
