package nfs

import (
	"context"
	"errors"
	"fmt"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/nfs3"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

func (o *opening) open3(ctx context.Context) error {
	c := o.config
	client, err := nfs3.Connect(ctx, nfs3.Config{
		Dialer: o.dialer, Port: c.Port, MountPort: c.MountPort, Silence: c.CallTimeout, Cred: o.cred, Export: c.Export,
	})
	switch {
	case errors.Is(err, nfs3.ErrFlavor):
		return fmt.Errorf("%w: %w (add sec=sys to the export)", ErrRefused, err)
	case status.Of(err) != status.OK:
		return o.explainWalk(err)
	case err != nil:
		return versionMissing(err)
	}
	o.client = client
	root, err := client.Getattr(ctx, &o.cred, nil)
	if err != nil {
		return o.explainWalk(err)
	}
	if !root.IsDir() {
		return errNoDirectory
	}
	writable, err := o.identify(ctx, &root)
	if err != nil {
		return err
	}
	return o.mustWrite(writable)
}
