package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs"
)

// dataBench compares what the controller does to data on a share with the same work on a mount of the kernel's there.
type dataBench struct {
	table  *table
	server string
	dir    string // of the export
	mount  string // of the kernel's client
	fs     *nfs.FS
}

const (
	benchExportSize = "size=2600m"
	manyDirs        = 1000 // of the rows that make directories
	manyAtOnce      = 64
)

// open opens the export; the directory for the kernel's mount is there then, too.
func (b *dataBench) open(ctx context.Context) (err error) {
	if err := os.MkdirAll(b.mount, 0o755); err != nil {
		return err
	}
	b.fs, err = nfs.Open(ctx, nfs.Config{Server: b.server, Export: b.dir, Versions: []nfs.Version{nfs.V42}})
	return err
}

// dataCommand compares on the kernel's server of the same guest (test/guest --nfsd), with an export of its own, in memory.
func dataCommand(ctx context.Context) error {
	b := &dataBench{table: &table{out: os.Stdout}, server: "127.0.0.1", dir: "/exports/bench", mount: "/run/bench"}
	if err := errors.Join(os.MkdirAll(b.dir, 0o755), syscall.Mount("tmpfs", b.dir, "tmpfs", 0, benchExportSize)); err != nil {
		return err
	}
	if err := program(ctx, "exportfs", "-o", "rw,no_root_squash,insecure,no_subtree_check,fsid=999", "*:"+b.dir); err != nil {
		return err
	}
	if err := b.open(ctx); err != nil {
		return err
	}
	defer b.fs.Close()
	for _, measure := range []func(context.Context) error{b.mkdirs, b.removals, b.bigCopy, b.smallCopies} {
		if err := measure(ctx); err != nil {
			return err
		}
	}
	return nil
}

func program(ctx context.Context, name string, args ...string) error {
	c := exec.CommandContext(ctx, name, args...)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w: %s", c, err, out)
	}
	return nil
}

// mounted does something on a fresh mount of the kernel's, which knows nothing yet.
func (b *dataBench) mounted(ctx context.Context, do func(dir string) error) error {
	if err := program(ctx, "mount", "-t", "nfs", "-o", "vers=4.2", b.server+":"+b.dir, b.mount); err != nil {
		return err
	}
	return errors.Join(do(b.mount), program(ctx, "umount", b.mount))
}

func timed(do func() error) (time.Duration, error) {
	began := time.Now()
	err := do()
	return time.Since(began), err
}

// compared is how a row tells of two times for the same.
func compared(ours, kernels time.Duration) string {
	return fmt.Sprintf("%s, kernel %s: %.1f x", short(ours), short(kernels), float64(kernels)/float64(ours))
}

func short(d time.Duration) string {
	if d < time.Second {
		return ms(d)
	}
	return seconds(d)
}

func (b *dataBench) mkdirs(ctx context.Context) error {
	ours := func(i int) error { return b.fs.Mkdir(ctx, fmt.Sprint("ours", i), 0o755, -1, -1) }
	for _, callers := range []int{1, manyAtOnce} {
		what := fmt.Sprintf("mkdir, %d times, %d at once", manyDirs, callers)
		each, all, err := together(manyDirs, callers, ours)
		if err != nil {
			return err
		}
		var kernelEach []time.Duration
		var kernelAll time.Duration
		err = b.mounted(ctx, func(dir string) (err error) {
			kernelEach, kernelAll, err = together(manyDirs, callers, func(i int) error { return os.Mkdir(filepath.Join(dir, fmt.Sprint("kernels", i)), 0o755) })
			return err
		})
		if err != nil {
			return err
		}
		if callers == 1 {
			what, all, kernelAll = "mkdir, one after the other (p50)", p50(each), p50(kernelEach)
		}
		b.table.row(what, compared(all, kernelAll), "")
		if err := b.clear(); err != nil {
			return err
		}
	}
	return nil
}

// clear empties the export, on the server.
func (b *dataBench) clear() error {
	entries, err := os.ReadDir(b.dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(b.dir, e.Name())))
	}
	return err
}

// plant makes a tree on the server: so many files of so many bytes in so many directories.
func (b *dataBench) plant(name string, dirs, files, size int) error {
	for d := range dirs {
		dir := filepath.Join(b.dir, name, fmt.Sprint(d))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		for i := range files {
			if err := fill(filepath.Join(dir, fmt.Sprint(i)), size); err != nil {
				return err
			}
		}
	}
	return nil
}

// fill makes a file without holes.
func fill(name string, size int) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	block := bytes.Repeat([]byte("x"), min(size, 1<<20))
	for ; size > 0 && err == nil; size -= len(block) {
		_, err = f.Write(block[:min(size, len(block))])
	}
	return errors.Join(err, f.Close())
}

func (b *dataBench) removals(ctx context.Context) error {
	for _, rtt := range []time.Duration{0, time.Millisecond} {
		if err := errors.Join(b.plant("ours", 200, 100, 0), b.plant("kernels", 200, 100, 0)); err != nil {
			return err
		}
		if err := b.away(ctx, rtt, func() error { return b.removal(ctx, fmt.Sprintf("%v away", rtt)) }); err != nil {
			return err
		}
	}
	return nil
}

// removal removes two trees of 20,000 files in 200 directories, "ours" and "kernels".
func (b *dataBench) removal(ctx context.Context, where string) error {
	ours, err := timed(func() error { return b.fs.RemoveAll(ctx, "ours", nil) })
	if err != nil {
		return err
	}
	return b.mounted(ctx, func(dir string) error {
		kernels, err := timed(func() error { return program(ctx, "rm", "-rf", filepath.Join(dir, "kernels")) })
		b.table.row("removing 20,000 files in 200 directories, "+where, compared(ours, kernels), "30 x when 1ms away, under 1 s")
		return err
	})
}

// apartCommand compares removals where client and server have machines of their own.
func apartCommand(ctx context.Context, server, export string) error {
	b := &dataBench{table: &table{out: os.Stdout}, server: server, dir: export, mount: "/run/bench"}
	if err := b.open(ctx); err != nil {
		return err
	}
	defer b.fs.Close()
	each, _, err := together(100, 1, func(int) error { _, err := b.fs.Lstat(ctx, "."); return err })
	if err != nil {
		return err
	}
	if err := errors.Join(b.plantFar(ctx, "ours", 200, 100), b.plantFar(ctx, "kernels", 200, 100)); err != nil {
		return err
	}
	return b.removal(ctx, ms(p50(each))+" away")
}

// plantFar makes a tree of empty files through our client.
func (b *dataBench) plantFar(ctx context.Context, name string, dirs, files int) error {
	if err := b.fs.Mkdir(ctx, name, 0o755, -1, -1); err != nil {
		return err
	}
	_, _, err := together(dirs, manyAtOnce, func(i int) error {
		dir := fmt.Sprint(name, "/", i)
		err := b.fs.Mkdir(ctx, dir, 0o755, -1, -1)
		for f := 0; f < files && err == nil; f++ {
			err = b.fs.CreateFile(ctx, fmt.Sprint(dir, "/", f), nil, 0o644)
		}
		return err
	})
	return err
}

// away does something while the server is so far away: a packet passes the loopback interface once each way.
func (b *dataBench) away(ctx context.Context, rtt time.Duration, do func() error) error {
	if rtt == 0 {
		return do()
	}
	delay := fmt.Sprintf("%dus", (rtt / 2).Microseconds())
	if err := program(ctx, "tc", "qdisc", "add", "dev", "lo", "root", "netem", "limit", "100000", "delay", delay); err != nil {
		return err
	}
	return errors.Join(do(), program(ctx, "tc", "qdisc", "del", "dev", "lo", "root"))
}

func (b *dataBench) bigCopy(ctx context.Context) error {
	if err := b.plant("big", 1, 1, 1<<30); err != nil {
		return err
	}
	return b.copies(ctx, "big", "cloning 1 GiB in one file, which the server copies itself")
}

func (b *dataBench) smallCopies(ctx context.Context) error {
	if err := b.plant("small", 100, 100, 4096); err != nil {
		return err
	}
	return b.copies(ctx, "small", "cloning 10,000 files of 4 KiB")
}

// copies copies a tree in both ways, one copy at a time, and empties the export. Before that it is copied on the server: memory
// that a guest uses for the first time is slow.
func (b *dataBench) copies(ctx context.Context, tree, what string) error {
	warm := filepath.Join(b.dir, "warm")
	if err := errors.Join(program(ctx, "cp", "-a", filepath.Join(b.dir, tree), warm), os.RemoveAll(warm)); err != nil {
		return err
	}
	ours, err := timed(func() error { return b.fs.CopyTree(ctx, tree, "ours", nil) })
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(b.dir, "ours")); err != nil {
		return err
	}
	err = b.mounted(ctx, func(dir string) error {
		kernels, err := timed(func() error { return program(ctx, "cp", "-a", filepath.Join(dir, tree), filepath.Join(dir, "kernels")) })
		b.table.row(what, compared(ours, kernels), "")
		return err
	})
	return errors.Join(err, b.clear())
}
