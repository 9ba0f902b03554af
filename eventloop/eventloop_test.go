package eventloop

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// startLoop runs a loop until the test ends.
func startLoop(t *testing.T) *Loop {
	t.Helper()
	l := newLoop(t)
	ended := make(chan struct{})
	go func() {
		l.Run()
		close(ended)
	}()
	t.Cleanup(func() {
		l.Stop()
		<-ended
	})
	return l
}

// onLoop runs fn on the loop and waits for it.
func onLoop(l *Loop, fn func()) {
	done := make(chan struct{})
	l.Post(func() {
		fn()
		close(done)
	})
	<-done
}

// recorder is a Handler that tells a test what happened.
type recorder struct {
	conn    *Conn
	data    chan []byte // copies of what Data was given
	consume func(b []byte) int
	eof     chan struct{}
	closed  chan error
	drained chan struct{}
}

func newRecorder() *recorder { return newRecorderFor(1 << 14) }

// newRecorderFor returns a recorder of so many chunks of data. The loop waits when it is full.
func newRecorderFor(chunks int) *recorder {
	return &recorder{
		data: make(chan []byte, chunks), eof: make(chan struct{}, 1), closed: make(chan error, 1), drained: make(chan struct{}, 16),
		consume: func(b []byte) int { return len(b) },
	}
}

func (r *recorder) Data(b []byte) int {
	r.data <- bytes.Clone(b)
	return r.consume(b)
}
func (r *recorder) EOF()             { r.eof <- struct{}{} }
func (r *recorder) Closed(err error) { r.closed <- err }
func (r *recorder) Drained()         { r.drained <- struct{}{} }

// attach connects a recorder on the loop with a test's own end.
func attach(t *testing.T, l *Loop, r *recorder) net.Conn {
	t.Helper()
	return attachAll(t, l, []*recorder{r})[0]
}

// attachAll attaches a connection for each recorder and returns their other ends.
func attachAll(t *testing.T, l *Loop, recorders []*recorder) (peers []net.Conn) {
	t.Helper()
	ln, err := Listen("tcp", "127.0.0.1:0", 16, false)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var fds []int
	for range recorders {
		peer, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { peer.Close() })
		fd, addr, err := ln.AcceptFD()
		if err != nil {
			t.Fatal(err)
		}
		if addr != peer.LocalAddr().String() {
			t.Errorf("accepted a client from %s, want %s", addr, peer.LocalAddr())
		}
		peers, fds = append(peers, peer), append(fds, fd)
	}
	onLoop(l, func() {
		for i, r := range recorders {
			if r.conn, err = l.Attach(fds[i], r); err != nil {
				t.Error(err)
			}
		}
	})
	return peers
}

func receive[T any](t *testing.T, ch chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s within 10s", what)
	}
	return v
}

func TestEchoKeepsBytesAndOrder(t *testing.T) {
	l := startLoop(t)
	r := newRecorder()
	r.consume = func(b []byte) int {
		r.conn.Write(b)
		return len(b)
	}
	peer := attach(t, l, r)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	go peer.Write(sent)
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("echo differs (%v)", err)
	}
}

func TestUnconsumedBytesArePresentedAgain(t *testing.T) {
	l := startLoop(t)
	r := newRecorder()
	// Takes whole tens only, so most calls leave something.
	var taken []byte
	done := make(chan struct{})
	r.consume = func(b []byte) int {
		n := len(b) / 10 * 10
		if taken = append(taken, b[:n]...); len(taken) == 1000 {
			close(done)
		}
		return n
	}
	peer := attach(t, l, r)
	var sent []byte
	for i := range 1000 {
		sent = append(sent, byte(i))
		peer.Write(sent[i:])
	}
	receive(t, done, "last ten")
	if !bytes.Equal(taken, sent) {
		t.Fatal("bytes differ")
	}
	onLoop(l, func() {
		if r.conn.Unread() != 0 {
			t.Errorf("%d bytes left", r.conn.Unread())
		}
	})
}

func TestPausedConnectionIsNotRead(t *testing.T) {
	l := startLoop(t)
	r := newRecorder()
	peer := attach(t, l, r)
	onLoop(l, func() { r.conn.Pause() })
	peer.Write([]byte("x"))
	onLoop(l, func() {})
	onLoop(l, func() {})
	select {
	case b := <-r.data:
		t.Fatalf("read %q while paused", b)
	default:
	}
	onLoop(l, func() { r.conn.Resume() })
	if b := receive(t, r.data, "data"); string(b) != "x" {
		t.Fatalf("read %q", b)
	}
}

func TestRedeliverPresentsWhatWasLeft(t *testing.T) {
	l := startLoop(t)
	r := newRecorder()
	r.consume = func([]byte) int { return 0 }
	peer := attach(t, l, r)
	peer.Write([]byte("abc"))
	for got := receive(t, r.data, "data"); len(got) < 3; got = receive(t, r.data, "data") {
	}
	onLoop(l, func() {
		r.consume = func(b []byte) int { return len(b) }
		r.conn.Redeliver()
	})
	if b := receive(t, r.data, "data"); string(b) != "abc" {
		t.Fatalf("redelivered %q", b)
	}
}

func TestOutputWaitsForASlowPeer(t *testing.T) {
	l := startLoop(t)
	r := newRecorder()
	peer := attach(t, l, r)
	chunk := bytes.Repeat([]byte{'x'}, 1<<20)
	const chunks = 32
	for range chunks {
		onLoop(l, func() { r.conn.Append(chunk) })
	}
	onLoop(l, func() {
		if !r.conn.Stalled() || r.conn.Waiting() == 0 {
			t.Error("32 MiB went out to a peer that does not read")
		}
	})
	if n, err := io.CopyN(io.Discard, peer, chunks<<20); err != nil {
		t.Fatalf("read %d bytes: %v", n, err)
	}
	receive(t, r.drained, "Drained")
	onLoop(l, func() {
		if r.conn.Stalled() || r.conn.Waiting() != 0 {
			t.Error("output left")
		}
	})
}

func TestEndOfInputStillAllowsOutput(t *testing.T) {
	l := startLoop(t)
	r := newRecorder()
	peer := attach(t, l, r)
	peer.(*net.TCPConn).CloseWrite()
	receive(t, r.eof, "EOF")
	onLoop(l, func() { r.conn.Append([]byte("bye")) })
	got := make([]byte, 3)
	if _, err := io.ReadFull(peer, got); err != nil || string(got) != "bye" {
		t.Fatalf("got %q, %v", got, err)
	}
	onLoop(l, func() { r.conn.Close() })
	if _, err := peer.Read(got); err != io.EOF {
		t.Fatalf("after Close: %v", err)
	}
}

func TestResetPeerIsReportedWithItsUnwrittenBytes(t *testing.T) {
	l := startLoop(t)
	r := newRecorder()
	peer := attach(t, l, r)
	onLoop(l, func() { r.conn.Append(bytes.Repeat([]byte{'x'}, 16<<20)) })
	onLoop(l, func() {})
	peer.(*net.TCPConn).SetLinger(0)
	peer.Close()
	if err := receive(t, r.closed, "Closed"); !IsOrderly(err) {
		t.Fatalf("closed with %v", err)
	}
	onLoop(l, func() {
		if r.conn.Open() || l.Conns() != 0 {
			t.Error("still open")
		}
	})
}

func TestTimersFireInOrderAndStop(t *testing.T) {
	l := startLoop(t)
	fired := make(chan int, 8)
	onLoop(l, func() {
		for i, ms := range []int{30, 10, 20} {
			l.NewTimer(func() { fired <- i }).After(time.Duration(ms) * time.Millisecond)
		}
		stopped := l.NewTimer(func() { fired <- -1 })
		stopped.After(15 * time.Millisecond)
		stopped.Stop()
		moved := l.NewTimer(func() { fired <- 3 })
		moved.After(time.Millisecond)
		moved.After(40 * time.Millisecond)
	})
	for _, want := range []int{1, 2, 0, 3} {
		if got := receive(t, fired, "timer"); got != want {
			t.Fatalf("timer %d fired, want %d", got, want)
		}
	}
}

func TestDeferredRunsBeforeOutputAndAgainAfterIt(t *testing.T) {
	l := startLoop(t)
	r := newRecorder()
	attach(t, l, r)
	waiting := make(chan int, 2)
	var d deferredFunc
	calls := 0
	d = func() {
		waiting <- r.conn.Waiting()
		if calls++; calls == 1 {
			l.Defer(d)
		}
	}
	onLoop(l, func() {
		r.conn.Append([]byte("x"))
		l.Defer(d)
	})
	if first, second := receive(t, waiting, "call"), receive(t, waiting, "call"); first != 1 || second != 0 {
		t.Fatalf("%d bytes waited at the first call and %d at the second, want 1 and 0", first, second)
	}
}

type deferredFunc func()

func (f deferredFunc) RunDeferred() { f() }

func TestServersAreWrittenToLast(t *testing.T) {
	l := startLoop(t)
	r, answering := newRecorder(), newRecorder()
	peer := attach(t, l, r)
	onLoop(l, func() {
		// Both write to one peer, so it sees the order.
		fd, err := syscall.Dup(r.conn.FD())
		if err != nil {
			t.Error(err)
			return
		}
		if answering.conn, err = l.Attach(fd, answering); err != nil {
			t.Error(err)
			return
		}
		answering.conn.PeerIsServer()
		answering.conn.Append([]byte("last"))
		r.conn.Append([]byte("first,"))
	})
	got := make([]byte, 10)
	if _, err := io.ReadFull(peer, got); err != nil || string(got) != "first,last" {
		t.Fatalf("%q, %v", got, err)
	}
}

// TestMuchOutputLeavesBeforeTheNextEvent has two connections ready in one turn,
// each of which brings output for a third.
func TestMuchOutputLeavesBeforeTheNextEvent(t *testing.T) {
	f := func(name string, size int, atOnce bool) {
		t.Run(name, func(t *testing.T) {
			l := startLoop(t)
			a, b, answering := newRecorder(), newRecorder(), newRecorder()
			peers := []net.Conn{attach(t, l, a), attach(t, l, b)}
			reader := attach(t, l, answering)
			var waiting []int // before each event
			bring := func(b []byte) int {
				waiting = append(waiting, answering.conn.Waiting())
				for range size / 1024 { // in pieces, as requests come
					answering.conn.Append(make([]byte, 1024))
				}
				return len(b)
			}
			a.consume, b.consume = bring, bring
			onLoop(l, func() {
				answering.conn.PeerIsServer()
				for _, peer := range peers {
					peer.Write([]byte("x")) // both are there at the next poll
				}
			})
			if _, err := io.ReadFull(reader, make([]byte, 2*size)); err != nil {
				t.Fatal(err)
			}
			want := []int{0, size}
			if atOnce {
				want = []int{0, 0}
			}
			onLoop(l, func() {
				if !slices.Equal(waiting, want) {
					t.Errorf("before each event there waited %d bytes, want %d", waiting, want)
				}
			})
		})
	}
	f("a little waits for the turn's end", 8<<10, false)
	f("much does not", 40<<10, true)
}

// TestServersAreReadInLargerPartsThanClients has more bytes waiting than one
// read takes from a client.
func TestServersAreReadInLargerPartsThanClients(t *testing.T) {
	const sent = requestsSize * 3 / 2
	f := func(name string, answers bool, want int) {
		t.Run(name, func(t *testing.T) {
			l := startLoop(t)
			r := newRecorder()
			peer := attach(t, l, r)
			onLoop(l, func() {
				r.conn.Pause()
				if answers {
					r.conn.PeerIsServer()
				}
				if err := syscall.SetsockoptInt(r.conn.FD(), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 2*sent); err != nil {
					t.Error(err)
				}
			})
			go peer.Write(make([]byte, sent))
			look := make([]byte, sent)
			for there, end := 0, time.Now().Add(10*time.Second); there < sent; {
				onLoop(l, func() { there, _, _ = syscall.Recvfrom(r.conn.FD(), look, syscall.MSG_PEEK) })
				if time.Now().After(end) {
					t.Skipf("the system keeps %d bytes for a reader, and %d are needed", there, sent)
				}
			}
			onLoop(l, func() { r.conn.Resume() })
			if got := len(receive(t, r.data, "data")); got != want {
				t.Errorf("the first read took %d of %d bytes, want %d", got, sent, want)
			}
		})
	}
	f("requests", false, requestsSize)
	f("answers", true, sent)
}

// A loop that a test turns by hand, with an end of its only connection.
func turnedByHand(t *testing.T) (l *Loop, c *Conn, peer net.Conn) {
	t.Helper()
	l = newLoop(t)
	t.Cleanup(func() {
		l.Stop()
		l.Run() // closes everything
	})
	ln, err := Listen("tcp", "127.0.0.1:0", 16, false)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if peer, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { peer.Close() })
	fd, _, err := ln.AcceptFD()
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{}
	if e.conn, err = l.Attach(fd, e); err != nil {
		t.Fatal(err)
	}
	return l, e.conn, peer
}

func TestOutputWaitsATurnForMoreToCome(t *testing.T) {
	l, c, peer := turnedByHand(t)
	l.Post(func() {
		c.MoreComing(true)
		c.Append([]byte("one,"))
	})
	l.turn()
	if c.Waiting() == 0 {
		t.Fatal("written, though more was to come")
	}
	l.Post(func() {
		c.MoreComing(false)
		c.Append([]byte("two"))
	})
	l.turn()
	got := make([]byte, 64)
	if n, err := peer.Read(got); err != nil || string(got[:n]) != "one,two" {
		t.Fatalf("%q, %v", got[:n], err)
	}
}

func TestOutputWaitsForNoMoreThanATurn(t *testing.T) {
	l, c, peer := turnedByHand(t)
	say := func() {
		c.MoreComing(true)
		c.Append([]byte("one"))
	}
	written := func(when string) {
		t.Helper()
		if c.Waiting() > 0 {
			t.Fatal("not written: ", when)
		}
		io.ReadFull(peer, make([]byte, 3))
	}
	l.Post(say)
	l.turn()
	l.turn()
	written("after a turn in which nothing happened")

	l.Post(func() {
		say()
		l.Defer(deferredFunc(func() { l.Defer(deferredFunc(func() {})) }))
	})
	l.turn()
	written("though deferred work may wait for it")
}

func TestDialReportsItsResult(t *testing.T) {
	l := startLoop(t)
	path := filepath.Join(t.TempDir(), "s")
	ln, err := Listen("unix", path, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	result := make(chan error, 1)
	done := func(s Socket, err error) {
		if err == nil {
			s.Close()
		}
		result <- err
	}
	onLoop(l, func() { l.Dial(Target{Network: "unix", Addr: path, Timeout: time.Second}, done) })
	if err := receive(t, result, "result"); err != nil {
		t.Fatal(err)
	}
	ln.Close()
	onLoop(l, func() { l.Dial(Target{Network: "unix", Addr: path, Timeout: time.Second}, done) })
	if err := receive(t, result, "result"); err == nil {
		t.Fatal("connected to a closed listener")
	}
}

func TestClosedListenerEndsAccepting(t *testing.T) {
	ln, err := Listen("tcp", "127.0.0.1:0", 1, true)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, _, err := ln.AcceptFD()
		ended <- err
	}()
	ln.Close()
	if err := receive(t, ended, "end"); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
}

func TestDetachedConnectionGoesOnOnAnotherLoop(t *testing.T) {
	a := startLoop(t)
	b := startLoop(t)
	r, moved := newRecorder(), newRecorder()
	peer := attach(t, a, r)
	var s Socket
	onLoop(a, func() { s = r.conn.Detach() })
	onLoop(b, func() { moved.conn, _ = b.AttachSocket(s, moved) })
	peer.Write([]byte("hello"))
	if got := receive(t, moved.data, "data"); string(got) != "hello" {
		t.Fatalf("got %q", got)
	}
}

func TestBuffersAreGivenUpWhenNotNeeded(t *testing.T) {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer l.poll.close()
	var lent [][]byte
	for range 100 {
		lent = append(lent, l.Buffer(4000))
	}
	for _, b := range lent {
		l.Release(b)
	}
	l.trimBuffers() // they were needed since the last one
	if again := l.Buffer(4000); cap(again) != 4096 {
		t.Fatalf("a buffer of %d bytes for 4000", cap(again))
	}
	l.trimBuffers() // only one was needed
	l.trimBuffers()
	if n := len(l.bufs.free[3].bufs); n > 1 {
		t.Fatalf("%d buffers kept", n)
	}
}

func TestNothingIsAllocatedPerTurn(t *testing.T) {
	l, c, peer := turnedByHand(t)
	e := c.h.(*echo)
	msg, got := []byte("PING\r\n"), make([]byte, 6)
	avg := testing.AllocsPerRun(1000, func() {
		peer.Write(msg)
		for before := e.count.Load(); e.count.Load() == before; {
			l.turn()
		}
		io.ReadFull(peer, got)
	})
	if avg > 0.1 {
		t.Fatalf("%.2f allocations per turn", avg)
	}
}

type echo struct {
	conn  *Conn
	count atomic.Int64
}

func (e *echo) Data(b []byte) int { e.conn.Append(b); e.count.Add(1); return len(b) }
func (e *echo) EOF()              {}
func (e *echo) Closed(error)      {}
func (e *echo) Drained()          {}

// A handler may end its connection and go on with the bytes that it was given:
// they are not lent to others before it returns.
func TestBytesStayTheHandlersAfterClose(t *testing.T) {
	l := startLoop(t)
	r := newRecorder()
	result := make(chan bool, 1)
	r.consume = func(b []byte) int {
		if len(b) < 20 {
			return 0 // to be presented again, from a buffer of the connection
		}
		r.conn.Close()
		lent := l.Buffer(4 * minRead) // the size that the bytes are in
		copy(lent[:cap(lent)], bytes.Repeat([]byte{'!'}, cap(lent)))
		result <- bytes.Equal(b, []byte("0123456789abcdefghij"))
		return len(b)
	}
	peer := attach(t, l, r)
	peer.Write([]byte("0123456789"))
	receive(t, r.data, "data")
	peer.Write([]byte("abcdefghij"))
	if !receive(t, result, "the whole") {
		t.Error("the bytes were overwritten")
	}
}

// An attempt that Stop has ended says nothing about the peer, so it is not reported.
func TestDialIsNotReportedAfterStop(t *testing.T) {
	l, err := New()
	if err != nil {
		t.Fatal(err)
	}
	l.Post(func() {
		l.Stop()
		l.Dial(Target{Network: "unix", Addr: "/nonexistent/socket", Timeout: time.Minute}, func(Socket, error) { t.Error("reported") })
	})
	l.Run()
}

// peek waits until there is something to read.
func peek(fd int) {
	for b := []byte{0}; ; {
		if n, _, _ := syscall.Recvfrom(fd, b, syscall.MSG_PEEK); n > 0 {
			return
		}
	}
}

// An urgent connection is handled before the others.
func TestUrgentConnectionsComeFirst(t *testing.T) {
	l := startLoop(t)
	const n = 20
	var order []int
	var peers []net.Conn
	for i := range n {
		r := newRecorder()
		r.consume = func(b []byte) int {
			order = append(order, i)
			return len(b)
		}
		peers = append(peers, attach(t, l, r))
		if i >= n-2 {
			onLoop(l, func() { r.conn.Urgent() })
		}
	}
	onLoop(l, func() {
		for _, peer := range peers {
			peer.Write([]byte("x"))
		}
		for _, c := range l.conns {
			if c != nil {
				peek(c.fd)
			}
		}
	})
	handled := func() (seen []int) {
		onLoop(l, func() { seen = slices.Clone(order) })
		return seen
	}
	seen := handled()
	for len(seen) < n {
		seen = handled()
	}
	if min(seen[0], seen[1]) < n-2 {
		t.Errorf("handled in the order %v", seen)
	}
	onLoop(l, func() {
		for _, c := range l.conns {
			if c != nil {
				c.Close()
			}
		}
	})
	if onLoop(l, func() {}); l.urgentConns != 0 {
		t.Errorf("%d urgent connections are left", l.urgentConns)
	}
}
