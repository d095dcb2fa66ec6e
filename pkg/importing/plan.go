package importing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Plan looks at the export and the cluster and changes nothing.
func (c Config) Plan(ctx context.Context) (Plan, error) {
	p := Plan{Export: c.Location.String(), Volumes: []Volume{}} // in JSON no null
	all, err := c.find(ctx)
	if err != nil {
		return p, err
	}
	k, err := c.look(ctx)
	if err != nil {
		return p, err
	}
	wanted := map[string]int{}
	for _, f := range all {
		if len(c.Only) > 0 && !slices.Contains(c.Only, f.record.Name) {
			continue
		}
		v := c.describe(k, f)
		if v.State == Importable {
			wanted[v.Claim]++
		}
		p.Volumes = append(p.Volumes, v)
	}
	if err := c.missing(p); err != nil {
		return p, err
	}
	for i := range p.Volumes {
		if v := &p.Volumes[i]; v.State == Importable {
			c.addClaim(k, v, wanted[v.Claim])
		}
	}
	slices.SortFunc(p.Volumes, func(a, b Volume) int {
		return cmp.Or(strings.Compare(a.Claim, b.Claim), strings.Compare(a.Name, b.Name))
	})
	return p, nil
}

// missing reports those that were asked for by name and are not on the export.
func (c Config) missing(p Plan) error {
	var errs []error
	for _, name := range c.Only {
		if !slices.ContainsFunc(p.Volumes, func(v Volume) bool { return v.Name == name }) {
			errs = append(errs, fmt.Errorf("there is no volume %q on %s: a plan without names lists those that there are", name, c.Location))
		}
	}
	return errors.Join(errs...)
}

// cluster is what there is already.
type cluster struct {
	volumes    map[string]*v1.PersistentVolume
	paths      map[string]string                    // names of PersistentVolumes by where they are on our server
	kept       map[string]string                    // names of PersistentVolumes by the claims that are yet to be bound to them
	claims     map[string]*v1.PersistentVolumeClaim // by namespace/name
	namespaces map[string]bool
}

func (c Config) look(ctx context.Context) (*cluster, error) {
	k := &cluster{volumes: map[string]*v1.PersistentVolume{}, paths: map[string]string{}, kept: map[string]string{}, claims: map[string]*v1.PersistentVolumeClaim{}, namespaces: map[string]bool{}}
	pvs, err := c.Client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the PersistentVolumes: %w", err)
	}
	for i, pv := range pvs.Items {
		k.volumes[pv.Name] = &pvs.Items[i]
		if at := c.at(&pvs.Items[i]); at != "" {
			k.paths[at] = pv.Name
		}
		if ref := pv.Spec.ClaimRef; ref != nil && ref.UID == "" {
			k.kept[ref.Namespace+"/"+ref.Name] = pv.Name
		}
	}
	claims, err := c.Client.CoreV1().PersistentVolumeClaims("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the claims: %w", err)
	}
	for i, claim := range claims.Items {
		k.claims[claim.Namespace+"/"+claim.Name] = &claims.Items[i]
	}
	namespaces, err := c.Client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the namespaces: %w", err)
	}
	for _, n := range namespaces.Items {
		k.namespaces[n.Name] = true
	}
	return k, nil
}

func (c Config) describe(k *cluster, f found) Volume {
	id := f.record.ID(c.Location)
	v := Volume{Name: f.record.Name, State: Importable, Directory: string(f.record.Dir), Recorded: f.recorded, Claim: f.record.Claim,
		OnDelete: string(f.record.Policy), Handle: id.String(), id: id, capacity: c.Capacity}
	if f.record.CapacityBytes > 0 {
		v.capacity = *resource.NewQuantity(f.record.CapacityBytes, resource.BinarySI)
	}
	v.Capacity = v.capacity.String()
	if !f.recorded {
		v.Claim = k.claimOf(f.record.Claim)
	}
	v.State, v.Reason = k.judge(c, v, f)
	if v.State == Present && c.Claims {
		v.MakeClaim = k.waits(v)
	}
	return v
}

// waits says whether a volume that is there has never been bound, and the claim that it is for is yet to be written.
func (k *cluster) waits(v Volume) bool {
	ref := k.volumes[v.Name].Spec.ClaimRef
	return ref != nil && ref.UID == "" && ref.Namespace+"/"+ref.Name == v.Claim && k.claims[v.Claim] == nil && k.namespaces[ref.Namespace]
}

func (k *cluster) judge(c Config, v Volume, f found) (State, string) {
	if f.wrong != "" {
		return Refused, f.wrong
	}
	if there := k.volumes[v.Name]; there != nil {
		if there.Spec.CSI != nil && there.Spec.CSI.VolumeHandle == v.Handle {
			return Present, ""
		}
		return Refused, "the cluster has another PersistentVolume of this name"
	}
	if problems := validation.IsDNS1123Subdomain(v.Name); len(problems) > 0 {
		return Refused, "no PersistentVolume can have this name: " + problems[0]
	}
	if name, taken := k.paths[c.Location.Path(v.id.Dir)]; taken {
		return Refused, fmt.Sprintf("PersistentVolume %s has the directory", name)
	}
	if f.rival != "" {
		return Refused, fmt.Sprintf("the record of volume %s names this directory too: its link in %s/directories leads to the owner's record; move the other one away", f.rival, volume.Reserved)
	}
	return Importable, ""
}

// at is where the directory of an NFS volume of any kind is on our server, empty if it is not there.
func (c Config) at(pv *v1.PersistentVolume) string {
	switch {
	case pv.Spec.NFS != nil && strings.EqualFold(strings.Trim(pv.Spec.NFS.Server, "[]"), c.Location.Server):
		return path.Clean(pv.Spec.NFS.Path)
	case pv.Spec.CSI != nil:
		if m, err := volume.ParseContext(pv.Spec.CSI.VolumeAttributes); err == nil && strings.EqualFold(m.Server, c.Location.Server) {
			return m.Path
		}
	}
	return ""
}

// addClaim says which claim the volume goes to, if any.
func (c Config) addClaim(k *cluster, v *Volume, wanted int) {
	namespace, name, ok := strings.Cut(v.Claim, "/")
	if !ok || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		v.Claim, v.Reason = "", "its claim is not known: bind it by hand"
		return
	}
	there := k.claims[v.Claim]
	switch {
	case wanted > 1:
		v.Reason = fmt.Sprintf("%d volumes were made for claim %s: bind one by hand", wanted, v.Claim)
		v.Claim = ""
	case there != nil && there.Spec.VolumeName != "" && there.Spec.VolumeName != v.Name:
		v.Reason = fmt.Sprintf("claim %s has volume %s by now: bind it by hand", v.Claim, there.Spec.VolumeName)
		v.Claim = ""
	case there != nil && there.Spec.VolumeName != "":
		v.claimUID, v.Reason = there.UID, "the claim that is there gets it"
	case k.kept[v.Claim] != "":
		v.Reason = fmt.Sprintf("PersistentVolume %s is kept for claim %s: bind one by hand", k.kept[v.Claim], v.Claim)
		v.Claim = ""
	case there != nil:
		v.give(there)
	case !c.Claims:
		v.Reason = "a claim of this name gets it"
	case !k.namespaces[namespace]:
		v.Reason = fmt.Sprintf("namespace %s is not there: make it for the claim to be written, or a claim of this name later", namespace)
	default:
		v.MakeClaim = true
	}
}

// give lets a claim that waits have the volume, if it is large enough: else the claim gets a new one. A volume whose size nobody knows is
// as large as the claim wants it.
func (v *Volume) give(claim *v1.PersistentVolumeClaim) {
	wants := claim.Spec.Resources.Requests[v1.ResourceStorage]
	switch {
	case wants.Cmp(v.capacity) <= 0:
	case v.Recorded:
		v.Reason = fmt.Sprintf("claim %s asks for %s, more than the volume has: bind it by hand", v.Claim, wants.String())
		v.Claim = ""
		return
	default:
		v.capacity, v.Capacity = wants, wants.String()
	}
	v.Reason = "the claim that is there gets it"
}

// claimOf splits namespace-claim, where the namespaces of the cluster leave one way to.
func (k *cluster) claimOf(name string) string {
	var fits []string
	for namespace := range k.namespaces {
		if claim, ok := strings.CutPrefix(name, namespace+"-"); ok && claim != "" {
			fits = append(fits, namespace+"/"+claim)
		}
	}
	if len(fits) == 0 && strings.Count(name, "-") == 1 {
		return strings.Replace(name, "-", "/", 1)
	}
	if len(fits) != 1 {
		return ""
	}
	return fits[0]
}
