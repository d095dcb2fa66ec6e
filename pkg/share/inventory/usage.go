package inventory

import (
	"context"
	"errors"
	"sync"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// measured is how many items are walked through at once; each has many calls in flight.
const measured = 2

// Measure walks through everything that has content and fills in what it takes.
func Measure(ctx context.Context, shares Shares, l volume.Location, items []Item) error {
	errs := make([]error, measured)
	queue := make(chan *Item)
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for i := range queue {
				used, err := shares.Usage(ctx, l, i.path, nil)
				if err != nil {
					errs[w] = errors.Join(errs[w], err)
					continue
				}
				i.Used = &Used{Bytes: used.Bytes, Files: used.Files, Partly: used.Partly}
			}
		})
	}
	for n := range items {
		if i := &items[n]; i.path != "" && i.State != Missing {
			queue <- i
		}
	}
	close(queue)
	wg.Wait()
	return errors.Join(errs...)
}
