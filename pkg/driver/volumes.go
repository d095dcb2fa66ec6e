package driver

import (
	"context"
	"errors"
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// CreateVolume makes a directory, empty or with what a snapshot or another volume has in it, or finds the one that the
// same request made before.
func (c *Controller) CreateVolume(ctx context.Context, r *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	request, err := c.parseCreate(r)
	if err != nil {
		return nil, statusOf(err)
	}
	v, err := c.store.Create(ctx, request)
	if err != nil {
		return nil, statusOf(err)
	}
	made := describe(v)
	made.ContentSource = r.GetVolumeContentSource()
	return &csi.CreateVolumeResponse{Volume: made}, nil
}

// DeleteVolume does to the directory what the volume's policy says. A volume whose ID says no directory, as those of
// static PersistentVolumes do, is left alone and the call succeeds: there is nothing that this driver made.
func (c *Controller) DeleteVolume(ctx context.Context, r *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	if err := remove(ctx, c.log, "volume", r.GetVolumeId(), r.GetSecrets(), c.parseDeleted, c.store.Delete); err != nil {
		return nil, statusOf(err)
	}
	return &csi.DeleteVolumeResponse{}, nil
}

// parseDeleted reads the handle of a volume that is to be deleted. Where it does not say what becomes of the directory the install's
// default does, as with csi-driver-nfs; a volume of ours has a record, which counts more.
func (c *Controller) parseDeleted(handle string) (volume.ID, error) {
	id, err := volume.ParseID(handle)
	if err == nil && c.defaults.Policy != "" && !volume.SaysPolicy(handle) {
		id.Policy = c.defaults.Policy
	}
	return id, err
}

// ValidateVolumeCapabilities confirms what the volume can be used for; what it cannot is no error, but said in the message.
func (c *Controller) ValidateVolumeCapabilities(ctx context.Context, r *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if len(r.GetVolumeCapabilities()) == 0 {
		return nil, statusOf(errors.Join(required("volume ID", r.GetVolumeId()), errNoCapabilities()))
	}
	v, err := c.get(ctx, r.GetVolumeId())
	if err != nil {
		return nil, statusOf(err)
	}
	if err := c.checkUse(v.ID, r); err != nil {
		return &csi.ValidateVolumeCapabilitiesResponse{Message: oneLine(err)}, nil
	}
	return &csi.ValidateVolumeCapabilitiesResponse{Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{
		VolumeContext:      r.GetVolumeContext(),
		VolumeCapabilities: r.GetVolumeCapabilities(),
		Parameters:         r.GetParameters(),
		MutableParameters:  r.GetMutableParameters(),
	}}, nil
}

// ControllerGetVolume finds a volume.
func (c *Controller) ControllerGetVolume(ctx context.Context, r *csi.ControllerGetVolumeRequest) (*csi.ControllerGetVolumeResponse, error) {
	v, err := c.get(ctx, r.GetVolumeId())
	if err != nil {
		return nil, statusOf(err)
	}
	return &csi.ControllerGetVolumeResponse{Volume: describe(v), Status: &csi.ControllerGetVolumeResponse_VolumeStatus{}}, nil
}

// ListVolumes lists the volumes that have a record.
func (c *Controller) ListVolumes(ctx context.Context, r *csi.ListVolumesRequest) (*csi.ListVolumesResponse, error) {
	if err := checkPage(r.GetMaxEntries()); err != nil {
		return nil, statusOf(err)
	}
	volumes, next, err := c.store.List(ctx, r.GetStartingToken(), int(r.GetMaxEntries()))
	if err != nil {
		return nil, statusOf(err)
	}
	answer := &csi.ListVolumesResponse{NextToken: next}
	for _, v := range volumes {
		answer.Entries = append(answer.Entries, &csi.ListVolumesResponse_Entry{Volume: describe(v)})
	}
	return answer, nil
}

// GetCapacity is the space that the share named by the parameters, or else by the install's defaults, has left, but for what
// the class keeps back. No volume is held to its size, so this is also the largest that makes sense.
func (c *Controller) GetCapacity(ctx context.Context, r *csi.GetCapacityRequest) (*csi.GetCapacityResponse, error) {
	class, err := volume.ParseClass(r.GetParameters(), c.defaults)
	if len(r.GetVolumeCapabilities()) > 0 {
		err = errors.Join(err, checkCapabilities(r.GetVolumeCapabilities()))
	}
	if err != nil {
		return nil, statusOf(err)
	}
	space, err := c.store.Space(ctx, class.Location, mountOptions(r.GetVolumeCapabilities()...))
	if err != nil {
		return nil, statusOf(err)
	}
	available := clamp(space.Minus(class.Reserve).Available)
	return &csi.GetCapacityResponse{AvailableCapacity: available, MaximumVolumeSize: wrapperspb.Int64(available)}, nil
}

// get finds the volume of a handle.
func (c *Controller) get(ctx context.Context, handle string) (volume.Volume, error) {
	id, err := parseVolumeID("volume ID", handle)
	if err != nil {
		return volume.Volume{}, err
	}
	return c.store.Get(ctx, id)
}

// checkUse reports everything in r that the volume id cannot be used with.
func (c *Controller) checkUse(id volume.ID, r *csi.ValidateVolumeCapabilitiesRequest) error {
	mistakes := []error{checkCapabilities(r.GetVolumeCapabilities())}
	if attributes := r.GetVolumeContext(); len(attributes) > 0 {
		m, err := volume.ParseContext(attributes)
		if err == nil && (m.Server != id.Server || m.Path != id.Path(id.Dir)) {
			err = fmt.Errorf("volume attributes name %s:%s, the volume is %s:%s", m.Server, m.Path, id.Server, id.Path(id.Dir))
		}
		mistakes = append(mistakes, err)
	}
	if parameters := r.GetParameters(); len(parameters) > 0 {
		_, err := volume.ParseClass(parameters, c.defaults)
		mistakes = append(mistakes, err)
	}
	_, err := volume.ParseChanges(r.GetMutableParameters())
	return errors.Join(append(mistakes, err)...)
}

// parseCreate reports every mistake in r.
func (c *Controller) parseCreate(r *csi.CreateVolumeRequest) (volume.Request, error) {
	class, err := volume.ParseClass(r.GetParameters(), c.defaults)
	changes, err2 := volume.ParseChanges(r.GetMutableParameters())
	source, err3 := parseSource(r.GetVolumeContentSource())
	return volume.Request{
		Name:          r.GetName(),
		Class:         class,
		Changes:       changes,
		Source:        source,
		RequiredBytes: r.GetCapacityRange().GetRequiredBytes(),
		LimitBytes:    r.GetCapacityRange().GetLimitBytes(),
		MountOptions:  mountOptions(r.GetVolumeCapabilities()...),
	}, errors.Join(checkName("volume name", r.GetName()), checkCapabilities(r.GetVolumeCapabilities()), checkRange(r.GetCapacityRange()), err, err2, err3)
}

// parseSource reads what a new volume is filled from; nil: nothing.
func parseSource(s *csi.VolumeContentSource) (*volume.Source, error) {
	switch {
	case s == nil:
		return nil, nil
	case s.GetVolume() != nil:
		id, err := parseVolumeID("volume ID of the content source", s.GetVolume().GetVolumeId())
		return &volume.Source{Volume: &id}, err
	case s.GetSnapshot() != nil:
		id, err := parseSnapshotID("snapshot ID of the content source", s.GetSnapshot().GetSnapshotId())
		return &volume.Source{Snapshot: &id}, err
	}
	return nil, fmt.Errorf("%w: the content source is neither a volume nor a snapshot", volume.ErrInvalid)
}

func describe(v volume.Volume) *csi.Volume {
	return &csi.Volume{VolumeId: v.ID.String(), CapacityBytes: v.CapacityBytes, VolumeContext: v.ID.Context()}
}
