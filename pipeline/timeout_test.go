package pipeline_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/pipeline"
)

func timeUp() <-chan time.Time { return time.After(waitLimit) }

func TestLateReplyIsDroppedInOrder(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{
		fakeredis.ExpectAny(2), fakeredis.Wait(release), fakeredis.Reply("+1\r\n+2\r\n"),
		fakeredis.ExpectAny(1), fakeredis.Reply("+3\r\n"),
	})
	cfg := config(s.Addr())
	cfg.Timeout = time.Second // in which a busy machine answers the third request
	r := newRig(t, cfg)
	r.send(get("a"), get("b"))
	r.expectFailure(1, pipeline.ErrTimeout, true)
	r.expectFailure(2, pipeline.ErrTimeout, true)
	close(release)
	r.send(get("c"))
	r.expect(3, "+3\r\n")
	if errs := r.obs.failed(t, 1); len(errs) != 1 {
		t.Errorf("one stall counted as %d failures", len(errs))
	}
}

func TestConnectionLostAfterATimeoutFailsEachRequestOnce(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := fakeredis.Start(t,
		fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Wait(release), fakeredis.Reset()},
		fakeredis.Script{fakeredis.Expect("GET", "b"), fakeredis.Reply("+2\r\n")})
	cfg := config(s.Addr())
	cfg.Timeout = time.Second // in which a busy machine answers the second request
	r := newRig(t, cfg)
	r.send(get("a"))
	r.expectFailure(1, pipeline.ErrTimeout, true)
	close(release)
	r.obs.failed(t, 2)
	r.send(get("b"))
	r.expect(2, "+2\r\n")
}

// A stalled server is a failure once for each timeout that it lasts.
func TestLongStallCountsAgainAfterAnotherTimeout(t *testing.T) {
	t.Parallel()
	s := fakeredis.StartEach(t, fakeredis.Script{fakeredis.Discard()})
	cfg := config(s.Addr())
	cfg.Timeout = 50 * time.Millisecond
	r := newRig(t, cfg)
	var began, ended int64
	r.on(func() { began = r.loop.Now() })
	for tag, failures := uint32(1), 0; failures < 3; tag++ {
		r.send(get("a"))
		r.expectFailure(tag, pipeline.ErrTimeout, true)
		failures = len(r.obs.failed(t, 1))
	}
	r.on(func() { ended = r.loop.Now() })
	if took := time.Duration(ended - began); took < 3*cfg.Timeout {
		t.Errorf("3 failures within %v", took)
	}
}

// A large reply is in time as long as it goes on, but that is no reason to let
// the requests behind it wait for ever.
func TestRequestsBehindASlowLargeReplyTimeOut(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	defer close(stop)
	trickle := func(c *fakeredis.Conn) error {
		c.Reply("$10000000\r\n" + strings.Repeat("x", 100000))
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return nil
			case <-tick.C:
				c.Reply("xxxxxxxxxx")
			}
		}
	}
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(2), trickle, fakeredis.Discard()})
	cfg := config(s.Addr())
	cfg.Timeout = 500 * time.Millisecond
	r := newRig(t, cfg)
	r.send(get("large"), get("behind"))
	r.expectFailure(2, pipeline.ErrTimeout, true)
	r.obs.succeeded(t) // the server is busy, not lost
}

// A large reply that stops in the middle times out like any other.
func TestLargeReplyThatStopsTimesOut(t *testing.T) {
	t.Parallel()
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		if args[0] == "GET" {
			c.Reply("$10000000\r\n" + strings.Repeat("x", 100000))
		}
	})
	// On a busy machine the time may be over before anything has come: then it was
	// too short for the test.
	for timeout := 100 * time.Millisecond; ; timeout *= 4 {
		cfg := config(s.Addr())
		cfg.Timeout = timeout
		r := newRig(t, cfg)
		r.send(get("large"))
		select {
		case o := <-r.done:
			if o.failure == nil || !errors.Is(o.failure, pipeline.ErrTimeout) {
				t.Fatalf("got %.80q, %v", o.reply, o.failure)
			}
			if o.parts > 0 {
				if !o.failure.Sent {
					t.Error("a request that was answered in part counts as not sent")
				}
				return
			}
		case <-time.After(waitLimit):
			t.Fatal("no end within the time limit of the test")
		}
		if timeout > waitLimit {
			t.Fatal("nothing was passed on")
		}
	}
}

func TestRestOfATimedOutLargeReplyIsDropped(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{
		fakeredis.ExpectAny(1), fakeredis.Reply("$200000\r\n" + strings.Repeat("x", 100000)), fakeredis.Wait(release),
		fakeredis.Reply(strings.Repeat("x", 100000) + "\r\n"), fakeredis.ExpectAny(1), fakeredis.Reply("+2\r\n"),
	})
	cfg := config(s.Addr())
	cfg.Timeout = 300 * time.Millisecond
	r := newRig(t, cfg)
	r.send(get("large"))
	r.expectFailure(1, pipeline.ErrTimeout, true)
	close(release)
	r.send(get("b"))
	r.expect(2, "+2\r\n")
}
