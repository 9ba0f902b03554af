package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// timing says how long a run warms up and how long it is measured.
type timing struct {
	Warmup time.Duration
	Window time.Duration
}

// outcome is the result of one run of a workload against one target.
type outcome struct {
	Requests uint64        // answered within the window
	Elapsed  time.Duration // the window as it was
	Hist     *hdrhistogram.Histogram
	Tally    tally // over the whole run, warming up included
	GenCPU   time.Duration
	GenShare float64 // of the busiest generator thread: the part of the window it spent on a processor
	Before   usage   // of the target's process, at the window's edges
	After    usage
	Peak     memory // of the target's process, right after the window
}

// runLoad runs w against t with the given number of generator threads. It returns an
// error if the run could not take place. Wrong replies are in the outcome.
func runLoad(ctx context.Context, w Workload, t *Target, threads int, tm timing, seed uint64) (*outcome, error) {
	threads = max(1, min(threads, w.Clients))
	gens := make([]*generator, 0, threads)
	defer func() {
		for _, g := range gens {
			g.close()
		}
	}()
	for i := range threads {
		n := w.Clients*(i+1)/threads - w.Clients*i/threads
		g, err := newGenerator(w, t, n, float64(n)/float64(w.Clients), seed+uint64(i))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Name, err)
		}
		gens = append(gens, g)
	}
	start := now()
	win := window{start: start, from: start + int64(tm.Warmup), to: start + int64(tm.Warmup+tm.Window)}
	errs := make([]error, threads)
	var wg sync.WaitGroup
	for i, g := range gens {
		wg.Go(func() { errs[i] = g.run(win) })
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()

	out := observe(ctx, t, win, ended, func() (n uint64) {
		for _, g := range gens {
			n += g.answered.Load()
		}
		return n
	})
	if ctx.Err() != nil {
		for _, g := range gens {
			g.stop.Store(true)
		}
	}
	<-ended
	out.Peak = t.memory()
	out.Hist = newHistogram()
	for _, g := range gens {
		out.Hist.Merge(g.hist)
		out.Tally.add(&g.tally)
		cpu := max(0, g.cpuTo-g.cpuFrom)
		out.GenCPU += cpu
		out.GenShare = max(out.GenShare, cpu.Seconds()/tm.Window.Seconds())
	}
	return out, errors.Join(append(errs, ctx.Err())...)
}

// observe reads the clock, the count of answers and the target's processor time
// at both edges of the window. They are read together, so a late wake-up on a busy
// machine shifts the window and does not distort the result.
func observe(ctx context.Context, t *Target, win window, ended <-chan struct{}, count func() uint64) *outcome {
	out := &outcome{}
	waitUntil(ctx, win.from, ended)
	from, n := now(), count()
	out.Before = t.usage()
	waitUntil(ctx, win.to, ended)
	out.After = t.usage()
	out.Requests = count() - n
	out.Elapsed = time.Duration(now() - from)
	return out
}

// waitUntil returns at the given time of the generator's clock, or when ctx or
// the run is over.
func waitUntil(ctx context.Context, at int64, ended <-chan struct{}) {
	timer := time.NewTimer(time.Duration(at - now()))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ended:
	case <-ctx.Done():
	}
}
