package server

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// lookEvery is how often the heap is looked at.
	lookEvery = 500 * time.Millisecond
	// idleHeap is how many bytes may lie idle before they are given back.
	idleHeap = 16 << 20
	// worthCollecting is how many bytes a collection must give back for the next one to
	// come without backoff.
	worthCollecting = 4 << 20
	// maxBackoff is the longest time between collections that give nothing back: the
	// runtime makes one every two minutes anyway.
	maxBackoff = 2 * time.Minute
)

// scavenger decides when memory that a burst has left idle is given back to the system.
// The Go runtime's own scavenger does so too, but it is paced by garbage collections, and a
// proxy that allocates nothing hardly has any. It counts bytes and sees the heap every
// lookEvery.
type scavenger struct {
	others      uint64        // objects that are neither buffers nor, as far as is known, garbage
	minOthers   uint64        // the least that others has been
	lastFree    uint64        // heap.free after the last collection
	lastObjects uint64        // heap.objects at the last look
	steadyLooks int           // looks in a row at which much could be given back and the heap was steady
	backoff     time.Duration // between collections that give nothing back; 0 after one that did
	backoffLeft time.Duration // what is left of it
}

// heap is the state of the Go heap at one time, in bytes.
type heap struct {
	objects uint64 // garbage included
	free    uint64 // in no object, and not given back to the system
	buffers uint64 // of objects, the buffers of the loops
}

// isDue looks at the heap and reports whether to collect garbage and give memory back now.
// It must be called every lookEvery. A collection is due at the second of two looks at
// which the heap was steady, so not in the middle of a burst.
func (t *scavenger) isDue(h heap) bool {
	others := h.objects - min(h.objects, h.buffers)
	t.others, t.minOthers = min(t.others, others), min(t.minOthers, others)
	moved := max(h.objects, t.lastObjects) - min(h.objects, t.lastObjects)
	t.lastObjects = h.objects
	t.backoffLeft = max(0, t.backoffLeft-lookEvery)
	if h.free+others-t.others < idleHeap || moved > idleHeap/4 {
		t.steadyLooks = 0
		return false
	}
	t.steadyLooks++
	// The backoff is for what the last collection could not give back, and does not hold up
	// what has become idle since.
	grown := h.free - min(h.free, t.lastFree) + others - t.others
	return t.steadyLooks >= 2 && (t.backoffLeft == 0 || grown >= idleHeap)
}

// collected notes what a collection has made of the heap. What it left is no garbage. The
// backoff doubles after a collection that gave next to nothing, as when the heap is
// fragmented.
func (t *scavenger) collected(before, after heap) {
	t.steadyLooks, t.lastObjects = 0, after.objects
	t.others, t.lastFree = after.objects-min(after.objects, after.buffers), after.free
	if before.objects+before.free < after.objects+after.free+worthCollecting {
		t.backoff = min(max(2*t.backoff, 2*lookEvery), maxBackoff)
	} else {
		t.backoff = 0
	}
	t.backoffLeft = t.backoff
}

// scavengeMemory gives idle memory back to the system until stop is closed. It runs on its
// own goroutine.
func scavengeMemory(m *memory, stop <-chan struct{}) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	t := scavenger{others: math.MaxUint64, minOthers: math.MaxUint64}
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		if t.backoffLeft == 0 && m.freed.Swap(false) {
			t.others = t.minOthers
		}
		if before := readHeap(m); t.isDue(before) {
			debug.FreeOSMemory()
			t.collected(before, readHeap(m))
		}
	}
}

// readHeap returns the heap's state, by runtime/metrics.
func readHeap(m *memory) heap {
	sample := [...]metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
	}
	metrics.Read(sample[:])
	return heap{
		objects: sample[0].Value.Uint64(),
		free:    sample[1].Value.Uint64() + sample[2].Value.Uint64(),
		buffers: uint64(max(0, m.buffers.Load())),
	}
}
