//go:build guest

package conformance

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/pkg/share"
	"github.com/nfs-csi/nfs-csi/pkg/volume"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// The tree that the benchmarks here remove: 20,000 files in 200 directories.
const benchDirs, benchFiles = 200, 100

// distances are round trips to the server.
var distances = []time.Duration{0, time.Millisecond}

// BenchmarkRemoval compares RemoveAll with rm -rf on a mount of the kernel's. The server is the kernel's, on tmpfs.
func BenchmarkRemoval(b *testing.B) {
	for _, rtt := range distances {
		for _, v := range versions {
			b.Run(fmt.Sprintf("v%v/%v", v, rtt), func(b *testing.B) {
				away(b, rtt)
				f, dir := benchShare(b, v)
				compare(b, v, f, dir)
			})
		}
	}
}

// away puts the server so far away: a packet passes the loopback interface once each way.
func away(b *testing.B, rtt time.Duration) {
	b.Helper()
	if rtt == 0 {
		return
	}
	command(b, "tc", "qdisc", "add", "dev", "lo", "root", "netem", "limit", "100000", "delay", fmt.Sprintf("%dus", (rtt/2).Microseconds()))
	b.Cleanup(func() { command(b, "tc", "qdisc", "del", "dev", "lo", "root") })
}

// benchShare opens the export on tmpfs and answers its directory on the server as well, which is this machine.
func benchShare(b *testing.B, v nfs.Version) (f *nfs.FS, dir string) {
	b.Helper()
	dir = os.Getenv("NFS_TEST_EXPORT")
	f, err := nfs.Open(b.Context(), nfs.Config{Server: os.Getenv(nfsserver.Variable), Export: dir, Versions: []nfs.Version{v}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { f.Close() })
	return f, dir
}

// compare removes one tree with ours and one like it with the kernel's.
func compare(b *testing.B, v nfs.Version, f *nfs.FS, dir string) {
	var ours, kernel time.Duration
	for b.Loop() {
		plantHere(b, filepath.Join(dir, "ours"))
		began := time.Now()
		if err := f.RemoveAll(b.Context(), "ours", nil); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(began)
		plantHere(b, filepath.Join(dir, "kernels"))
		mounted := b.TempDir()
		command(b, "mount", "-t", "nfs", "-o", fmt.Sprintf("vers=%v,nolock", v), os.Getenv(nfsserver.Variable)+":"+dir, mounted)
		began = time.Now()
		command(b, "rm", "-rf", filepath.Join(mounted, "kernels"))
		kernel += time.Since(began)
		command(b, "umount", mounted)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ours.Seconds()/float64(b.N), "s/ours")
	b.ReportMetric(kernel.Seconds()/float64(b.N), "s/rm-rf")
	b.ReportMetric(kernel.Seconds()/ours.Seconds(), "times-faster")
}

func plantHere(b *testing.B, top string) {
	b.Helper()
	for d := range benchDirs {
		dir := filepath.Join(top, fmt.Sprint(d))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			b.Fatal(err)
		}
		for i := range benchFiles {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), nil, 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkCreateBesideRemoval tells how long making a volume takes while deleted ones are removed, and without that.
func BenchmarkCreateBesideRemoval(b *testing.B) {
	for _, rtt := range distances {
		for _, busy := range []bool{false, true} {
			b.Run(fmt.Sprintf("%v/removing=%v", rtt, busy), func(b *testing.B) {
				away(b, rtt)
				f, dir := benchShare(b, nfs.V42)
				createBeside(b, f, dir, busy)
			})
		}
	}
}

func createBeside(b *testing.B, f *nfs.FS, dir string, busy bool) {
	place := volume.Location{Server: "server", Share: dir}
	m := share.NewManager(share.Config{Open: func(context.Context, volume.Location, []string) (share.FS, io.Closer, error) {
		return f, io.NopCloser(nil), nil
	}})
	defer m.Close()
	class, err := volume.ParseClass(map[string]string{volume.ParamServer: place.Server, volume.ParamShare: dir}, volume.Defaults{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	var removing sync.WaitGroup
	defer removing.Wait()
	defer stop()
	plantHere(b, filepath.Join(dir, "tree"))
	if busy {
		removing.Go(func() {
			for ctx.Err() == nil {
				if err := f.RemoveAll(ctx, "tree", nil); err != nil && ctx.Err() == nil {
					b.Error(err)
				}
				if ctx.Err() == nil {
					plantHere(b, filepath.Join(dir, "tree"))
				}
			}
		})
	}
	var times []time.Duration
	n := 0
	for b.Loop() {
		began := time.Now()
		r := volume.Request{Name: fmt.Sprintf("%s-%d", filepath.Base(b.Name()), n), Class: class, RequiredBytes: 1, Changes: volume.Unchanged()}
		v, err := m.Create(b.Context(), r)
		if err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(began))
		if err := m.Delete(b.Context(), v.ID, nil); err != nil {
			b.Fatal(err)
		}
		n++
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms/p50")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "ms/p99")
	stop()
	removing.Wait()
	if err := f.RemoveAll(context.Background(), "tree", nil); err != nil {
		b.Fatal(err)
	}
}
