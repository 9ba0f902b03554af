package pipeline_test

import (
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/pipeline"
)

// What came while replies were held is read afterwards, and nothing has timed out,
// though its time was over long ago.
func TestHeldRepliesAreReadLaterAndNothingTimesOut(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Wait(release), fakeredis.Reply("+1\r\n"), fakeredis.Discard()})
	cfg := config(s.Addr())
	cfg.Timeout = 200 * time.Millisecond
	r := newRig(t, cfg)
	sent := time.Now()
	r.send(get("a"))
	s.WaitRequests(1)
	held := false
	r.on(func() { held = r.conn.HoldReplies() })
	if !held {
		t.Fatal("replies are not held")
	}
	close(release)
	for time.Since(sent) < 3*cfg.Timeout {
		r.turns()
		time.Sleep(time.Millisecond)
	}
	select {
	case o := <-r.done:
		t.Fatalf("the request ended with %q, %v", o.reply, o.failure)
	default:
	}
	r.on(r.conn.ReleaseReplies)
	r.expect(1, "+1\r\n")
}

// A connection that is given up: what was sent is of unknown outcome, whatever its
// reply, and the next request goes out over a new one.
func TestGivenUpRepliesAreOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	s := fakeredis.Start(t,
		fakeredis.Script{fakeredis.ExpectAny(2), fakeredis.Wait(release), fakeredis.Reply("+1\r\n+2\r\n"), fakeredis.Discard()},
		fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Reply("+3\r\n"), fakeredis.Discard()})
	g := &takesAll{}
	r := newRig(t, config(s.Addr()))
	r.on(func() { r.conn.SetRedirector(g) })
	r.send(get("a"), get("b"))
	s.WaitRequests(2)
	r.on(func() { r.conn.HoldReplies() })
	close(release)
	r.turns()
	r.on(func() {
		to := r.receiver()
		r.tag++
		if f := r.conn.Send([]byte(get("c")), to, r.tag); f != nil { // not written before the turn's end
			t.Error(f)
		}
		r.conn.GiveUp()
	})
	r.expectFailure(1, pipeline.ErrSuspended, true)
	r.expectFailure(2, pipeline.ErrSuspended, true)
	r.on(func() {
		if n := g.taken.Load(); n != 1 {
			t.Errorf("%d requests were taken back, want the one that was not written", n)
		}
	})
	r.send(get("d"))
	r.expect(4, "+3\r\n")
}

// A blocked client waits for others: its replies are not held.
func TestRepliesThatMayTakeAnyTimeAreNotHeld(t *testing.T) {
	t.Parallel()
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Discard()})
	r := newRig(t, config(s.Addr()))
	r.on(func() {
		r.conn.SendUntimed([]byte(get("a")), r.receiver(), 1)
	})
	s.WaitRequests(1)
	r.on(func() {
		if r.conn.HoldReplies() {
			t.Error("they are held")
		}
	})
}

// AfterHandshake calls when the connection is given up before it is made.
func TestGiveUpEndsAfterHandshake(t *testing.T) {
	t.Parallel()
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.Discard()})
	cfg := config(s.Addr())
	cfg.DB = 1
	r := newRig(t, cfg)
	r.send(get("a"))
	s.WaitRequests(1)
	var met *pipeline.Failure
	r.on(func() {
		r.conn.AfterHandshake(func(f *pipeline.Failure) { met = f })
		r.conn.HoldReplies()
		r.conn.GiveUp()
	})
	if met == nil {
		t.Error("AfterHandshake has not called")
	}
	r.expectFailure(1, pipeline.ErrSuspended, false)
}
