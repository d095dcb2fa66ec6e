// Package capacity tells the scheduler how much room there is for volumes of each class, in one CSIStorageCapacity object
// for each.
//
// The scheduler reads them only where the CSIDriver object says storageCapacity. It then places no pod whose claim waits
// for it (WaitForFirstConsumer) and asks for more than there is: right where sizes are meant, wrong where claims ask for
// more than they use, which is why the chart leaves it off.
package capacity

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	storage "k8s.io/api/storage/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Shares measures the room for volumes: one call of csi.ControllerServer.
type Shares interface {
	GetCapacity(context.Context, *csi.GetCapacityRequest) (*csi.GetCapacityResponse, error)
}

// Config says what is told and where.
type Config struct {
	DriverName string
	Names      []string                                      // provisioner names of classes that are ours besides DriverName
	Parameters func(*storage.StorageClass) map[string]string // of a class, as Shares read them; nil: its own
	Shares     Shares
	Client     kubernetes.Interface
	Classes    cache.SharedIndexInformer // run by the caller
	Namespace  string                    // of the objects
	Owner      string                    // a Deployment of that namespace, with which the objects go; empty: they stay
	Every      time.Duration             // between two looks; 0: a minute
	Log        *slog.Logger
}

const (
	callTimeout = 20 * time.Second
	// settle is waited after a sign that something has changed, so that many signs are one look.
	settle = 2 * time.Second
	// managedBy and driverLabel mark our objects, as external-provisioner marks its own, with another value.
	managedBy, driverLabel = "csi.storage.k8s.io/managed-by", "csi.storage.k8s.io/drivername"
	manager                = "nfs-csi"
)

// Publisher keeps the objects up to date.
type Publisher struct {
	Config
	soon chan struct{}
}

// New makes a publisher; it does nothing before [Publisher.Run].
func New(c Config) *Publisher {
	if c.Every == 0 {
		c.Every = time.Minute
	}
	if c.Parameters == nil {
		c.Parameters = func(class *storage.StorageClass) map[string]string { return class.Parameters }
	}
	return &Publisher{Config: c, soon: make(chan struct{}, 1)}
}

// Soon asks for a look before it is due: a class has changed, or a share turned out to be full. It never waits.
func (p *Publisher) Soon() {
	select {
	case p.soon <- struct{}{}:
	default:
	}
}

// Run publishes until ctx ends. It is called while this process leads.
func (p *Publisher) Run(ctx context.Context) {
	changed := func(any) { p.Soon() }
	registration, err := p.Classes.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: changed, DeleteFunc: changed, UpdateFunc: func(any, any) { p.Soon() },
	})
	if err == nil {
		defer func() { _ = p.Classes.RemoveEventHandler(registration) }() // fails only for a handler that is not there
	}
	for ctx.Err() == nil {
		if err := p.publish(ctx); err != nil && ctx.Err() == nil {
			p.Log.Warn("publishing storage capacity, trying again", "err", err)
		}
		p.wait(ctx)
	}
}

func (p *Publisher) wait(ctx context.Context) {
	due := time.NewTimer(p.Every)
	defer due.Stop()
	select {
	case <-ctx.Done():
		return
	case <-due.C:
		return
	case <-p.soon:
	}
	quiet := time.NewTimer(min(settle, p.Every))
	defer quiet.Stop()
	select {
	case <-ctx.Done():
	case <-quiet.C:
	}
}

// publish measures all classes at once, and makes the objects say so. What cannot be measured keeps what it said.
func (p *Publisher) publish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*callTimeout)
	defer cancel()
	owner, err := p.owner(ctx)
	if err != nil {
		return err
	}
	objects := p.Client.StorageV1().CSIStorageCapacities(p.Namespace)
	list, err := objects.List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: p.labels()})})
	if err != nil {
		return fmt.Errorf("listing CSIStorageCapacities in %s: %w", p.Namespace, err)
	}
	old := map[string]*storage.CSIStorageCapacity{}
	for i := range list.Items {
		old[list.Items[i].Name] = &list.Items[i]
	}
	var measuring sync.WaitGroup
	for _, class := range p.classes() {
		before := old[nameOf(p.DriverName, class.Name)]
		delete(old, nameOf(p.DriverName, class.Name))
		measuring.Go(func() {
			if err := p.publishClass(ctx, class, before, owner); err != nil && ctx.Err() == nil {
				p.Log.Warn("publishing the storage capacity of a class", "class", class.Name, "err", err)
			}
		})
	}
	measuring.Wait()
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if err := objects.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !errors.IsNotFound(err) {
			return fmt.Errorf("deleting CSIStorageCapacity %s, whose class has gone: %w", name, err)
		}
	}
	return nil
}

func (p *Publisher) classes() []*storage.StorageClass {
	var ours []*storage.StorageClass
	for _, object := range p.Classes.GetStore().List() {
		if class, ok := object.(*storage.StorageClass); ok && (class.Provisioner == p.DriverName || slices.Contains(p.Names, class.Provisioner)) {
			ours = append(ours, class)
		}
	}
	return ours
}

func (p *Publisher) publishClass(ctx context.Context, class *storage.StorageClass, before *storage.CSIStorageCapacity, owner []metav1.OwnerReference) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	answer, err := p.Shares.GetCapacity(ctx, &csi.GetCapacityRequest{
		Parameters: p.Parameters(class),
		VolumeCapabilities: []*csi.VolumeCapability{{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{MountFlags: class.MountOptions}},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
		}},
	})
	if err != nil {
		return err
	}
	now := p.object(class.Name, answer, owner)
	objects := p.Client.StorageV1().CSIStorageCapacities(p.Namespace)
	switch {
	case before == nil:
		_, err = objects.Create(ctx, now, metav1.CreateOptions{})
	case !same(before, now):
		now.ResourceVersion = before.ResourceVersion
		_, err = objects.Update(ctx, now, metav1.UpdateOptions{})
	}
	return err
}

// object says what was measured. An empty selector is every node; none at all would be no node.
func (p *Publisher) object(class string, answer *csi.GetCapacityResponse, owner []metav1.OwnerReference) *storage.CSIStorageCapacity {
	o := &storage.CSIStorageCapacity{
		ObjectMeta:       metav1.ObjectMeta{Name: nameOf(p.DriverName, class), Namespace: p.Namespace, Labels: p.labels(), OwnerReferences: owner},
		StorageClassName: class,
		NodeTopology:     &metav1.LabelSelector{},
		Capacity:         mebibytes(answer.GetAvailableCapacity()),
	}
	if most := answer.GetMaximumVolumeSize(); most != nil {
		o.MaximumVolumeSize = mebibytes(most.GetValue())
	}
	return o
}

// mebibytes are whole ones, so that not every byte is news.
func mebibytes(n int64) *resource.Quantity {
	return resource.NewQuantity(max(n, 0)>>20<<20, resource.BinarySI)
}

func same(a, b *storage.CSIStorageCapacity) bool {
	equal := func(a, b *resource.Quantity) bool { return (a == nil) == (b == nil) && (a == nil || a.Cmp(*b) == 0) }
	uids := func(o *storage.CSIStorageCapacity) (u []string) {
		for _, r := range o.OwnerReferences {
			u = append(u, string(r.UID))
		}
		return u
	}
	return equal(a.Capacity, b.Capacity) && equal(a.MaximumVolumeSize, b.MaximumVolumeSize) && slices.Equal(uids(a), uids(b))
}

// owner is asked for each time: a Deployment may be made anew.
func (p *Publisher) owner(ctx context.Context) ([]metav1.OwnerReference, error) {
	if p.Owner == "" {
		return nil, nil
	}
	d, err := p.Client.AppsV1().Deployments(p.Namespace).Get(ctx, p.Owner, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("looking for the Deployment %s/%s that is to own the CSIStorageCapacities: %w", p.Namespace, p.Owner, err)
	}
	return []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: d.Name, UID: d.UID}}, nil
}

func (p *Publisher) labels() map[string]string {
	return map[string]string{managedBy: manager, driverLabel: p.DriverName}
}

// nameOf is the same for each process that publishes for this driver.
func nameOf(driver, class string) string {
	sum := sha256.Sum256([]byte(driver + "\x00" + class))
	return "nfs-csi-" + hex.EncodeToString(sum[:10])
}
