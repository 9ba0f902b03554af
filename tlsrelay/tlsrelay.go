// Package tlsrelay connects an event loop to peers that speak TLS.
//
// A loop reads and writes descriptors without blocking, and crypto/tls wants a
// connection that blocks. So two goroutines stand at the other end of a pair of
// sockets, one that encrypts and one that decrypts: to the loop it is a connection
// like any other. ADR 0013 says why, and what it costs.
//
//	config := func() (*tls.Config, error) { return &tls.Config{RootCAs: pool}, nil }
//	loop.Dial(eventloop.Target{
//		Network: "tcp", Addr: addr, Timeout: time.Second, Wrap: tlsrelay.Wrap(addr, config),
//	}, func(s eventloop.Socket, err error) {
//		if err == nil {
//			conn, err = loop.AttachSocket(s, handler)
//		}
//	})
package tlsrelay

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ringway/eventloop"
)

// ErrTLS wraps errors of TLS itself, such as a certificate that is not trusted.
var ErrTLS = errors.New("TLS")

// Wrap returns an eventloop.Target's Wrap for a peer at addr that speaks TLS. It calls config on
// the dialing goroutine for each attempt. If the returned Config has no ServerName, the host of
// addr is used.
//
// Bytes that the loop wrote count as written when the relay has them, so they may be lost without
// having left the machine. An error of TLS ends the connection with that error rather than the
// system's.
func Wrap(addr string, config func() (*tls.Config, error)) func(ctx context.Context, raw net.Conn) (eventloop.Socket, error) {
	return func(ctx context.Context, raw net.Conn) (eventloop.Socket, error) {
		c, err := config()
		if err != nil {
			return eventloop.Socket{}, err
		}
		if host, _, err := net.SplitHostPort(addr); err == nil && c.ServerName == "" {
			c = c.Clone()
			c.ServerName = host
		}
		conn := tls.Client(raw, c)
		if err := conn.HandshakeContext(ctx); err != nil {
			return eventloop.Socket{}, ofTLS(err)
		}
		local, fd, err := pair()
		if err != nil {
			return eventloop.Socket{}, err
		}
		return eventloop.Socket{FD: fd, Relay: &relay{raw: raw, tls: conn, local: local}}, nil
	}
}

// pair returns two connected sockets: one for goroutines, and the descriptor of the other for a
// loop.
func pair() (*net.UnixConn, int, error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, -1, os.NewSyscallError("socketpair", err)
	}
	file := os.NewFile(uintptr(fds[0]), "relay")
	conn, err := net.FileConn(file)
	file.Close()
	if err == nil {
		if err = syscall.SetNonblock(fds[1], true); err != nil {
			conn.Close()
		}
	}
	if err != nil {
		eventloop.CloseFD(fds[1])
		return nil, -1, err
	}
	return conn.(*net.UnixConn), fds[1], nil
}

// relay is the eventloop.Relay between a TLS connection and a loop's descriptor. It ends when the
// loop closes the descriptor, or when the peer or the network ends the connection. Then both its
// goroutines end and all its descriptors are closed.
type relay struct {
	raw   net.Conn // under tls
	tls   *tls.Conn
	local *net.UnixConn // whose other end is the loop's

	unwritable atomic.Pointer[error] // why the peer can't be written to any more
	failure    atomic.Pointer[error] // the error that ended it, if neither side closed it
}

// Run is eventloop.Relay's.
func (r *relay) Run() {
	var encrypting sync.WaitGroup
	encrypting.Go(r.encrypt)
	r.decrypt()
	encrypting.Wait()
	r.Close()
}

// linger is how long the relay goes on sending after the loop has closed its end.
const linger = time.Second

// Buffers are taken when there is something to carry: a connection that is silent, such as a
// blocked client's, uses next to no memory.
type relayBuffer [64 << 10]byte

var relayBuffers = sync.Pool{New: func() any { return new(relayBuffer) }}

// smallRead is the size of the buffer that decrypt holds while it waits.
const smallRead = 4 << 10

// encrypt carries what the loop writes until it closes its end.
func (r *relay) encrypt() {
	for {
		b, n := r.readLocal()
		if n == 0 {
			r.Close()
			return
		}
		_, err := r.tls.Write(b[:n])
		relayBuffers.Put(b)
		if err != nil {
			// The peer may have sent why it refuses more, so decrypt gets time to read that.
			r.unwritable.Store(&err)
			r.raw.SetReadDeadline(time.Now().Add(linger))
			return
		}
	}
}

// readLocal waits for what the loop writes and returns it in a buffer to be given back. If n is 0,
// the loop has closed its end and there is no buffer.
func (r *relay) readLocal() (b *relayBuffer, n int) {
	raw, err := r.local.SyscallConn()
	if err != nil {
		return nil, 0
	}
	// Read's error says that the relay's end is closed: then n is 0.
	raw.Read(func(fd uintptr) bool {
		b = relayBuffers.Get().(*relayBuffer)
		if n, err = syscall.Read(int(fd), b[:]); n > 0 {
			return true
		}
		relayBuffers.Put(b)
		n = 0
		return err != syscall.EAGAIN
	})
	return b, n
}

// decrypt carries what the peer writes. When the peer ends its side, the loop's connection reads
// that end, and what the loop writes is still carried.
func (r *relay) decrypt() {
	small := make([]byte, smallRead)
	b, large := small, (*relayBuffer)(nil)
	for {
		n, err := r.tls.Read(b)
		if n > 0 {
			if _, err := r.local.Write(b[:n]); err != nil {
				r.Close()
				return
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			r.local.CloseWrite()
			return
		}
		if err != nil {
			r.fail(err)
			r.Close()
			return
		}
		switch {
		case large == nil && n == len(small): // there is more
			large = relayBuffers.Get().(*relayBuffer)
			b = large[:]
		case large != nil && n < len(small):
			relayBuffers.Put(large)
			b, large = small, nil
		}
	}
}

// ofTLS wraps an error with ErrTLS unless it is the network's.
func ofTLS(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) || errors.Is(err, io.EOF) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("tls: %w", err)
	}
	return fmt.Errorf("%w: %w", ErrTLS, err)
}

// fail records why nothing more can be read. It is no error if this side has closed the connection.
func (r *relay) fail(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if p := r.unwritable.Load(); p != nil {
			err = *p
		}
	}
	if !errors.Is(err, net.ErrClosed) && !errors.Is(err, os.ErrDeadlineExceeded) {
		err = ofTLS(err)
		r.failure.Store(&err)
	}
}

// Close is eventloop.Relay's, and ends both directions. It sends no close_notify: that could block,
// and the peers here do not need it.
func (r *relay) Close() {
	r.raw.Close()
	r.local.Close()
}

// LoopClosed is eventloop.Relay's. encrypt does not see the loop's end while the peer reads
// nothing, so a deadline ends it.
func (r *relay) LoopClosed() { r.raw.SetDeadline(time.Now().Add(linger)) }

// Err is eventloop.Relay's.
func (r *relay) Err() error {
	if p := r.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Conn is eventloop.Relay's.
func (r *relay) Conn() net.Conn { return r.raw }
