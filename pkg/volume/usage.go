package volume

import "time"

// Usage is what a mounted volume's file system reports. NFS reports the whole export's file system, not the one
// directory's, so every volume of an export shows the same figures.
type Usage struct {
	TotalBytes, UsedBytes, AvailableBytes    uint64
	TotalInodes, UsedInodes, AvailableInodes uint64        // all 0 where the server does not count inodes
	Took                                     time.Duration // until the server had answered; it may take longer still
}
