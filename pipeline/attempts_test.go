package pipeline_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/pipeline"
)

// A server that takes no more clients has executed nothing, and is asked again now
// and then by all connections together.
func TestServerThatIsFullIsAskedNowAndThen(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"-ERR max number of clients reached\r\n", "-DENIED Redis is running in protected mode because " + strings.Repeat("x", 800) + "\r\n"} {
		s := fakeredis.StartEach(t, fakeredis.Script{fakeredis.Reply(word), fakeredis.Close()})
		cfg := config(s.Addr())
		cfg.Attempts, cfg.PingAfterLoss = new(pipeline.Attempts), true
		began := time.Now()
		var rigs []*rig
		for range 4 {
			r := newRig(t, cfg)
			rigs = append(rigs, r)
			r.on(func() { r.conn.Send([]byte(get("k")), r.receiver(), 1) })
		}
		for s.Conns() < len(rigs)+4 {
			for _, r := range rigs { // clients that do not give up
				r.on(func() { r.conn.Send([]byte(get("k")), r.receiver(), 1) })
			}
		}
		// Of the backoff 50, 100, 200 and 400 ms half is certain.
		if took := time.Since(began); took < 300*time.Millisecond {
			t.Errorf("%d connections within %v", s.Conns(), took)
		}
	}
}

// What was on its way to a server that turns the connection away was not sent, and
// goes elsewhere where there is an elsewhere.
func TestTurnedAwayIsNotSent(t *testing.T) {
	t.Parallel()
	door := fakeredis.Script{fakeredis.Handle(func(c *fakeredis.Conn, args []string) {
		if args[1] == "b" { // both are there
			c.Reply("-ERR max number of clients reached\r\n")
			fakeredis.Close()(c)
		}
	})}
	r := newRig(t, config(fakeredis.StartEach(t, door).Addr()))
	r.send(get("a"), get("b"))
	r.expectFailure(1, pipeline.ErrTurnedAway, false)
	r.expectFailure(2, pipeline.ErrTurnedAway, false)
	if errs := r.obs.failed(t, 1); !errors.Is(errs[0], pipeline.ErrTurnedAway) {
		t.Error(errs)
	}

	r = newRig(t, config(fakeredis.StartEach(t, door).Addr()))
	took := &keepsUnsent{}
	r.on(func() { r.conn.SetRedirector(took) })
	r.send(get("a"), get("b"))
	r.obs.failed(t, 1)
	r.eventually("both were given back", func() bool { return len(took.unsent) == 2 })
	r.on(func() {
		if took.unsent[0] != get("a") || took.unsent[1] != get("b") {
			t.Errorf("given back: %q", took.unsent)
		}
	})
}

// keepsUnsent is a Redirector that takes over requests that were not sent, and keeps them.
type keepsUnsent struct{ unsent []string }

func (*keepsUnsent) Refused(*pipeline.Conn, []byte, pipeline.Request) bool { return false }
func (*keepsUnsent) Review(*pipeline.Conn, pipeline.Request) bool          { return false }
func (*keepsUnsent) Down(*pipeline.Conn, error)                            {}
func (*keepsUnsent) Opened(*pipeline.Conn)                                 {}
func (r *keepsUnsent) Unsent(_ *pipeline.Conn, _ error, req pipeline.Request) bool {
	r.unsent = append(r.unsent, string(req.Bytes))
	return true
}

// Another connection may have failed to reach the server a moment ago, so that no attempt
// begins now. Who sends could not know: the request waits for the attempt that is due,
// and goes elsewhere if that fails.
func TestRequestOnAConnectionThatIsPutOffWaits(t *testing.T) {
	t.Parallel()
	s := fakeredis.StartEach(t, fakeredis.Script{fakeredis.Reply("-ERR max number of clients reached\r\n"), fakeredis.Close()})
	cfg := config(s.Addr())
	cfg.Attempts, cfg.PingAfterLoss = new(pipeline.Attempts), true
	first := newRig(t, cfg)
	first.send(get("a"))
	first.obs.failed(t, 1)
	r := newRig(t, cfg)
	took := &keepsUnsent{}
	r.on(func() { r.conn.SetRedirector(took) })
	to := r.receiver()
	r.on(func() {
		if f := r.conn.Send([]byte(get("b")), to, 1); f != nil {
			t.Errorf("refused: %v", f.Cause)
		}
	})
	r.eventually("it was given back", func() bool { return len(took.unsent) == 1 && took.unsent[0] == get("b") })
}

// Something may accept connections in front of a server that is dead: after a loss,
// nothing is written before something has come back.
func TestNothingIsSentToWhatOnlyAccepts(t *testing.T) {
	t.Parallel()
	accepts := fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Reset()}
	s := fakeredis.Start(t, accepts, accepts, accepts,
		fakeredis.Script{fakeredis.Expect("PING"), fakeredis.Reply("-NOPERM no PING\r\n"), fakeredis.Expect("GET", "k"), fakeredis.Reply("+k\r\n")})
	cfg := config(s.Addr())
	cfg.PingAfterLoss = true
	r := newRig(t, cfg)
	r.send(get("a"))
	if o := r.next(); o.failure == nil || !o.failure.Sent {
		t.Fatalf("%+v", o)
	}
	for {
		var refused *pipeline.Failure
		r.on(func() { refused = r.conn.Send([]byte(get("k")), r.receiver(), 9) })
		if refused != nil {
			if refused.Sent {
				t.Fatal(refused)
			}
			continue
		}
		if o := r.next(); o.failure == nil {
			if o.reply != "+k\r\n" {
				t.Error(o.reply)
			}
			break
		} else if o.failure.Sent {
			t.Fatalf("%v", o.failure)
		}
	}
	for i, req := range s.Requests()[1:3] {
		if req.Args[0] != "PING" {
			t.Errorf("connection %d: %q", i+1, req.Args)
		}
	}
}

// A server that closes an idle connection is no cause for caution.
func TestIdleCloseNeedsNoPing(t *testing.T) {
	t.Parallel()
	s := fakeredis.Start(t,
		fakeredis.Script{fakeredis.Expect("GET", "a"), fakeredis.Reply("+a\r\n"), fakeredis.Close()},
		fakeredis.Script{fakeredis.Expect("GET", "b"), fakeredis.Reply("+b\r\n")})
	cfg := config(s.Addr())
	cfg.PingAfterLoss = true
	r := newRig(t, cfg)
	r.send(get("a"))
	r.expect(1, "+a\r\n")
	r.eventually("the connection is closed", func() bool { return !r.conn.Peer().IsValid() })
	r.send(get("b"))
	r.expect(2, "+b\r\n")
}

// A connection on which nothing comes is lost, and what waits goes over a new one.
func TestSilentConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.Discard()}, fakeredis.Script{fakeredis.Handle(func(c *fakeredis.Conn, args []string) {
		c.Reply("+" + args[0] + "\r\n")
	})})
	cfg := config(s.Addr())
	cfg.Timeout, cfg.PingAfterLoss = 100*time.Millisecond, true
	r := newRig(t, cfg)
	for replied := false; !replied; {
		r.send(get("k"))
		switch o := r.next(); {
		case o.failure == nil:
			replied = true
		case !errors.Is(o.failure, pipeline.ErrTimeout):
			t.Fatal(o.failure)
		}
	}
	if errs := r.obs.failed(t, 1); !errors.Is(errs[0], pipeline.ErrTimeout) || s.Conns() != 2 {
		t.Errorf("%d connections, %v", s.Conns(), errs)
	}
}

// A connection on which a large reply goes on, or one reply after the other comes, is alive.
func TestSlowConnectionIsNotGivenUp(t *testing.T) {
	t.Parallel()
	const parts = 6
	script := fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Reply("$120000\r\n")}
	for range parts {
		script = append(script, fakeredis.Reply(strings.Repeat("x", 120000/parts)), fakeredis.Call(func() { time.Sleep(100 * time.Millisecond) }))
	}
	s := fakeredis.Start(t, append(script, fakeredis.Reply("\r\n"), fakeredis.Discard()))
	cfg := config(s.Addr())
	cfg.Timeout = 150 * time.Millisecond
	r := newRig(t, cfg)
	r.send(get("k"))
	// On a busy machine it may time out, but the connection stays.
	r.next()
	r.eventually("the reply has come", func() bool { return r.conn.InFlight() == 0 })
	if n := s.Conns(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// A blocking request may take any time.
func TestBlockedConnectionIsNotGivenUp(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Wait(answer), fakeredis.Reply("+late\r\n")})
	cfg := config(s.Addr())
	cfg.Timeout, cfg.Once = 20*time.Millisecond, true
	r := newRig(t, cfg)
	to := r.receiver()
	r.on(func() { r.conn.SendUntimed([]byte(get("k")), to, 1) })
	checked := make(chan struct{})
	r.on(func() { r.loop.NewTimer(func() { close(checked) }).After(10 * cfg.Timeout) })
	<-checked
	close(answer)
	r.expect(1, "+late\r\n")
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
