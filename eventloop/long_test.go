package eventloop

import (
	"testing"
	"time"
)

// spin uses processor time.
func spin(d time.Duration) {
	for began := processorTime(ofThread); processorTime(ofThread)-began < d; {
	}
}

// A turn in which the loop runs for long is told of, as that long, once.
func TestLongTurnIsToldOf(t *testing.T) {
	l := newLoop(t)
	var told []time.Duration
	l.OnLongTurn(func(ran time.Duration) { told = append(told, ran) })
	go l.Run()
	defer l.Stop()
	onLoop(l, func() {})
	began := time.Now()
	onLoop(l, func() { spin(3 * LongTurn) })
	took := time.Since(began)
	var got []time.Duration
	onLoop(l, func() { got = told })
	if len(got) != 1 || got[0] < LongTurn || got[0] > took {
		t.Errorf("a turn of %v was told of as %v", took, got)
	}
}

// Time in which the loop did not run is not held against anybody: the process may have
// been stopped.
func TestTimeInWhichTheLoopDidNotRunIsNoLongTurn(t *testing.T) {
	l := newLoop(t)
	told := 0
	l.OnLongTurn(func(time.Duration) { told++ })
	go l.Run()
	defer l.Stop()
	onLoop(l, func() {})
	for range 3 {
		onLoop(l, func() { time.Sleep(3 * LongTurn) })
	}
	var got int
	onLoop(l, func() { got = told })
	if got > 0 {
		t.Errorf("%d long turns", got)
	}
}
