package eventloop

import (
	"testing"
	"time"
)

// A loop that could not run for a while reads everything that came meanwhile before
// any timer fires.
func TestWhatIsReadyIsReadBeforeOverdueTimers(t *testing.T) {
	l := startLoop(t)
	const n = 2*maxEvents + 10
	conns := make([]*recorder, n)
	for i := range conns {
		conns[i] = newRecorderFor(16)
	}
	peers := attachAll(t, l, conns)
	fired := make(chan int, 1)
	onLoop(l, func() {
		l.NewTimer(func() {
			heard := 0
			for _, r := range conns {
				heard += len(r.data)
			}
			fired <- heard
		}).After(5 * time.Millisecond)
		for _, peer := range peers {
			peer.Write([]byte("x"))
		}
		time.Sleep(5*time.Millisecond + 3*time.Duration(lateTolerance)/2)
	})
	if heard := receive(t, fired, "timer"); heard != n {
		t.Errorf("the timer fired when %d of %d bytes had been read", heard, n)
	}
}

// Timers keep the time that they had left when a loop could not run.
func TestMissedTimeDoesNotCount(t *testing.T) {
	l := newLoop(t)
	defer func() {
		l.Stop()
		l.Run()
	}()
	fired := 0
	l.NewTimer(func() { fired++ }).After(2 * time.Second)
	l.NewTimer(func() { fired++ }).After(3 * time.Second)
	before := l.Now()
	l.skipped -= int64(10 * time.Hour)
	l.turn()
	if d := time.Duration(l.Now() - before); d > time.Minute || fired > 0 {
		t.Errorf("%s later, %d timers", d, fired)
	}
	// Time goes on, and a loop that is always too late runs its timers all the same.
	for range 20 {
		l.skipped -= int64(10 * time.Hour)
		l.turn()
	}
	if fired != 2 {
		t.Errorf("%d timers fired", fired)
	}
}
