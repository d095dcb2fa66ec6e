package nfs3

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/rpc"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/status"
	"github.com/nfs-csi/nfs-csi/pkg/nfs/internal/xdr"
)

// programs is a machine with a port mapper, MOUNT and NFS, each answering by the words it is given.
type programs struct {
	t        *testing.T
	listener net.Listener
	mapper   bool              // whether one is there
	ports    map[uint32]uint32 // by program, as the port mapper tells
	mount    []uint32          // what MNT returns
	// nfs answers the calls of NFS but FSINFO; nothing: it hangs up.
	nfs     func(p procedure, d *xdr.Decoder) []byte
	lists   []uint32 // what the port mapper's DUMP and EXPORT return
	mu      sync.Mutex
	dialled []string
}

func startPrograms(t *testing.T) *programs {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &programs{t: t, listener: l, mapper: true, ports: map[uint32]uint32{}, mount: []uint32{0, 4, 0x01020304, 1, authSys}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				for p.answer(nc) == nil {
					continue
				}
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		wg.Wait()
	})
	return p
}

// dial leads to the one listener, whatever port is asked for.
func (p *programs) dial(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, _ := net.SplitHostPort(address)
	p.mu.Lock()
	p.dialled = append(p.dialled, port)
	p.mu.Unlock()
	if port == "111" && !p.mapper {
		return nil, errors.New("no port mapper")
	}
	return (&net.Dialer{}).DialContext(ctx, network, p.listener.Addr().String())
}

func (p *programs) answer(nc net.Conn) error {
	var mark [4]byte
	if _, err := io.ReadFull(nc, mark[:]); err != nil {
		return err
	}
	call := make([]byte, binary.BigEndian.Uint32(mark[:])&^(1<<31))
	if _, err := io.ReadFull(nc, call); err != nil {
		return err
	}
	d := xdr.NewDecoder(call)
	xid := d.Uint32()
	d.Fixed(8)
	program, _, number := d.Uint32(), d.Uint32(), d.Uint32()
	d.Uint32()
	d.Opaque(400)
	d.Uint32()
	d.Opaque(400)
	var e xdr.Encoder
	e.Hole()
	for _, w := range []uint32{xid, 1, 0, 0, 0, 0} {
		e.Uint32(w)
	}
	if called := procedure(number); program == 100003 && p.nfs != nil && called != 0 && called != procFsinfo {
		results := p.nfs(called, d)
		if results == nil {
			return io.ErrClosedPipe
		}
		e.B = append(e.B, results...)
	} else {
		for _, w := range p.results(program, number, d) {
			e.Uint32(w)
		}
	}
	e.Fill(0, 1<<31|uint32(len(e.B)-4))
	_, err := nc.Write(e.B)
	return err
}

func (p *programs) results(program, procedure uint32, d *xdr.Decoder) []uint32 {
	switch {
	case program == portmapProgram && procedure == procDump, program == mountProgram && procedure == procExport:
		return p.lists
	case program == portmapProgram:
		return []uint32{p.ports[d.Uint32()]}
	case program == mountProgram:
		return p.mount
	case procedure == uint32(procFsinfo):
		return []uint32{0, 0, 65536, 65536, 1, 65536, 32768, 1, 4096, 0, 0, 0, 1, 0}
	}
	return nil // NULL
}

func (p *programs) config() Config {
	return Config{Dialer: &rpc.Dialer{Host: "127.0.0.1", Timeout: patience, Dial: p.dial}, Silence: time.Minute, Export: "/exp/"}
}

func TestConnect(t *testing.T) {
	for _, tt := range []struct {
		name    string
		prepare func(p *programs, cfg *Config)
		dialled string
		want    string // in the error; "" for none
	}{
		{"port mapper", func(p *programs, cfg *Config) {
			p.ports[100003], p.ports[100005] = 3049, 3048
		}, "111 3049 3048", ""},
		{"fixed ports", func(p *programs, cfg *Config) { cfg.Port, cfg.MountPort = 4049, 4048 }, "4049 4048", ""},
		{"no port mapper", func(p *programs, cfg *Config) { p.mapper = false }, "111 2049 2049", ""},
		{"no version 3", func(p *programs, cfg *Config) {}, "111", "PROG_UNAVAIL"},
		{"refused", func(p *programs, cfg *Config) {
			p.ports[100003], p.ports[100005], p.mount = 1, 2, []uint32{13}
		}, "111 1 2", "MNT3ERR_ACCES"},
		{"krb5 only", func(p *programs, cfg *Config) {
			p.ports[100003], p.ports[100005], p.mount = 1, 2, []uint32{0, 4, 9, 2, 390003, 390004}
		}, "111 1 2", "sec=sys"},
		{"rubbish", func(p *programs, cfg *Config) {
			p.ports[100003], p.ports[100005], p.mount = 1, 2, []uint32{0, 400}
		}, "111 1 2", "malformed"},
		{"port too large", func(p *programs, cfg *Config) { p.ports[100003] = 1 << 20 }, "111 2049 2049", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := startPrograms(t)
			cfg := p.config()
			tt.prepare(p, &cfg)
			c, err := Connect(t.Context(), cfg)
			if err == nil {
				defer c.Close()
				if c.chunk != 32768 || c.root != "\x01\x02\x03\x04" {
					t.Errorf("chunk %d, root %x", c.chunk, c.root)
				}
			}
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if got := strings.Join(p.dialled, " "); got != tt.dialled {
				t.Errorf("dialled %s, want %s", got, tt.dialled)
			}
		})
	}
}

func TestHandleCache(t *testing.T) {
	c := &Client{dirs: map[string]cached{}}
	for _, path := range [][]string{{"a"}, {"a", "b"}, {"ab"}, {"c"}} {
		c.remember(path, "h")
	}
	c.forget([]string{"a"})
	for path, want := range map[string]bool{"a": false, "a/b": false, "ab": true, "c": true} {
		if got := c.remembered(strings.Split(path, "/")) != ""; got != want {
			t.Errorf("%s: remembered %v", path, got)
		}
	}
	c.dirs["old"] = cached{"h", time.Now().Add(-time.Millisecond)}
	if c.remembered([]string{"old"}) != "" {
		t.Error("an old handle is believed")
	}
	for i := range mostCached + 10 {
		c.remember([]string{strings.Repeat("x", i%200), string(rune(i))}, "h")
	}
	if len(c.dirs) > mostCached {
		t.Errorf("%d handles are kept", len(c.dirs))
	}
}

func TestRefusedStatus(t *testing.T) {
	p := startPrograms(t)
	p.ports[100003], p.ports[100005], p.mount = 1, 2, []uint32{2}
	if _, err := Connect(t.Context(), p.config()); !status.Is(err, status.NoEnt) {
		t.Errorf("got %v", err)
	}
}
