package admin

import (
	"bufio"
	"bytes"
	"net"
	"slices"
	"sync"
)

// The admin address speaks HTTP and RESP. The first bytes of a connection tell which: a request of
// HTTP begins with a method, a space and a slash, which no command of the console does.

// methods are those of HTTP that are recognised.
var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH"}

// sniff reads the first bytes of a connection, and reports whether they are of HTTP. The connection
// that it returns presents them again.
func sniff(conn net.Conn) (peeked *peekedConn, isHTTP bool, err error) {
	r := bufio.NewReaderSize(conn, 4<<10)
	for n := 1; ; n++ {
		b, err := r.Peek(n)
		if err != nil {
			return nil, false, err
		}
		if !mayBeHTTP(b) {
			return &peekedConn{conn, r}, false, nil
		}
		if bytes.HasSuffix(b, []byte(" /")) || bytes.HasSuffix(b, []byte(" *")) || bytes.HasSuffix(b, []byte(" h")) {
			return &peekedConn{conn, r}, true, nil
		}
	}
}

// mayBeHTTP reports whether b is the beginning of a method with a space behind it and a target.
func mayBeHTTP(b []byte) bool {
	return slices.ContainsFunc(methods, func(method string) bool {
		for _, target := range []string{" /", " *", " h"} {
			if bytes.HasPrefix([]byte(method+target), b) {
				return true
			}
		}
		return false
	})
}

// peekedConn is a connection of which some bytes were read ahead.
type peekedConn struct {
	net.Conn
	r *bufio.Reader
}

// Read reads what was read ahead first.
func (c *peekedConn) Read(b []byte) (int, error) { return c.r.Read(b) }

// countedConn is a connection that gives its seat back when it is closed.
type countedConn struct {
	net.Conn
	release func()
	onClose func()
}

// Close closes the connection. It may be called several times.
func (c *countedConn) Close() error {
	err := c.Conn.Close()
	c.release()
	if c.onClose != nil {
		c.onClose()
	}
	return err
}

// sniffed is a net.Listener of connections that somebody else has accepted.
type sniffed struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newSniffed(addr net.Addr) *sniffed {
	return &sniffed{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give hands a connection to Accept, or closes it if the listener is closed.
func (h *sniffed) give(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.closed:
		c.Close()
	}
}

// Accept implements net.Listener.
func (h *sniffed) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener. It may be called several times.
func (h *sniffed) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr implements net.Listener.
func (h *sniffed) Addr() net.Addr { return h.addr }
