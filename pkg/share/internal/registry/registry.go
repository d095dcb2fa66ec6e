// Package registry keeps on a share which volume has which directory.
//
// Below the share, .nfs-csi holds what is known of its volumes:
//
//	volumes/NAME.json   the record of a volume, NAME being [volume.Key] of its name
//	directories/DIR     a link to ../volumes/NAME.json: the directory, DIR being its Key, belongs to that volume
//	archives/DIR.json   the record of an archived volume, DIR being the Key of the directory that it is in now
//	trash/              directories of deleted volumes, until their content is removed
//	snapshots/KEY       the tree of a snapshot, KEY being that of its name; KEY.json beside it is its record
//	parents/DIR         a link to the directory, DIR being its Key, that was made above those of volumes and goes with the last of them
//	staging/            files and copies of trees that are moved into place when they are whole
//
// Record and link are made before the directory and go after it, each by a call that only one caller can win, so two
// volumes never get one directory, whoever crashes and wherever. What an interrupted call left behind is understood
// and completed by the next call for the same volume.
//
// A deletion moves the directory and the reservation to staging first, and looks whose they are by then, since another process
// may have ended the same deletion and made another volume there: see [Share.Unreserve].
//
// Its methods are steps: whoever makes and deletes volumes takes them in an order that any crash and any rival may interrupt, see the
// packages beside this one. Names are keys ([volume.Key]) where a parameter is called key.
package registry

import (
	"log/slog"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/share/internal/storage"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// Share is one open share. The exported fields are set before it is used, and stay.
type Share struct {
	Location volume.Location
	FS       storage.FS
	Now      func() time.Time
	Classify func(error) error // see [failure.Kind]; may be nil
	Log      *slog.Logger
	// Trashed is told what has come into the trash, by its name there.
	Trashed func(name string)

	layout layout
}
