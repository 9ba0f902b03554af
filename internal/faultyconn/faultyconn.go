// Package faultyconn is a TCP relay for tests. It stands between Ringway and real
// servers or clients, and breaks connections as networks do:
//
//	relay := faultyconn.Start(t, server.Addr())
//	relay.Set(faultyconn.Faults{Chunk: 1, Delay: time.Millisecond}) // dribbles
//	relay.Cut()                                                     // resets all there are
//	relay.Freeze()                                                  // a black hole, until Thaw
//	relay.Refuse(true)                                              // new ones are reset
//
// A goroutine carries each of a connection's two directions. Set applies from the next
// piece that is carried, also on connections that exist already. Play chooses faults
// at random, by a seed.
//
// Only tests import this package.
package faultyconn

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Faults says what happens to each piece that is carried, in either direction. The
// zero value passes bytes on as they come.
type Faults struct {
	Delay    time.Duration // before it is passed on
	Coalesce time.Duration // wait for more bytes, and pass all on together
	Chunk    int           // most bytes in one write; 0: no bound
	Cut      float64       // probability that a part of the piece is passed on and the connection is reset
	HalfEnd  float64       // probability that the direction ends after the piece: the receiver reads an end
}

// Relay passes connections on to one address. Its methods may be called from any
// goroutine.
type Relay struct {
	t        testing.TB
	target   string
	listener net.Listener
	closing  chan struct{}
	running  sync.WaitGroup
	accepted atomic.Int64
	refusing atomic.Bool

	mu     sync.Mutex // guards the fields below
	faults Faults
	rnd    *rand.Rand
	pairs  map[*pair]bool
	thawed chan struct{} // closed unless frozen
}

// pair is a connection that was accepted, and the one it is passed on to.
type pair struct{ client, server *net.TCPConn }

// Start returns a relay to the target, "host:port", that runs until the test ends.
func Start(t testing.TB, target string) *Relay {
	t.Helper()
	return StartAt(t, "127.0.0.1", target)
}

// StartAt is Start with a host, an address of this machine, to listen at.
func StartAt(t testing.TB, host, target string) *Relay {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{
		t: t, target: target, listener: listener, closing: make(chan struct{}),
		rnd: rand.New(rand.NewPCG(1, 1)), pairs: map[*pair]bool{}, thawed: make(chan struct{}),
	}
	close(r.thawed)
	r.running.Go(r.accept)
	t.Cleanup(r.end)
	return r
}

// Addr is where the relay listens, "127.0.0.1:port".
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// Accepted returns how many connections were accepted so far, refused ones included.
func (r *Relay) Accepted() int { return int(r.accepted.Load()) }

// Open returns how many connections exist.
func (r *Relay) Open() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.pairs)
}

// Set replaces the faults. Seed sets the seed of their probabilities.
func (r *Relay) Set(f Faults) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = f
}

// Seed restarts the random numbers from a seed.
func (r *Relay) Seed(seed uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rnd = rand.New(rand.NewPCG(seed, 1))
}

// Refuse sets whether new connections are reset at once.
func (r *Relay) Refuse(refuse bool) { r.refusing.Store(refuse) }

// Cut resets all connections.
func (r *Relay) Cut() {
	for _, p := range r.all() {
		p.reset()
	}
}

// HalfClose ends one direction of all connections, the servers' (fromServer) or the
// clients': the receiver reads an end and may go on sending.
func (r *Relay) HalfClose(fromServer bool) {
	for _, p := range r.all() {
		if fromServer {
			p.client.CloseWrite()
		} else {
			p.server.CloseWrite()
		}
	}
}

// Freeze stops passing bytes on, and ends too, of existing and of new connections. New
// connections are still accepted.
func (r *Relay) Freeze() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.thawed:
		r.thawed = make(chan struct{})
	default:
	}
}

// Thaw ends Freeze. The bytes that wait are passed on.
func (r *Relay) Thaw() {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.thawed:
	default:
		close(r.thawed)
	}
}

func (r *Relay) all() (pairs []*pair) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.pairs {
		pairs = append(pairs, p)
	}
	return pairs
}

func (r *Relay) end() {
	close(r.closing)
	r.listener.Close()
	r.Cut()
	r.running.Wait()
}

func (r *Relay) accept() {
	for {
		conn, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.accepted.Add(1)
		client := conn.(*net.TCPConn)
		if r.refusing.Load() {
			client.SetLinger(0)
			client.Close()
			continue
		}
		r.running.Go(func() { r.serve(client) })
	}
}

// serve carries one connection until both directions have ended.
func (r *Relay) serve(client *net.TCPConn) {
	if !r.wait() {
		client.Close()
		return
	}
	conn, err := net.Dial("tcp", r.target)
	if err != nil {
		client.SetLinger(0)
		client.Close()
		return
	}
	p := &pair{client, conn.(*net.TCPConn)}
	r.mu.Lock()
	r.pairs[p] = true
	r.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { r.carry(p, p.client, p.server) })
	both.Go(func() { r.carry(p, p.server, p.client) })
	select {
	case <-r.closing:
		p.reset() // it came after Cut
	default:
	}
	both.Wait()
	r.mu.Lock()
	delete(r.pairs, p)
	r.mu.Unlock()
	p.client.Close()
	p.server.Close()
}

// wait blocks while the relay is frozen. It reports false if the test is over.
func (r *Relay) wait() bool {
	r.mu.Lock()
	thawed := r.thawed
	r.mu.Unlock()
	select {
	case <-thawed:
		return true
	case <-r.closing:
		return false
	}
}

func (r *Relay) pause(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.closing:
	}
}

// carry passes bytes on from one end to the other, until they end.
func (r *Relay) carry(p *pair, from, to *net.TCPConn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		f, cut, half := r.draw()
		if n > 0 && f.Coalesce > 0 {
			n += readMore(from, buf[n:], f.Coalesce)
		}
		if f.Delay > 0 {
			r.pause(f.Delay)
		}
		if !r.wait() {
			return
		}
		switch {
		case n > 0 && cut >= 0:
			to.Write(buf[:int(cut*float64(n))])
			p.reset()
			return
		case n > 0 && !write(to, buf[:n], f.Chunk):
			p.reset()
			return
		case errors.Is(err, io.EOF), half:
			to.CloseWrite()
			if half {
				io.Copy(io.Discard, from)
			}
			return
		case err != nil:
			p.reset()
			return
		}
	}
}

// draw returns the faults for one piece: where to cut it, from 0 to 1, or -1 for no
// cut; and whether the direction ends after it.
func (r *Relay) draw() (f Faults, cut float64, half bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	cut = -1
	if r.faults.Cut > 0 && r.rnd.Float64() < r.faults.Cut {
		cut = r.rnd.Float64()
	}
	return r.faults, cut, r.faults.HalfEnd > 0 && r.rnd.Float64() < r.faults.HalfEnd
}

func readMore(from *net.TCPConn, buf []byte, d time.Duration) (n int) {
	from.SetReadDeadline(time.Now().Add(d))
	defer from.SetReadDeadline(time.Time{})
	for n < len(buf) {
		m, err := from.Read(buf[n:])
		n += m
		if err != nil {
			break // carry will read the end again
		}
	}
	return n
}

func write(to *net.TCPConn, b []byte, chunk int) bool {
	if chunk == 0 {
		chunk = len(b)
	}
	for len(b) > 0 {
		n, err := to.Write(b[:min(chunk, len(b))])
		if err != nil {
			return false
		}
		b = b[n:]
	}
	return true
}

// reset ends both sides with an RST.
func (p *pair) reset() {
	for _, c := range []*net.TCPConn{p.client, p.server} {
		c.SetLinger(0)
		c.Close()
	}
}

// Play sets and removes faults at random until stop is closed, each for at most
// longest, and then resets the relay to its first state. The same seed gives the same
// sequence of faults.
func (r *Relay) Play(seed uint64, longest time.Duration, stop <-chan struct{}) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	r.Seed(seed)
	defer func() {
		r.Set(Faults{})
		r.Refuse(false)
		r.Thaw()
	}()
	for {
		switch rnd.IntN(9) {
		case 0:
			r.Cut()
		case 1:
			r.Set(Faults{Chunk: 1})
		case 2:
			r.Set(Faults{Coalesce: longest / 8})
		case 3:
			r.Set(Faults{Delay: longest / 4})
		case 4:
			r.Set(Faults{Cut: 0.01, Chunk: 7})
		case 5:
			r.Set(Faults{HalfEnd: 0.01})
		case 6:
			r.HalfClose(rnd.IntN(2) == 0)
		case 7:
			r.Freeze()
		case 8:
			r.Refuse(true)
			r.Cut()
		}
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rnd.Int64N(int64(longest)))):
		}
		if rnd.IntN(2) == 0 { // no fault for a while
			r.Set(Faults{})
		}
		r.Refuse(false)
		r.Thaw()
	}
}
