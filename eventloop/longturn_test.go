package eventloop

import (
	"runtime"
	"testing"
	"time"
)

// spin uses processor time.
func spin(d time.Duration) {
	for began := processorTime(rusageWho); processorTime(rusageWho)-began < d; {
	}
}

// runOnThread runs a loop on a thread of its own: what other tests use is not to count.
func runOnThread(t *testing.T, l *Loop) {
	ended := make(chan struct{})
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		l.Run()
		close(ended)
	}()
	t.Cleanup(func() {
		l.Stop()
		<-ended
	})
}

// A turn in which the loop runs for long is reported, with its duration, once. On a busy machine
// it may be that so little of it is known to be the loop's that it is not.
func TestLongTurnIsReported(t *testing.T) {
	l := newLoop(t)
	var reported []time.Duration
	l.OnLongTurn(func(ran time.Duration) { reported = append(reported, ran) })
	runOnThread(t, l)
	for range 100 {
		began := time.Now() // of any turn that may be reported: one runs several functions
		onLoop(l, func() { reported = nil })
		onLoop(l, func() { spin(3 * LongTurn) })
		var got []time.Duration
		onLoop(l, func() { got = reported })
		took := time.Since(began)
		if len(got) > 1 || len(got) == 1 && (got[0] < LongTurn || got[0] > took) {
			t.Fatalf("a turn of %v was reported as %v", took, got)
		}
		if len(got) == 1 {
			return
		}
	}
	t.Error("no long turn was reported")
}

// Time in which the loop did not run does not count: the process may have
// been stopped.
func TestTimeInWhichTheLoopDidNotRunIsNoLongTurn(t *testing.T) {
	l := newLoop(t)
	reported := 0
	l.OnLongTurn(func(time.Duration) { reported++ })
	runOnThread(t, l)
	onLoop(l, func() {})
	for range 3 {
		onLoop(l, func() { time.Sleep(3 * LongTurn) })
	}
	var got int
	onLoop(l, func() { got = reported })
	if got > 0 {
		t.Errorf("%d long turns", got)
	}
}

// alwaysDeferred is deferred again and again, and uses processor time.
type alwaysDeferred struct {
	l    *Loop
	over bool
}

func (d *alwaysDeferred) RunDeferred() {
	if spin(time.Millisecond); !d.over {
		d.l.Defer(d)
	}
}

// Work that the end of a turn brings about does not keep the loop from the next turn for ever.
func TestDeferredWorkDoesNotStarveOthers(t *testing.T) {
	l := startLoop(t)
	d := &alwaysDeferred{l: l}
	r := newRecorder()
	peer := attach(t, l, r)
	onLoop(l, func() { l.Defer(d) })
	peer.Write([]byte("x"))
	receive(t, r.data, "what a neighbour sent")
	onLoop(l, func() { d.over = true })
}
