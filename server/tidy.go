package server

import (
	"math"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	tidyEvery = 500 * time.Millisecond
	// idleHeap is how much memory may lie idle before it is given back.
	idleHeap = 16 << 20
	// worthTidying is how much a collection must give back for the next one to be
	// wanted as soon.
	worthTidying = 4 << 20
	// longestPatience is for how long none is wanted at most: the runtime makes one
	// every two minutes by itself.
	longestPatience = 2 * time.Minute
)

// tidying decides when memory that a burst has left idle is to be given back to the
// system. The runtime does so too, but only as fast as the next garbage collections
// come, and a proxy that allocates nothing hardly has any.
type tidying struct {
	others   uint64 // bytes of objects that are no buffers and, as far as is known, no garbage
	fewest   uint64 // the same, at the best of times
	free     uint64 // what the last collection left idle
	before   uint64 // objects, one look before
	calm     int    // looks in a row at which much could be given back and nothing moved
	patience time.Duration
	waits    time.Duration // until the next one is wanted
}

// heap is what is known of the heap, in bytes.
type heap struct {
	objects uint64 // garbage included
	free    uint64 // in no object, and not given back
	buffers uint64 // of objects, what loops have for buffers
}

// wants looks at the heap, which it is to be asked to every tidyEvery, and reports
// whether a collection is wanted.
func (t *tidying) wants(h heap) bool {
	others := h.objects - min(h.objects, h.buffers)
	t.others, t.fewest = min(t.others, others), min(t.fewest, others)
	moved := max(h.objects, t.before) - min(h.objects, t.before)
	t.before = h.objects
	t.waits = max(0, t.waits-tidyEvery)
	if h.free+others-t.others < idleHeap || moved > idleHeap/4 {
		t.calm = 0
		return false
	}
	t.calm++
	// Patience is for what the last collection left. What came since is news.
	news := h.free - min(h.free, t.free) + others - t.others
	return t.calm >= 2 && (t.waits == 0 || news >= idleHeap)
}

// tidied learns from what a collection that was wanted has made of the heap. What it
// left is no garbage. One that gave next to nothing, since the heap is in
// fragments say, is not to be followed by others for ever.
func (t *tidying) tidied(before, after heap) {
	t.calm, t.before = 0, after.objects
	t.others, t.free = after.objects-min(after.objects, after.buffers), after.free
	if before.objects+before.free < after.objects+after.free+worthTidying {
		t.patience = min(max(2*t.patience, 2*tidyEvery), longestPatience)
	} else {
		t.patience = 0
	}
	t.waits = t.patience
}

// tidyMemory gives memory back until stop is closed.
func tidyMemory(m *memory, stop <-chan struct{}) {
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	t := tidying{others: math.MaxUint64, fewest: math.MaxUint64}
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		if t.waits == 0 && m.dropped.Swap(false) {
			t.others = t.fewest
		}
		if before := readHeap(m); t.wants(before) {
			debug.FreeOSMemory()
			t.tidied(before, readHeap(m))
		}
	}
}

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
