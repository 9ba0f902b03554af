package topology

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"ringway/resp"
)

// answerLimits bound what a server may answer to what the control plane asks. A
// Cluster of a thousand servers whose slots lie all over the place tells half of
// that. go-redis believes the lengths that it reads: it would allocate, and
// recurse, as they say.
var answerLimits = resp.ReplyLimits{MaxDepth: 16, MaxBulk: 8 << 20, MaxElements: 1 << 19, MaxLine: 64 << 10, RESP2: true}

// longestAnswer is the most bytes of one reply.
const longestAnswer = 16 << 20

// boundedConn is a connection of the control plane, of which go-redis reads only
// what is well-formed and within answerLimits. What is not fails the read, and
// all later ones.
type boundedConn struct {
	net.Conn
	state   resp.ReplyState
	pending []byte // the beginning of a line, which was read already
	length  int    // of the current reply so far
	err     error
	forget  func() bool
}

// sysConn is a boundedConn that lets go-redis see whether the server has closed it.
type sysConn struct {
	*boundedConn
	syscall.Conn
}

// bound returns nc with bounds. It is closed when ctx is done.
func bound(ctx context.Context, nc net.Conn) net.Conn {
	c := &boundedConn{Conn: nc}
	c.forget = context.AfterFunc(ctx, func() { nc.Close() })
	if sys, ok := nc.(syscall.Conn); ok {
		return sysConn{c, sys}
	}
	return c
}

// Read is net.Conn's.
func (c *boundedConn) Read(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.Conn.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		n, err = c.readReady(b)
	}
	if c.err = c.check(b[:n]); c.err != nil {
		return 0, c.err
	}
	return n, err
}

// readReady reads what is there when time is up. A process that was stopped, and goes on
// when all its deadlines are over, would else take all that it has asked for silent,
// though the answers lie in the sockets: Go's poller looks at the deadline first.
func (c *boundedConn) readReady(b []byte) (int, error) {
	const moment = 10 * time.Millisecond // enough to look, on a busy machine too
	c.Conn.SetReadDeadline(time.Now().Add(moment))
	return c.Conn.Read(b)
}

// check looks at what was read before anybody else does. The beginning of a line
// is let through: it says nothing before its end has come.
func (c *boundedConn) check(b []byte) error {
	if len(c.pending) > 0 {
		b = append(c.pending, b...)
	}
	for len(b) > 0 {
		n, done, err := c.state.Scan(b, &answerLimits)
		if err != nil {
			return err
		}
		if c.length += n; c.length > longestAnswer {
			return &resp.ProtocolError{Text: "server sent a reply that is longer than any answer"}
		}
		b = b[n:]
		if done {
			c.length = 0
		} else {
			break
		}
	}
	c.pending = append([]byte(nil), b...)
	return nil
}

// Close is net.Conn's.
func (c *boundedConn) Close() error {
	c.forget()
	return c.Conn.Close()
}
