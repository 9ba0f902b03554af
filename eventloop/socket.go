package eventloop

import (
	"context"
	"net"
	"os"
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

func sockaddr(sa syscall.Sockaddr) string {
	switch a := sa.(type) {
	case *syscall.SockaddrInet4:
		return (&net.TCPAddr{IP: a.Addr[:], Port: a.Port}).String()
	case *syscall.SockaddrInet6:
		return (&net.TCPAddr{IP: a.Addr[:], Port: a.Port}).String()
	}
	return "unix"
}

// Duplicate returns a file of its own for the socket of a descriptor that is non-blocking, to wait for the
// socket with. The caller closes it; fd stays open.
func Duplicate(fd int) (*os.File, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	other, err := syscall.Dup(fd)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	syscall.CloseOnExec(other)
	return os.NewFile(uintptr(other), "socket"), nil
}

// CloseFD closes a descriptor from AcceptFD or Detach that no loop owns.
func CloseFD(fd int) { closeFD(fd) }

// SendAndClose gives the kernel as much of b as it takes at once, and closes fd.
func SendAndClose(fd int, b []byte) {
	write(fd, b)
	closeFD(fd)
}
