package admin

import (
	"slices"
	"sync"
	"time"

	"ringway/server"
	"ringway/stats"
)

// The figures of the last 30 minutes are kept, one sample every two seconds, for rates and for the
// page.
const (
	firstSample = 500 * time.Millisecond
	sampleEvery = 2 * time.Second
	samples     = 900
)

// sample is what happened to one pool between two figures.
type sample struct {
	At       time.Time
	Requests float64 // a second
	Errors   float64 // a second
	BytesIn  float64 // a second
	BytesOut float64 // a second
	Clients  int
	P50, P99 float64 // of latency, in seconds; commands that may block are left out
}

// history keeps samples of all pools. Its zero value is empty and ready. Any goroutine may use it.
type history struct {
	mu      sync.Mutex
	before  *server.Figures     // those before last; guarded by mu
	last    *server.Figures     // guarded by mu
	lat     []stats.Histogram   // of last, by pool; guarded by mu
	pools   map[string][]sample // oldest first; guarded by mu
	changes []change            // the newest first, maxChanges at most; guarded by mu
}

// add takes the difference between f and the figures before.
func (h *history) add(f *server.Figures) {
	h.mu.Lock()
	defer h.mu.Unlock()
	latencies := make([]stats.Histogram, len(f.Pools))
	for i := range f.Pools {
		latencies[i] = unblockedLatency(&f.Pools[i])
	}
	if h.last != nil && len(h.last.Pools) == len(f.Pools) {
		for i := range f.Pools {
			h.keep(f.Pools[i].Name, difference(f, h.last, i, &latencies[i], &h.lat[i]))
		}
		h.note(changesBetween(h.last, f))
	}
	h.before, h.last, h.lat = h.last, f, latencies
}

// note puts changes, the oldest first, before those that were noted. The caller holds mu.
func (h *history) note(changes []change) {
	if len(changes) == 0 {
		return
	}
	slices.Reverse(changes)
	all := append(changes, h.changes...)
	h.changes = all[:min(len(all), maxChanges)]
}

// lastChanges returns what happened lately, the newest first. Nobody may change it.
func (h *history) lastChanges() []change {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]change{}, h.changes...)
}

// figures returns the last two figures; nil for those that are not there yet.
func (h *history) figures() (before, now *server.Figures) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.before, h.last
}

// keep appends a sample, and drops the oldest beyond the bound. The caller holds mu.
func (h *history) keep(pool string, s sample) {
	if h.pools == nil {
		h.pools = map[string][]sample{}
	}
	all := append(h.pools[pool], s)
	if len(all) > samples {
		all = append(all[:0], all[len(all)-samples:]...)
	}
	h.pools[pool] = all
}

// difference returns what happened to pool i between two figures with these latencies.
func difference(now, before *server.Figures, i int, latency, latencyBefore *stats.Histogram) sample {
	n, b := &now.Pools[i], &before.Pools[i]
	seconds := max(now.At.Sub(before.At).Seconds(), 1e-3)
	window := *latency
	window.Subtract(latencyBefore)
	rate := func(now, before uint64) float64 { return float64(stats.Since(now, before)) / seconds }
	return sample{
		At: now.At, Clients: n.Clients,
		Requests: rate(n.Counts.Calls(), b.Counts.Calls()), Errors: rate(n.Counts.Errors(), b.Counts.Errors()),
		BytesIn: rate(n.Counts.Clients.BytesIn, b.Counts.Clients.BytesIn), BytesOut: rate(n.Counts.Clients.BytesOut, b.Counts.Clients.BytesOut),
		P50: window.Quantile(0.5), P99: window.Quantile(0.99),
	}
}

// latest returns the newest sample of a pool; the zero sample if there is none yet.
func (h *history) latest(pool string) sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	if all := h.pools[pool]; len(all) > 0 {
		return all[len(all)-1]
	}
	return sample{}
}

// of returns a copy of the samples of a pool, oldest first.
func (h *history) of(pool string) []sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]sample(nil), h.pools[pool]...)
}

// unblockedLatency returns the latencies of all commands of a pool that do not wait for something
// that is not there yet.
func unblockedLatency(p *server.PoolFigures) (all stats.Histogram) {
	for i, c := range p.Counts.Commands {
		if c != nil && !mayBlock(i) {
			all.Merge(&c.Latency)
		}
	}
	return all
}
