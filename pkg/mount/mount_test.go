package mount

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// local is a source that no test mounts.
var local = Source{Server: "127.0.0.1", Path: "/exports/vol"}

func helpedBy(t *testing.T, helper string, c Config) *Mounter {
	t.Helper()
	c.Helper = []string{os.Args[0], helper}
	return newMounter(t, c)
}

func wantGone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is there: %v", path, err)
	}
}

func TestSourceReadsAsTheKernelsTableHasIt(t *testing.T) {
	for want, s := range map[string]Source{
		"nas:/vol":           {Server: "nas", Path: "/vol"},
		"192.0.2.1:/":        {Server: "192.0.2.1", Path: "/"},
		"[2001:db8::1]:/a b": {Server: "2001:db8::1", Path: "/a b"},
	} {
		if s.String() != want {
			t.Errorf("%s, want %s", s, want)
		}
	}
}

// The kernel's table may have another name for the server, never another address or path.
func TestIsMountOf(t *testing.T) {
	m := newMounter(t, Config{})
	const target = "/target"
	m.led.Store(target, ledTo{"nas:/link", "nas:/vol"})
	shown := &mountinfo.Info{FSType: "nfs4", Source: "nas:/vol", VFSOptions: "rw,vers=4.2,clientaddr=192.0.2.2,addr=192.0.2.1"}
	for _, tc := range []struct {
		server, path string
		options      options
		want         bool
	}{
		{"nas", "/vol", options{}, true},
		{"nas", "/link", options{}, true},
		{"nas", "/other", options{}, false},
		{"192.0.2.1", "/vol", options{}, true},
		{"192.0.2.1", "/vol/more", options{}, false},
		{"192.0.2.1", "/", options{}, false},
		{"192.0.2.2", "/vol", options{}, false},
		{"alias", "/vol", options{address: "192.0.2.1"}, true},
		{"alias", "/vol", options{address: "192.0.2.2"}, false},
	} {
		s := Source{Server: tc.server, Path: tc.path}
		if got, err := m.isMountOf(t.Context(), s, tc.options, target, shown); got != tc.want || err != nil {
			t.Errorf("%s: %v, want %v, %v", s, got, tc.want, err)
		}
	}
	six := &mountinfo.Info{FSType: "nfs", Source: "[2001:db8::1]:/", VFSOptions: "rw,addr=2001:db8::1"}
	if at := (Source{Server: "nas", Path: "/"}).addressIn(six); at != "2001:db8::1" {
		t.Errorf("the address is %q", at)
	}
	local := &mountinfo.Info{FSType: "ext4", Source: "nas:/vol", VFSOptions: "rw,addr=192.0.2.1"}
	if got, err := m.isMountOf(t.Context(), Source{Server: "nas", Path: "/vol"}, options{}, target, local); got || err != nil {
		t.Errorf("a local file system is taken for it: %v", err)
	}
}

// Only a value that is quoted has a comma.
func TestClassicCallNamesTheOptionWithAComma(t *testing.T) {
	f := attachClassic(request{Source: "nas:/vol"}, attempt{Parameters: []parameter{{Key: "context", Value: "a,hunter2"}}})
	if err := explain(f, local); !strings.Contains(err.Error(), `mount option "context" has a value`) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("it says %v", err)
	}
}

// mount(2) would leave out what follows the first page.
func TestClassicCallCutsNoOptions(t *testing.T) {
	var a attempt
	for range os.Getpagesize()/maxOption + 1 {
		a.Parameters = append(a.Parameters, parameter{Key: "context", Value: strings.Repeat("v", maxOption)})
	}
	f := attachClassic(request{Source: "nas:/vol", Target: filepath.Join(t.TempDir(), "nowhere")}, a)
	if f == nil || f.Errno != unix.EINVAL || len(f.Log) != 1 || !strings.Contains(f.Log[0], "bytes together") {
		t.Errorf("it says %v", f)
	}
}

func TestMountRefusesWhatCanNeverBeMounted(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	good := filepath.Join(dir, "target")
	for _, tc := range []struct {
		source Source
		target string
		words  string
	}{
		{Source{Server: "", Path: "/x"}, good, `server ""`},
		{Source{Server: "nas:/evil", Path: "/x"}, good, `server "nas:/evil"`},
		{Source{Server: "a:b", Path: "/x"}, good, `server "a:b" is not an IPv6 address`},
		{Source{Server: "nas\nx", Path: "/x"}, good, "is not a host name"},
		{Source{Server: "nas", Path: "x"}, good, `path "x" on the server must be absolute`},
		{Source{Server: "nas", Path: ""}, good, "must be absolute"},
		{Source{Server: "nas", Path: "/a\x00b"}, good, "must be absolute"},
		{Source{Server: "nas", Path: "/x", Options: []string{"vers=9"}}, good, `"vers"`},
		{local, "relative", `target path "relative" must be absolute and clean`},
		{local, dir + "/../x", "absolute and clean"},
		{local, "/", "absolute and clean"},
		{local, file, "is not a directory"},
	} {
		err := helpedBy(t, "refuse", Config{}).Mount(t.Context(), tc.source, tc.target)
		wantError(t, err, volume.ErrInvalid, tc.words)
		wantGone(t, good)
	}
}

func TestMountNamesAllMistakes(t *testing.T) {
	err := helpedBy(t, "refuse", Config{}).Mount(t.Context(), Source{Server: "", Path: "/x", Options: []string{"bind"}}, "relative")
	for _, words := range []string{"server", "bind", "relative"} {
		wantError(t, err, volume.ErrInvalid, words)
	}
}

func TestMountExplainsAndCleansUp(t *testing.T) {
	m := helpedBy(t, "refuse", Config{})
	target := filepath.Join(t.TempDir(), "made", "target")
	wantError(t, m.Mount(t.Context(), local, target), volume.ErrRefused, "server 127.0.0.1 does not let this node mount /exports/vol")
	wantGone(t, target)
	kept := t.TempDir() // kubelet may have made it
	wantError(t, m.Mount(t.Context(), local, kept), volume.ErrRefused, "127.0.0.1")
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
}

func TestPreflightGoesFirst(t *testing.T) {
	var asked []string
	m := newMounter(t, Config{
		Helper: []string{"/nonexistent"},
		Preflight: func(_ context.Context, server, path string, options []string) error {
			asked = append([]string{server, path}, options...)
			return fmt.Errorf("%w: switched off", volume.ErrUnavailable)
		},
	})
	target := filepath.Join(t.TempDir(), "target")
	s := Source{Server: "nas", Path: "/vol//a/", Options: []string{"vers=4.1,hard", "ro"}}
	wantError(t, m.Mount(t.Context(), s, target), volume.ErrUnavailable, "asking for nas:/vol/a: server is not available: switched off")
	if want := []string{"nas", "/vol/a", "vers=4.1", "hard", "ro"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	wantGone(t, target)
}

func TestMountEndsAtTheDeadline(t *testing.T) {
	m := helpedBy(t, "hang", Config{Timeout: 200 * time.Millisecond})
	ready(t, m.helpers) // or a slow machine spends the time on starting it
	target := filepath.Join(t.TempDir(), "target")
	err := m.Mount(t.Context(), local, target)
	wantError(t, err, volume.ErrUnavailable, "server 127.0.0.1 did not let /exports/vol be mounted in time")
	wantError(t, err, context.DeadlineExceeded, "within 200ms")
	wantGone(t, target)
}

// A server that dies while the kernel mounts is not waited for; one that takes its time is, until the deadline.
func TestALongMountIsLookedAfter(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	alive := fmt.Sprintf("port=%d", l.Addr().(*net.TCPAddr).Port)
	for option, want := range map[string]struct {
		timeout time.Duration
		words   string
	}{"port=1": {time.Minute, "takes no connection any more"}, alive: {longMount + longMount/2, "was not mounted within"}} {
		t.Run(option, func(t *testing.T) {
			t.Parallel()
			m := newMounter(t, Config{Helper: []string{os.Args[0], "hang"}, Timeout: want.timeout})
			start := time.Now()
			err := m.Mount(t.Context(), Source{Server: "127.0.0.1", Path: "/vol", Options: []string{option}}, filepath.Join(t.TempDir(), "target"))
			wantError(t, err, volume.ErrUnavailable, want.words)
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("%s took %v", option, took)
			}
		})
	}
}

func TestMountWithoutAHelperEndsAtTheDeadline(t *testing.T) {
	m := helpedBy(t, "never-ready", Config{Timeout: 50 * time.Millisecond})
	target := filepath.Join(t.TempDir(), "target")
	err := m.Mount(t.Context(), local, target)
	wantError(t, err, volume.ErrUnavailable, "no mount helper was ready in time: the node is overloaded")
	wantError(t, err, context.DeadlineExceeded, "within 50ms")
	wantGone(t, target)
}

func TestOneOperationForEachTarget(t *testing.T) {
	target := filepath.Join(t.TempDir(), "target")
	asked, answer := make(chan struct{}), make(chan error)
	m := helpedBy(t, "refuse", Config{Preflight: func(context.Context, string, string, []string) error {
		close(asked)
		return <-answer
	}})
	first := make(chan error, 1)
	go func() { first <- m.Mount(t.Context(), local, target) }()
	<-asked
	wantError(t, m.Mount(t.Context(), local, target), volume.ErrBusy, target)
	wantError(t, m.Unmount(t.Context(), target), volume.ErrBusy, target)
	if err := m.Unmount(t.Context(), target+"2"); err != nil {
		t.Errorf("another target: %v", err)
	}
	answer <- volume.ErrUnavailable
	if err := <-first; !errors.Is(err, volume.ErrUnavailable) {
		t.Errorf("the first ended with %v", err)
	}
	if err := m.Unmount(t.Context(), target); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestUnmountOfWhatIsNotMounted(t *testing.T) {
	m := newMounter(t, Config{Helper: []string{"/nonexistent"}}) // it needs no helper
	empty := filepath.Join(t.TempDir(), "target")
	if err := os.Mkdir(empty, 0o750); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := m.Unmount(t.Context(), empty); err != nil {
			t.Error(err)
		}
		wantGone(t, empty)
	}
	if err := m.Unmount(t.Context(), filepath.Join(empty, "below", "nothing")); err != nil {
		t.Error(err)
	}
	wantError(t, m.Unmount(t.Context(), "relative"), volume.ErrInvalid, "relative")
}

func TestUnmountKeepsFilesOfTheDirectory(t *testing.T) {
	target := t.TempDir()
	file := filepath.Join(target, "precious")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := newMounter(t, Config{}).Unmount(t.Context(), target); err == nil || !strings.Contains(err.Error(), "not on any volume") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
}

func TestResolveTargetFollowsLinksAboveOnly(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, leadsTo := range map[string]string{"link": "real", "last": "/nowhere"} {
		if err := os.Symlink(leadsTo, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o755); err != nil {
		t.Fatal(err)
	}
	for given, want := range map[string]string{
		"link/target": "real/target", "last": "last", "missing/target": "missing/target", "link/missing/target": "real/missing/target",
	} {
		got, err := resolveTarget(filepath.Join(dir, given), "")
		if err != nil || got != filepath.Join(dir, want) {
			t.Errorf("%s: %s, want %s, %v", given, got, want, err)
		}
	}
	err = newMounter(t, Config{}).Mount(t.Context(), local, filepath.Join(dir, "last"))
	wantError(t, err, volume.ErrInvalid, "is not a directory")
}

// Nothing is mounted, looked at or unmounted but in kubelet's directory, whatever links lead out of it.
func TestTargetsLieInOneDirectory(t *testing.T) {
	outside, kubelet := t.TempDir(), filepath.Join(t.TempDir(), "kubelet")
	if err := os.MkdirAll(filepath.Join(kubelet, "pods"), 0o755); err != nil {
		t.Fatal(err)
	}
	named := kubelet + "-link"
	for link, to := range map[string]string{named: kubelet, filepath.Join(kubelet, "pods", "evil"): outside, filepath.Join(kubelet, "pods", "up"): ".."} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	for _, below := range []string{kubelet, named, kubelet + "/"} {
		m := newMounter(t, Config{Below: below})
		for _, good := range []string{kubelet + "/pods/1/mount", named + "/pods/1/mount", kubelet + "/pods/up/pods/1"} {
			if err := m.Unmount(t.Context(), good); err != nil {
				t.Errorf("%s in %s: %v", good, below, err)
			}
		}
		for _, bad := range []string{
			outside + "/mount", kubelet, named, kubelet + "-other/mount", kubelet + "/pods/evil/mount", kubelet + "/pods/evil/new/mount", kubelet + "/pods/up/../../x",
			"relative", "/", "", "//x", kubelet + "/pods/a\x00b", kubelet + "/pods/../../x", kubelet + "/./x", kubelet + "/" + strings.Repeat("x/", 6000) + "mount",
			kubelet + "/" + strings.Repeat("x", 256), kubelet + "/" + strings.Repeat("x", 256) + "/mount",
		} {
			if err := m.Mount(t.Context(), local, bad); err == nil {
				t.Errorf("%.80q in %s was mounted on", bad, below)
			} else if !errors.Is(err, volume.ErrInvalid) {
				t.Errorf("%.80q in %s: %v", bad, below, err)
			}
			if err := m.Unmount(t.Context(), bad); err == nil {
				t.Errorf("%.80q in %s was unmounted", bad, below)
			}
		}
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("outside there is %v, %v", left, err)
	}
}

func TestAttemptsTryAddressesThatAnswerFirst(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := options{port: l.Addr().(*net.TCPAddr).Port}
	dead := "127.0.0.2" // nothing listens there
	if got := answeringFirst(t.Context(), []string{dead, "127.0.0.1"}, o); !slices.Equal(got, []string{"127.0.0.1", dead}) {
		t.Errorf("order %q", got)
	}
	if got := answeringFirst(t.Context(), []string{dead}, o); !slices.Equal(got, []string{dead}) {
		t.Errorf("order %q", got)
	}
	o.network = "none"
	if got := answeringFirst(t.Context(), []string{dead, "127.0.0.1"}, o); !slices.Equal(got, []string{dead, "127.0.0.1"}) {
		t.Errorf("order %q", got)
	}
}

func TestMakeAttempts(t *testing.T) {
	for _, tc := range []struct {
		server, option, want string
	}{
		{"192.0.2.1", "", "4.2@192.0.2.1 4.1@192.0.2.1 4.0@192.0.2.1 3@192.0.2.1"},
		{"2001:db8::1", "vers=4.1", "4.1@2001:db8::1"},
		{"::ffff:192.0.2.1", "vers=3", "3@192.0.2.1"},
		{"name.invalid", "addr=192.0.2.9,vers=3", "3@192.0.2.9"},
	} {
		o, err := parseOptions([]string{tc.option}, []string{"addr"})
		if err != nil {
			t.Fatal(err)
		}
		attempts, err := makeAttempts(t.Context(), Source{Server: tc.server, Path: "/"}, o)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range attempts {
			got = append(got, a.Version+"@"+a.Address)
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s %s: %q, want %q", tc.server, tc.option, got, tc.want)
		}
	}
	_, err := makeAttempts(t.Context(), Source{Server: "2001:db8::1", Path: "/"}, options{versions: defaultVersions, network: "tcp4"})
	wantError(t, err, volume.ErrInvalid, "proto")
}

// Nothing is changed through a mount that is read-only, whoever says that it is.
func TestReadOnlyMountsChangeNothing(t *testing.T) {
	for option, want := range map[string]bool{"hard": true, "rw": true, "ro": false, "ro,rw": true} {
		o, err := parseOptions([]string{option}, nil)
		if err != nil {
			t.Fatal(err)
		}
		r := mounting(Source{Server: "nas", Path: "/vol", Root: &volume.Root{Mode: 0o770}}, o, "/target", nil)
		if got := r.Root != nil; got != want {
			t.Errorf("%s: the directory is changed: %v", option, got)
		}
		if r.Operation != operationMount || r.Target != "/target" || r.Source != "nas:/vol" || r.server != "nas" {
			t.Errorf("%s: %+v", option, r)
		}
	}
}

// The port mapper is a sign of life only where it says which port is that of NFS.
func TestMapped(t *testing.T) {
	for option, want := range map[string]bool{"": false, "vers=4": false, "vers=3": true, "vers=3,port=2049": false, "v3,hard": true} {
		o, err := parseOptions([]string{option}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.mapped() != want {
			t.Errorf("%q: %v", option, !want)
		}
	}
}

// A mount that does not answer is looked at for a bounded time, also where the server takes connections and says nothing.
func TestMayReplaceIsBounded(t *testing.T) { synctest.Test(t, mayReplaceIsBounded) }

func mayReplaceIsBounded(t *testing.T) {
	broken := fmt.Errorf("%w: the server of nas:/vol does not answer", volume.ErrUnavailable)
	m := newMounter(t, Config{Preflight: func(ctx context.Context, _, _ string, _ []string) error {
		<-ctx.Done()
		return nil // as a preflight does that leaves the mount to the kernel
	}})
	start := time.Now()
	if err := m.mayReplace(t.Context(), local, options{}, broken); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if took, most := time.Since(start)+aliveTimeout, 11*time.Second; took > most { // of 15 that are promised
		t.Errorf("it takes %v, at most %v", took, most)
	}
	for _, want := range []error{nil, volume.ErrRefused} {
		m.preflight = func(context.Context, string, string, []string) error { return want }
		if err := m.mayReplace(t.Context(), local, options{}, broken); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
}

func TestByServerNamesADirectoryThatIsNotThere(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	if _, err := ByServer(missing); err == nil || !strings.Contains(err.Error(), "following "+strconv.Quote(missing)) {
		t.Errorf("%v", err)
	}
}
