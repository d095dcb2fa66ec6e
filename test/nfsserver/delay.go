package nfsserver

import (
	"context"
	"net"
	"time"
)

// Delayed is a network where every byte from the server takes d longer, however many are on the way.
func Delayed(dial Dial, d time.Duration) Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		c := &delayedConn{Conn: nc, arrived: make(chan arrival, 1024)}
		go c.receive(d)
		return c, nil
	}
}

type delayedConn struct {
	net.Conn
	arrived chan arrival
	rest    arrival
}

// arrival is what was received at once.
type arrival struct {
	data []byte
	err  error
	due  time.Time
}

// receive ends with the connection.
func (c *delayedConn) receive(d time.Duration) {
	for {
		b := make([]byte, 64<<10)
		n, err := c.Conn.Read(b)
		c.arrived <- arrival{b[:n], err, time.Now().Add(d)}
		if err != nil {
			close(c.arrived)
			return
		}
	}
}

func (c *delayedConn) Read(b []byte) (int, error) {
	for len(c.rest.data) == 0 {
		if c.rest.err != nil {
			return 0, c.rest.err
		}
		c.rest = <-c.arrived
		time.Sleep(time.Until(c.rest.due))
	}
	n := copy(b, c.rest.data)
	c.rest.data = c.rest.data[n:]
	return n, nil
}
