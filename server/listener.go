package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/pool"
)

// listener accepts the clients of one pool, on its own goroutine (acceptAll), and hands
// them to the loops.
type listener struct {
	*eventloop.Listener
	srv     *Server
	pool    *pool.Pool
	index   int           // of the pool, in Server.pools
	refused atomic.Uint64 // clients turned away
	clients atomic.Int64  // of the pool, as max_clients and client_connections count them
}

// listen opens the listener of the pool with the given index. acceptAll is yet to be run.
func listen(srv *Server, index int) (*listener, error) {
	p := srv.pools[index]
	c := p.Conf()
	if c.Listen.Network == "unix" {
		if err := RemoveStale(c.Listen.Addr); err != nil {
			return nil, err
		}
	}
	ln, err := eventloop.Listen(c.Listen.Network, c.Listen.Addr, c.Backlog, c.ReusePort)
	if err != nil {
		return nil, err
	}
	if idle := srv.conf.Proxy.ClientKeepAlive; idle > 0 || c.TCPKeepAlive {
		if err := ln.KeepAlive(idle); err != nil {
			ln.Close()
			return nil, err
		}
	}
	if c.Listen.Network == "unix" && c.Listen.Mode != 0 {
		if err := os.Chmod(c.Listen.Addr, os.FileMode(c.Listen.Mode)); err != nil {
			ln.Close()
			return nil, err
		}
	}
	return &listener{Listener: ln, srv: srv, pool: p, index: index}, nil
}

// RemoveStale removes the socket file that an ended process has left at path. It leaves everything
// else there, and returns an error if a process listens on it. Only a refused connection proves that nobody listens there: EAGAIN and EACCES come from a
// process that does.
func RemoveStale(path string) error {
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSocket == 0 {
		return nil // nothing there, or no socket, for which bind(2) returns an error
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		conn.Close()
		return errors.New("listen unix " + path + ": another process is listening on this socket")
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("listen unix %s: another process may be listening on this socket; remove it if not: %w", path, err)
	}
	return os.Remove(path)
}

// After a failed accept(2), such as one without a free descriptor, the listener waits:
// the first time for firstAcceptPause, then twice as long each time, up to lastAcceptPause.
const (
	firstAcceptPause = 5 * time.Millisecond
	lastAcceptPause  = time.Second
)

// acceptAll accepts clients until the listener is closed. It runs on its own goroutine.
func (ln *listener) acceptAll() {
	pause := time.Duration(0)
	for {
		fd, peer, err := ln.AcceptFD()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			if pause == 0 {
				ln.srv.log.Error("accepting paused: raise the limit of open files (ulimit -n) or lower max_clients",
					"pool", ln.pool.Conf().Name, "err", err)
			}
			pause = min(max(2*pause, firstAcceptPause), lastAcceptPause)
			time.Sleep(pause) // no event says when a descriptor is free
			continue
		}
		if pause > 0 {
			pause = 0
			ln.srv.log.Info("accepting resumed", "pool", ln.pool.Conf().Name)
		}
		ln.admit(fd, peer)
	}
}

// admit hands the client with socket fd and address peer to a loop, or refuses it if there
// are too many clients. Either way fd belongs to somebody else afterwards.
func (ln *listener) admit(fd int, peer string) {
	srv, c := ln.srv, ln.pool.Conf()
	if !srv.tryAdmit(ln) {
		ln.refused.Add(1)
		eventloop.SendAndClose(fd, []byte("-ERR max number of clients reached\r\n"))
		return
	}
	id, local := srv.nextID.Add(1), ln.Addr().String()
	if c.Listen.Network == "unix" {
		peer = c.Listen.Addr + ":0" // as Redis shows it
	}
	l := srv.pick()
	l.Post(func() { l.sessions.Adopt(fd, ln.index, id, peer, local) })
}

// usableProcessors is how many processors the process may use. It is read before Run
// raises GOMAXPROCS.
var usableProcessors = runtime.GOMAXPROCS(0)

// threads returns how many event loops to run: threads of the configuration, or one for
// each processor.
func threads(proxy *conf.Proxy) int {
	if proxy.Threads > 0 {
		return proxy.Threads
	}
	return usableProcessors
}
