package pipeline_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/pipeline"
)

const script = "*3\r\n$4\r\nEVAL\r\n$1\r\nx\r\n$1\r\n0\r\n"

// sendScript sends a script with its marker, and requests behind it, in one turn.
// Their tags count on.
func (r *rig) sendScript(behind ...string) {
	r.t.Helper()
	to := r.receiver()
	r.on(func() {
		r.tag++
		if f := r.conn.SendMarked([]byte(script), to, r.tag); f != nil {
			r.t.Errorf("script refused: %v", f)
		}
		for _, request := range behind {
			r.tag++
			r.conn.Send([]byte(request), to, r.tag)
		}
	})
}

// What a script adds to its reply is not delivered, however it is spelt.
func TestNoReplyThatAScriptAddsIsDelivered(t *testing.T) {
	t.Parallel()
	nonce := fakeredis.Bulk(strings.Repeat("0", 32))
	for _, added := range []string{
		"$5\r\nPWNED\r\n", "+OK\r\n", ":1\r\n", "$-1\r\n", "*0\r\n", "-ERR x\r\n", nonce, nonce[:20], fakeredis.Array(nonce),
		"$100000\r\n" + strings.Repeat("x", 100000) + "\r\n", "$100000\r\n" + strings.Repeat("x", 50000), "\r\n",
	} {
		s := fakeredis.Start(t,
			fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Reply("-ERR a\r\n" + added), fakeredis.AnswerEcho(), fakeredis.Discard()},
			fakeredis.Script{fakeredis.Expect("GET", "c"), fakeredis.Reply("+c\r\n")})
		r := newRig(t, config(s.Addr()))
		r.sendScript(get("a"), get("b"))
		r.expect(1, "-ERR a\r\n")
		r.expectFailure(2, pipeline.ErrProtocol, true)
		r.expectFailure(3, pipeline.ErrProtocol, true)
		r.send(get("c"))
		r.expect(4, "+c\r\n")
		if errs := r.obs.failed(t, 1); len(errs) != 1 || !errors.Is(errs[0], pipeline.ErrProtocol) {
			t.Errorf("%.20q: failures %v", added, errs)
		}
	}
}

// A request whose reply the server leaves out does not get the answer to the marker
// behind it.
func TestAnswerToAMarkerGoesToNoEarlierRequest(t *testing.T) {
	t.Parallel()
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.AnswerEcho(), fakeredis.Discard()})
	r := newRig(t, config(s.Addr()))
	r.sendScript(get("a"))
	r.expectFailure(1, pipeline.ErrMarker, true)
	r.expectFailure(2, pipeline.ErrMarker, true)
}

// The reply to a script that timed out is dropped, but what follows that
// reply is checked all the same.
func TestMarkerOfATimedOutScriptIsStillChecked(t *testing.T) {
	t.Parallel()
	for _, vulnerable := range []bool{false, true} {
		release := make(chan struct{})
		answer := fakeredis.AnswerEcho()
		if vulnerable {
			answer = fakeredis.Reply("$5\r\nPWNED\r\n")
		}
		s := fakeredis.Start(t,
			fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Wait(release), fakeredis.Reply("+late\r\n"), answer, fakeredis.Handle(func(c *fakeredis.Conn, args []string) {
				c.Reply("+" + args[1] + "\r\n")
			})},
			fakeredis.Script{fakeredis.Discard()})
		cfg := config(s.Addr())
		cfg.Timeout = 300 * time.Millisecond
		r := newRig(t, cfg)
		r.on(r.conn.Connect)
		r.sendScript()
		r.expectFailure(1, pipeline.ErrTimeout, true)
		r.send(get("a"))
		close(release)
		if vulnerable {
			r.expectFailure(2, pipeline.ErrMarker, true)
			continue
		}
		r.expect(2, "+a\r\n")
	}
}

// An answer to a marker that comes too late is no sign of health.
func TestLateMarkerIsNoSuccess(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{
		fakeredis.ExpectAny(1), fakeredis.Wait(release), fakeredis.Reply("+late\r\n"), fakeredis.AnswerEcho(),
	})
	cfg := config(s.Addr())
	cfg.Timeout = 100 * time.Millisecond
	r := newRig(t, cfg)
	r.sendScript()
	r.expectFailure(1, pipeline.ErrTimeout, true)
	time.Sleep(cfg.Timeout) // until the marker is late, too
	close(release)
	s.WaitPlayed(1)
	r.eventually("the marker is answered", func() bool { return r.conn.InFlight() == 0 })
	if n := r.obs.count(); n != 0 {
		t.Errorf("%d successes", n)
	}
}

// What was not written when the connection is lost goes out over the next one,
// and a marker goes with its script or alone.
func TestBufferedScriptsAreMarked(t *testing.T) {
	t.Parallel()
	s := fakeredis.Start(t, fakeredis.Script{
		fakeredis.Expect("EVAL", "x", "0"), fakeredis.Reply("$1\r\na\r\n"), fakeredis.AnswerEcho(),
		fakeredis.Expect("EVAL", "x", "0"), fakeredis.Reply("$1\r\nb\r\n"), fakeredis.Reply("+PWNED\r\n"), fakeredis.ExpectAny(1),
	})
	r := newRig(t, config(s.Addr()))
	r.sendScript() // while there is no connection yet
	r.expect(1, "$1\r\na\r\n")
	r.eventually("the marker is answered", func() bool { return r.conn.InFlight() == 0 })
	r.sendScript()
	r.expect(2, "$1\r\nb\r\n")
	if errs := r.obs.failed(t, 1); !errors.Is(errs[0], pipeline.ErrMarker) {
		t.Error(errs)
	}
}

func TestLargeRepliesOfScriptsAreMarked(t *testing.T) {
	t.Parallel()
	large := fakeredis.Bulk(strings.Repeat("x", 1<<20))
	s := fakeredis.Start(t, fakeredis.Script{
		fakeredis.ExpectAny(1), fakeredis.Reply(large), fakeredis.AnswerEcho(),
		fakeredis.Expect("GET", "a"), fakeredis.Reply("+a\r\n"),
		fakeredis.ExpectAny(2), fakeredis.Reply(large + "+PWNED\r\n"), fakeredis.Discard(),
	})
	r := newRig(t, config(s.Addr()))
	r.sendScript(get("a"))
	if o := r.next(); o.reply != large || o.parts < 2 {
		t.Fatalf("%d bytes in %d parts, %v", len(o.reply), o.parts, o.failure)
	}
	r.expect(2, "+a\r\n")
	r.sendScript()
	if o := r.next(); o.reply != large {
		t.Fatalf("%d bytes, %v", len(o.reply), o.failure)
	}
	if errs := r.obs.failed(t, 1); !errors.Is(errs[0], pipeline.ErrMarker) {
		t.Error(errs)
	}
}

// Redis refuses ECHO while a script runs for too long and while it loads. That
// proves nothing, so the connection ends, but the server has not failed.
func TestRefusedEchoIsNoFailureOfTheServer(t *testing.T) {
	t.Parallel()
	const busy = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"
	s := fakeredis.Start(t,
		fakeredis.Script{fakeredis.ExpectAny(3), fakeredis.Reply(busy + busy + busy), fakeredis.Discard()},
		fakeredis.Script{fakeredis.Expect("GET", "b"), fakeredis.Reply("+b\r\n")})
	r := newRig(t, config(s.Addr()))
	r.sendScript(get("a"))
	r.expect(1, busy)
	if o := r.next(); o.tag != 2 || o.failure == nil || !o.failure.Sent {
		t.Fatalf("%+v", o)
	}
	r.send(get("b"))
	r.expect(3, "+b\r\n")
	r.on(func() {
		if len(r.obs.failures) > 0 {
			t.Error(r.obs.failures)
		}
	})
}

// A server that leaves a reply out, under a load that never lets its queue run
// empty, gives every request the reply to the next one. That ends within about a
// ReplyCheck.
func TestServerThatLeavesAReplyOutIsFoundOutUnderLoad(t *testing.T) {
	t.Parallel()
	var left bool
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		switch {
		case args[0] == "ECHO":
			c.Reply(fakeredis.Bulk(args[1]))
		case args[1] == "left out" && !left:
			left = true
		default:
			c.Reply("+" + args[1] + "\r\n")
		}
	})
	cfg := config(s.Addr())
	cfg.ReplyCheck = 100 * time.Millisecond
	r := newRig(t, cfg)
	to := r.receiver()
	ended := make(chan error, 1)
	to.onEnd = func(o outcome) {
		if o.failure != nil {
			select {
			case ended <- o.failure:
			default:
			}
			return
		}
		r.conn.Send([]byte(get("more")), to, o.tag)
	}
	requests := []string{get("left out")}
	for range 50 {
		requests = append(requests, get("more"))
	}
	r.sendTo(to, requests...)
	for stop := time.After(waitLimit); ; {
		select {
		case <-r.done:
		case err := <-ended:
			if !errors.Is(err, pipeline.ErrMarker) {
				t.Errorf("ended with %v", err)
			}
			return
		case <-stop:
			t.Fatal("replies are still shifted")
		}
	}
}

func TestMarkersAllocateNothingInTheSteadyState(t *testing.T) {
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) { c.Reply(fakeredis.Bulk(args[1])) })
	r := newRig(t, config(s.Addr()))
	r.on(func() {
		for range 10 {
			r.conn.SendMarked([]byte(script), discard{}, 0)
		}
	})
	r.eventually("all is answered", func() bool { return r.conn.InFlight() == 0 })
	r.on(func() {
		request := []byte(script)
		if n := testing.AllocsPerRun(5, func() { r.conn.SendMarked(request, discard{}, 0) }); n > 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

type discard struct{}

func (discard) Reply(uint32, []byte, bool)             {}
func (discard) Fail(uint32, *pipeline.Failure, []byte) {}
