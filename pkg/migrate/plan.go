package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	apps "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// State says how far a volume is.
type State string

// The states of volumes. Begun: an earlier run was stopped in between; apply goes on, undo goes back.
const (
	Convertible State = "convertible"
	Refused     State = "refused"
	Begun       State = "begun"
	Converted   State = "converted"
	Gone        State = "gone" // its claim was deleted after it was begun: nothing is left to do
)

// Plan is what there is, and what would become of it. In JSON it is the format of `nfs-csi migrate plan -o json`.
type Plan struct {
	Classes []Class  `json:"classes"`
	Volumes []Volume `json:"volumes"`
}

// Class is a StorageClass whose volumes are moved.
type Class struct {
	Name        string `json:"name"`
	Provisioner string `json:"provisioner"`
	OnDelete    string `json:"onDelete"` // what becomes of a directory: delete, retain or archive-flat
	PathPattern string `json:"pathPattern,omitempty"`
	Volumes     int    `json:"volumes"`
}

// Volume is one PersistentVolume.
type Volume struct {
	Name          string   `json:"name"`
	State         State    `json:"state"`
	Reason        string   `json:"reason,omitempty"` // why it is refused, or what to know
	Claim         string   `json:"claim,omitempty"`  // namespace/name
	Class         string   `json:"class,omitempty"`
	Provisioner   string   `json:"provisioner"`
	Server        string   `json:"server,omitempty"`
	Path          string   `json:"path,omitempty"` // of the directory on the server
	Capacity      string   `json:"capacity"`
	Used          *Used    `json:"used,omitempty"`      // see [Plan.Measure]
	UsedError     string   `json:"usedError,omitempty"` // why it is not known
	ReclaimPolicy string   `json:"reclaimPolicy"`
	OnDelete      string   `json:"onDelete,omitempty"` // what deleting it does to the directory, from then on
	Handle        string   `json:"handle,omitempty"`   // as a CSI volume
	Pods          []string `json:"pods,omitempty"`     // that use it: they keep their mount, only new pods get it from the driver

	old, new *v1.PersistentVolume
}

func (p Plan) noted() []Volume {
	return slices.DeleteFunc(slices.Clone(p.Volumes), func(v Volume) bool { return v.State != Begun && v.State != Converted })
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

// cluster is what a plan is made from.
type cluster struct {
	volumes []v1.PersistentVolume
	places  []place                              // of the volumes that are on an NFS server
	claims  map[string]*v1.PersistentVolumeClaim // by namespace/name
	pods    map[string][]string                  // names by namespace/name of a claim
	groups  map[string]int64                     // fsGroup of a pod, by namespace/name of a claim
	policy  storage.FSGroupPolicy                // what kubelet does to our volumes for it
	classes map[string]*storage.StorageClass
	notes   map[string]note // by the PersistentVolume's name
	exports map[string]volume.Location
}

// Plan looks at the cluster and changes nothing.
func (m *Migration) Plan(ctx context.Context) (Plan, error) {
	c, err := m.look(ctx)
	if err != nil {
		return Plan{}, err
	}
	p := m.plan(c)
	return p, m.missing(p)
}

// plan is [Migration.Plan] for what was seen.
func (m *Migration) plan(c *cluster) Plan {
	p := Plan{Classes: []Class{}, Volumes: []Volume{}} // in JSON no null
	seen := map[string]int{}
	for i := range c.volumes {
		pv := &c.volumes[i]
		if _, noted := c.notes[pv.Name]; noted || !m.chosen(pv.Name) || !m.from(pv) {
			continue
		}
		v := m.judge(c, pv)
		p.Volumes = append(p.Volumes, v)
		seen[v.Class]++
	}
	for name, n := range c.notes {
		if m.chosen(name) && (len(m.From) == 0 || m.from(n.old)) {
			v := m.progressed(c, n)
			p.Volumes = append(p.Volumes, v)
			seen[v.Class]++
		}
	}
	for name, class := range c.classes {
		if seen[name] > 0 || slices.Contains(m.From, class.Provisioner) {
			p.Classes = append(p.Classes, describeClass(class, seen[name]))
		}
	}
	slices.SortFunc(p.Classes, func(a, b Class) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(p.Volumes, func(a, b Volume) int {
		return cmp.Or(strings.Compare(a.Claim, b.Claim), strings.Compare(a.Name, b.Name))
	})
	return p
}

// missing reports those that were asked for by name and are not in a plan.
func (m *Migration) missing(p Plan) error {
	var errs []error
	for _, name := range m.Only {
		if !slices.ContainsFunc(p.Volumes, func(v Volume) bool { return v.Name == name }) {
			errs = append(errs, fmt.Errorf("PersistentVolume %q is not there, is finished, or is none of those to be moved: `nfs-csi migrate plan` lists these, --from chooses others", name))
		}
	}
	return errors.Join(errs...)
}

func describeClass(class *storage.StorageClass, volumes int) Class {
	d := Class{Name: class.Name, Provisioner: class.Provisioner, PathPattern: class.Parameters[volume.ParamPathPattern], Volumes: volumes}
	if parsed, err := volume.ParseLegacyClass(class.Parameters); err == nil {
		d.OnDelete = string(parsed.Policy)
	}
	return d
}

// annProvisionedBy names the provisioner of a PersistentVolume.
const annProvisionedBy = "pv.kubernetes.io/provisioned-by"

// from says whether a volume is one of those to be moved. Static volumes, which nobody provisioned, are left alone.
func (m *Migration) from(pv *v1.PersistentVolume) bool {
	by := pv.Annotations[annProvisionedBy]
	switch {
	case pv.Spec.NFS != nil:
		return by != "" && (len(m.From) == 0 || slices.Contains(m.From, by))
	case pv.Spec.CSI != nil:
		return pv.Spec.CSI.Driver != m.DriverName && slices.Contains(m.From, pv.Spec.CSI.Driver)
	}
	return false
}

// look reads everything once.
func (m *Migration) look(ctx context.Context) (*cluster, error) {
	c := &cluster{claims: map[string]*v1.PersistentVolumeClaim{}, pods: map[string][]string{}, groups: map[string]int64{}, classes: map[string]*storage.StorageClass{}}
	pvs, err := m.Client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the PersistentVolumes: %w", err)
	}
	c.volumes = pvs.Items
	c.places = placesOf(c.volumes)
	claims, err := m.Client.CoreV1().PersistentVolumeClaims("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the claims: %w", err)
	}
	for i, claim := range claims.Items {
		c.claims[claim.Namespace+"/"+claim.Name] = &claims.Items[i]
	}
	pods, err := m.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the pods: %w", err)
	}
	c.addPods(pods.Items)
	classes, err := m.Client.StorageV1().StorageClasses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing the StorageClasses: %w", err)
	}
	for i, class := range classes.Items {
		c.classes[class.Name] = &classes.Items[i]
	}
	if c.notes, err = m.notes(ctx); err != nil {
		return nil, err
	}
	if c.policy, err = m.groupPolicy(ctx); err != nil {
		return nil, err
	}
	deployments, err := m.deployments(ctx)
	c.addDeployments(deployments)
	c.exports = m.findExports(deployments)
	return c, err
}

// deployments are those of the cluster. Who may not list them does without.
func (m *Migration) deployments(ctx context.Context) ([]apps.Deployment, error) {
	list, err := m.Client.AppsV1().Deployments("").List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the Deployments: %w", err)
	}
	return list.Items, nil
}

// addPods notes who uses which claim.
func (c *cluster) addPods(pods []v1.Pod) {
	for _, pod := range pods {
		c.addGroup(pod.Namespace, pod.Spec)
		if pod.Status.Phase == v1.PodSucceeded || pod.Status.Phase == v1.PodFailed {
			continue
		}
		for key := range claimsOf(pod.Namespace, pod.Spec) {
			c.pods[key] = append(c.pods[key], pod.Name)
		}
	}
}

// claimsOf are the claims of a pod, as namespace/name.
func claimsOf(namespace string, pod v1.PodSpec) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, source := range pod.Volumes {
			if claim := source.PersistentVolumeClaim; claim != nil && !yield(namespace+"/"+claim.ClaimName) {
				return
			}
		}
	}
}
