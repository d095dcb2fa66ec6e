//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The API server says nothing for a minute while claims are made and deleted.
func TestFaultAPIServerAway(t *testing.T) {
	n := makeNamespace(t, "api")
	s := n.newServer("server")
	storage := s.class(mainExport, nil)
	old, doomed, fresh := numbered("old", 3), numbered("doomed", 15), numbered("fresh", 30)
	s.makeClaims(storage, append(old, doomed...)...)
	w := s.startWriter("writer", "", old...)
	s.ready("writer")
	s.eventually("the first claims are bound", claimDeadline, s.allBound(doomed...))
	s.eventually("the writer has begun", goneDeadline, w.goesOn(0))
	rounds, err := w.rounds()
	if err != nil {
		t.Fatal(err)
	}

	s.makeClaims(storage, fresh...)
	s.in(append([]string{"delete", "pvc", "--wait=false"}, doomed...)...)
	t.Cleanup(func() { s.tool("resume", "apiserver") })
	s.tool("pause", "apiserver")
	time.Sleep(time.Minute) // the fault
	s.tool("resume", "apiserver")
	back := time.Now()
	s.since(back, "API server away for a minute: 30 claims made before are bound", time.Minute, s.allBound(fresh...))
	s.since(back, "API server away for a minute: 15 volumes deleted before are gone", time.Minute, func() error {
		volumes, err := s.volumesOn(mainExport)
		if err == nil && len(volumes) != len(old)+len(fresh) {
			err = fmt.Errorf("there are %d volumes, and should be %d", len(volumes), len(old)+len(fresh))
		}
		return err
	})
	if err := w.goesOn(rounds + 10)(); err != nil {
		t.Errorf("API server away for a minute: the pod had stopped writing: %v", err)
	}
	w.finish("API server away for a minute", s)
	s.clean("API server away for a minute", mainExport, claimDeadline)
}

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
