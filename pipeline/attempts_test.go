package pipeline_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/pipeline"
)

// A server that accepts no more clients has executed nothing. All connections together
// try it now and then.
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
			time.Sleep(time.Millisecond)
		}
		// Of the backoff 50, 100, 200 and 400 ms half is certain.
		if took := time.Since(began); took < 300*time.Millisecond {
			t.Errorf("%d connections within %v", s.Conns(), took)
		}
	}
}

// A request on its way to a server that turns the connection away counts as not sent, and
// goes to the Redirector if there is one.
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
// begins now. The sender could not know: the request waits for the attempt that is due,
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

// After a server has closed an idle connection the next one needs no PING.
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
