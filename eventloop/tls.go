package eventloop

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
)

// ErrTLS is what errors of TLS itself, such as a certificate that is not trusted,
// are wrapped with.
var ErrTLS = errors.New("TLS")

// DialTLS is Dial for a peer that speaks TLS. Config is called on the dialing
// goroutine for each attempt; where what it returns names no server, the name is
// the host of addr. The timeout is for the handshake too.
//
// The descriptor is one end of a pair of sockets, at whose other end two
// goroutines encrypt and decrypt: to the loop it is a connection like any other.
// What the loop wrote counts as written when they have it, so it may be lost
// without having left the machine. An error of TLS ends the connection with that
// error rather than the system's.
func (l *Loop) DialTLS(network, addr string, timeout time.Duration, keepAlive bool, config func() (*tls.Config, error), done func(fd int, err error)) {
	l.dialing.Go(func() {
		r, fd, err := dialTLS(l.running, network, addr, timeout, keepAlive, config)
		l.Post(func() {
			switch {
			case err != nil && !l.stopped.Load():
				done(-1, err)
				return
			case err != nil:
				return
			case l.stopped.Load():
				closeFD(fd)
				r.close()
				return
			}
			l.dialing.Go(r.encrypt)
			l.dialing.Go(r.decrypt)
			l.arriving, l.arrivingFD = r, fd
			done(fd, nil)
			if l.arriving != nil { // nobody wanted it
				l.arriving = nil
				r.loopClosed()
			}
		})
	})
}

func dialTLS(ctx context.Context, network, addr string, timeout time.Duration, keepAlive bool, config func() (*tls.Config, error)) (*relay, int, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := config()
	if err != nil {
		return nil, -1, err
	}
	if host, _, err := net.SplitHostPort(addr); err == nil && c.ServerName == "" {
		c = c.Clone()
		c.ServerName = host
	}
	d := net.Dialer{KeepAlive: -1, KeepAliveConfig: keepAliveOf(keepAlive)}
	raw, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, -1, err
	}
	conn := tls.Client(raw, c)
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, -1, ofTLS(err)
	}
	local, fd, err := pair()
	if err != nil {
		raw.Close()
		return nil, -1, err
	}
	return &relay{raw: raw, tls: conn, local: local}, fd, nil
}

// pair returns two connected sockets: one for goroutines, and the descriptor of
// one for a loop.
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
		closeFD(fds[1])
		return nil, -1, err
	}
	return conn.(*net.UnixConn), fds[1], nil
}

// relay carries bytes between a TLS connection and a loop's descriptor. It ends
// when the loop closes that, or when the peer or the network does; either way
// both its goroutines end and all its descriptors are closed.
type relay struct {
	raw   net.Conn // under tls
	tls   *tls.Conn
	local *net.UnixConn // whose other end is the loop's

	unwritable atomic.Pointer[error] // why the peer can't be written to any more
	failure    atomic.Pointer[error] // what ended it, if that was neither side's will
	ended      atomic.Int32          // how many of the two goroutines have
}

// linger is how long what was written before a Close has to leave.
const linger = time.Second

// Buffers of relays are taken when there is something to carry: a connection that
// is silent, as a blocked client's, holds next to none.
type relayBuffer [64 << 10]byte

var relayBuffers = sync.Pool{New: func() any { return new(relayBuffer) }}

// smallRead is the buffer that a decrypt which waits does hold.
const smallRead = 4 << 10

// encrypt carries what the loop writes until it closes its end.
func (r *relay) encrypt() {
	defer r.end()
	for {
		b, n := r.readLocal()
		if n == 0 {
			r.close()
			return
		}
		_, err := r.tls.Write(b[:n])
		relayBuffers.Put(b)
		if err != nil {
			// Perhaps the peer has said why it does not want more, so decrypt gets
			// time to read that.
			r.unwritable.Store(&err)
			r.raw.SetReadDeadline(time.Now().Add(linger))
			return
		}
	}
}

// readLocal waits for what the loop writes and returns it in a buffer to be given
// back, unless n is 0: then the loop has closed its end.
func (r *relay) readLocal() (b *relayBuffer, n int) {
	raw, err := r.local.SyscallConn()
	if err != nil {
		return nil, 0
	}
	// What Read returns is that its end is closed: then n is 0.
	raw.Read(func(fd uintptr) bool {
		b = relayBuffers.Get().(*relayBuffer)
		if n, err = read(int(fd), b[:]); n > 0 {
			return true
		}
		relayBuffers.Put(b)
		n = 0
		return err != syscall.EAGAIN
	})
	return b, n
}

// decrypt carries what the peer writes. When the peer ends its side, so does the
// loop's connection read its end, and what the loop writes is still carried.
func (r *relay) decrypt() {
	defer r.end()
	small := make([]byte, smallRead)
	b, large := small, (*relayBuffer)(nil)
	for {
		n, err := r.tls.Read(b)
		if n > 0 {
			if _, err := r.local.Write(b[:n]); err != nil {
				r.close()
				return
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			r.local.CloseWrite()
			return
		}
		if err != nil {
			r.fail(err)
			r.close()
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

// end is called by both goroutines when they end.
func (r *relay) end() {
	if r.ended.Add(1) == 2 {
		r.close()
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

// fail remembers why nothing more can be read, which is not an error if this
// side brought it about.
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

// close ends both directions. TLS's own farewell is left out: writing it could
// wait, and no peer cares for it here.
func (r *relay) close() {
	r.raw.Close()
	r.local.Close()
}

// loopClosed tells that the loop has closed its end, which encrypt does not see
// while the peer reads nothing.
func (r *relay) loopClosed() { r.raw.SetDeadline(time.Now().Add(linger)) }

// cause returns what ended the relay rather than err, if that is known.
func (r *relay) cause(err error) error {
	if r != nil {
		if p := r.failure.Load(); p != nil {
			return *p
		}
	}
	return err
}
