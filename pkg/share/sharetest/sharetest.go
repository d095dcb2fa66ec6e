// Package sharetest judges whether volumes are kept on a share as pkg/share promises.
//
// The promise is a suite that runs on any share: one in memory, and one of each real server through pkg/nfs.
package sharetest

import (
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/share"
)

// Run judges a [share.Manager] on the shares that open returns. Each call of open must answer an empty share of its
// own; more than one may be in use at once.
func Run(t *testing.T, open func(t *testing.T) share.FS) {
	tests := []struct {
		name string
		run  func(s *suite)
	}{
		{"CreateMakesExactly", (*suite).createMakesExactly},
		{"CreateTwice", (*suite).createTwice},
		{"CreateOtherSize", (*suite).createOtherSize},
		{"CreateNested", (*suite).createNested},
		{"CreateWhereTaken", (*suite).createWhereTaken},
		{"CreateKeepsFirstDirectory", (*suite).createKeepsFirstDirectory},
		{"CreateOverTornRecord", (*suite).createOverTornRecord},
		{"Adopt", (*suite).adopt},
		{"AdoptRefuses", (*suite).adoptRefuses},
		{"HostileLayout", (*suite).hostileLayout},
		{"Delete", (*suite).delete},
		{"Parents", (*suite).parents},
		{"DeleteRetain", (*suite).deleteRetain},
		{"DeleteArchive", (*suite).deleteArchive},
		{"ArchiveFlat", (*suite).archiveFlat},
		{"ArchiveReplacesNothing", (*suite).archiveReplacesNothing},
		{"ArchiveOutsideVolumes", (*suite).archiveOutsideVolumes},
		{"ArchiveLongNames", (*suite).archiveLongNames},
		{"ArchivesExpire", (*suite).archivesExpire},
		{"DeleteWithoutRecord", (*suite).deleteWithoutRecord},
		{"DeleteRefuses", (*suite).deleteRefuses},
		{"DeleteLeavesOthers", (*suite).deleteLeavesOthers},
		{"RecordsPolicyCounts", (*suite).recordsPolicyCounts},
		{"TrashOfOthers", (*suite).trashOfOthers},
		{"Get", (*suite).get},
		{"List", (*suite).list},
		{"ListPassesOverRubbish", (*suite).listPassesOverRubbish},
		{"Space", (*suite).space},
		{"ManyAtOnce", (*suite).manyAtOnce},
		{"OneDirectoryManyVolumes", (*suite).oneDirectoryManyVolumes},
		{"OneNameManyCalls", (*suite).oneNameManyCalls},
		{"Snapshot", (*suite).snapshot},
		{"SnapshotRefuses", (*suite).snapshotRefuses},
		{"SnapshotOfOthers", (*suite).snapshotOfOthers},
		{"ListSnapshots", (*suite).listSnapshots},
		{"Clone", (*suite).clone},
		{"CloneOwnership", (*suite).cloneOwnership},
		{"CloneRefuses", (*suite).cloneRefuses},
		{"CloneGoesOn", (*suite).cloneGoesOn},
		{"DeleteUnfilled", (*suite).deleteUnfilled},
		{"OldSnapshots", (*suite).oldSnapshots},
		{"RestoreOldSnapshots", (*suite).restoreOldSnapshots},
		{"Orphans", (*suite).orphans},
		{"Expand", (*suite).expand},
		{"Modify", (*suite).modify},
		{"ModifiedPolicyCounts", (*suite).modifiedPolicyCounts},
		{"RetainedName", (*suite).retainedName},
		{"StrictCapacity", (*suite).strictCapacity},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(newSuite(t, open)) })
	}
}
