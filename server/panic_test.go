package server

import (
	"testing"
	"time"
)

func TestTooManyPanicsEndTheProcess(t *testing.T) {
	f := func(n int, interval time.Duration, want bool) {
		t.Helper()
		var p panics
		tooMany := false
		now := time.Now()
		for range n {
			now = now.Add(interval)
			tooMany = p.add(now)
		}
		if tooMany != want {
			t.Errorf("%d panics, one each %v: too many %v, want %v", n, interval, tooMany, want)
		}
	}
	f(1, 0, false)
	f(maxPanics, 0, false)
	f(maxPanics+1, 0, true)
	f(maxPanics+1, 599*time.Millisecond, true)
	f(10*maxPanics, time.Second, false)
}
