// Package share makes, lists, archives and removes volume directories on NFS shares.
//
// Below the share, .nfs-csi holds what is known of its volumes:
//
//	volumes/NAME.json   the record of a volume, NAME being [volume.Key] of its name
//	directories/DIR     a link to ../volumes/NAME.json: the directory, DIR being its Key, belongs to that volume
//	archives/DIR.json   the record of an archived volume, DIR being the Key of the directory that it is in now
//	trash/              directories of deleted volumes, until their content is removed
//	staging/            files that are moved into place when they are whole
//
// Record and link are made before the directory and go after it, each by a call that only one caller can win, so two
// volumes never get one directory, whoever crashes and wherever. What an interrupted call left behind is understood
// and completed by the next call for the same volume.
package share
