// Package share makes, lists, copies, archives and removes volume directories on NFS shares.
//
// What is on a share is told in internal/registry, which has the steps; creating, deleting, filling and expiring, here, put them in an order that
// crashes and rivals may interrupt anywhere.
//
// A copy (a clone, a snapshot, what is restored from one) is made under a name in staging that no other try has, after its
// record and before it is moved into place in one step; of a volume the record names the whole copy before that step. So
// what has no record is nobody's, what another process moves away is never taken for whole, and nothing is reported that is
// not complete.
package share
