package nfsserver

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
)

// Proxy is a network between a client and a server that understands records (RFC 5531 section 11), so that a Fault can hit
// one call, or its reply, and no other.
type Proxy struct {
	Dial Dial

	mu     sync.Mutex
	before int     // calls that pass before the faults
	faults []Fault // what hits the calls after these
	fired  int
	pipes  map[*pipe]bool
	wg     sync.WaitGroup
}

// Fault is what happens to a call and to its reply. A function gets the record without its mark and returns the bytes that
// go on instead, mark included, and whether the connection ends after them; nil stands for [Pass]. Reply is called beside
// the replies that follow, so one that takes its time lets them overtake.
type Fault struct {
	Call, Reply func(record []byte) (raw []byte, cut bool)
	// Deaf: no other reply passes on this connection from then on, as if the server had gone without a word.
	Deaf bool
}

// Pass leaves a record as it is.
func Pass(record []byte) (raw []byte, cut bool) { return Frame(record), false }

const lastFragment = 1 << 31

// Frame is a record in one fragment, with its mark.
func Frame(record []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, lastFragment|uint32(len(record))), record...)
}

// Plan lets the first fault hit the call after the next before ones, the second the one after that, and so on. It replaces
// what was planned.
func (p *Proxy) Plan(before int, faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults, p.before, p.fired = faults, before, 0
}

// Fired is how many of the planned faults have hit a call.
func (p *Proxy) Fired() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fired
}

// next counts a call and returns what is to happen to it.
func (p *Proxy) next() (Fault, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.before > 0 {
		p.before--
		return Fault{}, false
	}
	if p.fired == len(p.faults) {
		return Fault{}, false
	}
	p.fired++
	return p.faults[p.fired-1], true
}

// Connect is a Dial.
func (p *Proxy) Connect(ctx context.Context, network, address string) (net.Conn, error) {
	server, err := p.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	outer, inner := net.Pipe()
	x := &pipe{proxy: p, client: inner, server: server, hit: make(map[uint32]Fault)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pipes == nil {
		p.pipes = make(map[*pipe]bool)
	}
	p.pipes[x] = true
	p.wg.Go(x.calls)
	p.wg.Go(x.replies)
	return outer, nil
}

// Close ends all connections and waits for the proxy's goroutines, those of faults included.
func (p *Proxy) Close() {
	p.mu.Lock()
	for x := range p.pipes {
		x.cut()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// pipe is one connection through the proxy.
type pipe struct {
	proxy          *Proxy
	client, server net.Conn

	mu   sync.Mutex // held while writing to the client
	hit  map[uint32]Fault
	deaf bool
}

func (x *pipe) cut() {
	x.client.Close()
	x.server.Close()
}

// calls passes calls on until a side hangs up.
func (x *pipe) calls() {
	defer func() {
		x.cut()
		x.proxy.mu.Lock()
		defer x.proxy.mu.Unlock()
		delete(x.proxy.pipes, x)
	}()
	for {
		record, err := readRecord(x.client)
		if err != nil {
			return
		}
		raw, cut := Frame(record), false
		if f, ok := x.proxy.next(); ok {
			x.mu.Lock()
			x.hit[xid(record)] = f
			x.deaf = x.deaf || f.Deaf
			x.mu.Unlock()
			if f.Call != nil {
				raw, cut = f.Call(record)
			}
		}
		if _, err := x.server.Write(raw); err != nil || cut {
			return
		}
	}
}

// replies passes replies on until a side hangs up.
func (x *pipe) replies() {
	defer x.cut()
	for {
		record, err := readRecord(x.server)
		if err != nil {
			return
		}
		x.mu.Lock()
		f, hit := x.hit[xid(record)]
		delete(x.hit, xid(record))
		deaf := x.deaf && !hit
		x.mu.Unlock()
		if deaf {
			continue
		}
		if hit && f.Reply != nil {
			x.proxy.wg.Go(func() { x.deliver(f.Reply(record)) })
			continue
		}
		x.deliver(Pass(record))
	}
}

func (x *pipe) deliver(raw []byte, cut bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, err := x.client.Write(raw); err != nil || cut {
		x.cut()
	}
}

// xid is the transaction id, with which every record begins.
func xid(record []byte) uint32 {
	if len(record) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(record)
}

func readRecord(r io.Reader) ([]byte, error) {
	var record []byte
	for {
		var mark [4]byte
		if _, err := io.ReadFull(r, mark[:]); err != nil {
			return nil, err
		}
		word := binary.BigEndian.Uint32(mark[:])
		start := len(record)
		record = append(record, make([]byte, word&^lastFragment)...)
		if _, err := io.ReadFull(r, record[start:]); err != nil {
			return nil, err
		}
		if word&lastFragment != 0 {
			return record, nil
		}
	}
}
