// Package fakeredis is a scripted Redis server for tests. It does what a real server
// does not do on demand: answer late, in single bytes, with nonsense, or not at all.
//
// A Script says, step by step, what happens on one connection:
//
//	release := make(chan struct{})
//	f := fakeredis.Start(t, fakeredis.Script{
//		fakeredis.Expect("GET", "k"),
//		fakeredis.Wait(release),
//		fakeredis.Reply("$1\r\nv\r\n"),
//		fakeredis.Reset(),
//	})
//	// ... send GET k through the proxy to f.Addr(), see it time out
//	close(release)
//
// If the order of requests does not matter, StartHandler calls a function for every
// request. In both cases the server records all requests in order.
//
// Only tests import this package, and it imports no other package of Ringway.
package fakeredis

import (
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// waitLimit bounds how long a test waits for its fake server. Only a failed test waits
// so long.
const waitLimit = 30 * time.Second

// Server is a scripted server on loopback. Its methods may be called from any
// goroutine, except those that fail the test (WaitRequests, WaitPlayed).
type Server struct {
	// Static after construction.
	t        testing.TB
	listener net.Listener
	script   func(conn int) Script // returns nil for an unexpected connection
	closing  chan struct{}         // closed when the test ends
	running  sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	conns    []*Conn
	requests []Request
	played   int           // scripts that ended without an error
	changed  chan struct{} // closed and replaced when one of the above changes
}

// Request is what a client sent.
type Request struct {
	Conn int      // number of its connection; the first one accepted is 0
	Args []string // the command's name first, as it was spelt
}

// Start returns a server whose first connection plays the first script, whose
// second plays the second, and so on. A connection beyond the last script
// fails the test and is closed. The server ends with the test.
func Start(t testing.TB, scripts ...Script) *Server {
	t.Helper()
	return start(t, func(conn int) Script {
		if conn < len(scripts) {
			return scripts[conn]
		}
		return nil
	})
}

// StartEach returns a server on which every connection plays the same script.
func StartEach(t testing.TB, script Script) *Server {
	t.Helper()
	return start(t, func(int) Script { return script })
}

// StartHandler returns a server that calls handle for every request, on a
// goroutine of the connection's own: one call at a time for a connection, many
// at a time for many connections. handle may answer through c, and may keep args.
func StartHandler(t testing.TB, handle func(c *Conn, args []string)) *Server {
	t.Helper()
	return StartEach(t, Script{Handle(handle)})
}

func start(t testing.TB, script func(int) Script) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("fake server: %v", err)
	}
	s := &Server{
		t: t, listener: l, script: script,
		closing: make(chan struct{}),
		changed: make(chan struct{}),
	}
	s.running.Go(s.accept)
	t.Cleanup(s.end)
	return s
}

// accept ends when the listener is closed.
func (s *Server) accept() {
	for {
		nc, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			s.t.Errorf("fake server %s: %v", s.Addr(), err)
			return
		}
		c := s.admit(nc.(*net.TCPConn))
		script := s.script(c.n)
		if script == nil {
			s.t.Errorf("fake server %s: connection %d has no script", s.Addr(), c.n)
			c.Close()
			continue
		}
		s.running.Go(func() { c.play(script) })
	}
}

// admit records a new connection. A connection accepted while the test ends is closed
// at once, because end does not see it.
func (s *Server) admit(tc *net.TCPConn) *Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := newConn(s, len(s.conns), tc)
	select {
	case <-s.closing:
		tc.Close()
	default:
	}
	s.conns = append(s.conns, c)
	s.announceLocked()
	return c
}

// end closes everything and returns when all goroutines have ended.
func (s *Server) end() {
	s.mu.Lock()
	close(s.closing)
	for _, c := range s.conns {
		c.tcp.Close()
	}
	s.mu.Unlock()
	s.listener.Close()
	s.running.Wait()
}

// Addr returns the server's "127.0.0.1:port".
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Refuse closes the listener: existing connections go on, new ones are refused.
func (s *Server) Refuse() { s.listener.Close() }

// CloseConns closes all connections.
func (s *Server) CloseConns() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
}

// Conns returns how many connections were accepted so far.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Requests returns a copy of the list of all requests read so far, in the order
// in which they were read.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// WaitRequests waits until n requests were read, on all connections together,
// and returns all requests so far. It fails the test when they do not come.
func (s *Server) WaitRequests(n int) []Request {
	s.t.Helper()
	if !s.wait(func() bool { return len(s.requests) >= n }) {
		s.t.Fatalf("fake server %s: waiting for %d requests, got %d: %v", s.Addr(), n, len(s.Requests()), s.Requests())
	}
	return s.Requests()
}

// WaitConns waits until n connections were accepted and fails the test when
// they do not come.
func (s *Server) WaitConns(n int) {
	s.t.Helper()
	if !s.wait(func() bool { return len(s.conns) >= n }) {
		s.t.Fatalf("fake server %s: waiting for %d connections, got %d", s.Addr(), n, s.Conns())
	}
}

// WaitPlayed waits until n connections have played their scripts to the last
// step, and fails the test when they do not. A script with a step that ends
// only with the connection (Discard, Handle, Stall) is played after that.
func (s *Server) WaitPlayed(n int) {
	s.t.Helper()
	played := 0
	if !s.wait(func() bool { played = s.played; return played >= n }) {
		s.t.Fatalf("fake server %s: waiting for %d scripts to be played, %d were", s.Addr(), n, played)
	}
}

// wait waits until cond, called with the lock held, is true, and reports false
// when that takes too long.
func (s *Server) wait(cond func() bool) bool {
	late := time.NewTimer(waitLimit)
	defer late.Stop()
	for {
		s.mu.Lock()
		ok, changed := cond(), s.changed
		s.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-late.C:
			return false
		}
	}
}

func (s *Server) record(conn int, args []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{Conn: conn, Args: args})
	s.announceLocked()
}

func (s *Server) recordPlayed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.played++
	s.announceLocked()
}

func (s *Server) announceLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}
