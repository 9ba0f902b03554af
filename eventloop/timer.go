package eventloop

import (
	"container/heap"
	"time"
)

// Timer calls a function on its loop at a time. The zero value is not usable: make it with
// Loop.NewTimer. It belongs to the loop's goroutine.
type Timer struct {
	loop  *Loop
	fn    func()
	at    int64 // as Loop.Now
	index int   // in the heap; -1 when not armed
	owner Abandoner
}

// NewTimer returns a timer, not yet armed, that will call fn on the loop.
func (l *Loop) NewTimer(fn func()) *Timer { return &Timer{loop: l, fn: fn, index: -1} }

// OwnedBy sets whose Abandon is called if t's function panics, and returns t.
func (t *Timer) OwnedBy(owner Abandoner) *Timer {
	t.owner = owner
	return t
}

// Reset arms t to fire once at the monotonic time at (as Loop.Now), instead of the time it was
// armed for.
func (t *Timer) Reset(at int64) {
	t.at = at
	if t.index >= 0 {
		heap.Fix(&t.loop.timers, t.index)
		return
	}
	heap.Push(&t.loop.timers, t)
}

// After arms t to fire once after d, counted from the start of the turn.
func (t *Timer) After(d time.Duration) { t.Reset(t.loop.now + int64(d)) }

// Armed reports whether t is going to fire.
func (t *Timer) Armed() bool { return t.index >= 0 }

// Stop disarms t.
func (t *Timer) Stop() {
	if t.index >= 0 {
		heap.Remove(&t.loop.timers, t.index)
	}
}

// timerHeap is a heap.Interface, the earliest first. Timers are few (some for each server
// connection, none for a request), so their cost does not matter.
type timerHeap []*Timer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *timerHeap) Push(x any) {
	t := x.(*Timer)
	t.index = len(*h)
	*h = append(*h, t)
}

func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.index = -1
	return t
}

var start = time.Now()

// nanotime is monotonic: wall clock jumps do not touch it.
func nanotime() int64 { return int64(time.Since(start)) }
