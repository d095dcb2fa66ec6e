// Package share makes, lists, copies, archives and removes volume directories on NFS shares.
//
// Below the share, .nfs-csi holds what is known of its volumes:
//
//	volumes/NAME.json   the record of a volume, NAME being [volume.Key] of its name
//	directories/DIR     a link to ../volumes/NAME.json: the directory, DIR being its Key, belongs to that volume
//	archives/DIR.json   the record of an archived volume, DIR being the Key of the directory that it is in now
//	trash/              directories of deleted volumes, until their content is removed
//	snapshots/KEY       the tree of a snapshot, KEY being that of its name; KEY.json beside it is its record
//	staging/            files and copies of trees that are moved into place when they are whole
//
// Record and link are made before the directory and go after it, each by a call that only one caller can win, so two
// volumes never get one directory, whoever crashes and wherever. What an interrupted call left behind is understood
// and completed by the next call for the same volume.
//
// A deletion moves the directory and the reservation to staging first, and looks whose they are by then, since another process
// may have ended the same deletion and made another volume there: see aside and unreserve.
//
// A copy (a clone, a snapshot, what is restored from one) is made under a name in staging that no other try has, after its
// record and before it is moved into place in one step; of a volume the record names the whole copy before that step. So
// what has no record is nobody's, what another process moves away is never taken for whole, and nothing is reported that is
// not complete.
package share
