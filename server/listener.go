package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"ringway/audit"
	"ringway/conf"
	"ringway/eventloop"
	"ringway/limit"
	"ringway/pool"
	"ringway/session"
)

// listener is the front door of one pool: the clients of its socket go to the loops.
type listener struct {
	srv     *Server
	pool    *pool.Pool
	index   int                    // of the pool, in running.listeners
	socket  atomic.Pointer[socket] // where clients connect; Reload may replace it
	leaving atomic.Bool            // the configuration no longer has the pool
	refused atomic.Uint64          // clients turned away
	clients atomic.Int64           // of the pool, as max_clients and client_connections count them
	away    turnedAway

	tls         atomic.Pointer[certificates] // nil: clients are spoken to in clear
	handshakes  handshakes
	pausedUntil atomic.Int64 // until when PausePool holds requests back, in Unix nanoseconds
}

// socket is a listening socket. A goroutine of its own accepts the clients (acceptAll), from start on until it is closed.
type socket struct {
	*eventloop.Listener
	at conf.Listen              // as configured
	to atomic.Pointer[listener] // whose clients they are: that of another pool after a Reload which gives it the address
}

// newListener makes a pool of the configuration, whose clients come from a socket. index is that which
// sessions will know the pool by.
func (srv *Server) newListener(c *conf.Pool, proxy *conf.Proxy, s *socket, index int) (*listener, error) {
	p, err := pool.New(c, proxy, srv.watcher, srv.log)
	if err != nil {
		return nil, fmt.Errorf("pool %q: %w", c.Name, err)
	}
	ln := &listener{srv: srv, pool: p, index: index}
	ln.socket.Store(s)
	return ln, ln.refreshTLS()
}

// Addr returns the address at which clients connect.
func (ln *listener) Addr() net.Addr { return ln.socket.Load().Addr() }

// start makes the listener get the clients of its socket.
func (ln *listener) start() {
	s := ln.socket.Load()
	c := ln.pool.Conf()
	ln.srv.log.Info("listening", "pool", c.Name, "addr", s.Addr().String(), "servers", len(c.Servers))
	if s.to.Swap(ln) == nil {
		ln.srv.accepting.Go(s.acceptAll)
	}
}

// listen opens the listening socket of a pool, or takes the one that another process has opened, if that is not nil.
func listen(c *conf.Pool, proxy *conf.Proxy, opened *os.File) (*socket, error) {
	ln, err := openListener(c, opened)
	if err != nil {
		return nil, fmt.Errorf("pool %q: %w", c.Name, err)
	}
	s := &socket{Listener: ln, at: c.Listen}
	if err := s.configure(c, proxy); err != nil {
		ln.Close()
		return nil, fmt.Errorf("pool %q: %w", c.Name, err)
	}
	return s, nil
}

// openListener opens the address of a pool, or makes do with a socket that another process has opened there,
// if that is not nil.
func openListener(c *conf.Pool, opened *os.File) (*eventloop.Listener, error) {
	if opened != nil {
		defer opened.Close()
		ln, err := eventloop.ListenerOf(opened, c.Listen.Addr, c.Backlog)
		if err == nil {
			ln.KeepFile(true) // until this process has taken over; for good if it is a service manager's
		}
		return ln, err
	}
	if c.Listen.Network == "unix" {
		if err := RemoveStale(c.Listen.Addr); err != nil {
			return nil, err
		}
	}
	return eventloop.Listen(c.Listen.Network, c.Listen.Addr, c.Backlog, c.ReusePort)
}

// configure sets what a pool's settings say of the socket and of those that will be accepted.
func (s *socket) configure(c *conf.Pool, proxy *conf.Proxy) error {
	if idle := proxy.ClientKeepAlive; idle > 0 || c.TCPKeepAlive {
		if err := s.KeepAlive(idle); err != nil {
			return err
		}
	}
	if c.Listen.Network == "unix" && c.Listen.Mode != 0 {
		return os.Chmod(c.Listen.Addr, os.FileMode(c.Listen.Mode))
	}
	return nil
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

// acceptAll accepts clients until the socket is closed. It runs on its own goroutine.
func (s *socket) acceptAll() {
	pause := time.Duration(0)
	for {
		s.awaitArrival()
		fd, peer, err := s.AcceptFD()
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) { // PauseAccepting
			return
		}
		ln := s.to.Load()
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
		ln.pool.Limits().All().Arrive()
		ln.admit(s, fd, peer)
	}
}

// admit hands the client with socket fd and address peer, which s has accepted, to a loop, or refuses
// it if there are too many clients. Either way fd belongs to somebody else afterwards.
func (ln *listener) admit(s *socket, fd int, peer string) {
	srv, c := ln.srv, ln.pool.Conf()
	at, _ := netip.ParseAddrPort(peer) // not valid on a unix socket
	behind := needsHeader(c, at.Addr())
	if !behind && !mayEnter(c, at.Addr()) {
		ln.turnAwayFrom(fd, at)
		return
	}
	if !srv.tryAdmit(ln) {
		ln.refused.Add(1)
		ln.auditRefusal(at, audit.TooManyClients)
		ln.turnAway(fd, tooMany)
		return
	}
	client := arrived{addr: peer, local: s.Addr().String()}
	if s.at.Network == "unix" {
		client.addr = s.at.Addr + ":0" // as Redis shows it
	}
	if !behind {
		ln.takeInFrom(fd, client, at)
		return
	}
	ln.readHeader(fd, at, func(from netip.AddrPort) {
		switch {
		case !mayEnter(c, from.Addr()):
			srv.Left(ln.index)
			ln.turnAwayFrom(fd, from)
			return
		case from != at:
			client.addr = from.String()
		}
		ln.takeInFrom(fd, client, from)
	})
}

// takeIn hands a client that was let in to a loop, after a TLS handshake if the pool speaks nothing but TLS.
func (ln *listener) takeIn(fd int, c arrived) {
	if t := ln.tls.Load(); t != nil && !ln.pool.Conf().PlainAndTLS {
		ln.shakeHands(eventloop.Socket{FD: fd}, t.config, c)
		return
	}
	ln.place(eventloop.Socket{FD: fd}, c)
}

// turnAwayFrom closes the socket of a client whose address may not use the pool.
func (ln *listener) turnAwayFrom(fd int, client netip.AddrPort) {
	ln.away.network.Add(1)
	ln.warn("clients closed: allow_networks and deny_networks do not let their address in", "client", client.String())
	ln.auditRefusal(client, audit.DeniedNetwork)
	ln.turnAway(fd, "-DENIED clients at this address may not connect here\r\n")
}

// auditRefusal tells the audit log that a client was turned away. The address of one on a unix socket is not valid.
func (ln *listener) auditRefusal(client netip.AddrPort, verdict audit.Verdict) {
	if !ln.srv.audit.IsOn() {
		return
	}
	e := audit.Event{Pool: ln.pool.Conf().Name, Verdict: verdict}
	if client.IsValid() {
		e.Client = client.String()
	}
	ln.srv.audit.Add(e)
}

// turnAway closes the socket of a client, and says why. One that waits for a TLS handshake would not
// understand it.
func (ln *listener) turnAway(fd int, why string) {
	if ln.tls.Load() != nil && !ln.pool.Conf().PlainAndTLS {
		eventloop.CloseFD(fd)
		return
	}
	eventloop.SendAndClose(fd, []byte(why))
}

// arrived is what is known of a client that was accepted and counted.
type arrived struct {
	addr  string // the client's
	local string // that it has connected to
	user  string // whom its certificate names; "" if there is none
	again bool   // a session has begun with it, in clear, and it speaks TLS

	network *limit.Group // in which it is counted; nil without limits
}

// place hands a client to a loop.
func (ln *listener) place(s eventloop.Socket, c arrived) {
	id, l := ln.srv.nextID.Add(1), ln.srv.pick()
	l.Post(func() {
		l.sessions.Adopt(session.Client{Socket: s, Pool: ln.index, ID: id, Addr: c.addr, Local: c.local, User: c.user, Network: c.network, Again: c.again})
	})
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
