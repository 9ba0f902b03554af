package pipeline_test

import (
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/pipeline"
)

func TestRenewWaitsForWhatIsInFlight(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := fakeredis.Start(t,
		fakeredis.Script{fakeredis.Expect("GET", "a"), fakeredis.Wait(release), fakeredis.Reply("+1\r\n"), fakeredis.Discard()},
		fakeredis.Script{fakeredis.Expect("GET", "b"), fakeredis.Reply("+2\r\n"), fakeredis.Discard()})
	r := newRig(t, config(s.Addr()))
	r.send(get("a"))
	s.WaitRequests(1)
	ready := make(waiter, 1)
	r.on(func() {
		if peer := r.conn.Peer().String(); peer != "127.0.0.1" {
			t.Errorf("connected to %s", peer)
		}
		r.conn.Renew()
		if !r.conn.Full() || !r.conn.FullForReads() {
			t.Error("requests are taken while the last replies are awaited")
		}
		r.conn.Wait(ready)
	})
	close(release)
	r.expect(1, "+1\r\n")
	<-ready
	r.on(func() {
		if r.conn.Full() {
			t.Error("the new connection takes no requests")
		}
	})
	r.send(get("b"))
	r.expect(2, "+2\r\n")
	if n := s.Conns(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

func TestRenewOfAnIdleConnectionIsAtOnce(t *testing.T) {
	t.Parallel()
	s := fakeredis.StartEach(t, fakeredis.Script{fakeredis.Discard()})
	r := newRig(t, config(s.Addr()))
	r.on(func() { r.conn.Renew() }) // not connected: nothing to do
	r.on(func() { r.conn.Connect() })
	r.eventually("a connection", func() bool { return r.conn.Peer().IsValid() })
	r.on(func() { r.conn.Renew() })
	s.WaitConns(2)
}

// Requests of a sender that does not ask whether there is room are not lost.
func TestRenewWaitsForWhatIsSentMeanwhile(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := fakeredis.Start(t,
		fakeredis.Script{fakeredis.Expect("GET", "a"), fakeredis.Expect("GET", "b"), fakeredis.Reply("+1\r\n"), fakeredis.Wait(release), fakeredis.Reply("+2\r\n"), fakeredis.Discard()},
		fakeredis.Script{fakeredis.Discard()})
	r := newRig(t, config(s.Addr()))
	r.send(get("a"))
	s.WaitRequests(1)
	r.on(func() { r.conn.Renew() })
	r.send(get("b"))
	r.expect(1, "+1\r\n")
	close(release)
	r.expect(2, "+2\r\n")
	s.WaitConns(2)
}

// A server that does not answer is not waited for longer than for any request.
func TestRenewGivesUpASilentServer(t *testing.T) {
	t.Parallel()
	s := fakeredis.StartEach(t, fakeredis.Script{fakeredis.Discard()})
	cfg := config(s.Addr())
	cfg.Timeout = 20 * time.Millisecond
	r := newRig(t, cfg)
	r.on(func() { r.conn.Connect() })
	r.eventually("a connection", func() bool { return r.conn.Peer().IsValid() }) // so that none of the time is spent on it
	to := r.receiver()
	to.onEnd = func(outcome) {
		if !r.conn.Full() {
			t.Error("it takes requests while the late reply may still come")
		}
	}
	r.on(func() { // in one turn: the request must not time out before
		r.tag++
		if f := r.conn.Send([]byte(get("a")), to, r.tag); f != nil {
			t.Error(f)
		}
		r.conn.Renew()
	})
	r.expectFailure(1, pipeline.ErrTimeout, true)
	r.eventually("the end of waiting", func() bool { return !r.conn.Full() })
	r.send(get("b"))
	s.WaitConns(2)
}

// A connection that a client has to itself is the client's to end.
func TestRenewLeavesDedicatedConnectionsToTheirClients(t *testing.T) {
	t.Parallel()
	s := fakeredis.StartEach(t, fakeredis.Script{fakeredis.Handle(func(c *fakeredis.Conn, _ []string) { c.Reply("+OK\r\n") })})
	cfg := config(s.Addr())
	cfg.Once = true
	r := newRig(t, cfg)
	r.send(get("a"))
	r.expect(1, "+OK\r\n")
	r.on(func() {
		r.conn.Renew()
		if !r.conn.Stale() {
			t.Error("the connection would be lent again")
		}
		if r.conn.Full() {
			t.Error("its client may not go on")
		}
	})
	r.send(get("b"))
	r.expect(2, "+OK\r\n")
	if n := s.Conns(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// Retire takes back requests that were not written; a barrier behind them passes all the same.
func TestBarrierBehindUnsentRequestsPasses(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Wait(answer), fakeredis.Reply("+a\r\n")})
	r := newRig(t, config(s.Addr()))
	took := &keepsUnsent{}
	r.on(func() { r.conn.SetRedirector(took) })
	r.send(get("a"))
	s.WaitRequests(1)
	passed := 0
	to := r.receiver()
	r.on(func() {
		r.conn.Send([]byte(get("b")), to, 2)
		r.conn.AfterReplies(func() { passed++ })
		r.conn.Retire()
		r.conn.AfterReplies(func() { passed++ })
	})
	close(answer)
	r.expect(1, "+a\r\n")
	r.eventually("both barriers are passed", func() bool { return passed == 2 })
	if len(took.unsent) != 1 {
		t.Errorf("taken back: %q", took.unsent)
	}
}

// A server that hangs and is replaced must not delay AfterReplies of the requests
// that it has: once all of them have timed out, nothing waits for it.
func TestRetiredConnectionClosesWithItsLastTimeout(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before the timeout", "after it"} {
		t.Run(when, func(t *testing.T) {
			arrived := make(chan struct{}, 1)
			s := fakeredis.StartHandler(t, func(_ *fakeredis.Conn, args []string) {
				if args[0] == "GET" {
					arrived <- struct{}{}
				}
			})
			cfg := config(s.Addr())
			cfg.Timeout = 500 * time.Millisecond
			r := newRig(t, cfg)
			r.send(get("a"))
			passed := make(chan time.Time, 1)
			retire := func() {
				r.on(func() {
					r.conn.Retire()
					r.conn.AfterReplies(func() { passed <- time.Now() })
				})
			}
			if when == "before the timeout" {
				<-arrived
				retire()
			}
			r.expectFailure(1, pipeline.ErrTimeout, true)
			told := time.Now()
			if when == "after it" {
				retire()
			}
			select {
			case at := <-passed:
				if d := at.Sub(told); d > 400*time.Millisecond {
					t.Errorf("given up %v after the timeout", d)
				}
			case <-timeUp():
				t.Fatal("not given up")
			}
		})
	}
}
