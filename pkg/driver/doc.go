// Package driver answers CSI calls.
package driver
