package nfs

import "context"

func (f *FS) open3(ctx context.Context, c Config, export []string) error { return errVersion }
