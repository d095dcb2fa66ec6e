package driver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"unicode"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Controller is the CSI controller service over [Volumes]. Its methods check what they get and answer gRPC status errors
// even when they are called without a socket, as the provisioner does.
type Controller struct {
	csi.UnimplementedControllerServer
	volumes  Volumes
	defaults volume.Defaults
	log      *slog.Logger
}

// NewController makes the controller service; defaults serve where a StorageClass is silent.
func NewController(volumes Volumes, defaults volume.Defaults, log *slog.Logger) *Controller {
	return &Controller{volumes: volumes, defaults: defaults, log: log}
}

// CreateVolume makes a directory, or finds the one that the same request made before.
func (c *Controller) CreateVolume(ctx context.Context, r *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	request, err := c.parseCreate(r)
	if err != nil {
		return nil, statusOf(err)
	}
	v, err := c.volumes.Create(ctx, request)
	if err != nil {
		return nil, statusOf(err)
	}
	return &csi.CreateVolumeResponse{Volume: describe(v)}, nil
}

// DeleteVolume does to the directory what the volume's policy says. A volume whose ID says no directory, as those of
// static PersistentVolumes do, is left alone and the call succeeds: there is nothing that this driver made.
func (c *Controller) DeleteVolume(ctx context.Context, r *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	if r.GetVolumeId() == "" {
		return nil, statusOf(missing("volume ID"))
	}
	id, err := volume.ParseID(r.GetVolumeId())
	if err != nil {
		c.log.WarnContext(ctx, "volume is left as it is: its ID names no directory that this driver may delete", "volume", shorten(r.GetVolumeId()), "err", shorten(oneLine(err)))
		return &csi.DeleteVolumeResponse{}, nil
	}
	options := secretOptions(r.GetSecrets())
	if err := checkFlags(options); err != nil {
		return nil, statusOf(err)
	}
	if err := c.volumes.Delete(ctx, id, options); err != nil {
		return nil, statusOf(err)
	}
	return &csi.DeleteVolumeResponse{}, nil
}

// ValidateVolumeCapabilities confirms what the volume can be used for; what it cannot is no error, but said in the message.
func (c *Controller) ValidateVolumeCapabilities(ctx context.Context, r *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	var mistakes []error
	if r.GetVolumeId() == "" {
		mistakes = append(mistakes, missing("volume ID"))
	}
	if len(r.GetVolumeCapabilities()) == 0 {
		mistakes = append(mistakes, errNoCapabilities())
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, statusOf(err)
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
	}}, nil
}

// ListVolumes lists the volumes that have a record.
func (c *Controller) ListVolumes(ctx context.Context, r *csi.ListVolumesRequest) (*csi.ListVolumesResponse, error) {
	if r.GetMaxEntries() < 0 {
		return nil, statusOf(fmt.Errorf("%w: max_entries is %d", volume.ErrInvalid, r.GetMaxEntries()))
	}
	volumes, next, err := c.volumes.List(ctx, r.GetStartingToken(), int(r.GetMaxEntries()))
	if err != nil {
		return nil, statusOf(err)
	}
	answer := &csi.ListVolumesResponse{NextToken: next}
	for _, v := range volumes {
		answer.Entries = append(answer.Entries, &csi.ListVolumesResponse_Entry{Volume: describe(v)})
	}
	return answer, nil
}

// GetCapacity is the space that the share named by the parameters, or else by the install's defaults, has left. No volume
// is held to its size, so this is also the largest that makes sense.
func (c *Controller) GetCapacity(ctx context.Context, r *csi.GetCapacityRequest) (*csi.GetCapacityResponse, error) {
	class, err := volume.ParseClass(r.GetParameters(), c.defaults)
	if len(r.GetVolumeCapabilities()) > 0 {
		err = errors.Join(err, checkCapabilities(r.GetVolumeCapabilities()))
	}
	if err != nil {
		return nil, statusOf(err)
	}
	space, err := c.volumes.Space(ctx, class.Location)
	if err != nil {
		return nil, statusOf(err)
	}
	available := clamp(space.Available)
	return &csi.GetCapacityResponse{AvailableCapacity: available, MaximumVolumeSize: wrapperspb.Int64(available)}, nil
}

// ControllerGetVolume finds a volume.
func (c *Controller) ControllerGetVolume(ctx context.Context, r *csi.ControllerGetVolumeRequest) (*csi.ControllerGetVolumeResponse, error) {
	if r.GetVolumeId() == "" {
		return nil, statusOf(missing("volume ID"))
	}
	v, err := c.get(ctx, r.GetVolumeId())
	if err != nil {
		return nil, statusOf(err)
	}
	return &csi.ControllerGetVolumeResponse{Volume: describe(v), Status: &csi.ControllerGetVolumeResponse_VolumeStatus{}}, nil
}

// ControllerGetCapabilities says which of the controller's calls there are.
func (c *Controller) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	answer := &csi.ControllerGetCapabilitiesResponse{}
	for _, t := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_LIST_VOLUMES,
		csi.ControllerServiceCapability_RPC_GET_CAPACITY,
		csi.ControllerServiceCapability_RPC_GET_VOLUME,
		csi.ControllerServiceCapability_RPC_SINGLE_NODE_MULTI_WRITER,
	} {
		answer.Capabilities = append(answer.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: t}},
		})
	}
	return answer, nil
}

// get finds the volume of a handle. There is no volume for a handle that does not parse.
func (c *Controller) get(ctx context.Context, handle string) (volume.Volume, error) {
	id, err := volume.ParseID(handle)
	if err != nil {
		return volume.Volume{}, fmt.Errorf("%w: volume %q: %s", volume.ErrNotFound, handle, err)
	}
	return c.volumes.Get(ctx, id)
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
	return errors.Join(append(mistakes, checkMutable(r.GetMutableParameters()))...)
}

// parseCreate reports every mistake in r.
func (c *Controller) parseCreate(r *csi.CreateVolumeRequest) (volume.Request, error) {
	class, err := volume.ParseClass(r.GetParameters(), c.defaults)
	mistakes := []error{checkVolumeName(r.GetName()), checkCapabilities(r.GetVolumeCapabilities()), checkRange(r.GetCapacityRange()),
		err, checkMutable(r.GetMutableParameters())}
	if r.GetVolumeContentSource() != nil {
		mistakes = append(mistakes, fmt.Errorf("%w: this driver makes empty volumes only: it cannot yet fill one from a snapshot or another volume", volume.ErrInvalid))
	}
	return volume.Request{
		Name:          r.GetName(),
		Class:         class,
		RequiredBytes: r.GetCapacityRange().GetRequiredBytes(),
		LimitBytes:    r.GetCapacityRange().GetLimitBytes(),
		MountOptions:  mountOptions(r.GetVolumeCapabilities()...),
	}, errors.Join(mistakes...)
}

// checkVolumeName refuses the characters that the CSI spec bans (CreateVolumeRequest.name).
func checkVolumeName(name string) error {
	if name == "" {
		return missing("volume name")
	}
	if strings.ContainsFunc(name, func(c rune) bool { return unicode.IsControl(c) && c != '\t' && c != '\n' && c != '\r' }) {
		return fmt.Errorf("%w: volume name %q has a control character", volume.ErrInvalid, name)
	}
	return nil
}

func checkRange(r *csi.CapacityRange) error {
	required, limit := r.GetRequiredBytes(), r.GetLimitBytes()
	switch {
	case required < 0 || limit < 0:
		return fmt.Errorf("%w: capacity is negative: required %d, limit %d", volume.ErrInvalid, required, limit)
	case limit > 0 && limit < required:
		return fmt.Errorf("%w: required capacity %d is above its limit %d", volume.ErrInvalid, required, limit)
	}
	return nil
}

func checkMutable(parameters map[string]string) error {
	if len(parameters) == 0 {
		return nil
	}
	return fmt.Errorf("%w: a volume has no parameters that can change: leave out volumeAttributesClassName", volume.ErrInvalid)
}

func missing(what string) error { return fmt.Errorf("%w: %s is missing", volume.ErrInvalid, what) }

// secretMountOptions is the key of the one secret that is read, in any case.
const secretMountOptions = "mountOptions"

// secretOptions reads the mount options of a volume whose class, where they came from, may be gone.
func secretOptions(secrets map[string]string) []string {
	var options []string
	for k, v := range secrets {
		if strings.EqualFold(k, secretMountOptions) {
			options = append(options, splitOptions(v)...)
		}
	}
	return options
}

func describe(v volume.Volume) *csi.Volume {
	return &csi.Volume{VolumeId: v.ID.String(), CapacityBytes: v.CapacityBytes, VolumeContext: v.ID.Context()}
}

func clamp(n uint64) int64 { return int64(min(n, math.MaxInt64)) }
