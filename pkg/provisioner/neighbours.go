package provisioner

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v10/controller"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// relation is how the directory of a volume lies to one that is asked about.
type relation int

const (
	same   relation = iota
	inside          // it is in the one that is asked about
	around          // the one that is asked about is in it
)

// placeIndexes find PersistentVolumes among thousands by where their directory is, and by each directory that it is in.
func placeIndexes() cache.Indexers {
	return cache.Indexers{
		atPlace: func(object any) ([]string, error) {
			places := placesOf(object)
			return places[max(0, len(places)-1):], nil
		},
		belowPlace: func(object any) ([]string, error) {
			places := placesOf(object)
			return places[:max(0, len(places)-1)], nil
		},
	}
}

const atPlace, belowPlace = "at", "below"

// placesOf are the directories on the way to that of an NFS volume, and at last its own.
func placesOf(object any) []string {
	pv, ok := object.(*v1.PersistentVolume)
	if !ok {
		return nil
	}
	server, path := placeOf(pv)
	var places []string
	above := ""
	for e := range strings.SplitSeq(path, "/") {
		switch e {
		case "", ".":
		case "..":
			return nil // it is not where it seems
		default:
			above += "/" + e
			places = append(places, placeKey(server, above))
		}
	}
	return places
}

func placeKey(server, path string) string { return strings.ToLower(server) + ":" + path }

// neighbour is a PersistentVolume other than except that counts, and whose directory is dir, in it, or around it.
func (p *provisioner) neighbour(export volume.Location, dir volume.Dir, except string, counts func(*v1.PersistentVolume, relation) bool) *v1.PersistentVolume {
	look := func(index string, d volume.Dir, lies relation) *v1.PersistentVolume {
		found, _ := p.known.ByIndex(index, placeKey(export.Server, export.Path(d))) // fails only where there is no such index
		for _, object := range found {
			if pv, ok := object.(*v1.PersistentVolume); ok && pv.Name != except && counts(pv, lies) {
				return pv
			}
		}
		return nil
	}
	other := cmp.Or(look(atPlace, dir, same), look(belowPlace, dir, inside))
	for _, above := range dir.Parents() {
		other = cmp.Or(other, look(atPlace, above, around))
	}
	return other
}

// free refuses the directory of a claim of a class in our own language where it would be near that of a volume that a provisioner made and
// that has no record on the share, which knows of all others. What else is wrong with a request is the CSI service's to say.
func (p *provisioner) free(o controller.ProvisionOptions, parameters map[string]string) error {
	class, err := volume.ParseClass(parameters, p.defaults)
	id, err2 := volume.Request{Name: o.PVName, Class: class}.ID()
	counts := func(other *v1.PersistentVolume, lies relation) bool {
		return made(other) && !p.recorded(other) && (lies != same || !kept(other))
	}
	var other *v1.PersistentVolume
	if errors.Join(err, err2) == nil {
		other = p.neighbour(id.Location, id.Dir, o.PVName, counts)
	}
	if other == nil {
		return nil
	}
	return tooNear(id.Dir, other, volume.ParamSubDir)
}

func tooNear(dir volume.Dir, other *v1.PersistentVolume, parameter string) error {
	return fmt.Errorf("the claim's directory would be %q, and %s: give each claim a directory of its own (%s)", dir, saysWhere(other), parameter)
}

func saysWhere(pv *v1.PersistentVolume) string {
	_, path := placeOf(pv)
	if ref := pv.Spec.ClaimRef; ref != nil {
		return fmt.Sprintf("%s is that of claim %s/%s (PersistentVolume %s)", path, ref.Namespace, ref.Name, pv.Name)
	}
	return fmt.Sprintf("%s is that of PersistentVolume %s", path, pv.Name)
}

// made says whether a provisioner made a volume. Others are administrators', who may describe a whole export by one.
func made(pv *v1.PersistentVolume) bool {
	return cmp.Or(pv.Annotations[annMadeBy], pv.Annotations[annProvisionedBy]) != ""
}

// recorded says whether a volume has a record on the share: it is one that we made, with nothing in its attributes but what its handle
// says. csi-driver-nfs, whose driver's name may be ours now, leaves more there.
func (p *provisioner) recorded(pv *v1.PersistentVolume) bool {
	source := pv.Spec.CSI
	if source == nil || source.Driver != p.driver || pv.Annotations[volume.AnnMigratedFrom] != "" {
		return false
	}
	id, err := volume.ParseID(source.VolumeHandle)
	return err == nil && maps.Equal(source.VolumeAttributes, id.Context())
}

// kept says whether a volume's claim is gone and its data are for whoever wants them.
func kept(pv *v1.PersistentVolume) bool {
	return pv.Status.Phase == v1.VolumeReleased && pv.Spec.PersistentVolumeReclaimPolicy == v1.PersistentVolumeReclaimRetain
}

// condemned says whether a volume of the predecessor's is about to be deleted, too, its claim being gone, and is kept no more than fate does.
func (p *provisioner) condemned(pv *v1.PersistentVolume, fate volume.Policy) bool {
	if pv.Status.Phase != v1.VolumeReleased || pv.Spec.PersistentVolumeReclaimPolicy != v1.PersistentVolumeReclaimDelete {
		return false
	}
	policy, err := p.policyNow(pv)
	return err == nil && (policy == volume.Delete || policy == fate)
}

// placeOf is where the directory of an NFS volume is, of whichever kind; empty for other volumes.
func placeOf(pv *v1.PersistentVolume) (server, path string) {
	switch {
	case pv.Spec.NFS != nil:
		return strings.Trim(pv.Spec.NFS.Server, "[]"), pv.Spec.NFS.Path
	case pv.Spec.CSI != nil:
		if m, err := volume.ParseContext(pv.Spec.CSI.VolumeAttributes); err == nil {
			return m.Server, m.Path
		}
	}
	return "", ""
}
