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

// Listener accepts connections for loops to own. Any goroutine may use it.
type Listener struct {
	net.Listener
	file *os.File // a second descriptor: net hands out no accepted socket that it does not watch itself
	raw  syscall.RawConn
	path string      // of a unix socket
	made os.FileInfo // the file as it was created

	closed atomic.Bool
	keeps  atomic.Bool // Close leaves the file of a unix socket
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
	return newListener(ln, addr, backlog)
}

// ListenerOf returns the Listener of a listening socket that another process has opened at addr, with
// a backlog as for Listen. The file stays the caller's.
func ListenerOf(file *os.File, addr string, backlog int) (*Listener, error) {
	ln, err := net.FileListener(file)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", addr, err)
	}
	return newListener(ln, addr, backlog)
}

// newListener takes over ln; it closes ln if it returns an error.
func newListener(ln net.Listener, addr string, backlog int) (*Listener, error) {
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
	if now, err := os.Lstat(l.path); err == nil && l.made != nil && os.SameFile(l.made, now) && !l.keeps.Load() {
		os.Remove(l.path)
	}
	l.file.Close()
	return l.Listener.Close()
}

// SyscallConn gives access to the socket, as for syscall.Conn.
func (l *Listener) SyscallConn() (syscall.RawConn, error) { return l.raw, nil }

// KeepFile says whether Close shall leave the file of a unix socket: another process listens there.
func (l *Listener) KeepFile(keep bool) { l.keeps.Store(keep) }

// PauseAccepting ends AcceptFD with os.ErrDeadlineExceeded, until ResumeAccepting. Clients that connect
// meanwhile wait in the kernel, for this process or another one that has the socket.
func (l *Listener) PauseAccepting() { l.file.SetReadDeadline(time.Unix(1, 0)) }

// ResumeAccepting ends PauseAccepting.
func (l *Listener) ResumeAccepting() { l.file.SetReadDeadline(time.Time{}) }

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
