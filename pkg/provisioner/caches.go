package provisioner

import (
	"maps"
	"slices"
	"sync"

	v1 "k8s.io/api/core/v1"
	storage "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	coreinformers "k8s.io/client-go/informers/core/v1"
	storageinformers "k8s.io/client-go/informers/storage/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// caches mirror what the API server has, without what we do not need: in a big cluster most claims are bound already
// and most volumes are other drivers'. They are filled also in a process that does not lead, so that it takes over at
// once.
type caches struct {
	claims, volumes, classes cache.SharedIndexInformer
}

func newCaches(client kubernetes.Interface, driver string, legacy Legacy) caches {
	c := caches{
		claims:  coreinformers.NewPersistentVolumeClaimInformer(client, metav1.NamespaceAll, resync, cache.Indexers{}),
		volumes: coreinformers.NewPersistentVolumeInformer(client, resync, placeIndexes()),
		classes: storageinformers.NewStorageClassInformer(client, resync, cache.Indexers{}),
	}
	// SetTransform fails only on an informer that runs.
	_ = c.claims.SetTransform(slimClaim)
	_ = c.volumes.SetTransform(func(object any) (any, error) { return slimVolume(object, driver, legacy), nil })
	_ = c.classes.SetTransform(slimClass)
	return c
}

func (c caches) all() map[string]cache.SharedIndexInformer {
	return map[string]cache.SharedIndexInformer{"claims": c.claims, "volumes": c.volumes, "classes": c.classes}
}

// libraryVolumes are the volumes as the library sees them. It puts each one into the store when it is about to be saved, so that its claim
// gets no second one. In the informer's own store that would take the place of what has come of the volume meanwhile: one whose claim had
// gone, and which was Released by then, would never be deleted.
type libraryVolumes struct {
	cache.SharedIndexInformer
	store *savingStore
}

func newLibraryVolumes(informer cache.SharedIndexInformer) libraryVolumes {
	store := &savingStore{Store: informer.GetStore(), saving: map[string]any{}}
	// A handler cannot be added only to an informer that has ended.
	_, _ = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: store.forget})
	return libraryVolumes{informer, store}
}

// GetStore is where the library looks.
func (v libraryVolumes) GetStore() cache.Store { return v.store }

// savingStore is an informer's store, and beside it what the informer does not know yet.
type savingStore struct {
	cache.Store
	mu     sync.Mutex
	saving map[string]any
}

// Add keeps an object until the informer knows one of that name.
func (s *savingStore) Add(object any) error {
	key, err := cache.MetaNamespaceKeyFunc(object)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saving[key] = object
	return nil
}

// GetByKey answers what the informer knows, or else what is being saved.
func (s *savingStore) GetByKey(key string) (object any, exists bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	object, exists, err = s.Store.GetByKey(key)
	if exists || err != nil {
		delete(s.saving, key)
		return object, exists, err
	}
	object, exists = s.saving[key]
	return object, exists, nil
}

func (s *savingStore) forget(object any) {
	if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.saving, key)
	}
}

// keptAnnotations are those of a claim with a volume that resizing reads and writes.
var keptAnnotations = [...]string{"volume.kubernetes.io/storage-resizer", "volume.kubernetes.io/node-expansion-not-required"}

// slimClaim keeps of a claim with a volume only what an Event on it and resizing need. Resizing sends differences
// between two such claims to the API server, so what is not kept is not changed.
func slimClaim(object any) (any, error) {
	claim, ok := object.(*v1.PersistentVolumeClaim)
	if !ok {
		return object, nil
	}
	if claim.Spec.VolumeName == "" {
		claim.ManagedFields = nil
		return claim, nil
	}
	slim := &v1.PersistentVolumeClaim{
		ObjectMeta: identity(claim.ObjectMeta),
		Spec: v1.PersistentVolumeClaimSpec{
			VolumeName: claim.Spec.VolumeName, Resources: claim.Spec.Resources, VolumeAttributesClassName: claim.Spec.VolumeAttributesClassName,
		},
		Status: claim.Status,
	}
	for _, key := range keptAnnotations {
		if value, ok := claim.Annotations[key]; ok {
			metav1.SetMetaDataAnnotation(&slim.ObjectMeta, key, value)
		}
	}
	return slim, nil
}

// slimVolume keeps little of a volume that is not of our CSI driver, see [Legacy.slim]. One of our driver is ours alone to delete, whatever
// name its class had: the library asks only for that name, and would leave it Released for ever once the name is none of ours. What is sent
// to the API server are differences of cached objects, so in the cluster the name stays.
func slimVolume(object any, driver string, legacy Legacy) any {
	pv, ok := object.(*v1.PersistentVolume)
	if !ok {
		return object
	}
	if pv.Spec.CSI == nil || pv.Spec.CSI.Driver != driver {
		return legacy.slim(pv)
	}
	pv.ManagedFields = nil
	if by := pv.Annotations[annProvisionedBy]; by != "" && by != driver && !slices.Contains(legacy.Names, by) {
		pv.Annotations = maps.Clone(pv.Annotations)
		pv.Annotations[annProvisionedBy] = driver
	}
	return pv
}

func slimClass(object any) (any, error) {
	if class, ok := object.(*storage.StorageClass); ok {
		class.ManagedFields = nil
	}
	return object, nil
}

func identity(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion}
}

// anyNode is a list of nodes that has every one. The library asks whether the node exists that the scheduler chose for
// a claim (WaitForFirstConsumer); a volume of ours is reached from every node, so it does not matter, and asking the
// API server would cost a round trip and a permission.
type anyNode struct{}

func (anyNode) List(labels.Selector) ([]*v1.Node, error) { return nil, nil }

func (anyNode) Get(name string) (*v1.Node, error) {
	return &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, nil
}
