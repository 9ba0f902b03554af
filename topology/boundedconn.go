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

// answerLimits bound what a server may answer to the control plane. go-redis believes the
// lengths that it reads: it would allocate, and recurse, as a hostile server says. The limits
// are about twice what the largest legitimate answer needs, CLUSTER SHARDS of a thousand
// servers with scattered slots.
var answerLimits = resp.ReplyLimits{MaxDepth: 16, MaxBulk: 8 << 20, MaxElements: 1 << 19, MaxLine: 64 << 10, RESP2: true}

// longestAnswer is the most bytes that one reply may have.
const longestAnswer = 16 << 20

// boundedConn is a connection of the control plane from which go-redis reads only well-formed
// replies within answerLimits. A reply that is neither fails the read, and all later ones: the
// rest of the stream can't be framed.
type boundedConn struct {
	net.Conn
	state        resp.ReplyState
	pending      []byte // the beginning of a line; go-redis has it, but it is not checked yet
	length       int    // bytes of the current reply so far
	err          error
	stopWatching func() bool
}

// sysConn is a boundedConn of a socket. go-redis uses syscall.Conn to see whether the server
// has closed an idle connection.
type sysConn struct {
	*boundedConn
	syscall.Conn
}

// bound returns nc with the bounds. The connection is closed when ctx is done.
func bound(ctx context.Context, nc net.Conn) net.Conn {
	c := &boundedConn{Conn: nc}
	c.stopWatching = context.AfterFunc(ctx, func() { nc.Close() })
	if sys, ok := nc.(syscall.Conn); ok {
		return sysConn{c, sys}
	}
	return c
}

// Read implements net.Conn.
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

// readReady reads what has already arrived when the deadline has passed. After SIGSTOP and
// SIGCONT all deadlines are over while the answers lie in the sockets, and Go's poller looks
// at the deadline first: without this, the proxy would take every server for silent.
func (c *boundedConn) readReady(b []byte) (int, error) {
	const moment = 10 * time.Millisecond // long enough for one read on a busy machine
	c.Conn.SetReadDeadline(time.Now().Add(moment))
	return c.Conn.Read(b)
}

// check scans bytes before go-redis sees them. It lets the beginning of a line through: an
// incomplete line announces no length yet.
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

// Close implements net.Conn.
func (c *boundedConn) Close() error {
	c.stopWatching()
	return c.Conn.Close()
}
