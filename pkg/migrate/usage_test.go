package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nfs-csi/nfs-csi/pkg/volume"
)

func TestMeasure(t *testing.T) {
	p := Plan{Volumes: []Volume{
		{Name: "converted", Server: "s", Path: "/exports/k8s/shop/data", Handle: "s#exports/k8s#shop/data#pvc-1#"},
		{Name: "refused", Server: "s", Path: "/exports/k8s/other"},
		{Name: "static", Server: "s", Path: "/exports/static", Handle: "free text"},
		{Name: "gone", Server: "s", Path: "/exports/k8s/gone"},
		{Name: "root", Server: "s", Path: ""},
		{Name: "nowhere"},
	}}
	var mu sync.Mutex
	asked := map[string]int{}
	err := p.Measure(t.Context(), func(_ context.Context, l volume.Location, dir volume.Dir) (Used, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[fmt.Sprintf("%s %s", l, dir)]++
		if dir == "gone" {
			return Used{}, fmt.Errorf("walking: %w", volume.ErrNotFound)
		}
		return Used{Bytes: int64(len(dir)), Files: 1, Partly: dir == "static"}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for place, want := range map[string]int{"s:/exports/k8s shop/data": 1, "s:/exports/k8s other": 1, "s:/exports static": 1, "s:/exports/k8s gone": 1} {
		if asked[place] != want {
			t.Errorf("%s was asked for %d times, of %v", place, asked[place], asked)
		}
	}
	for i, want := range []string{"9", "5", "6 partly", "walking", "not known", "not known"} {
		v := p.Volumes[i]
		got := v.UsedError
		if v.Used != nil {
			got = fmt.Sprint(v.Used.Bytes, map[bool]string{true: " partly"}[v.Used.Partly])
		}
		if !strings.Contains(got, want) || v.Used != nil && v.UsedError != "" {
			t.Errorf("%s: %q, want %q", v.Name, got, want)
		}
	}
}

// A server that is silent costs one wait for each of those that ask at once, not one for each volume.
func TestMeasureASilentServer(t *testing.T) {
	var p Plan
	for i := range 100 {
		p.Volumes = append(p.Volumes, Volume{Server: "dead", Path: fmt.Sprintf("/e/%d", i)})
	}
	var mu sync.Mutex
	asked := 0
	err := p.Measure(t.Context(), func(context.Context, volume.Location, volume.Dir) (Used, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		return Used{}, volume.ErrUnavailable
	})
	if err != nil || asked > measured || p.Volumes[99].UsedError == "" {
		t.Errorf("asked %d times; the last says %q; %v", asked, p.Volumes[99].UsedError, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Measure(ctx, func(context.Context, volume.Location, volume.Dir) (Used, error) { return Used{}, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}
