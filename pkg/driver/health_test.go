package driver_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"

	"github.com/nfs-csi/nfs-csi/pkg/driver"
	"github.com/nfs-csi/nfs-csi/pkg/driver/drivertest"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

// ills is what a health says, for programs.
func ills(h *csi.VolumeHealth) string {
	var all []string
	for _, s := range h.GetHealthStatuses() {
		all = append(all, s.GetStatus().String()+" "+s.GetReason())
	}
	return strings.Join(all, ", ")
}

func TestNodeGetVolumeHealth(t *testing.T) {
	f := newFixture(t)
	for _, target := range []string{"/one", "/two"} {
		if _, err := f.NodePublishVolume(t.Context(), publishRequest("v", target)); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"", "/one/"} {
		answer, err := f.NodeGetVolumeHealth(t.Context(), &csi.NodeGetVolumeHealthRequest{VolumeId: "v", VolumePublishPath: path})
		if h := answer.GetVolumeHealth(); err != nil || h.GetVolumeId() != "v" || len(h.GetHealthStatuses()) != 0 {
			t.Errorf("health at %q: %v, %v", path, answer, err)
		}
	}
	_, err := f.NodeGetVolumeHealth(t.Context(), &csi.NodeGetVolumeHealthRequest{})
	expect(t, err, codes.InvalidArgument, "volume ID is missing")
	f.mounter.Lose("/two")
	for id, path := range map[string]string{"v": "", "v ": "/three", "v  ": "one", "other": ""} {
		_, err := f.NodeGetVolumeHealth(t.Context(), &csi.NodeGetVolumeHealthRequest{VolumeId: id, VolumePublishPath: path})
		expect(t, err, codes.NotFound)
	}
	f.mounter.Fail(func(context.Context) error { return errors.New("surprise") })
	_, err = f.NodeGetVolumeHealth(t.Context(), &csi.NodeGetVolumeHealthRequest{VolumeId: "v", VolumePublishPath: "/one"})
	expect(t, err, codes.Internal, "surprise")
}

func TestNodeHealthIsTruthful(t *testing.T) {
	well := volume.Usage{TotalBytes: 10, AvailableBytes: 5, TotalInodes: 10, AvailableInodes: 5}
	for name, c := range map[string]struct {
		usage           volume.Usage
		err             error
		volume, storage string
	}{
		"well":           {well, nil, "", ""},
		"silent":         {well, volume.ErrUnavailable, "INACCESSIBLE ServerNotAnswering", "STORAGE_UNREACHABLE ServerNotAnswering nfs.example"},
		"lost":           {well, fmt.Errorf("%w (%w)", volume.ErrUnavailable, syscall.ESTALE), "INACCESSIBLE DirectoryLost", ""},
		"withdrawn":      {well, volume.ErrRefused, "INACCESSIBLE ServerRefuses", ""},
		"slow":           {volume.Usage{TotalBytes: 10, AvailableBytes: 5, Took: 3 * time.Second}, nil, "DEGRADED ServerSlow", "STORAGE_DEGRADED ServerSlow nfs.example"},
		"full":           {volume.Usage{TotalBytes: 10}, nil, "DEGRADED ShareFull", ""},
		"no inodes":      {volume.Usage{TotalBytes: 10, AvailableBytes: 1, TotalInodes: 9}, nil, "DEGRADED ShareFull", ""},
		"slow and full":  {volume.Usage{TotalBytes: 10, Took: 2 * time.Second}, nil, "DEGRADED ServerSlow, DEGRADED ShareFull", "STORAGE_DEGRADED ServerSlow nfs.example"},
		"counts nothing": {volume.Usage{}, nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			for _, target := range []string{"/one", "/two"} {
				if _, err := f.NodePublishVolume(t.Context(), publishRequest("v", target)); err != nil {
					t.Fatal(err)
				}
			}
			f.mounter.Report(c.usage)
			f.mounter.Fail(func(context.Context) error { return c.err })
			answer, err := f.NodeGetVolumeHealth(t.Context(), &csi.NodeGetVolumeHealthRequest{VolumeId: "v"})
			if got := ills(answer.GetVolumeHealth()); err != nil || got != c.volume {
				t.Errorf("the volume's health is %q, %v, want %q", got, err, c.volume)
			}
			storage, err := f.NodeGetStorageHealth(t.Context(), &csi.NodeGetStorageHealthRequest{})
			got := ""
			for _, h := range storage.GetBackendHealth() {
				got += h.GetStatus().String() + " " + h.GetReason() + " " + h.GetMessage()[strings.LastIndexByte(h.GetMessage(), ' ')+1:]
			}
			if err != nil || got != c.storage {
				t.Errorf("the storage's health is %q, %v, want %q", got, err, c.storage)
			}
		})
	}
}

// wards is a store whose volumes are old, with something wrong in some.
type wards struct {
	*drivertest.Store
	ill   map[string]error // by name
	space volume.Space
}

func (w wards) List(ctx context.Context, token string, limit int) ([]volume.Volume, string, error) {
	volumes, next, err := w.Store.List(ctx, token, limit)
	for i := range volumes {
		volumes[i].Created = time.Now().Add(-time.Hour)
		if strings.HasPrefix(volumes[i].ID.Name(), "young") {
			volumes[i].Created = time.Now()
		}
	}
	return volumes, next, err
}

func (w wards) Get(ctx context.Context, id volume.ID) (volume.Volume, error) {
	if err := w.ill[id.Name()]; err != nil {
		return volume.Volume{}, err
	}
	return w.Store.Get(ctx, id)
}

func (w wards) Space(context.Context, volume.Location, []string) (volume.Space, error) {
	return w.space, nil
}

func newWards(t *testing.T, names ...string) (*driver.Controller, wards, map[string]string) {
	t.Helper()
	w := wards{new(drivertest.Store), map[string]error{}, volume.Space{Total: 10, Available: 5}}
	c := driver.NewController(w, volume.Defaults{}, slog.New(slog.DiscardHandler))
	ids := map[string]string{}
	for _, name := range names {
		made, err := c.CreateVolume(t.Context(), createRequest(name))
		if err != nil {
			t.Fatal(err)
		}
		ids[name] = made.GetVolume().GetVolumeId()
	}
	return c, w, ids
}

func TestControllerGetVolumeHealth(t *testing.T) {
	c, w, ids := newWards(t, "well", "away", "barred", "gone", "odd")
	w.ill["away"], w.ill["barred"], w.ill["gone"] = volume.ErrUnavailable, volume.ErrRefused, volume.ErrNotFound
	w.ill["odd"] = errors.New("surprise")
	for name, want := range map[string]string{"well": "", "away": "INACCESSIBLE ServerNotAnswering", "barred": "INACCESSIBLE ServerRefuses"} {
		answer, err := c.ControllerGetVolumeHealth(t.Context(), &csi.ControllerGetVolumeHealthRequest{VolumeId: ids[name]})
		if h := answer.GetVolumeHealth(); err != nil || h.GetVolumeId() != ids[name] || ills(h) != want {
			t.Errorf("%s: %v, %v, want %q", name, h, err, want)
		}
	}
	for id, code := range map[string]codes.Code{ids["gone"]: codes.NotFound, ids["odd"]: codes.Internal, "free text": codes.NotFound, "": codes.InvalidArgument} {
		_, err := c.ControllerGetVolumeHealth(t.Context(), &csi.ControllerGetVolumeHealthRequest{VolumeId: id})
		expect(t, err, code)
	}
	full := driver.NewController(wards{w.Store, nil, volume.Space{Total: 10}}, volume.Defaults{}, slog.New(slog.DiscardHandler))
	answer, err := full.ControllerGetVolumeHealth(t.Context(), &csi.ControllerGetVolumeHealthRequest{VolumeId: ids["well"]})
	if got := ills(answer.GetVolumeHealth()); err != nil || got != "DEGRADED ShareFull" {
		t.Errorf("on a full share: %q, %v", got, err)
	}
}

func TestControllerListVolumeHealth(t *testing.T) {
	var names []string
	for i := range 250 {
		names = append(names, fmt.Sprintf("v%03d", i))
	}
	c, w, ids := newWards(t, append(names, "young")...)
	w.ill["young"] = volume.ErrNotFound // it may still be in the making
	for _, name := range []string{"v003", "v100", "v101", "v249"} {
		w.ill[name] = volume.ErrNotFound
	}
	for _, most := range []int32{0, 1, 3, 4, 100} {
		var got []string
		for r := (&csi.ControllerListVolumeHealthRequest{MaxEntries: most}); ; {
			answer, err := c.ControllerListVolumeHealth(t.Context(), r)
			if err != nil || most > 0 && len(answer.GetEntries()) > int(most) {
				t.Fatalf("%d entries of at most %d, %v", len(answer.GetEntries()), most, err)
			}
			for _, h := range answer.GetEntries() {
				if ills(h) != "INACCESSIBLE DirectoryMissing" {
					t.Errorf("%s: %v", h.GetVolumeId(), h)
				}
				got = append(got, h.GetVolumeId())
			}
			if r.StartingToken = answer.GetNextToken(); r.GetStartingToken() == "" {
				break
			}
		}
		if want := []string{ids["v003"], ids["v100"], ids["v101"], ids["v249"]}; strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("at most %d: %q, want %q", most, got, want)
		}
	}
	_, err := c.ControllerListVolumeHealth(t.Context(), &csi.ControllerListVolumeHealthRequest{MaxEntries: -1})
	expect(t, err, codes.InvalidArgument)
	_, err = c.ControllerListVolumeHealth(t.Context(), &csi.ControllerListVolumeHealthRequest{StartingToken: "nonsense"})
	expect(t, err, codes.Aborted)
	w.Fail(func(context.Context) error { return volume.ErrUnavailable })
	_, err = c.ControllerListVolumeHealth(t.Context(), &csi.ControllerListVolumeHealthRequest{})
	expect(t, err, codes.Unavailable)
}
