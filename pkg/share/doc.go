// Package share makes, lists, copies, archives and removes volume directories on NFS shares.
//
// Its [Manager] opens shares as they are needed, keeps operations on one volume apart and runs what goes on beside calls. What is done on one
// share is in packages of its own below internal:
//
//	registry   keeps on a share which volume has which directory: names, records, reservations, staging. Read it first
//	making     makes volumes, empty or filled
//	removing   takes them away: deletes, archives, expires
//	copying    makes copies of volumes that are whole or not there: snapshots, and what volumes are filled with
//	trash      removes what is in the trash
//
// and what is useful to them and knows nothing of volumes: storage (the port to a share), failure (what its errors mean), unpack
// (tarballs), jobs (what takes longer than a call) and pool (what is open).
package share
