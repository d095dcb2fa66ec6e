//go:build guest

package mount

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// soon bounds what must not wait for a server.
const soon = 20 * time.Second

// given is a variable of the guest (test/guest/README.md).
func given(t *testing.T, variable string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		t.Fatalf("$%s is not set: run this in test/guest/run --nfsd", variable)
	}
	return value
}

func openExport(t *testing.T, options ...string) Source {
	t.Helper()
	return Source{Server: given(t, "NFS_TEST_SERVER"), Path: given(t, "NFS_TEST_EXPORT"), Options: options}
}

// newTarget is a path for a mount, which the test's end unmounts.
func newTarget(t *testing.T) string {
	t.Helper()
	target := filepath.Join(t.TempDir(), "target")
	t.Cleanup(func() {
		for unix.Unmount(target, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW) == nil {
		}
	})
	return target
}

func mustMount(t *testing.T, m *Mounter, s Source, target string) {
	t.Helper()
	if err := m.Mount(t.Context(), s, target); err != nil {
		t.Fatal(err)
	}
}

func mustBeUnmounted(t *testing.T, target string) {
	t.Helper()
	mounts, err := mountsAt(target)
	if err != nil || len(mounts) > 0 {
		t.Errorf("%s: %d mounts, %v", target, len(mounts), err)
	}
	if _, err := os.Lstat(target); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the target directory is still there: %v", err)
	}
}

func TestMountChoosesTheNewestVersion(t *testing.T) {
	for _, tc := range []struct {
		option, want string
	}{
		{"", "4.2"}, {"vers=4", "4.2"}, {"vers=4.2", "4.2"}, {"nfsvers=4.1", "4.1"}, {"vers=4.0", "4.0"},
		{"vers=4,minorversion=1", "4.1"}, {"vers=3", "3"}, {"v3,lock", "3"},
	} {
		t.Run(tc.option, func(t *testing.T) {
			target := newTarget(t)
			m := newMounter(t, Config{})
			mustMount(t, m, openExport(t, tc.option), target)
			if err := os.WriteFile(filepath.Join(target, "file"), []byte("text"), 0o644); err != nil {
				t.Error(err)
			}
			mounts, err := mountsAt(target)
			if err != nil || len(mounts) != 1 {
				t.Fatalf("%d mounts, %v", len(mounts), err)
			}
			if got := optionOf(mounts[0].VFSOptions, "vers"); got != tc.want {
				t.Errorf("version %s, want %s (%s)", got, tc.want, mounts[0].VFSOptions)
			}
			if err := m.Unmount(t.Context(), target); err != nil {
				t.Error(err)
			}
			mustBeUnmounted(t, target)
		})
	}
}

func TestMountErrors(t *testing.T) {
	server, export := given(t, "NFS_TEST_SERVER"), given(t, "NFS_TEST_EXPORT")
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	closedPort := "port=" + strconv.Itoa(closed.Addr().(*net.TCPAddr).Port)
	refused := given(t, "NFS_TEST_EXPORT_REFUSED")
	for _, tc := range []struct {
		name   string
		source Source
		kind   error
		words  string
	}{
		{"wrong path v4", Source{Server: server, Path: "/exports/nowhere"}, volume.ErrNotFound, "has no directory /exports/nowhere"},
		{"no export v3", Source{Server: server, Path: "/exports/nowhere", Options: []string{"vers=3"}}, volume.ErrRefused, "check that this path is exported"},
		{"wrong path v3", Source{Server: server, Path: export + "/no", Options: []string{"vers=3"}}, volume.ErrNotFound, export + "/no"},
		{"below the export v4", Source{Server: server, Path: export + "/no"}, volume.ErrNotFound, export + "/no"},
		{"refused v3", Source{Server: server, Path: refused, Options: []string{"vers=3"}}, volume.ErrRefused, "does not let this node mount " + refused},
		{"refused v4", Source{Server: server, Path: refused}, volume.ErrNotFound, refused},
		{"closed port", Source{Server: server, Path: export, Options: []string{closedPort}}, volume.ErrUnavailable, "accepts NFS connections"},
		{"unknown option", Source{Server: server, Path: export, Options: []string{"bogus"}}, volume.ErrInvalid, `"bogus": it is not among those that may be given`},
		{"option that only the admin knows", Source{Server: server, Path: export, Options: []string{"fresh"}}, volume.ErrInvalid, `mount option "fresh" is not known`},
		{"bad value", Source{Server: server, Path: export, Options: []string{"timeo=often"}}, volume.ErrInvalid, `mount option "timeo"`},
		{"source port", Source{Server: server, Path: given(t, "NFS_TEST_EXPORT_SECURE"), Options: []string{"noresvport"}}, volume.ErrRefused, "insecure"},
		{"no rpc.gssd", Source{Server: server, Path: export, Options: []string{"sec=krb5"}}, volume.ErrInvalid, "run rpc.gssd on this node"},
		{"no such name", Source{Server: "nowhere.invalid", Path: export}, volume.ErrUnavailable, `"nowhere.invalid" of the server cannot be resolved`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			target := newTarget(t)
			err := newMounter(t, Config{AllowOptions: []string{"fresh"}}).Mount(t.Context(), tc.source, target)
			wantError(t, err, tc.kind, tc.words)
			mustBeUnmounted(t, target)
			t.Log(err)
		})
	}
}

func TestMountOfADeadServerEndsAtTheDeadline(t *testing.T) {
	target := newTarget(t)
	start := time.Now()
	// The deadline comes before the first look after a long mount, which would tell the same in other words.
	err := newMounter(t, Config{Timeout: longMount / 2}).Mount(t.Context(), Source{Server: given(t, "NFS_TEST_DEAD"), Path: "/x"}, target)
	wantError(t, err, volume.ErrUnavailable, given(t, "NFS_TEST_DEAD"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v does not match context.DeadlineExceeded", err)
	}
	if took := time.Since(start); took > soon {
		t.Errorf("took %v", took)
	}
	mustBeUnmounted(t, target)
	t.Log(time.Since(start), err)
}

func TestMountTriesTheNextAddress(t *testing.T) {
	s, o := openExport(t), options{versions: defaultVersions}
	var attempts []attempt
	for _, address := range []string{"127.0.0.1", "::1"} {
		attempts = append(attempts, attempt{"4.2", address, append(o.parametersFor("4.2", address), parameter{Key: "port", Value: "1"})})
	}
	attempts = append(attempts, attempt{"4.2", "127.0.0.2", o.parametersFor("4.2", "127.0.0.2")})
	target := newTarget(t)
	if err := os.Mkdir(target, 0o750); err != nil {
		t.Fatal(err)
	}
	if f := mountFirst(request{Target: target, Source: s.String(), Attempts: attempts}, attach); f != nil {
		t.Error(f)
	}
}

func TestMountOverIPv6(t *testing.T) {
	s := openExport(t)
	s.Server = "::1"
	target := newTarget(t)
	m := newMounter(t, Config{})
	mustMount(t, m, s, target)
	mustMount(t, m, s, target) // found again in the table
	if err := m.Unmount(t.Context(), target); err != nil {
		t.Error(err)
	}
}

// The calls of old kernels and strict seccomp filters do the same as the new ones.
func TestMountByTheClassicCall(t *testing.T) {
	target := newTarget(t)
	if err := os.Mkdir(target, 0o750); err != nil {
		t.Fatal(err)
	}
	s := openExport(t, "ro,noatime,nosuid,nodev,sync,timeo=100")
	o, err := parseOptions(s.Options, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := request{Target: target, Source: s.String(), Attributes: o.attributes}
	if f := attachClassic(r, attempt{Parameters: o.parametersFor("4.1", s.Server)}); f != nil {
		t.Fatal(f)
	}
	mounts, err := mountsAt(target)
	if err != nil || len(mounts) != 1 {
		t.Fatalf("%d mounts, %v", len(mounts), err)
	}
	if got := mounts[0].Options; got != "ro,nosuid,nodev,noatime" {
		t.Errorf("the mount has options %s", got)
	}
	if got := mounts[0].VFSOptions; optionOf(got, "vers") != "4.1" || optionOf(got, "timeo") != "100" || !strings.HasPrefix(got, "rw,sync") {
		t.Errorf("the file system has options %s", got)
	}
	f := attachClassic(request{Target: target, Source: s.String()}, attempt{Parameters: append(o.parametersFor("4.1", s.Server), parameter{Key: "bogus", Flag: true})})
	if f == nil || f.Errno != unix.EINVAL {
		t.Errorf("an unknown option gives %v", f)
	}
}

// A source of more than 255 bytes is longer than a file system context takes.
func TestMountOfALongPath(t *testing.T) {
	directory := given(t, "NFS_TEST_EXPORT")
	for range 4 {
		directory = filepath.Join(directory, strings.Repeat("d", 80))
	}
	if err := os.MkdirAll(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(directory, "file"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"", "vers=4.1", "vers=3"} {
		for options, want := range map[string]string{"": "rw,relatime", "ro,nosuid,noatime": "ro,nosuid,noatime"} {
			s, target := openExport(t, version, options), newTarget(t)
			s.Path, s.Root = directory, &volume.Root{Mode: 0o750, UID: 1000, GID: 2000}
			m := newMounter(t, Config{})
			mustMount(t, m, s, target)
			mustMount(t, m, s, target) // found again in the table
			mounts, err := mountsAt(target)
			if err != nil || len(mounts) != 1 || mounts[0].Options != want || !strings.HasPrefix(mounts[0].VFSOptions, "rw,") {
				t.Errorf("%s,%s: %d mounts, %+v, %v", version, options, len(mounts), mounts, err)
			}
			if got, err := os.ReadFile(filepath.Join(target, "file")); err != nil || string(got) != "text" {
				t.Errorf("%s,%s: %q, %v", version, options, got, err)
			}
			if err := m.Unmount(t.Context(), target); err != nil {
				t.Error(err)
			}
		}
		s := openExport(t, version)
		s.Path = filepath.Join(directory, "nowhere")
		target := newTarget(t)
		wantError(t, newMounter(t, Config{}).Mount(t.Context(), s, target), volume.ErrNotFound, s.Path)
		mustBeUnmounted(t, target)
	}
}

func TestMountSetsFlagsOfTheMount(t *testing.T) {
	target := newTarget(t)
	mustMount(t, newMounter(t, Config{}), openExport(t, "noatime,nodiratime", "nosuid,nodev,noexec", "_netdev,defaults,x-note=1,hard,timeo=70"), target)
	mounts, err := mountsAt(target)
	if err != nil || len(mounts) != 1 {
		t.Fatalf("%d mounts, %v", len(mounts), err)
	}
	if got := mounts[0].Options; got != "rw,nosuid,nodev,noexec,noatime,nodiratime" {
		t.Errorf("the mount has options %s", got)
	}
	if got := mounts[0].VFSOptions; optionOf(got, "timeo") != "70" {
		t.Errorf("the file system has options %s", got)
	}
}

// Two mounts of one export share a superblock; only the one asked to be read-only is.
func TestReadOnlyAndWritableMountsOfOneExport(t *testing.T) {
	for _, readOnlyFirst := range []bool{true, false} {
		m := newMounter(t, Config{})
		targets := map[bool]string{true: newTarget(t), false: newTarget(t)}
		for _, readOnly := range []bool{readOnlyFirst, !readOnlyFirst} {
			s := openExport(t)
			s.ReadOnly = readOnly
			mustMount(t, m, s, targets[readOnly])
		}
		name := fmt.Sprintf("first-%t", readOnlyFirst)
		if err := os.WriteFile(filepath.Join(targets[false], name), []byte("text"), 0o644); err != nil {
			t.Errorf("writing to the writable mount: %v", err)
		}
		if got, err := os.ReadFile(filepath.Join(targets[true], name)); err != nil || string(got) != "text" {
			t.Errorf("reading %q from the read-only mount: %v", got, err)
		}
		if err := os.WriteFile(filepath.Join(targets[true], name), nil, 0o644); !errors.Is(err, unix.EROFS) {
			t.Errorf("writing to the read-only mount: %v", err)
		}
		for _, target := range targets {
			if err := m.Unmount(t.Context(), target); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestMountIsIdempotent(t *testing.T) {
	target := newTarget(t)
	m := newMounter(t, Config{})
	s := openExport(t)
	mustMount(t, m, s, target)
	mustMount(t, m, s, target)
	if mounts, err := mountsAt(target); err != nil || len(mounts) != 1 {
		t.Errorf("%d mounts, %v", len(mounts), err)
	}
	other := s
	other.Path = given(t, "NFS_TEST_EXPORT_EXT4")
	wantError(t, m.Mount(t.Context(), other, target), volume.ErrExists, s.String())
	s.ReadOnly = true
	wantError(t, m.Mount(t.Context(), s, target), volume.ErrExists, "not with the same access")
	for range 2 {
		if err := m.Unmount(t.Context(), target); err != nil {
			t.Error(err)
		}
		mustBeUnmounted(t, target)
	}
}

func TestUnmountTakesAwayStackedMounts(t *testing.T) {
	target := newTarget(t)
	m := newMounter(t, Config{})
	mustMount(t, m, openExport(t), target)
	for range 2 {
		if err := unix.Mount("tmpfs", target, "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Unmount(t.Context(), target); err != nil {
		t.Error(err)
	}
	mustBeUnmounted(t, target)
}

func TestUnmountOfAMountInUse(t *testing.T) {
	target := newTarget(t)
	m := newMounter(t, Config{})
	mustMount(t, m, openExport(t), target)
	f, err := os.Create(filepath.Join(target, "in-use"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := m.Unmount(t.Context(), target); err != nil {
		t.Error(err)
	}
	mustBeUnmounted(t, target)
	if _, err := f.WriteString("still ours"); err != nil {
		t.Errorf("who has a file open cannot write any more: %v", err)
	}
}

// restartServer restarts the guest's NFS server with these changes to the versions that it speaks, such as "-4.2".
func restartServer(t *testing.T, versions string) {
	t.Helper()
	for _, step := range []struct{ file, text string }{
		{"threads", "0"}, {"versions", versions}, {"threads", "8"}, {"v4_end_grace", "Y"},
	} {
		if err := os.WriteFile("/proc/fs/nfsd/"+step.file, []byte(step.text+"\n"), 0); err != nil && step.file != "v4_end_grace" {
			t.Fatalf("writing %s to %s: %v", step.text, step.file, err)
		}
	}
}

// A server that speaks fewer versions gets the newest of them.
func TestMountNegotiatesWithAnOlderServer(t *testing.T) {
	t.Cleanup(func() { restartServer(t, "+3 +4.0 +4.1 +4.2") })
	for _, tc := range []struct {
		versions, option, want string
	}{
		{"-4.2", "", "4.1"}, {"-4.1 -4.2", "", "4.0"}, {"-4.1 -4.2", "vers=4.2", ""}, {"-4 -4.0 -4.1 -4.2", "", "3"}, {"-4 -4.0 -4.1 -4.2", "vers=4", ""},
	} {
		t.Run(tc.versions+" "+tc.option, func(t *testing.T) {
			restartServer(t, tc.versions)
			target := newTarget(t)
			m := newMounter(t, Config{})
			err := m.Mount(t.Context(), openExport(t, tc.option), target)
			if tc.want == "" {
				wantError(t, err, volume.ErrUnsupported, "none of the NFS versions")
				mustBeUnmounted(t, target)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			mounts, err := mountsAt(target)
			if err != nil || len(mounts) != 1 {
				t.Fatalf("%d mounts, %v", len(mounts), err)
			}
			if got := optionOf(mounts[0].VFSOptions, "vers"); got != tc.want {
				t.Errorf("version %s, want %s", got, tc.want)
			}
			if err := m.Unmount(t.Context(), target); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUsageOfAMount(t *testing.T) {
	target := newTarget(t)
	m := newMounter(t, Config{})
	mustMount(t, m, Source{Server: given(t, "NFS_TEST_SERVER"), Path: given(t, "NFS_TEST_EXPORT_SMALL")}, target)
	empty, err := m.Usage(t.Context(), target)
	if err != nil || empty.TotalBytes != 1<<20 || empty.TotalInodes == 0 {
		t.Fatalf("%+v, %v", empty, err)
	}
	if err := os.WriteFile(filepath.Join(target, "half"), make([]byte, 512<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	half, err := m.Usage(t.Context(), target)
	if err != nil || half.UsedBytes-empty.UsedBytes != 512<<10 || half.UsedBytes+half.AvailableBytes != half.TotalBytes {
		t.Errorf("%+v, then %+v, %v", empty, half, err)
	}
	if half.UsedInodes != empty.UsedInodes+1 {
		t.Errorf("%d inodes, then %d", empty.UsedInodes, half.UsedInodes)
	}
}

// Root has no special rights there, and the volume's directory may be closed to it: Usage answers all the same.
func TestUsageOfASquashedExport(t *testing.T) {
	target := newTarget(t)
	m := newMounter(t, Config{})
	mustMount(t, m, Source{Server: given(t, "NFS_TEST_SERVER"), Path: given(t, "NFS_TEST_EXPORT_SQUASH")}, target)
	if u, err := m.Usage(t.Context(), target); err != nil || u.TotalBytes == 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if err := m.Unmount(t.Context(), target); err != nil {
		t.Error(err)
	}
}

// The directory is as it should be before anybody sees the mount: a process that dies in between leaves none that the next one
// takes for finished.
func TestRootIsSettledBeforeTheMountIsSeen(t *testing.T) {
	directory := filepath.Join(given(t, "NFS_TEST_EXPORT"), "settled")
	mustMake(t, directory)
	target, s := newTarget(t), openExport(t)
	s.Path, s.Root = directory, &volume.Root{Mode: 0o770 | os.ModeSetgid, UID: 1000, GID: 2000}
	mustMount(t, newMounter(t, Config{}), s, target)
	var now unix.Stat_t
	if err := unix.Stat(target, &now); err != nil || now.Mode&0o7777 != 0o2770 || now.Uid != 1000 || now.Gid != 2000 {
		t.Errorf("%o of %d:%d, %v", now.Mode, now.Uid, now.Gid, err)
	}

	squashed := Source{Server: s.Server, Path: given(t, "NFS_TEST_EXPORT_SQUASH"), Root: &volume.Root{UID: 7, GID: 7}}
	refused := newTarget(t)
	for name, try := range map[string]func(request, attempt) *failure{"context": attach, "mount(2)": attachClassic} {
		o, err := parseOptions([]string{"vers=4.2"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		attempts, err := makeAttempts(t.Context(), squashed, o)
		if _, made := makeTarget(refused); err != nil || made != nil {
			t.Fatal(err, made)
		}
		f := try(mounting(squashed, o, refused, attempts), attempts[0])
		if f == nil || f.Doing != doingRoot {
			t.Errorf("%s: %v", name, f)
		}
		if mounts, err := mountsAt(refused); err != nil || len(mounts) > 0 {
			t.Errorf("%s: %d mounts, %v", name, len(mounts), err)
		}
	}
}

// Who may write an export can put links there: a source that is to be taken literally is not led by them.
func TestMountThatIsLiteralFollowsNoLink(t *testing.T) {
	export := given(t, "NFS_TEST_EXPORT")
	mustMake(t, filepath.Join(export, "team"))
	mustMake(t, filepath.Join(export, "secret"))
	for name, to := range map[string]string{"relative": "../secret", "absolute": export + "/secret", "itself": "."} {
		if err := os.Symlink(to, filepath.Join(export, "team", name)); err != nil {
			t.Fatal(err)
		}
	}
	m := newMounter(t, Config{})
	for name, good := range map[string]bool{"": true, "relative": false, "absolute": false, "itself": false} {
		target := newTarget(t)
		s := openExport(t, "vers=4")
		s.Path, s.Literal = filepath.Join(s.Path, "team", name), true
		err := m.Mount(t.Context(), s, target)
		if good {
			if err != nil {
				t.Errorf("%s: %v", s, err)
			}
			continue
		}
		wantError(t, err, volume.ErrInvalid, "a symbolic link on the server leads from "+s.String())
		mustBeUnmounted(t, target)
	}
}

// Mounts of one export share a superblock, which the kernel's table shows by the name that it was mounted by first. A Mounter that made none of
// them, as after a restart, finds all the same what it is asked for.
func TestMountUnderAnotherName(t *testing.T) {
	export := given(t, "NFS_TEST_EXPORT")
	mustMake(t, filepath.Join(export, "named"))
	first, second := openExport(t, "vers=4.2"), openExport(t, "vers=4.2")
	first.Path, second.Path = filepath.Join(export, "named"), filepath.Join(export, "named")
	first.Server, second.Server, second.Literal = "localhost", "127.0.0.1", true
	m, target := newMounter(t, Config{}), newTarget(t)
	mustMount(t, m, first, newTarget(t))
	mustMount(t, m, second, target)
	mounts, err := mountsAt(target)
	if err != nil || len(mounts) != 1 || mounts[0].Source != first.String() {
		t.Fatalf("the table does not show %s: %+v, %v", first, mounts, err)
	}
	restarted := newMounter(t, Config{})
	mustMount(t, restarted, second, target)
	if mounts, err := mountsAt(target); err != nil || len(mounts) != 1 {
		t.Errorf("%d mounts, %v", len(mounts), err)
	}
	second.Path = export
	wantError(t, restarted.Mount(t.Context(), second, target), volume.ErrExists, "unmount it first")
	second.Path, second.Server = first.Path, "127.0.0.2"
	wantError(t, restarted.Mount(t.Context(), second, target), volume.ErrExists, "unmount it first")
}

// A volume whose path leads through a link is found mounted when it is published again, and nothing else is taken for it.
func TestMountThroughALink(t *testing.T) {
	export := given(t, "NFS_TEST_EXPORT")
	mustMake(t, filepath.Join(export, "led"))
	mustMake(t, filepath.Join(export, "other"))
	if err := os.Symlink("led", filepath.Join(export, "link")); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"vers=4.2", "vers=3"} {
		m, target := newMounter(t, Config{}), newTarget(t)
		s := openExport(t, version)
		s.Path = filepath.Join(s.Path, "link")
		mustMount(t, m, s, target)
		mustMount(t, m, s, target)
		if mounts, err := mountsAt(target); err != nil || len(mounts) != 1 {
			t.Errorf("%s: %d mounts, %v", version, len(mounts), err)
		}
		other := s
		other.Path = filepath.Join(export, "other")
		wantError(t, m.Mount(t.Context(), other, target), volume.ErrExists, "unmount it first")
		if err := m.Unmount(t.Context(), target); err != nil {
			t.Error(err)
		}
		mustMount(t, m, other, target)
		wantError(t, m.Mount(t.Context(), s, target), volume.ErrExists, "unmount it first")
		if err := m.Unmount(t.Context(), target); err != nil {
			t.Error(err)
		}
	}
}

// A mount made below a shared mount point, as kubelet's directory is for the node's container, appears in all its copies.
func TestMountPropagates(t *testing.T) {
	shared, copied := t.TempDir(), t.TempDir()
	for _, step := range []struct {
		source, target, fs string
		flags              uintptr
	}{
		{"tmpfs", shared, "tmpfs", 0}, {"", shared, "", unix.MS_SHARED}, {shared, copied, "", unix.MS_BIND},
	} {
		if err := unix.Mount(step.source, step.target, step.fs, step.flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	defer unix.Unmount(shared, unix.MNT_DETACH)
	defer unix.Unmount(copied, unix.MNT_DETACH)
	m := newMounter(t, Config{})
	mustMount(t, m, openExport(t), filepath.Join(shared, "target"))
	if mounts, err := mountsAt(filepath.Join(copied, "target")); err != nil || len(mounts) != 1 {
		t.Errorf("%d mounts in the copy, %v", len(mounts), err)
	}
	if err := m.Unmount(t.Context(), filepath.Join(shared, "target")); err != nil {
		t.Error(err)
	}
	if mounts, err := mountsAt(filepath.Join(copied, "target")); err != nil || len(mounts) != 0 {
		t.Errorf("%d mounts in the copy afterwards, %v", len(mounts), err)
	}
}
