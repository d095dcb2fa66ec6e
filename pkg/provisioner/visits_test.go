package provisioner

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	storage "k8s.io/api/storage/v1"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func TestSharesOfClassesAreVisited(t *testing.T) {
	c := newCluster(
		newClass("one", testDriver),
		newClass("again", "gxf-nfs-storage", func(s *storage.StorageClass) { slices.Reverse(s.MountOptions) }),
		newClass("theirs", "other", func(s *storage.StorageClass) { s.Parameters["server"] = "theirs" }),
		newClass("silent", testDriver, func(s *storage.StorageClass) { s.Parameters = nil }),
		newClass("wrong", testDriver, func(s *storage.StorageClass) { s.Parameters["onDelete"] = "shred" }),
	)
	var mu sync.Mutex
	visits := map[string]int{}
	v := Visits{
		Visit: func(_ context.Context, l volume.Location, _ []string) error {
			mu.Lock()
			defer mu.Unlock()
			visits[l.String()]++
			if l.Server == "default" && visits[l.String()] < 3 {
				return errors.New("away")
			}
			return nil
		},
		Ours:     func(name string) bool { return name == testDriver || name == "gxf-nfs-storage" },
		Defaults: volume.Defaults{Server: "default", Share: "/d"},
		Every:    time.Millisecond,
		Log:      quiet(),
	}
	k, err := New(Config{DriverName: testDriver, Volumes: &driverFake{}, Client: c, Log: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	v.Classes = k.Informers().Classes
	k.Beside(v.Run)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	await(t, "visits", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return visits["server:/share"] > 0 && visits["default:/d"] == 3
	})
	if ways := v.Ways(volume.Location{Server: "default", Share: "/d"}); len(ways) != 1 || !slices.Equal(ways[0], []string{"nfsvers=4.1", "hard"}) {
		t.Errorf("the default export is mounted with %v", ways)
	}
	if ways := v.Ways(volume.Location{Server: "server", Share: "/share"}); len(ways) != 1 {
		t.Errorf("two classes with the same options make the ways %v", ways)
	}
	if ways := v.Ways(volume.Location{Server: "nobody", Share: "/s"}); ways != nil {
		t.Errorf("nobody's export is mounted with %v", ways)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if visits["server:/share"] != 1 || len(visits) != 2 {
		t.Errorf("visits: %v", visits)
	}
}
