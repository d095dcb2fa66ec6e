package driver

import (
	"context"
	"fmt"
	"regexp"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// DefaultName is the driver's name where the install gives no other: that of csi-driver-nfs, whose volumes are then ours.
const DefaultName = "nfs.csi.k8s.io"

// Identity is the CSI identity service.
type Identity struct {
	csi.UnimplementedIdentityServer
	name, version string
}

// NewIdentity makes the identity service; [volume.ErrInvalid] if name cannot be a driver's name.
func NewIdentity(name, version string) (*Identity, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	return &Identity{name: name, version: version}, nil
}

// CheckName checks a driver's name: at most 63 letters, digits, "-" and ".", a letter or a digit at both ends (CSI spec,
// GetPluginInfoResponse).
func CheckName(name string) error {
	if !regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,61}[a-zA-Z0-9])?$`).MatchString(name) {
		return fmt.Errorf("%w: driver name %q: it must be at most 63 letters, digits, '-' and '.', as in %s", volume.ErrInvalid, name, DefaultName)
	}
	return nil
}

// GetPluginInfo names the driver.
func (i *Identity) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: i.name, VendorVersion: i.version}, nil
}

// GetPluginCapabilities says that there is a controller service and that volumes grow while they are used; every node
// reaches every volume, so there is no topology.
func (i *Identity) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	return &csi.GetPluginCapabilitiesResponse{Capabilities: []*csi.PluginCapability{
		{Type: &csi.PluginCapability_Service_{Service: &csi.PluginCapability_Service{
			Type: csi.PluginCapability_Service_CONTROLLER_SERVICE,
		}}},
		{Type: &csi.PluginCapability_VolumeExpansion_{VolumeExpansion: &csi.PluginCapability_VolumeExpansion{
			Type: csi.PluginCapability_VolumeExpansion_ONLINE,
		}}},
	}}, nil
}

// Probe says ready. It asks no NFS server: one that is down must not make kubelet restart the driver of all others.
func (i *Identity) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{Ready: wrapperspb.Bool(true)}, nil
}
