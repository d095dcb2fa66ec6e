//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// numbered are n names.
func numbered(name string, n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("%s-%d", name, i))
	}
	return names
}

// No PersistentVolume can be saved for a while; a claim that is deleted meanwhile leaves nothing.
func TestFaultVolumeCannotBeSaved(t *testing.T) {
	n := makeNamespace(t, "unsaved")
	s := n.newServer("server")
	policy := n.class("policy")
	t.Cleanup(func() {
		_, _ = n.try("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", policy, "--ignore-not-found")
	})
	n.apply("no-volumes.yaml", map[string]any{"Policy": policy})
	n.eventually("volumes are refused", claimDeadline, func() error {
		_, err := n.pipe(n.manifest("no-volumes-probe.yaml", map[string]any{"Policy": policy}), "create", "--dry-run=server", "-f", "-")
		if err == nil {
			return fmt.Errorf("one can still be saved")
		}
		if !strings.Contains(err.Error(), policy) {
			return err
		}
		return nil
	})

	kept, gone := numbered("kept", 4), numbered("gone", 4)
	s.makeClaims(s.class(mainExport, nil), append(kept, gone...)...)
	s.eventually("directories are made", claimDeadline, func() error {
		h, err := s.holds(mainExport)
		if err == nil && len(h.records) < len(kept)+len(gone) {
			err = fmt.Errorf("there are the records %v", h.records)
		}
		return err
	})
	s.within("PersistentVolume cannot be saved: an Event says why", time.Minute, s.said(kept[0], "not today"))
	s.in(append([]string{"delete", "pvc"}, gone...)...)
	n.must("delete", "validatingadmissionpolicybinding,validatingadmissionpolicy", policy)
	s.within("PersistentVolume could not be saved: the claims are bound", 2*time.Minute, s.allBound(kept...))
	s.clean("PersistentVolume could not be saved, claims deleted meanwhile", mainExport, 2*time.Minute)
}

// Claims are deleted at once, some before and some while their directory is made.
func TestFaultClaimsDeletedAtOnce(t *testing.T) {
	n := makeNamespace(t, "fleeting")
	s := n.newServer("server")
	storage := s.class(mainExport, nil)
	for i := range 3 {
		names := numbered(fmt.Sprintf("fleeting-%d", i), 15)
		s.makeClaims(storage, names...)
		s.in(append([]string{"delete", "pvc", "--wait=false"}, names...)...)
	}
	s.makeClaims(storage, "stays")
	s.eventually("a claim made later is bound", claimDeadline, s.allBound("stays"))
	s.clean("45 claims deleted while being provisioned", mainExport, 2*time.Minute)
}
