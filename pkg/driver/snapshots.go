package driver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// CreateSnapshot copies a volume as it is now, or finds the copy that the same request made before. It is complete, and so
// ready to use, when the call succeeds.
func (c *Controller) CreateSnapshot(ctx context.Context, r *csi.CreateSnapshotRequest) (*csi.CreateSnapshotResponse, error) {
	request, err := parseCreateSnapshot(r)
	if err != nil {
		return nil, statusOf(err)
	}
	s, err := c.store.CreateSnapshot(ctx, request)
	if err != nil {
		return nil, statusOf(err)
	}
	return &csi.CreateSnapshotResponse{Snapshot: describeSnapshot(s)}, nil
}

// DeleteSnapshot removes a snapshot. One whose ID does not parse is left alone and the call succeeds, as with DeleteVolume.
func (c *Controller) DeleteSnapshot(ctx context.Context, r *csi.DeleteSnapshotRequest) (*csi.DeleteSnapshotResponse, error) {
	if err := remove(ctx, c.log, "snapshot", r.GetSnapshotId(), r.GetSecrets(), volume.ParseSnapshotID, c.store.DeleteSnapshot); err != nil {
		return nil, statusOf(err)
	}
	return &csi.DeleteSnapshotResponse{}, nil
}

// GetSnapshot finds a snapshot.
func (c *Controller) GetSnapshot(ctx context.Context, r *csi.GetSnapshotRequest) (*csi.GetSnapshotResponse, error) {
	id, err := parseSnapshotID("snapshot ID", r.GetSnapshotId())
	options, err2 := secretOptions(r.GetSecrets())
	if err := errors.Join(err, err2); err != nil {
		return nil, statusOf(err)
	}
	found, _, err := c.store.ListSnapshots(ctx, volume.SnapshotFilter{ID: &id, MountOptions: options}, "", 1)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("snapshot %q: %w", id.Name, volume.ErrNotFound)
	}
	if err != nil {
		return nil, statusOf(err)
	}
	return &csi.GetSnapshotResponse{Snapshot: describeSnapshot(found[0])}, nil
}

// ListSnapshots lists the snapshots that are complete: all, one, or those of one volume.
func (c *Controller) ListSnapshots(ctx context.Context, r *csi.ListSnapshotsRequest) (*csi.ListSnapshotsResponse, error) {
	options, err := secretOptions(r.GetSecrets())
	if err := errors.Join(err, checkPage(r.GetMaxEntries())); err != nil {
		return nil, statusOf(err)
	}
	filter, err := parseFilter(r)
	if err != nil { // there is no snapshot of what has such a handle
		return &csi.ListSnapshotsResponse{}, nil //nolint:nilerr // CSI wants an empty list
	}
	filter.MountOptions = options
	snapshots, next, err := c.store.ListSnapshots(ctx, filter, r.GetStartingToken(), int(r.GetMaxEntries()))
	if err != nil {
		return nil, statusOf(err)
	}
	answer := &csi.ListSnapshotsResponse{NextToken: next}
	for _, s := range snapshots {
		answer.Entries = append(answer.Entries, &csi.ListSnapshotsResponse_Entry{Snapshot: describeSnapshot(s)})
	}
	return answer, nil
}

// parseCreateSnapshot reports every mistake in r.
func parseCreateSnapshot(r *csi.CreateSnapshotRequest) (volume.SnapshotRequest, error) {
	source, err := parseVolumeID("source volume ID", r.GetSourceVolumeId())
	mistakes := []error{checkName("snapshot name", r.GetName()), err}
	var ofClass []string
	if err == nil {
		ofClass, err = parseSnapshotClass(r.GetParameters(), source.Location)
		mistakes = append(mistakes, err)
	}
	ofSecrets, err := secretOptions(r.GetSecrets())
	return volume.SnapshotRequest{
		Name:         r.GetName(),
		Source:       source,
		MountOptions: append(ofClass, ofSecrets...),
	}, errors.Join(append(mistakes, err)...)
}

// parseSnapshotClass reads the parameters of a VolumeSnapshotClass, those of csi-driver-nfs, for a volume on the share at l:
// mountOptions, and server and share, which may only say where the volume is anyway. If they could say another place, a
// snapshot would show the data of another share to whoever may restore it.
func parseSnapshotClass(parameters map[string]string, l volume.Location) (mountOptions []string, err error) {
	var mistakes []error
	for _, key := range slices.Sorted(maps.Keys(parameters)) {
		value, named := parameters[key], l
		switch {
		case strings.HasPrefix(key, parameterPrefix):
			continue // which snapshot it is for, and where its secrets are
		case strings.EqualFold(key, volume.ParamServer):
			named.Server = value
		case strings.EqualFold(key, volume.ParamShare):
			named.Share = value
		case strings.EqualFold(key, volume.ParamMountOptions):
			mountOptions = append(mountOptions, volume.SplitOptions(value)...)
		default:
			mistakes = append(mistakes, fmt.Errorf("%w: parameter %q of the VolumeSnapshotClass is not known; known are %s",
				volume.ErrInvalid, key, strings.Join(volume.Names(volume.InSnapshotClass), ", ")))
		}
		mistakes = append(mistakes, checkSameShare(named, l))
	}
	return mountOptions, errors.Join(append(mistakes, checkFlags(mountOptions))...)
}

// parameterPrefix begins the parameters that the orchestrator adds.
const parameterPrefix = "csi.storage.k8s.io/"

func checkSameShare(named, l volume.Location) error {
	got, err := volume.ParseLocation(named.Server, named.Share)
	if err == nil && (!strings.EqualFold(got.Server, l.Server) || got.Share != l.Share) {
		err = fmt.Errorf("%w: the VolumeSnapshotClass names %s, but the volume is on %s and its snapshots are beside it: leave out server and share",
			volume.ErrInvalid, got, l)
	}
	return err
}

func parseFilter(r *csi.ListSnapshotsRequest) (volume.SnapshotFilter, error) {
	var f volume.SnapshotFilter
	var mistakes []error
	if handle := r.GetSnapshotId(); handle != "" {
		id, err := parseSnapshotID("snapshot ID", handle)
		f.ID, mistakes = &id, append(mistakes, err)
	}
	if handle := r.GetSourceVolumeId(); handle != "" {
		id, err := parseVolumeID("source volume ID", handle)
		f.Source, mistakes = &id, append(mistakes, err)
	}
	return f, errors.Join(mistakes...)
}

// describeSnapshot answers the name of the volume where its handle is not known.
func describeSnapshot(s volume.Snapshot) *csi.Snapshot {
	return &csi.Snapshot{
		SnapshotId:     s.ID.String(),
		SourceVolumeId: cmp.Or(s.Source, s.ID.Source),
		SizeBytes:      s.SizeBytes,
		CreationTime:   timestamppb.New(s.Created),
		ReadyToUse:     true,
	}
}
