package hatest

import (
	"io"
	"net"
	"sync"
	"testing"
)

// Relay passes connections on to a server until it is cut. Then the server can't be
// reached through the relay, but still directly.
type Relay struct {
	listener net.Listener
	to       string

	mu    sync.Mutex // guards cut and conns
	cut   bool
	conns map[net.Conn]bool
}

// StartRelay returns a relay to a server's address, which ends with the test.
func StartRelay(t testing.TB, to string) *Relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{listener: l, to: to, conns: map[net.Conn]bool{}}
	var running sync.WaitGroup
	running.Go(func() { r.accept(&running) })
	t.Cleanup(func() {
		l.Close()
		r.Cut()
		running.Wait()
	})
	return r
}

// Addr returns the relay's address.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Cut closes all connections, and closes new ones at once.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = true
	for c := range r.conns {
		c.Close()
	}
}

// Mend ends Cut.
func (r *Relay) Mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = false
}

func (r *Relay) accept(running *sync.WaitGroup) {
	for {
		c, err := r.listener.Accept()
		if err != nil {
			return
		}
		if !r.keep(c) {
			continue
		}
		running.Go(func() {
			defer r.drop(c)
			s, err := net.Dial("tcp", r.to)
			if err != nil || !r.keep(s) {
				return
			}
			defer r.drop(s)
			go func() { // ends when either is closed
				io.Copy(s, c)
				s.Close()
			}()
			io.Copy(c, s)
		})
	}
}

// keep records a connection. If the relay is cut, it closes the connection and reports
// false.
func (r *Relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cut {
		c.Close()
		return false
	}
	r.conns[c] = true
	return true
}

func (r *Relay) drop(c net.Conn) {
	r.mu.Lock()
	delete(r.conns, c)
	r.mu.Unlock()
	c.Close()
}
