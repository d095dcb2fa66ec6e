package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// has tells whether a report has a line of a check with a status and words in it.
func has(r Report, status Status, check, words string) bool {
	for _, l := range r.Lines {
		if l.Check == check && l.Status == status && strings.Contains(l.Text+" -> "+l.Fix, words) {
			return true
		}
	}
	return false
}

func want(t *testing.T, r Report, status Status, check, words string) {
	t.Helper()
	if !has(r, status, check, words) {
		t.Errorf("no %s %s with %q in %+v", status, check, words, r.Lines)
	}
}

// A server that takes no word of anybody costs each probe its time and no more.
func TestBlackHole(t *testing.T) {
	hole := func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	r := Run(t.Context(), Config{NFS: nfs.Config{Server: "192.0.2.1", Export: "/e", Dial: hole}, Timeout: 100 * time.Millisecond})
	want(t, r, Fail, "reach", "192.0.2.1:2049 does not answer within 100ms")
	want(t, r, Fail, "reach", "check the address, the network and the firewalls")
	if r.Result != Fail {
		t.Errorf("the result is %s", r.Result)
	}
}

// A server that takes connections and never answers is as dead.
func TestSilentServer(t *testing.T) {
	f := nfsserver.FrontOf(t, nfsserver.AnswerNobody, nil, nfsserver.StartGoNFS(t))
	r := Run(t.Context(), Config{NFS: nfs.Config{Server: f.Host, Port: f.Port, MountPort: f.Port, Export: "/e"}, Timeout: 500 * time.Millisecond})
	want(t, r, OK, "reach", "takes connections")
	want(t, r, Fail, "versions", "no version of NFS answers")
}

// A look tells whether volumes can be made, and makes nothing.
func TestLook(t *testing.T) {
	g := nfsserver.StartGoNFS(t)
	config := nfs.Config{Server: g.Host, Port: g.Port, MountPort: g.Port, Export: g.Export, Versions: []nfs.Version{nfs.V3}}
	r := Look(t.Context(), Config{NFS: config})
	want(t, r, OK, "export", "may write there")
	want(t, r, OK, "space", "")
	if r.Result == Fail || len(r.Lines) != 3 {
		t.Errorf("of an export that works: %+v", r)
	}
	if left, err := os.ReadDir(g.Dir); err != nil || len(left) > 0 {
		t.Errorf("there is left %v, %v", left, err)
	}
	config.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	r = Look(t.Context(), Config{NFS: config})
	want(t, r, Fail, "export", "nothing listens there")
	want(t, r, Fail, "export", "start the NFS server, or name its port")
	f := nfsserver.FrontOf(t, nfsserver.AnswerNobody, nil, nfsserver.StartGoNFS(t))
	r = Look(t.Context(), Config{NFS: nfs.Config{Server: f.Host, Port: f.Port, MountPort: f.Port, Export: "/e"}, Timeout: 500 * time.Millisecond})
	want(t, r, Fail, "export", "no answer within 500ms -> look at the server's load and log, and at the network")
}

func TestNames(t *testing.T) {
	g := nfsserver.StartGoNFS(t)
	dead := netip.MustParseAddr("192.0.2.7")
	config := nfs.Config{
		Server: "nfs.example.com", Port: g.Port, MountPort: g.Port, Export: "/e", Versions: []nfs.Version{nfs.V3},
		Lookup: func(context.Context, string, string) ([]netip.Addr, error) {
			return []netip.Addr{dead, netip.MustParseAddr("127.0.0.1"), dead}, nil
		},
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasPrefix(address, dead.String()) {
				return nil, &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
	r := Run(t.Context(), Config{NFS: config, ReadOnly: true})
	want(t, r, OK, "address", "nfs.example.com is 192.0.2.7, 127.0.0.1")
	want(t, r, Warn, "reach", "remove the address from DNS")
	want(t, r, OK, "reach", "takes connections")
	want(t, r, OK, "export", "version 3")

	config.Lookup = func(context.Context, string, string) ([]netip.Addr, error) { return nil, nil }
	r = Run(t.Context(), Config{NFS: config})
	want(t, r, Fail, "address", "no suitable address")
}

// What a server's file holds and when it was made are the server's word.
func TestClock(t *testing.T) {
	now := time.Now()
	for skew, words := range map[time.Duration]string{0: "agrees", time.Hour: "1h0m0s ahead of", -time.Minute: "1m0s behind"} {
		s := &scratch{checker: &checker{}}
		s.clock(made{file: at(now.Add(skew)), began: now, done: now.Add(time.Millisecond)})
		status := Warn
		if skew == 0 {
			status = OK
		}
		want(t, s.report, status, "clock", words)
	}
}

// at is a file that was changed at a time.
type at time.Time

func (a at) ModTime() time.Time { return time.Time(a) }
func (a at) Name() string       { return "file" }
func (a at) Size() int64        { return 0 }
func (a at) Mode() fs.FileMode  { return 0 }
func (a at) IsDir() bool        { return false }
func (a at) Sys() any           { return nil }

func TestRoom(t *testing.T) {
	for _, tt := range []struct {
		left, total uint64
		want        Status
	}{{0, 100, Fail}, {9, 100, Warn}, {10, 100, OK}, {1000, 1 << 40, Warn}} {
		if got, _ := room(tt.left, tt.total, 10, "fix"); got != tt.want {
			t.Errorf("%d of %d is %s, want %s", tt.left, tt.total, got, tt.want)
		}
	}
}

func TestFixes(t *testing.T) {
	for _, tt := range []struct {
		err   error
		words string
	}{
		{fmt.Errorf("mkdir: %w", syscall.EROFS), "rw"},
		{fmt.Errorf("mkdir: %w", fs.ErrPermission), "no_root_squash"},
		{fmt.Errorf("x: %w", nfs.ErrRefused), "rw and sec=sys"},
		{fmt.Errorf("%w: %w", context.DeadlineExceeded, nfs.ErrGrace), "wait"},
		{fs.ErrNotExist, "see exports"},
		{syscall.ENOSPC, "make room"},
		{errors.New("whatever"), "server's log"},
	} {
		if got := fixOf(tt.err); !strings.Contains(got, tt.words) {
			t.Errorf("%v: %q does not say %q", tt.err, got, tt.words)
		}
	}
}

// Programs read the lines, so their names stay.
func TestLinesAreJSON(t *testing.T) {
	r := Run(t.Context(), Config{NFS: nfs.Config{Server: "a.invalid", Export: "/e", Lookup: func(context.Context, string, string) ([]netip.Addr, error) {
		return nil, errors.New("no such host")
	}}})
	text, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(text), `{"export":"a.invalid:/e","result":"fail","checks":[{"check":"address","status":"fail","text":"no such host"`) {
		t.Errorf("%s, %v", text, err)
	}
}
