package copytree

import (
	"fmt"
	"maps"
	"strings"
	"syscall"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/file"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
)

// TestNoXattrs copies where the server has no extended attributes, and asks a few times only.
func TestNoXattrs(t *testing.T) {
	s := newServer()
	s.noXattrs = true
	forest(s)
	if err := s.run(t.Context(), 0, nil); err != nil {
		t.Fatal(err)
	}
	if asked := s.ops["LISTXATTRS"]; asked == 0 || asked > 2*s.limits.Calls {
		t.Errorf("asked %d times", asked)
	}
	for path, n := range map[string]*node{"to/a": s.at("to/a"), "to/d": s.at("to/d")} {
		if n == nil || n.xattrs != nil {
			t.Errorf("%s: %+v", path, n)
		}
	}
}

// TestXattrsThatCannotBeCopied: what cannot be kept is an error, but for what somebody removed.
func TestXattrsThatCannotBeCopied(t *testing.T) {
	for _, tt := range []struct {
		name string
		fail func(s *server, h file.Handle) error
		want string
	}{
		{"full", func(s *server, h file.Handle) error {
			if h == s.at("from/b").handle {
				return failure("SETXATTR", status.NoSpace)
			}
			return nil
		}, `the copy of "b" its extended attributes`},
		{"of a directory", func(s *server, h file.Handle) error {
			if h == s.at("from/d").handle {
				return failure("SETXATTR", status.XattrTooBig)
			}
			return nil
		}, `the copy of "d" its extended attributes`},
		{"removed", func(s *server, h file.Handle) error {
			if b := s.at("from/b"); b != nil && h == b.handle {
				s.remove("from/b")
			}
			return nil
		}, ""},
		{"replaced", func(s *server, h file.Handle) error {
			if b := s.at("from/b"); b.xattrs != nil && h == b.handle {
				s.remove("from/b")
				s.plant(0o755, 0, "from/b:3")
			}
			return nil
		}, ""},
		{"the copy's handle is forgotten", func(s *server, h file.Handle) error {
			b, to := s.at("from/b"), s.at("to/b")
			if h == b.handle && to.handle != "another" {
				delete(s.nodes, to.handle)
				to.handle = "another"
				s.nodes["another"] = to
				s.at("to").children["b"] = "another"
			}
			return nil
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer()
			s.plant(0o755, 0, "from/", "from/a:3", "from/b:3", "from/c:3", "from/d/")
			for _, path := range []string{"from/a", "from/b", "from/c", "from/d"} {
				s.at(path).xattrs = map[string]string{"name": path}
			}
			s.before = func(op string, h file.Handle) error {
				if op == "LISTXATTRS" {
					return tt.fail(s, h)
				}
				return nil
			}
			err := s.run(t.Context(), 0, nil)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			if tt.want != "" {
				return
			}
			for _, name := range []string{"a", "b", "c", "d"} {
				want := map[string]string{"name": "from/" + name}
				from := s.at("from/" + name)
				if n := s.at("to/" + name); n == nil || !maps.Equal(n.xattrs, want) && from != nil && from.xattrs != nil {
					t.Errorf("%s: %v", name, fmt.Sprint(n))
				}
			}
		})
	}
	if failure("SETXATTR", status.XattrTooBig).(*status.Error).Unwrap() != syscall.E2BIG {
		t.Error("an attribute that is too big is no E2BIG")
	}
}
