package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
)

// Changes are the parameters of a VolumeAttributesClass: what of a volume may change after it was made. The zero value
// gives the directory to root; see [Unchanged].
type Changes struct {
	Policy           Policy         // "": leave it
	ArchiveRetention *time.Duration // 0: for ever; nil: leave it
	Mode             *fs.FileMode   // of the directory, as in [Class]; nil: leave it
	UID, GID         int            // owner of the directory; -1: leave it
}

// Unchanged are Changes that leave everything as it is.
func Unchanged() Changes { return Changes{UID: -1, GID: -1} }

// knownChanges are the parameters that [ParseChanges] reads, in any case.
var knownChanges = Names(InAttributesClass)

// ParseChanges checks parameters and reports all mistakes at once, each [ErrInvalid]. Unknown parameters are mistakes.
// No parameters are [Unchanged].
func ParseChanges(parameters map[string]string) (Changes, error) {
	c := Unchanged()
	seen := map[string]bool{}
	var mistakes []error
	for _, key := range sortedKeys(parameters) {
		known, err := knownChange(key), checkParameter(key, parameters[key])
		switch {
		case err != nil:
		case known == "":
			err = fmt.Errorf("%w: parameter %q cannot be changed; what can is %s", ErrInvalid, key, strings.Join(knownChanges, ", "))
		case seen[known]:
			err = fmt.Errorf("%w: parameter %s is given twice in different case", ErrInvalid, known)
		default:
			err = c.set(known, parameters[key])
		}
		seen[known] = true
		mistakes = append(mistakes, err)
	}
	if err := errors.Join(mistakes...); err != nil {
		return Unchanged(), err
	}
	return c, nil
}

func knownChange(key string) string {
	for _, known := range knownChanges {
		if strings.EqualFold(key, known) {
			return known
		}
	}
	return ""
}

func (c *Changes) set(key, value string) (err error) {
	switch key {
	case ParamOnDelete:
		if value != "" {
			c.Policy, err = ParsePolicy(value)
		}
	case ParamArchiveRetention:
		var d time.Duration
		d, err = parseRetention(value)
		c.ArchiveRetention = &d
	case ParamMountPermissions:
		var m fs.FileMode
		if m, err = ParseMode(value); m != 0 { // "0" and "" mean no change, as with csi-driver-nfs
			c.Mode = &m
		}
	case ParamUID:
		c.UID, err = parseOwner(key, value)
	case ParamGID:
		c.GID, err = parseOwner(key, value)
	}
	return err
}
