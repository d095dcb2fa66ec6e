package provisioner

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	storage "k8s.io/api/storage/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Visits shows the share of every class of ours to whoever goes on with what an earlier process left there.
type Visits struct {
	Visit    func(ctx context.Context, l volume.Location, mountOptions []string) error
	Ours     func(provisioner string) bool
	Legacy   Legacy
	Defaults volume.Defaults // of classes that are silent
	Classes  cache.SharedIndexInformer
	Every    time.Duration // between two looks at the classes; 0: 30 s
	Log      *slog.Logger
}

// visitTimeout bounds one visit, visitAgain is how soon one that went well is repeated: another process may have led
// meanwhile, and archives become due.
const visitTimeout, visitAgain = 20 * time.Second, 15 * time.Minute

type place struct {
	location     volume.Location
	mountOptions string
}

// Run visits until ctx ends. It is called while this process leads.
func (v Visits) Run(ctx context.Context) {
	if v.Every == 0 {
		v.Every = 30 * time.Second
	}
	visited := map[place]time.Time{}
	for ctx.Err() == nil {
		v.round(ctx, visited)
		timer := time.NewTimer(v.Every)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// round visits at once all places that are due.
func (v Visits) round(ctx context.Context, visited map[place]time.Time) {
	var mu sync.Mutex
	var visits sync.WaitGroup
	for p, mountOptions := range v.places() {
		mu.Lock()
		last := visited[p]
		mu.Unlock()
		if time.Since(last) < visitAgain {
			continue
		}
		visits.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, visitTimeout)
			defer cancel()
			if err := v.Visit(ctx, p.location, mountOptions); err != nil {
				v.Log.Warn("looking at a share for what is left to remove, trying again", "share", p.location, "err", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			visited[p] = time.Now()
		})
	}
	visits.Wait()
}

// places are the shares of our classes. A class that cannot be read says so when a claim names it.
func (v Visits) places() map[place][]string {
	places := map[place][]string{}
	for _, object := range v.Classes.GetStore().List() {
		class, ok := object.(*storage.StorageClass)
		if !ok || !v.Ours(class.Provisioner) {
			continue
		}
		parsed, err := volume.ParseClass(v.Legacy.Parameters(class), v.Defaults)
		if err != nil {
			continue
		}
		options := slices.Sorted(slices.Values(class.MountOptions))
		places[place{parsed.Location, strings.Join(options, ",")}] = class.MountOptions
	}
	return places
}

// Ways are the mount options of the classes that use the share at l, each once.
func (v Visits) Ways(l volume.Location) [][]string {
	var ways [][]string
	places := v.places()
	for _, p := range slices.SortedFunc(maps.Keys(places), func(a, b place) int { return strings.Compare(a.mountOptions, b.mountOptions) }) {
		if p.location == l {
			ways = append(ways, places[p])
		}
	}
	return ways
}
