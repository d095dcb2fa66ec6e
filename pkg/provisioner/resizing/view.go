package resizing

import (
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"
)

// view is an informer as the library sees it. The library puts into the store what its patches made of an object. In the
// informer's own store, which others work on too, that would take the place of what has come of the object meanwhile: a
// volume that was Released by then would never be deleted.
type view struct {
	cache.SharedIndexInformer
	store    *patchedStore
	handlers []cache.ResourceEventHandler // the library's
}

func viewOf(informer cache.SharedIndexInformer) *view {
	return &view{SharedIndexInformer: informer, store: &patchedStore{Store: informer.GetStore(), patched: map[string]any{}}}
}

// AddEventHandlerWithResyncPeriod is how the library asks for events. It does so before it runs.
func (v *view) AddEventHandlerWithResyncPeriod(h cache.ResourceEventHandler, resync time.Duration) (cache.ResourceEventHandlerRegistration, error) {
	v.handlers = append(v.handlers, h)
	return v.SharedIndexInformer.AddEventHandlerWithResyncPeriod(h, resync)
}

// again has the library look at an object once more.
func (v *view) again(object any) {
	for _, h := range v.handlers {
		h.OnAdd(object, false)
	}
}

// GetStore is where the library looks, and what it writes to.
func (v *view) GetStore() cache.Store { return v.store }

// patchedStore is an informer's store, and beside it what the informer does not know yet.
type patchedStore struct {
	cache.Store
	mu      sync.Mutex
	patched map[string]any
}

// Update keeps an object until the informer knows it, or what has come of it.
func (s *patchedStore) Update(object any) error {
	key, err := cache.MetaNamespaceKeyFunc(object)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.patched[key] = object
	return nil
}

// GetByKey answers the newer of what the informer knows and what was patched. What the informer does not know is gone.
func (s *patchedStore) GetByKey(key string) (object any, exists bool, err error) {
	object, exists, err = s.Store.GetByKey(key)
	if err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	patched, ok := s.patched[key]
	if ok && exists && !reached(object, patched) {
		return patched, true, nil
	}
	delete(s.patched, key)
	return object, exists, nil
}

// reached says whether what is known of an object is as new as what was patched.
func reached(known, patched any) bool {
	k, ok := known.(metav1.Object)
	p, ok2 := patched.(metav1.Object)
	if !ok || !ok2 {
		return true
	}
	newer, err := resourceversion.CompareResourceVersion(k.GetResourceVersion(), p.GetResourceVersion())
	return err == nil && newer >= 0
}
