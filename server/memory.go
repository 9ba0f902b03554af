package server

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	tidyEvery = 2 * time.Second
	// idleHeap is how much memory may lie idle before it is given back.
	idleHeap = 16 << 20
)

// tidyMemory gives memory that a burst has left idle back to the system. The
// runtime does so too, but only as fast as the next garbage collections come,
// and a proxy that allocates nothing hardly has any.
func tidyMemory(stop <-chan struct{}) {
	sample := []metrics.Sample{
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	var before uint64
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		metrics.Read(sample)
		objects := sample[1].Value.Uint64()
		idle := sample[0].Value.Uint64() + sample[2].Value.Uint64()
		// Objects that the last collection did not see as live may be garbage;
		// and while the heap still moves, it is in use.
		garbage := objects - min(objects, sample[3].Value.Uint64())
		if moved := max(objects, before) - min(objects, before); idle+garbage > idleHeap && moved < idleHeap/4 {
			debug.FreeOSMemory()
		}
		before = objects
	}
}
