package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// socketBench starts a controller of its own and calls it through its socket.
type socketBench struct {
	server, share   string
	socket, metrics string
	command         []string
	cycles          int
}

func (b socketBench) run(ctx context.Context, t *table) error {
	stop, err := b.start(ctx)
	if err != nil {
		return err
	}
	defer stop()
	client, closeClient, err := dial(ctx, b.socket)
	if err != nil {
		return err
	}
	defer closeClient()
	trips, err := nullCalls(ctx, net.JoinHostPort(b.server, "2049"), 200)
	if err != nil {
		return err
	}
	t.row("one round trip to the NFS server (NULL call)", spread(trips), "")
	c := &caller{b, csi.NewControllerClient(client), fmt.Sprintf("bench-%d", time.Now().Unix())}
	if err := c.serial(ctx, t); err != nil {
		return err
	}
	if err := c.parallel(ctx, t); err != nil {
		return err
	}
	return c.growth(ctx, t)
}

// start runs the command and waits for its socket; stop ends it.
func (b socketBench) start(ctx context.Context) (stop func(), err error) {
	if err := os.MkdirAll(filepath.Dir(b.socket), 0o755); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, b.command[0], b.command[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	log, err := os.Create(b.socket + ".log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the controller: %w", err)
	}
	return func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}, nil
}

func dial(ctx context.Context, socket string) (*grpc.ClientConn, func(), error) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, err = csi.NewIdentityClient(conn).GetPluginInfo(ctx, &csi.GetPluginInfoRequest{}, grpc.WaitForReady(true))
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("calling %s: %w", socket, err)
	}
	return conn, func() { conn.Close() }, nil
}

// caller creates and deletes volumes of one run.
type caller struct {
	socketBench
	client csi.ControllerClient
	run    string
}

func (c *caller) create(ctx context.Context, name string) (string, error) {
	answer, err := c.client.CreateVolume(ctx, &csi.CreateVolumeRequest{
		Name:          c.run + "-" + name,
		CapacityRange: &csi.CapacityRange{RequiredBytes: 1 << 20},
		Parameters:    map[string]string{"server": c.server, "share": c.share},
		VolumeCapabilities: []*csi.VolumeCapability{{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{}},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_MULTI_NODE_MULTI_WRITER},
		}},
	})
	return answer.GetVolume().GetVolumeId(), err
}

func (c *caller) delete(ctx context.Context, id string) error {
	_, err := c.client.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: id})
	return err
}

// batch makes n volumes with so many callers, and deletes them again.
func (c *caller) batch(ctx context.Context, what string, n, callers int) (made, deleted []time.Duration, makeAll, deleteAll time.Duration, err error) {
	ids := make([]string, n)
	made, makeAll, err = together(n, callers, func(i int) (err error) {
		ids[i], err = c.create(ctx, what+"-"+strconv.Itoa(i))
		return err
	})
	if err != nil {
		return nil, nil, 0, 0, err
	}
	deleted, deleteAll, err = together(n, callers, func(i int) error { return c.delete(ctx, ids[i]) })
	return made, deleted, makeAll, deleteAll, err
}

func (c *caller) serial(ctx context.Context, t *table) error {
	if _, _, _, _, err := c.batch(ctx, "warm", 20, 1); err != nil {
		return err
	}
	const n = 200
	before, err := scrape(ctx, c.metrics)
	if err != nil {
		return err
	}
	made, deleted, _, _, err := c.batch(ctx, "serial", n, 1)
	if err != nil {
		return err
	}
	after, err := scrape(ctx, c.metrics)
	if err != nil {
		return err
	}
	const nfs = "nfs_csi_nfs_call_duration_seconds"
	calls := after[nfs+"_count"] - before[nfs+"_count"]
	each := (after[nfs+"_sum"] - before[nfs+"_sum"]) / max(calls, 1)
	t.row("CreateVolume through the socket", spread(made), "within 3 round trips")
	t.row("DeleteVolume through the socket", spread(deleted), "")
	t.row("  file operations for a volume made and deleted", fmt.Sprintf("%.1f of %s on average", calls/n, ms(time.Duration(each*float64(time.Second)))), "")
	return nil
}

func (c *caller) parallel(ctx context.Context, t *table) error {
	const n, callers = 2000, 16
	made, _, makeAll, deleteAll, err := c.batch(ctx, "parallel", n, callers)
	if err != nil {
		return err
	}
	t.row("CreateVolume, 16 callers", fmt.Sprintf("%.0f/s, p50 %s", n/makeAll.Seconds(), ms(p50(made))), "500/s")
	t.row("DeleteVolume, 16 callers", fmt.Sprintf("%.0f/s", n/deleteAll.Seconds()), "")
	return nil
}

// growth compares the process before and after many cycles.
func (c *caller) growth(ctx context.Context, t *table) error {
	before, err := c.quiet(ctx)
	if err != nil {
		return err
	}
	for i := range c.cycles {
		id, err := c.create(ctx, "cycle-"+strconv.Itoa(i))
		if err == nil {
			err = c.delete(ctx, id)
		}
		if err != nil {
			return err
		}
	}
	after, err := c.quiet(ctx)
	if err != nil {
		return err
	}
	what := fmt.Sprintf(" before and after %d create/delete cycles", c.cycles)
	t.row("goroutines"+what, fmt.Sprintf("%.0f, %.0f", before["go_goroutines"], after["go_goroutines"]), "no growth")
	t.row("open files"+what, fmt.Sprintf("%.0f, %.0f", before["process_open_fds"], after["process_open_fds"]), "no growth")
	t.row("resident memory of the controller after all this", mb(after["process_resident_memory_bytes"]), "")
	return nil
}

// quiet reads the metrics once the process has had a moment to finish what deletes leave to the background: when two
// readings a second apart have the same number of goroutines, or after 15 s.
func (c *caller) quiet(ctx context.Context) (map[string]float64, error) {
	last, err := scrape(ctx, c.metrics)
	for range 15 {
		if err != nil {
			return nil, err
		}
		time.Sleep(time.Second)
		now, e := scrape(ctx, c.metrics)
		if e == nil && now["go_goroutines"] == last["go_goroutines"] {
			return now, nil
		}
		last, err = now, e
	}
	return last, err
}

func mb(bytes float64) string { return fmt.Sprintf("%.1f MB", bytes/1e6) }

// scrape reads a Prometheus page: each metric's sum over all its labels.
func scrape(ctx context.Context, url string) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading metrics: %s says %s", url, answer.Status)
	}
	return samples(answer.Body)
}

func samples(r io.Reader) (map[string]float64, error) {
	values := map[string]float64{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if v, err := strconv.ParseFloat(line[at+1:], 64); at > 0 && line[0] != '#' && err == nil {
			name, _, _ := strings.Cut(line[:at], "{")
			values[name] += v
		}
	}
	return values, lines.Err()
}

// nullCalls times the smallest thing an NFS server answers: procedure 0 of program 100003 (RFC 8881, section 17.1).
func nullCalls(ctx context.Context, address string, n int) ([]time.Duration, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	times := make([]time.Duration, 0, n)
	reply := make([]byte, 256)
	for i := range n {
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return nil, err
		}
		const version, program, nfs4 = 2, 100003, 4
		call := binary.BigEndian.AppendUint32(nil, 1<<31|40) // the last fragment, 40 bytes
		for _, word := range []uint32{uint32(i), 0, version, program, nfs4, 0, 0, 0, 0, 0} {
			call = binary.BigEndian.AppendUint32(call, word)
		}
		start := time.Now()
		if _, err := conn.Write(call); err != nil {
			return nil, err
		}
		if _, err := io.ReadAtLeast(conn, reply, 28); err != nil {
			return nil, fmt.Errorf("NULL call to %s: %w", address, err)
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}
