//go:build !guest

package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
	"github.com/nfs-csi/nfs-csi/test/nfsserver"
)

// bench opens the plain export of a ganesha, so far away, with each version.
func bench(b *testing.B, delay time.Duration, run func(b *testing.B, f *nfs.FS)) {
	g := nfsserver.StartGanesha(b)
	dial := g.Dial
	if delay > 0 {
		dial = nfsserver.Delayed(g.Dial, delay)
	}
	for _, v := range versions {
		b.Run("v"+v.String(), func(b *testing.B) {
			f, err := nfs.Open(b.Context(), nfs.Config{Server: g.Host, Export: g.Export, Versions: []nfs.Version{v}, Dial: dial})
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			dir := "bench-" + v.String()
			if err := f.Mkdir(b.Context(), dir, 0o777, -1, -1); err != nil {
				b.Fatal(err)
			}
			run(b, f)
			if err := f.RemoveAll(context.Background(), dir, nil); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// names gives every iteration of every run a name of its own.
type names struct{ next atomic.Int64 }

func (n *names) in(f *nfs.FS) string { return fmt.Sprintf("bench-%v/%d", f.Version(), n.next.Add(1)) }

func BenchmarkMkdir(b *testing.B) {
	var n names
	bench(b, 0, func(b *testing.B, f *nfs.FS) {
		b.Run("serial", func(b *testing.B) {
			for b.Loop() {
				if err := f.Mkdir(b.Context(), n.in(f), 0o777, -1, -1); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("64", func(b *testing.B) {
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := f.Mkdir(b.Context(), n.in(f), 0o777, -1, -1); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	})
}

func BenchmarkCreateFile(b *testing.B) {
	var n names
	data := make([]byte, 512)
	bench(b, 0, func(b *testing.B, f *nfs.FS) {
		for b.Loop() {
			if err := f.CreateFile(b.Context(), n.in(f), data, 0o644); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRemoveAll removes 20,000 files in 200 directories.
func BenchmarkRemoveAll(b *testing.B) { benchRemoveAll(b, 200, 100, 0) }

// BenchmarkRemoveAllFar does so where the server is 1 ms away.
func BenchmarkRemoveAllFar(b *testing.B) { benchRemoveAll(b, 200, 100, time.Millisecond) }

// BenchmarkRemoveAllWide removes 20,000 files in one directory.
func BenchmarkRemoveAllWide(b *testing.B) { benchRemoveAll(b, 1, 20_000, 0) }

func benchRemoveAll(b *testing.B, dirs, files int, delay time.Duration) {
	var n names
	bench(b, delay, func(b *testing.B, f *nfs.FS) {
		for b.Loop() {
			b.StopTimer()
			top := n.in(f)
			if err := plant(b.Context(), f, top, dirs, files, 0); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if err := f.RemoveAll(b.Context(), top, nil); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(20_000*float64(b.N)/b.Elapsed().Seconds(), "files/s")
	})
}

// plant makes a tree of directories with files of so many bytes, many at once.
func plant(ctx context.Context, f *nfs.FS, top string, dirs, files, size int) error {
	if err := f.Mkdir(ctx, top, 0o777, -1, -1); err != nil {
		return err
	}
	data := bytes.Repeat([]byte("not zero"), size/8)
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for d := w; d < dirs && errs[w] == nil; d += len(errs) {
				errs[w] = plantDir(ctx, f, fmt.Sprintf("%s/%d", top, d), files, data)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func plantDir(ctx context.Context, f *nfs.FS, dir string, files int, data []byte) error {
	if err := f.Mkdir(ctx, dir, 0o777, -1, -1); err != nil {
		return err
	}
	for i := range files {
		if err := f.CreateFile(ctx, fmt.Sprintf("%s/%d", dir, i), data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkCopyTree clones 10,000 files of 4 KiB in 100 directories.
func BenchmarkCopyTree(b *testing.B) { benchCopyTree(b, 100, 100, 4096, 0) }

// BenchmarkCopyTreeFar does so where the server is 1 ms away.
func BenchmarkCopyTreeFar(b *testing.B) { benchCopyTree(b, 100, 100, 4096, time.Millisecond) }

// BenchmarkCopyTreeWide clones 10,000 files of 4 KiB in one directory.
func BenchmarkCopyTreeWide(b *testing.B) { benchCopyTree(b, 1, 10_000, 4096, 0) }

// BenchmarkCopyTreeBig clones one file of 1 GiB.
func BenchmarkCopyTreeBig(b *testing.B) { benchCopyTree(b, 1, 1, 1<<30, 0) }

func benchCopyTree(b *testing.B, dirs, files, size int, delay time.Duration) {
	var n names
	bench(b, delay, func(b *testing.B, f *nfs.FS) {
		top := n.in(f)
		if err := plant(b.Context(), f, top, dirs, files, size); err != nil {
			b.Fatal(err)
		}
		b.SetBytes(int64(dirs * files * size))
		for b.Loop() {
			to := n.in(f)
			if err := f.CopyTree(b.Context(), top, to, nil); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			if err := f.RemoveAll(b.Context(), to, nil); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		b.ReportMetric(float64(dirs*files*b.N)/b.Elapsed().Seconds(), "files/s")
	})
}
