package topology

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestPollsAreFastForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPollInterval(time.Second)
		next := func() time.Duration {
			began := time.Now()
			p.wait(t.Context(), nil)
			return time.Since(began)
		}
		within := func(what string, got, most time.Duration) {
			t.Helper()
			if got > most || got < most*7/8-1 {
				t.Errorf("%s: waited %v, want %v or a little less", what, got, most)
			}
		}
		within("usually", next(), time.Second)
		p.speedUp(time.Minute)
		within("fast polling", next(), fastInterval)
		time.Sleep(fastestFor)
		within("after long fast polling", next(), slowedInterval)
		p.speedUpAnew(time.Minute)
		within("with a new reason", next(), fastInterval)
		time.Sleep(2 * time.Minute)
		within("afterwards", next(), time.Second)

		// Fast polling ends waits that have begun.
		go func() {
			time.Sleep(100 * time.Millisecond)
			p.speedUp(time.Second)
		}()
		if d := next(); d != 100*time.Millisecond {
			t.Errorf("speedUp ended a wait after %v", d)
		}
	})
}
