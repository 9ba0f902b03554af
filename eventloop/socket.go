package eventloop

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// Target says where and how to connect.
type Target struct {
	Network, Addr string // "tcp" or "unix"; names are resolved
	Timeout       time.Duration
	KeepAlive     bool // a connection whose other end is gone ends within 8 seconds though nothing is sent

	// Wrap, if not nil, puts a Relay before the connection that was made, to speak TLS for
	// instance. It is called on the goroutine that dials; ctx ends with the timeout. If it returns
	// an error, the caller still owns the connection.
	Wrap func(ctx context.Context, conn net.Conn) (Socket, error)
}

// Dial connects on a goroutine of its own and calls done on the loop, with the socket, which done
// then owns, or an error. Stop ends the attempt, and then done is not called.
func (l *Loop) Dial(t Target, done func(s Socket, err error)) {
	if l.dialer != nil {
		l.dialer(t, done)
		return
	}
	l.dialing.Go(func() {
		s, err := t.connect(l.running)
		l.Post(func() {
			switch {
			case !l.stopped.Load():
				done(s, err)
			case err == nil:
				s.Close()
			}
		})
	})
}

func (t *Target) connect(ctx context.Context) (Socket, error) {
	ctx, cancel := context.WithTimeout(ctx, t.Timeout)
	defer cancel()
	d := net.Dialer{KeepAlive: -1, KeepAliveConfig: keepAliveOf(t.KeepAlive)}
	conn, err := d.DialContext(ctx, t.Network, t.Addr)
	if err != nil {
		return Socket{}, err
	}
	if t.Wrap != nil {
		s, err := t.Wrap(ctx, conn)
		if err != nil {
			conn.Close()
		}
		return s, err
	}
	defer conn.Close()
	fd, err := duplicate(conn.(syscall.Conn))
	return Socket{FD: fd}, err
}

// keepAliveOf returns how to detect that a server's machine is gone while nothing is sent, for
// instance because the client is blocked. The system answers for a server that is busy.
func keepAliveOf(on bool) net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: on, Idle: 5 * time.Second, Interval: time.Second, Count: 3}
}

// duplicate returns a second descriptor for c's socket, unknown to the
// runtime's poller, so that a loop can own it.
func duplicate(c syscall.Conn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	cerr := raw.Control(func(s uintptr) {
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		if fd, err = syscall.Dup(int(s)); err == nil {
			syscall.CloseOnExec(fd)
		}
	})
	if cerr != nil {
		return -1, cerr
	}
	return fd, err
}

// Listener accepts connections for loops to own. Any goroutine may use it.
type Listener struct {
	net.Listener
	file *os.File // a second descriptor: net hands out no accepted socket that it does not watch itself
	raw  syscall.RawConn
	path string      // of a unix socket
	made os.FileInfo // the file as it was created

	closed atomic.Bool
}

// Listen opens a listening socket. Network is "tcp" or "unix"; backlog is that
// of listen(2); reusePort sets SO_REUSEPORT. An IPv4 address, 0.0.0.0 too, is listened
// on for IPv4 alone, and an IPv6 address, :: too, for IPv6; without a host it is both.
func Listen(network, addr string, backlog int, reusePort bool) (*Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false) // its sockets cost more
	if reusePort {
		lc.Control = setReusePort
	}
	ln, err := lc.Listen(context.Background(), familyOf(network, addr), addr)
	if err != nil {
		return nil, err
	}
	l := &Listener{Listener: ln}
	if err := l.open(backlog); err != nil {
		ln.Close()
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	if unix, ok := ln.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(false) // the file may be another listener's by then
		l.path = addr
		l.made, _ = os.Lstat(addr)
	}
	return l, nil
}

// familyOf returns the network for the family of an address that is not a name.
func familyOf(network, addr string) string {
	ap, err := netip.ParseAddrPort(addr)
	switch {
	case network != "tcp" || err != nil:
		return network
	case ap.Addr().Is4():
		return "tcp4"
	}
	return "tcp6"
}

func (l *Listener) open(backlog int) error {
	fd, err := duplicate(l.Listener.(syscall.Conn))
	if err != nil {
		return err
	}
	l.file = os.NewFile(uintptr(fd), "listener")
	// The net package listens with the system's maximum; a second listen(2)
	// sets the backlog that was asked for.
	if err = syscall.Listen(fd, backlog); err == nil {
		l.raw, err = l.file.SyscallConn()
	}
	if err != nil {
		l.file.Close()
	}
	return err
}

// KeepAlive makes TCP probe peers from which nothing came for idle, in whole seconds from 1 on, or
// for the system's time if idle is 0. A peer that does not answer for as long again is gone, as
// with Redis's tcp-keepalive. Accepted sockets inherit this from the listening one. It does nothing
// for Unix sockets.
func (l *Listener) KeepAlive(idle time.Duration) error {
	if _, tcp := l.Listener.(*net.TCPListener); !tcp {
		return nil
	}
	var err error
	cerr := l.raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
		if err == nil && idle > 0 {
			err = setKeepAliveTimes(int(fd), int(idle/time.Second))
		}
	})
	return os.NewSyscallError("setsockopt", cmp.Or(cerr, err))
}

// keepAliveProbes is how many unanswered probes mean that a peer is gone.
const keepAliveProbes = 3

// Close stops listening, removes the file of a unix socket, and ends AcceptFD.
func (l *Listener) Close() error {
	if l.closed.Swap(true) {
		return net.ErrClosed
	}
	if now, err := os.Lstat(l.path); err == nil && l.made != nil && os.SameFile(l.made, now) {
		os.Remove(l.path)
	}
	l.file.Close()
	return l.Listener.Close()
}

// AcceptFD waits for a client and returns the descriptor of its socket,
// non-blocking, without delay for small writes, and its address. After Close
// it returns net.ErrClosed.
func (l *Listener) AcceptFD() (fd int, peer string, err error) {
	var sa syscall.Sockaddr
	rerr := l.raw.Read(func(s uintptr) bool {
		fd, sa, err = accept(int(s))
		return err != syscall.EAGAIN && err != syscall.ECONNABORTED && err != syscall.EINTR
	})
	if rerr != nil && l.closed.Load() {
		rerr = net.ErrClosed
	}
	if err = cmp.Or(rerr, err); err != nil {
		return -1, "", err
	}
	if _, unix := sa.(*syscall.SockaddrUnix); !unix {
		syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	}
	return fd, sockaddr(sa), nil
}

func sockaddr(sa syscall.Sockaddr) string {
	switch a := sa.(type) {
	case *syscall.SockaddrInet4:
		return (&net.TCPAddr{IP: a.Addr[:], Port: a.Port}).String()
	case *syscall.SockaddrInet6:
		return (&net.TCPAddr{IP: a.Addr[:], Port: a.Port}).String()
	}
	return "unix"
}

// CloseFD closes a descriptor from AcceptFD or Detach that no loop owns.
func CloseFD(fd int) { closeFD(fd) }

// SendAndClose gives the kernel as much of b as it takes at once, and closes fd.
func SendAndClose(fd int, b []byte) {
	write(fd, b)
	closeFD(fd)
}
