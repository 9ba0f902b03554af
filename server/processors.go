package server

import (
	"bytes"
	"math"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

// processors measures how much of the machine's processor time is idle.
type processors struct {
	spare atomic.Uint64 // in processors, as bits of a float64
}

// processorsEvery is how often processors.watch measures.
const processorsEvery = 250 * time.Millisecond

// Spare returns how many processors' worth of time was idle in the last interval of
// processorsEvery; +Inf where the system does not say. Any goroutine may call it.
func (p *processors) Spare() float64 { return math.Float64frombits(p.spare.Load()) }

// watch keeps Spare current until stop is closed. It runs on its own goroutine.
func (p *processors) watch(stop <-chan struct{}) {
	p.spare.Store(math.Float64bits(math.Inf(1)))
	ticker := time.NewTicker(processorsEvery)
	defer ticker.Stop()
	idle, total, count := readProcessors()
	for count > 0 {
		select {
		case <-stop:
			return
		case <-ticker.C:
		}
		i, t, n := readProcessors()
		if n > 0 && t > total {
			p.spare.Store(math.Float64bits(float64(i-idle) / float64(t-total) * float64(n)))
		}
		idle, total = i, t
	}
}

// readProcessors returns the idle and the total time of all processors since the system's
// start, in one unit, and how many processors there are. The source is Linux's /proc/stat
// (see proc_stat(5)); where there is none all are 0.
func readProcessors() (idle, total uint64, count int) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, 0
	}
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) < 6 || !bytes.HasPrefix(fields[0], []byte("cpu")) {
			break
		}
		if len(fields[0]) > len("cpu") {
			count++
			continue
		}
		for i, f := range fields[1:min(len(fields), 9)] {
			n, _ := strconv.ParseUint(string(f), 10, 64)
			total += n
			if i == 3 || i == 4 { // idle and waiting for a disk
				idle += n
			}
		}
	}
	return idle, total, count
}
