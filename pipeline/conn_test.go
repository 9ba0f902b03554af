package pipeline_test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/pipeline"
)

func TestRepliesGoToTheirRequestsInOrder(t *testing.T) {
	t.Parallel()
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) { c.Reply(fakeredis.Bulk(args[1])) })
	r := newRig(t, config(s.Addr()))
	const n = 3000
	var requests, replies []string
	for i := range n {
		requests = append(requests, get(fmt.Sprint("k", i)))
		replies = append(replies, fakeredis.Bulk(fmt.Sprint("k", i)))
	}
	r.send(requests...)
	r.expect(1, replies...)
	if s.Conns() != 1 {
		t.Errorf("%d connections", s.Conns())
	}
}

func TestNothingIsConnectedBeforeTheFirstRequest(t *testing.T) {
	t.Parallel()
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.Expect("GET", "k"), fakeredis.Reply("$-1\r\n")})
	r := newRig(t, config(s.Addr()))
	r.on(func() {})
	if s.Conns() != 0 {
		t.Error("a connection was made for no request")
	}
	r.send(get("k"))
	r.expect(1, "$-1\r\n")
}

func TestIdleCloseIsNoFailureAndCostsNoRequest(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	s := fakeredis.Start(t,
		fakeredis.Script{fakeredis.Expect("GET", "a"), fakeredis.Reply("+1\r\n"), fakeredis.Wait(closed), fakeredis.Close()},
		fakeredis.Script{fakeredis.Expect("GET", "b"), fakeredis.Reply("+2\r\n")})
	r := newRig(t, config(s.Addr()))
	r.send(get("a"))
	r.expect(1, "+1\r\n")
	close(closed)
	r.eventually("the connection is gone", func() bool { return r.loop.Conns() == 0 })
	r.send(get("b"))
	r.expect(2, "+2\r\n")
	if errs := r.obs.failed(t, 0); len(errs) != 0 {
		t.Errorf("failures: %v", errs)
	}
}

func TestLostConnectionFailsWhatWasSent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		end   fakeredis.Step
		cause error
	}{{"closed", fakeredis.Close(), io.EOF}, {"reset", fakeredis.Reset(), syscall.ECONNRESET}} {
		t.Run(test.name, func(t *testing.T) {
			s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(2), fakeredis.Reply("+1\r\n"), test.end})
			r := newRig(t, config(s.Addr()))
			r.send(get("a"), get("b"))
			if test.cause == io.EOF {
				r.expect(1, "+1\r\n")
				r.expectFailure(2, io.EOF, true)
			} else { // a reset may overtake the first reply
				for o := r.next(); o.tag != 2; o = r.next() {
				}
			}
			if errs := r.obs.failed(t, 1); len(errs) != 1 {
				t.Errorf("%d failures, want 1: %v", len(errs), errs)
			}
		})
	}
}

// The server takes a part of what is written and closes. What was written is
// never sent again; what was not goes out over the next connection.
func TestUnwrittenRequestsGoOutOverTheNextConnection(t *testing.T) {
	t.Parallel()
	const n, size = 200, 256 << 10 // more than the system's buffers hold
	release := make(chan struct{})
	var mu sync.Mutex
	executed := map[string]int{}
	first := func(c *fakeredis.Conn, args []string) {
		<-release
		c.Reset()
	}
	second := func(c *fakeredis.Conn, args []string) {
		mu.Lock()
		executed[args[1]]++
		mu.Unlock()
		c.Reply("+OK\r\n")
	}
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.Handle(first)}, fakeredis.Script{fakeredis.Handle(second)})
	cfg := config(s.Addr())
	cfg.MaxBytes = 1 << 30
	r := newRig(t, cfg)
	value := strings.Repeat("v", size)
	var requests []string
	for i := range n {
		requests = append(requests, redistest.Request("SET", fmt.Sprint(i+1), value))
	}
	r.send(requests...)
	s.WaitRequests(1)
	close(release)
	lost, answered := map[uint32]bool{}, map[uint32]bool{}
	for range n {
		o := r.next()
		switch {
		case o.failure != nil && !o.failure.Sent:
			t.Fatalf("request %d failed though it was not sent: %v", o.tag, o.failure)
		case o.failure != nil:
			lost[o.tag] = true
		default:
			answered[o.tag] = true
		}
	}
	if len(lost) == 0 || len(answered) == 0 {
		t.Fatalf("%d lost, %d answered: the test needs both", len(lost), len(answered))
	}
	mu.Lock()
	defer mu.Unlock()
	for tag := range uint32(n) {
		times := executed[fmt.Sprint(tag+1)]
		if lost[tag+1] && times != 0 {
			t.Errorf("request %d was written, failed, and sent again", tag+1)
		}
		if answered[tag+1] && times != 1 {
			t.Errorf("request %d was executed %d times", tag+1, times)
		}
	}
}

func TestRefusedConnectionFailsAtOnceAndIsTriedAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, config(closedAddr(t)))
	r.send(get("a"))
	o := r.expectFailure(1, syscall.ECONNREFUSED, false)
	if o.request != get("a") {
		t.Errorf("the unsent request came back as %q", o.request)
	}
	if f := r.refused(get("b")); f.Sent {
		t.Error("a refused request counts as sent")
	}
	r.obs.failed(t, 3) // no request asks for these attempts
}

func TestServerThatComesBackIsUsedAgain(t *testing.T) {
	t.Parallel()
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) { c.Reply("+OK\r\n") })
	cfg := config(closedAddr(t))
	r := newRig(t, cfg)
	r.send(get("a"))
	r.expectFailure(1, syscall.ECONNREFUSED, false)
	r.on(func() { cfg.Addr = s.Addr() })
	r.eventually("requests are taken", r.conn.Up)
	r.send(get("b"))
	r.expect(2, "+OK\r\n")
}

// A client that waits for room must be woken however the room came about,
// also when the connection went away with all that filled it.
func TestWaiterIsWokenWhenTheConnectionIsLost(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		end  func(r *rig, release chan struct{})
	}{
		{"closed by the server", func(_ *rig, release chan struct{}) { close(release) }},
		{"suspended", func(r *rig, _ chan struct{}) { r.on(r.conn.Suspend) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			release := make(chan struct{})
			s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(2), fakeredis.Wait(release), fakeredis.Close()})
			cfg := config(s.Addr())
			cfg.MaxRequests = 2
			r := newRig(t, cfg)
			r.send(get("a"), get("b"))
			s.WaitRequests(2)
			w := make(waiter, 1)
			r.on(func() {
				if !r.conn.Full() {
					t.Error("not full")
				}
				r.conn.Wait(w)
			})
			test.end(r, release)
			r.next()
			r.next()
			w.wait(t)
		})
	}
}

func TestFullCountsRequestsAndBytes(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(4), fakeredis.Wait(release), fakeredis.Reply(strings.Repeat("+OK\r\n", 4))})
	cfg := config(s.Addr())
	cfg.MaxRequests = 4
	r := newRig(t, cfg)
	full := func() (full bool) {
		r.on(func() { full = r.conn.Full() })
		return full
	}
	r.send(get("a"), get("b"), get("c"))
	if full() {
		t.Error("full with 3 of 4 requests")
	}
	r.send(get("d"))
	if !full() {
		t.Error("not full with 4 of 4 requests")
	}
	w := make(waiter, 1)
	r.on(func() { r.conn.Wait(w) })
	close(release)
	w.wait(t)

	stalled := fakeredis.Start(t, fakeredis.Script{fakeredis.Stall()})
	r = newRig(t, config(stalled.Addr()))
	big := redistest.Request("SET", "k", strings.Repeat("v", 512<<10))
	for range 200 {
		if full() {
			return
		}
		r.send(big)
	}
	t.Error("not full with 100 MB that the server does not take")
}

// waiter is a pipeline.Waiter.
type waiter chan struct{}

func (w waiter) ConnReady() { w <- struct{}{} }

func (w waiter) wait(t *testing.T) {
	t.Helper()
	select {
	case <-w:
	case <-timeUp():
		t.Fatal("ConnReady was not called")
	}
}

func TestSuspendFailsEverythingAndRestoreConnectsAgain(t *testing.T) {
	t.Parallel()
	s := fakeredis.Start(t,
		fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Discard()},
		fakeredis.Script{fakeredis.Expect("GET", "c"), fakeredis.Reply("+3\r\n")})
	r := newRig(t, config(s.Addr()))
	r.send(get("a"))
	s.WaitRequests(1)
	r.on(r.conn.Suspend)
	r.expectFailure(1, pipeline.ErrSuspended, true)
	r.refused(get("b"))
	r.on(r.conn.Restore)
	r.send(get("c"))
	r.expect(2, "+3\r\n")
	if errs := r.obs.failed(t, 0); len(errs) != 0 {
		t.Errorf("failures: %v", errs)
	}
}

func TestSuspendGivesBackBufferedRequests(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	defer close(hold)
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.Expect("AUTH", "pw"), fakeredis.Wait(hold)})
	cfg := config(s.Addr())
	cfg.Auth = []string{"pw"}
	r := newRig(t, cfg)
	r.send(get("a"), get("b"))
	s.WaitRequests(1)
	r.on(r.conn.Suspend)
	for tag, want := range []string{get("a"), get("b")} {
		if o := r.expectFailure(uint32(tag+1), pipeline.ErrSuspended, false); o.request != want {
			t.Errorf("request %d came back as %q", tag+1, o.request)
		}
	}
}
