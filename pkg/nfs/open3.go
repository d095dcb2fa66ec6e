package nfs

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/nfs3"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

func (f *FS) open3(ctx context.Context, c Config) error {
	client, err := nfs3.Connect(ctx, nfs3.Config{
		Dialer: c.dialer(), Port: c.Port, MountPort: c.MountPort, Silence: c.CallTimeout, Cred: f.cred, Export: c.Export,
	})
	switch {
	case errors.Is(err, nfs3.ErrFlavor):
		return fmt.Errorf("%w: %w (add sec=sys to the export)", ErrRefused, err)
	case status.Of(err) != status.OK:
		return explainWalk(err)
	case err != nil:
		return versionMissing(err)
	}
	f.client = client
	root, err := client.Getattr(ctx, &f.cred, nil)
	if err != nil {
		return explainWalk(err)
	}
	if !root.IsDir() {
		return fmt.Errorf("the export is no directory: %w", syscall.ENOTDIR)
	}
	writable, err := f.identify(ctx, c, &root)
	if err != nil {
		return err
	}
	return mustWrite(c, writable)
}
