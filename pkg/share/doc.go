// Package share makes, measures, archives, copies and removes volume directories on NFS shares.
package share
