//go:build guest

package faults_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/test/pod"
)

// helpers are the processes that mount, of whichever node.
func helpers() (pids []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && strings.Contains(string(line), "mount-helper") {
			pids = append(pids, file)
		}
	}
	return pids
}

// during starts a call, and kills the node's process with SIGKILL some time into it. A new process follows.
func (n *node) during(after time.Duration, do func(ctx context.Context) error) {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), kubelet)
	defer cancel()
	called := make(chan error, 1)
	go func() { called <- do(ctx) }()
	time.Sleep(after) // the moment is what is tried
	n.kill()
	<-called
	for end := time.Now().Add(patience); len(helpers()) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatalf("mount helpers have outlived the process: %v", helpers())
		}
	}
	n.start()
}

// at counts the mounts at the volume's target.
func (n *node) at(name string) (mounts int) {
	for _, at := range nfsMounts(n.t) {
		if at == n.target(name) {
			mounts++
		}
	}
	return mounts
}

// completes finds that the volume is mounted once and works.
func (n *node) completes(ctx context.Context, s *server, name string) error {
	if err := n.publish(ctx, s.address, name); err != nil {
		return err
	}
	if mounts := n.at(name); mounts != 1 {
		return fmt.Errorf("%d mounts at the target of %s", mounts, name)
	}
	return use(ctx, n.target(name))
}

// cleans finds that nothing is left of the volume.
func (n *node) cleans(ctx context.Context, name string) error {
	if err := n.unpublish(ctx, name); err != nil {
		return err
	}
	if mounts := n.at(name); mounts != 0 {
		return fmt.Errorf("%d mounts at the target of %s", mounts, name)
	}
	if _, err := os.Lstat(n.target(name)); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("the target directory of %s is left: %w", name, err)
	}
	return nil
}

// The node's process is killed at any moment of a call, from its start to after its end: the next call completes or cleans up,
// and mounts that are there stay.
func TestNodeIsKilled(t *testing.T) {
	s, n := newServer(t), newNode(t)
	n.must(s.address, s.dir("stays"))
	survivor := pod.Start(t, n.target("stays")+"/file")
	s.dir("v")
	step, last := 8*time.Millisecond, 120*time.Millisecond
	if testing.Short() {
		step = 60 * time.Millisecond
	}
	kills := 0
	for after := time.Duration(0); after <= last; after += step {
		for _, next := range []string{"publish", "unpublish"} {
			n.during(after, call(n.of(s), "v"))
			killed(t, n, s, fmt.Sprintf("publish killed after %v", after), next)
			n.must(s.address, "v")
			n.during(after/4, call(n.unpublish, "v")) // it is quicker
			killed(t, n, s, fmt.Sprintf("unpublish killed after %v", after/4), next)
			kills += 2
		}
	}
	j := judge{t, "node's process killed"}
	table.Enter(j.fault, "at moments of publish and unpublish: the next call completes or cleans up", "always", fmt.Sprintf("%d of %d", kills, kills), !t.Failed())
	j.succeeds("the pod that stayed writes on", patience, survivor.Finish)
	j.succeeds("unpublish", unpublishBound, call(n.unpublish, "stays"))
	n.leavesNoMount(j)
}

// killed wants the call that follows a kill to work, and cleans up.
func killed(t *testing.T, n *node, s *server, what, next string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), kubelet)
	defer cancel()
	var err error
	if next == "publish" {
		err = n.completes(ctx, s, "v")
	}
	if err := errors.Join(err, n.cleans(ctx, "v")); err != nil {
		t.Errorf("%s, then %s: %v", what, next, err)
	}
}

// The process is killed while a dead server holds its calls.
func TestNodeIsKilledBesideADeadServer(t *testing.T) {
	s, n, j := newServer(t), newNode(t), judge{t, "node's process killed before a dead server"}
	n.must(s.address, s.dir("dirty"), s.dir("asked"))
	s.dir("new")
	p := pod.Start(t, n.target("dirty")+"/file")
	s.lose()
	n.during(2*time.Second, call(n.of(s), "new"))
	n.during(2*time.Second, call(n.stats, "asked"))
	n.during(2*time.Second, call(n.of(s), "asked"))
	p.Kill()
	n.during(100*time.Millisecond, call(n.unpublish, "dirty"))
	j.succeeds("unpublish with unwritten data", unpublishBound, call(n.unpublish, "dirty"))
	j.succeeds("unpublish what was never mounted", unpublishBound, call(n.unpublish, "new"))
	s.heal()
	j.comes("server back: publish", recoveryBound, func(ctx context.Context) error { return n.completes(ctx, s, "new") })
	j.comes("server back: publish where it is mounted", recoveryBound, func(ctx context.Context) error { return n.completes(ctx, s, "asked") })
	j.comes("server back: unwritten data arrives", recoveryBound, func(context.Context) error {
		s.do("sync")
		return sized(s, "dirty/file", pod.Unwritten)
	})
	for _, v := range []string{"new", "asked"} {
		j.succeeds("unpublish", unpublishBound, call(n.unpublish, v))
	}
	n.leavesNoMount(j)
}

// leavesNoMount compares the kernel's table with what must be there: nothing.
func (n *node) leavesNoMount(j judge) {
	j.t.Helper()
	left := slices.DeleteFunc(nfsMounts(j.t), func(at string) bool { return !within(n.kubelet, at) })
	if !table.Enter(j.fault, "mounts left", "0", fmt.Sprint(len(left)), len(left) == 0) {
		j.t.Errorf("%s: still mounted: %v", j.fault, left)
	}
}
