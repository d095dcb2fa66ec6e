//go:build guest

package faults_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// reexport exports with other rights; none: not at all. Clients' handles are checked anew.
func (s *server) reexport(rights string) {
	s.t.Helper()
	script := "exportfs -u '*:" + export + "' ; exportfs -f"
	if rights != "" {
		script += " ; exportfs -o " + rights + " '*:" + export + "' && exportfs -f"
	}
	s.do(script)
}

// call makes an operation of one for one volume.
func call(do func(ctx context.Context, name string) error, name string) func(context.Context) error {
	return func(ctx context.Context) error { return do(ctx, name) }
}

// of publishes volumes of that server.
func (n *node) of(s *server) func(ctx context.Context, name string) error {
	return func(ctx context.Context, name string) error { return n.publish(ctx, s.address, name) }
}

// ailsSomehow wants the volume to be inaccessible, for whatever reason.
func (n *node) ailsSomehow(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		got, err := n.health(ctx, name)
		if err == nil && !strings.HasPrefix(got, "INACCESSIBLE ") {
			err = fmt.Errorf("the health of %s is %q", name, got)
		}
		return err
	}
}

// An export that is withdrawn from the node: calls say so, and all works once it is back.
func TestExportIsWithdrawn(t *testing.T) {
	s, other, n, j := newServer(t), newServer(t), newNode(t), judge{t, "export withdrawn"}
	n.must(s.address, s.dir("gone"), s.dir("stays"))
	before := n.strain()
	s.reexport("")
	err := j.within("publish", publishBound, call(n.of(s), s.dir("new")))
	if err == nil || !strings.Contains(err.Error(), s.address) || !strings.Contains(err.Error(), export) {
		t.Errorf("publishing what is not exported: %v", err)
	}
	t.Log(err)
	if err := j.within("stats", statsBound, call(n.stats, "stays")); err == nil {
		t.Error("stats of what is not exported")
	}
	j.succeeds("health: inaccessible", statsBound, n.ailsSomehow("stays"))
	n.others(j, other)
	j.succeeds("unpublish", unpublishBound, call(n.unpublish, "gone"))
	s.reexport(rights)
	j.comes("exported again: publish", recoveryBound, call(n.of(s), "new"))
	j.succeeds("exported again: publish where it is mounted", publishBound, call(n.of(s), "stays"))
	j.succeeds("exported again: use", patience, func(ctx context.Context) error { return use(ctx, n.target("stays")) })
	j.succeeds("exported again: health is good", statsBound, n.ails("stays", ""))
	for _, v := range []string{"new", "stays"} {
		j.succeeds("unpublish", unpublishBound, call(n.unpublish, v))
	}
	n.calms(j, before)
}

// The server's file system is replaced by another: every handle is stale. The next publish repairs the mount.
func TestFileSystemIsReplaced(t *testing.T) {
	s, n, j := newServer(t), newNode(t), judge{t, "file system replaced"}
	n.must(s.address, s.dir("stays"), s.dir("goes"))
	before := n.strain()
	s.reexport("")
	// nfsd may hold the file system for a moment after its export has gone.
	s.do(fmt.Sprintf("for i in $(seq 100); do umount %[1]s 2>/dev/null && break; sleep 0.1; done; ! mountpoint -q %[1]s && mount -t tmpfs -o size=32m data2 %[1]s && mkdir %[1]s/stays", export))
	s.reexport(rights)
	j.fails("stats", statsBound, codes.Unavailable, []string{"has lost the directory"}, call(n.stats, "stays"))
	j.succeeds("health: inaccessible", statsBound, n.ails("stays", "INACCESSIBLE DirectoryLost"))
	j.fails("publish of a directory that is gone", publishBound, codes.NotFound, []string{s.address, "goes"}, call(n.of(s), "goes"))
	j.succeeds("publish where it is mounted repairs it", publishBound, call(n.of(s), "stays"))
	j.succeeds("use", patience, func(ctx context.Context) error { return use(ctx, n.target("stays")) })
	j.succeeds("health is good", statsBound, n.ails("stays", ""))
	for _, v := range []string{"stays", "goes"} {
		j.succeeds("unpublish", unpublishBound, call(n.unpublish, v))
	}
	n.calms(j, before)
}

// point makes the name nas.test mean an address.
func point(t *testing.T, address string) {
	t.Helper()
	old, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.DeleteFunc(strings.Split(string(old), "\n"), func(l string) bool { return strings.HasSuffix(l, " nas.test") })
	if err := os.WriteFile("/etc/hosts", []byte(strings.Join(lines, "\n")+"\n"+address+" nas.test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The server moves to another address, and its name with it. New mounts go there; an old one is replaced at its next publish.
func TestAddressChanges(t *testing.T) {
	old, next, n, j := newServer(t), newServer(t), newNode(t), judge{t, "address changed behind a name"}
	named := func(ctx context.Context, name string) error { return n.publish(ctx, "nas.test", name) }
	point(t, old.address)
	for _, v := range []string{"stays", "goes", "new"} {
		old.dir(v)
		next.dir(v)
	}
	for _, v := range []string{"stays", "goes"} {
		j.succeeds("publish before", patience, call(named, v))
	}
	before := n.strain()
	old.lose()
	point(t, next.address)
	j.comes("publish", publishBound, call(named, "new"))
	j.succeeds("use", patience, func(ctx context.Context) error { return use(ctx, n.target("new")) })
	j.succeeds("health of the old mount: inaccessible", statsBound, n.ails("stays", "INACCESSIBLE ServerNotAnswering"))
	j.succeeds("publish where it is mounted moves it", publishBound, call(named, "stays"))
	j.succeeds("use of the moved mount", patience, func(ctx context.Context) error { return use(ctx, n.target("stays")) })
	next.do("test -s " + export + "/stays/used")
	for _, v := range []string{"stays", "goes", "new"} {
		j.succeeds("unpublish", unpublishBound, call(n.unpublish, v))
	}
	old.heal()
	n.calms(j, before)
}

// Every answer of the server takes 2 seconds.
func TestServerIsSlow(t *testing.T) {
	s, other, n, j := newServer(t), newServer(t), newNode(t), judge{t, "2 s per call"}
	n.must(s.address, s.dir("stays"), s.dir("goes"))
	before := n.strain()
	s.dir("new")
	s.slow(2 * time.Second)
	j.succeeds("publish", kubelet, call(n.of(s), "new"))
	j.succeeds("publish where it is mounted", publishBound, call(n.of(s), "stays"))
	j.succeeds("stats", statsBound, call(n.stats, "stays"))
	j.succeeds("health: degraded", statsBound, n.ails("stays", "DEGRADED ServerSlow"))
	n.others(j, other)
	for _, v := range []string{"goes", "new"} {
		j.succeeds("unpublish", unpublishBound, call(n.unpublish, v))
	}
	s.heal()
	j.comes("fast again: health is good", recoveryBound, n.ails("stays", ""))
	j.succeeds("fast again: unpublish", unpublishBound, call(n.unpublish, "stays"))
	n.calms(j, before)
}

// The share is full, or read-only: volumes are published and taken away all the same, and who writes is told.
func TestNothingCanBeWritten(t *testing.T) {
	for _, c := range []struct {
		fault, health, says string
		begin, end          func(s *server)
	}{
		{"share full", "DEGRADED ShareFull", "No space left", func(s *server) { s.do("dd if=/dev/zero of=" + export + "/fill bs=1M 2>/dev/null; true") },
			func(s *server) { s.do("rm " + export + "/fill") }},
		{"export read-only", "", "Read-only file system", func(s *server) { s.reexport(strings.Replace(rights, "rw", "ro", 1)) },
			func(s *server) { s.reexport(rights) }},
	} {
		t.Run(c.fault, func(t *testing.T) {
			s, n, j := newServer(t), newNode(t), judge{t, c.fault}
			n.must(s.address, s.dir("stays"), s.dir("goes"))
			before := n.strain()
			s.dir("new")
			c.begin(s)
			j.succeeds("publish", publishBound, call(n.of(s), "new"))
			j.succeeds("publish where it is mounted", publishBound, call(n.of(s), "stays"))
			j.succeeds("stats", statsBound, call(n.stats, "stays"))
			j.succeeds("health", statsBound, n.ails("stays", c.health))
			for _, v := range []string{"new", "stays"} {
				if err := j.within("writing is refused", patience, func(ctx context.Context) error { return use(ctx, n.target(v)) }); err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("writing to %s: %v, want %q", v, err, c.says)
				}
			}
			j.succeeds("unpublish", unpublishBound, call(n.unpublish, "goes"))
			c.end(s)
			j.comes("over: use", recoveryBound, func(ctx context.Context) error { return use(ctx, n.target("stays")) })
			j.succeeds("over: health is good", statsBound, n.ails("stays", ""))
			for _, v := range []string{"new", "stays"} {
				j.succeeds("over: unpublish", unpublishBound, call(n.unpublish, v))
			}
			n.calms(j, before)
		})
	}
}
