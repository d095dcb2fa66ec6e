package drivertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// suiteTimeout bounds each test of a suite; real servers are among the tested.
const suiteTimeout = time.Minute

// TestVolumes judges an implementation of [driver.Volumes] by the contract in its comments. It works on the share at l,
// which other volumes may be on, and leaves no volume behind.
func TestVolumes(t *testing.T, v driver.Volumes, l volume.Location) {
	s := volumesSuite{Volumes: v, location: l}
	t.Run("create is repeatable", s.createTwice)
	t.Run("create refuses another size", s.otherSize)
	t.Run("create refuses a taken directory", s.takenDirectory)
	t.Run("create at once", s.createAtOnce)
	t.Run("get and delete", s.getAndDelete)
	t.Run("list in pages", s.list)
	t.Run("space", s.space)
	t.Run("ended context", s.endedContext)
}

type volumesSuite struct {
	driver.Volumes
	location volume.Location
}

func (s volumesSuite) request(t *testing.T, name, subDir string, size int64) volume.Request {
	t.Helper()
	parameters := map[string]string{volume.ParamServer: s.location.Server, volume.ParamShare: s.location.Share}
	if subDir != "" {
		parameters[volume.ParamSubDir] = subDir
	}
	c, err := volume.ParseClass(parameters, volume.Defaults{})
	if err != nil {
		t.Fatal(err)
	}
	return volume.Request{Name: name, Class: c, RequiredBytes: size}
}

// create makes a volume that is deleted when the test ends.
func (s volumesSuite) create(t *testing.T, r volume.Request) volume.Volume {
	t.Helper()
	v, err := s.Create(timeout(t), r)
	if err != nil {
		t.Fatalf("Create(%q): %v", r.Name, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), suiteTimeout)
		defer cancel()
		if err := s.Delete(ctx, v.ID, nil); err != nil {
			t.Errorf("Delete(%q): %v", v.ID, err)
		}
	})
	return v
}

func (s volumesSuite) createTwice(t *testing.T) {
	r := s.request(t, "suite-twice", "", 1<<20)
	first, second := s.create(t, r), s.create(t, r)
	if first.ID != second.ID || first.CapacityBytes != 1<<20 || second.CapacityBytes != 1<<20 {
		t.Errorf("created %+v, then %+v", first, second)
	}
	if want, err := r.ID(); err != nil || first.ID != want {
		t.Errorf("created %q, the request has the ID %q, %v", first.ID, want, err)
	}
}

func (s volumesSuite) otherSize(t *testing.T) {
	r := s.request(t, "suite-size", "", 1<<20)
	s.create(t, r)
	r.RequiredBytes = 1 << 21
	if _, err := s.Create(timeout(t), r); !errors.Is(err, volume.ErrExists) {
		t.Errorf("creating with twice the size: %v, want ErrExists", err)
	}
	r.RequiredBytes, r.LimitBytes = 1, 1<<19
	if _, err := s.Create(timeout(t), r); !errors.Is(err, volume.ErrExists) {
		t.Errorf("creating with a limit below the size: %v, want ErrExists", err)
	}
}

func (s volumesSuite) takenDirectory(t *testing.T) {
	s.create(t, s.request(t, "suite-owner", "suite-taken", 1))
	if _, err := s.Create(timeout(t), s.request(t, "suite-second", "suite-taken", 1)); !errors.Is(err, volume.ErrExists) {
		t.Errorf("creating another volume in the same directory: %v, want ErrExists", err)
	}
}

func (s volumesSuite) createAtOnce(t *testing.T) {
	r := s.request(t, "suite-at-once", "", 1<<20)
	ctx := timeout(t)
	results := make(chan error, 8)
	var callers sync.WaitGroup
	for range cap(results) {
		callers.Go(func() {
			_, err := s.Create(ctx, r)
			results <- err
		})
	}
	callers.Wait()
	made := s.create(t, r)
	for range cap(results) {
		if err := <-results; err != nil && !errors.Is(err, volume.ErrBusy) {
			t.Errorf("one of eight Creates: %v", err)
		}
	}
	if n := count(s.ids(t, 0), made.ID); n != 1 {
		t.Errorf("eight Creates made %d volumes", n)
	}
}

func (s volumesSuite) getAndDelete(t *testing.T) {
	made := s.create(t, s.request(t, "suite-get", "", 1<<20))
	got, err := s.Get(timeout(t), made.ID)
	if err != nil || got.ID != made.ID || got.CapacityBytes != made.CapacityBytes {
		t.Errorf("Get: %+v, %v, want %+v", got, err, made)
	}
	for range 2 {
		if err := s.Delete(timeout(t), made.ID, nil); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	if _, err := s.Get(timeout(t), made.ID); !errors.Is(err, volume.ErrNotFound) {
		t.Errorf("Get after Delete: %v, want ErrNotFound", err)
	}
	if n := count(s.ids(t, 0), made.ID); n != 0 {
		t.Errorf("List shows the deleted volume %d times", n)
	}
}

func (s volumesSuite) list(t *testing.T) {
	var made []volume.ID
	for i := range 5 {
		made = append(made, s.create(t, s.request(t, fmt.Sprintf("suite-list-%d", i), "", 1<<20)).ID)
	}
	whole := s.ids(t, 0)
	for _, id := range made {
		if count(whole, id) != 1 {
			t.Errorf("List shows %q %d times", id, count(whole, id))
		}
	}
	for _, size := range []int{1, 2, len(whole), len(whole) + 1} {
		if paged := s.ids(t, size); !slices.Equal(paged, whole) {
			t.Errorf("List by %d: %v, want %v", size, paged, whole)
		}
	}
	if _, _, err := s.List(timeout(t), "no-token", 0); !errors.Is(err, volume.ErrToken) {
		t.Errorf("List from a token that is none: %v, want ErrToken", err)
	}
}

func (s volumesSuite) space(t *testing.T) {
	space, err := s.Space(timeout(t), s.location)
	if err != nil || space.Total == 0 || space.Available > space.Total {
		t.Errorf("Space: %+v, %v", space, err)
	}
}

func (s volumesSuite) endedContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Create(ctx, s.request(t, "suite-late", "", 1)); err == nil {
		t.Error("Create with an ended context: no error")
	}
}

// ids lists all volumes in pages of the given size.
func (s volumesSuite) ids(t *testing.T, size int) []volume.ID {
	t.Helper()
	var ids []volume.ID
	for token := ""; ; {
		page, next, err := s.List(timeout(t), token, size)
		if err != nil {
			t.Fatalf("List(%q, %d): %v", token, size, err)
		}
		if size > 0 && len(page) > size {
			t.Fatalf("List(%q, %d) answers %d volumes", token, size, len(page))
		}
		for _, v := range page {
			ids = append(ids, v.ID)
		}
		if token = next; token == "" {
			return ids
		}
	}
}

// TestMounter judges an implementation of [driver.Mounter]: one and two are two different mounts that work, target is a
// path where nothing is.
func TestMounter(t *testing.T, m driver.Mounter, one, two volume.Mountpoint, target string) {
	ctx := timeout(t)
	step := func(what string, err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	step("unmounting nothing", m.Unmount(ctx, target), nil)
	_, err := m.Usage(ctx, target)
	step("usage of nothing", err, volume.ErrNotFound)
	step("mounting", m.Mount(ctx, one, false, target), nil)
	step("mounting again", m.Mount(ctx, one, false, target), nil)
	step("mounting read-only over it", m.Mount(ctx, one, true, target), volume.ErrExists)
	step("mounting another over it", m.Mount(ctx, two, false, target), volume.ErrExists)
	usage, err := m.Usage(ctx, target)
	step("usage", err, nil)
	if usage.TotalBytes == 0 || usage.AvailableBytes > usage.TotalBytes || usage.UsedBytes > usage.TotalBytes {
		t.Errorf("usage: %+v", usage)
	}
	step("unmounting", m.Unmount(ctx, target), nil)
	step("unmounting again", m.Unmount(ctx, target), nil)
	_, err = m.Usage(ctx, target)
	step("usage after unmounting", err, volume.ErrNotFound)
	step("mounting another read-only", m.Mount(ctx, two, true, target), nil)
	step("unmounting that", m.Unmount(ctx, target), nil)
}

func count(ids []volume.ID, id volume.ID) int {
	n := 0
	for _, i := range ids {
		if i == id {
			n++
		}
	}
	return n
}

func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), suiteTimeout)
	t.Cleanup(cancel)
	return ctx
}
