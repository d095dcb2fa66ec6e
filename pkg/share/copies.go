package share

import (
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/registry"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Copy is a copy that is being made beside calls.
type Copy struct {
	Location     volume.Location
	Op           string    // clone, restore or snapshot
	Name         string    // of the volume or the snapshot that is being made
	Began        time.Time // of the operation; it may be waiting for other copies first
	Files, Bytes int64     // copied so far
	// TotalFiles and TotalBytes are what the source holds; 0 while that is not known.
	TotalFiles, TotalBytes int64
}

// copyKey names what is being made.
type copyKey struct {
	location volume.Location
	kind     registry.Kind
	name     string
}

// copied is what a copy has become: one of the two.
type copied struct {
	volume   volume.Volume
	snapshot volume.Snapshot
}

// Copies lists the copies that are being made, oldest first.
func (m *Manager) Copies() []Copy {
	var all []Copy
	for _, r := range m.copies.Running() {
		all = append(all, Copy{Location: r.Key.location, Op: r.Op, Name: r.Key.name, Began: r.Began,
			Files: r.Files, Bytes: r.Bytes, TotalFiles: r.TotalFiles, TotalBytes: r.TotalBytes})
	}
	return all
}
