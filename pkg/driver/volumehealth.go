package driver

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// settled is how old a volume must be before a missing directory is an ailment: until then it may still be in the making.
const settled = 10 * time.Minute

// healthPage is how many volumes are looked at between two pages of the store.
const healthPage = 100

// healthLooks bounds how many volumes are looked at at once.
const healthLooks = 16

// ControllerGetVolumeHealth says whether the volume's directory can be reached from here, and whether its share is full.
func (c *Controller) ControllerGetVolumeHealth(ctx context.Context, r *csi.ControllerGetVolumeHealthRequest) (*csi.ControllerGetVolumeHealthResponse, error) {
	id, err := parseVolumeID("volume ID", r.GetVolumeId())
	if err != nil {
		return nil, statusOf(err)
	}
	found, err := c.examine(ctx, id)
	if err != nil {
		return nil, statusOf(err)
	}
	return &csi.ControllerGetVolumeHealthResponse{VolumeHealth: describeHealth(r.GetVolumeId(), found)}, nil
}

// ControllerListVolumeHealth lists the volumes that have a record and are not well. While a share cannot be asked there is no
// list, as with ListVolumes.
func (c *Controller) ControllerListVolumeHealth(ctx context.Context, r *csi.ControllerListVolumeHealthRequest) (*csi.ControllerListVolumeHealthResponse, error) {
	if err := checkPage(r.GetMaxEntries()); err != nil {
		return nil, statusOf(err)
	}
	answer := &csi.ControllerListVolumeHealthResponse{NextToken: r.GetStartingToken()}
	for limit := int(r.GetMaxEntries()); ; {
		page := healthPage
		if limit > 0 {
			page = min(page, limit-len(answer.GetEntries())) // all of them may be ill
		}
		volumes, next, err := c.store.List(ctx, answer.GetNextToken(), page)
		if err != nil {
			return nil, statusOf(err)
		}
		ill, err := c.examineAll(ctx, volumes)
		if err != nil {
			return nil, statusOf(err)
		}
		answer.Entries, answer.NextToken = append(answer.Entries, ill...), next
		if next == "" || limit > 0 && len(answer.GetEntries()) == limit {
			return answer, nil
		}
	}
}

// examineAll answers those of the volumes that are not well, in order.
func (c *Controller) examineAll(ctx context.Context, volumes []volume.Volume) ([]*csi.VolumeHealth, error) {
	found, errs := make([][]ailment, len(volumes)), make([]error, len(volumes))
	var looking sync.WaitGroup
	looks := make(chan struct{}, healthLooks)
	for i, v := range volumes {
		looks <- struct{}{}
		looking.Go(func() {
			found[i], errs[i] = c.examineListed(ctx, v)
			<-looks
		})
	}
	looking.Wait()
	var ill []*csi.VolumeHealth
	for i, v := range volumes {
		if len(found[i]) > 0 {
			ill = append(ill, describeHealth(v.ID.String(), found[i]))
		}
	}
	return ill, errors.Join(errs...)
}

// examineListed is examine for a volume that has a record. One whose directory is missing is being deleted, or is not well.
func (c *Controller) examineListed(ctx context.Context, v volume.Volume) ([]ailment, error) {
	found, err := c.examine(ctx, v.ID)
	if !errors.Is(err, volume.ErrNotFound) {
		return found, err
	}
	if v.Created.IsZero() || time.Since(v.Created) < settled {
		return nil, nil
	}
	return []ailment{{csi.VolumeHealthErrorType_INACCESSIBLE, reasonMissing,
		oneLine(err) + ": unless the volume is just being deleted, look for the directory on the server"}}, nil
}

// examine finds the volume, by which its server answers, and measures its share.
func (c *Controller) examine(ctx context.Context, id volume.ID) ([]ailment, error) {
	start := time.Now()
	_, err := c.store.Get(ctx, id)
	var space volume.Space
	if err == nil {
		space, err = c.store.Space(ctx, id.Location, nil)
	}
	return diagnose(volume.Usage{TotalBytes: space.Total, AvailableBytes: space.Available, Took: time.Since(start)}, err)
}
