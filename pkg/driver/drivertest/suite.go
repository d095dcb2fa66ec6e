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
	return volume.Request{Name: name, Class: c, RequiredBytes: size, Changes: volume.Unchanged()}
}

// create makes a volume that is deleted when the test ends.
func (s volumesSuite) create(t *testing.T, r volume.Request) volume.Volume {
	t.Helper()
	v, err := s.Create(timeout(t), r)
	if err != nil {
		t.Fatalf("Create(%q): %v", r.Name, err)
	}
	cleanup(t, func(ctx context.Context) error { return s.Delete(ctx, v.ID, nil) })
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
	atOnce(t, 8, func(ctx context.Context) error {
		_, err := s.Create(ctx, r)
		return err
	})
	made := s.create(t, r)
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
	judgePages(t, made, s.ids)
	if _, _, err := s.List(timeout(t), "no-token", 0); !errors.Is(err, volume.ErrToken) {
		t.Errorf("List from a token that is none: %v, want ErrToken", err)
	}
}

func (s volumesSuite) space(t *testing.T) {
	space, err := s.Space(timeout(t), s.location, nil)
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
	return listed(t, size, func(token string) ([]volume.Volume, string, error) { return s.List(timeout(t), token, size) },
		func(v volume.Volume) volume.ID { return v.ID })
}

// listed collects the IDs of all pages of a list.
func listed[T, ID any](t *testing.T, size int, list func(token string) ([]T, string, error), id func(T) ID) []ID {
	t.Helper()
	var ids []ID
	for token := ""; ; {
		page, next, err := list(token)
		if err != nil {
			t.Fatalf("listing from %q by %d: %v", token, size, err)
		}
		if size > 0 && len(page) > size {
			t.Fatalf("listing from %q by %d answers %d", token, size, len(page))
		}
		for _, item := range page {
			ids = append(ids, id(item))
		}
		if token = next; token == "" {
			return ids
		}
	}
}

// judgePages checks that a list shows each of some once, and the same in pages of any size.
func judgePages[ID comparable](t *testing.T, some []ID, list func(t *testing.T, size int) []ID) {
	t.Helper()
	whole := list(t, 0)
	for _, id := range some {
		if n := count(whole, id); n != 1 {
			t.Errorf("List shows %v %d times", id, n)
		}
	}
	for _, size := range []int{1, 2, len(whole), len(whole) + 1} {
		if paged := list(t, size); !slices.Equal(paged, whole) {
			t.Errorf("List by %d: %v, want %v", size, paged, whole)
		}
	}
}

// atOnce makes n calls at the same time, of which some may find another one busy.
func atOnce(t *testing.T, n int, call func(ctx context.Context) error) {
	t.Helper()
	ctx, errs := timeout(t), make([]error, n)
	var callers sync.WaitGroup
	for i := range errs {
		callers.Go(func() { errs[i] = call(ctx) })
	}
	callers.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, volume.ErrBusy) {
			t.Errorf("one of %d calls at once: %v", n, err)
		}
	}
}

func count[ID comparable](ids []ID, id ID) int {
	n := 0
	for _, i := range ids {
		if i == id {
			n++
		}
	}
	return n
}

// cleanup deletes something when the test ends.
func cleanup(t *testing.T, remove func(ctx context.Context) error) {
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), suiteTimeout)
		defer cancel()
		if err := remove(ctx); err != nil {
			t.Errorf("cleaning up: %v", err)
		}
	})
}

func timeout(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), suiteTimeout)
	t.Cleanup(cancel)
	return ctx
}
