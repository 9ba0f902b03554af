package server

import (
	"cmp"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/session"
)

// memory is the process's account of what all loops hold for clients and servers, and the
// bound of it (docs/adr/0025-memory-bounds.md). A loop reports what it holds when that has
// changed by much, and on its ticks. Any goroutine may read and change it.
type memory struct {
	// Static after newMemory.
	log *slog.Logger

	limit atomic.Int64 // max_memory, in bytes; 0 for none

	// The account.
	held      atomic.Int64 // bytes in use
	buffers   atomic.Int64 // bytes of all loops' buffers, lent or kept for reuse
	freed     atomic.Bool  // the sessions have freed something that may be large and is no buffer of a loop
	measuring atomic.Int32 // how many loops have yet to measure their largest client; 0 if no search is under way

	closed    atomic.Int64 // clients that were closed because the bound was reached
	overLimit atomic.Bool  // the bound was reached, and memory has not been below three quarters of it since
}

// newMemory returns an account with the bound max_memory. By default the bound is half of
// the available memory.
func newMemory(c *conf.Proxy, log *slog.Logger) *memory {
	m := &memory{log: log}
	m.setLimit(c)
	return m
}

// setLimit sets the bound max_memory.
func (m *memory) setLimit(c *conf.Proxy) {
	limit := c.MaxMemory
	if limit == 0 {
		limit = availableMemory() / 2
	}
	m.limit.Store(limit)
}

// LimitHeap sets the Go runtime's soft memory limit (debug.SetMemoryLimit), so that it
// collects garbage more often rather than let the heap grow far beyond max_memory. It does
// nothing if GOMEMLIMIT is set or there is no bound. It changes the whole process, so the
// command calls it and New does not.
func (srv *Server) LimitHeap() {
	if limit := srv.memory.limit.Load(); limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit + limit/4 + baseHeap)
	}
}

// baseHeap is a generous estimate of an idle proxy's heap, in bytes.
const baseHeap = 32 << 20

// isHigh reports whether held bytes are more than three quarters of the bound. Then no
// client is read for which anything waits.
func (m *memory) isHigh(held int64) bool {
	limit := m.limit.Load()
	return limit > 0 && held > limit/4*3
}

// isFull reports whether the bound is reached. Then the largest clients are closed.
func (m *memory) isFull() bool {
	limit := m.limit.Load()
	return limit > 0 && m.held.Load() >= limit
}

// reported is what a loop has last added to the process's account. It belongs to the
// loop, but for largest.
type reported struct {
	held    int64
	buffers int64
	unlent  int64        // of held, what is in no buffer of the loop (session.Worker.Unlent)
	largest atomic.Int64 // bytes held for the loop's largest client, when last measured; other loops read it
}

// report adds what has changed since the last report to the process's account.
func (t *reported) report(m *memory, loop *eventloop.Loop) {
	held, buffers := int64(loop.Lent())+t.unlent, int64(loop.Lent()+loop.Kept())
	m.held.Add(held - t.held)
	m.buffers.Add(buffers - t.buffers)
	t.held, t.buffers = held, buffers
}

// reportMemory reports what the loop holds, and enforces the bound: it restricts reading
// above three quarters of it, and has clients closed at it.
func (l *loop) reportMemory() {
	m := l.srv.memory
	l.reported.report(m, l.Loop)
	tight := m.isHigh(m.held.Load())
	l.sessions.Restrict(tight)
	switch {
	case m.isFull():
		l.srv.closeLargestClients()
	case !tight && m.overLimit.Load() && m.overLimit.CompareAndSwap(true, false):
		m.log.Info("memory below three quarters of max_memory again", "closed", m.closed.Load())
	}
}

// unlentTicks is how often session.Worker.Unlent is asked, in ticks: it walks over all
// sessions.
const unlentTicks = 10

// worthClosing is how many bytes must be held for a client for its closing to be of use.
const worthClosing = 64 << 10

// closeLargestClients closes the clients for which most is held, whichever loop they are
// on, until the process is below the bound. It returns at once. First all loops measure
// their largest client, since a loop can't see the others' clients; then the loop with the
// largest one closes it. Any loop may call it.
func (srv *Server) closeLargestClients() {
	if !srv.memory.measuring.CompareAndSwap(0, int32(len(srv.loops))) {
		return // a search is under way
	}
	for _, l := range srv.loops {
		l.Post(l.measureLargest)
	}
}

// measureLargest publishes how much is held for the loop's largest client. The last loop
// to do so has the loop with the largest of all close it.
func (l *loop) measureLargest() {
	l.reported.largest.Store(int64(l.sessions.LargestHeld()))
	if l.srv.memory.measuring.Add(-1) == 0 {
		first := slices.MaxFunc(l.srv.loops, func(a, b *loop) int { return cmp.Compare(a.reported.largest.Load(), b.reported.largest.Load()) })
		first.Post(first.closeOwnLargest)
	}
}

// closeOwnLargest closes the loop's largest clients, largest first, while the bound is
// reached. It stops at a client that is smaller than another loop's largest one, and
// starts a new search if the bound is reached still.
func (l *loop) closeOwnLargest() {
	m, others := l.srv.memory, l.largestElsewhere()
	holders := l.sessions.Holders(worthClosing)
	for i, h := range holders {
		if !m.isFull() {
			return
		}
		if i > 0 && int64(h.Bytes) < others {
			break
		}
		l.closeHolder(h)
	}
	if len(holders) > 0 && m.isFull() {
		l.srv.closeLargestClients()
	}
}

// largestElsewhere returns how many bytes are held for the largest client of all other
// loops, when last measured.
func (l *loop) largestElsewhere() (most int64) {
	for _, other := range l.srv.loops {
		if other != l {
			most = max(most, other.reported.largest.Load())
		}
	}
	return most
}

// closeHolder closes a client and takes what was held for it out of the account. It logs
// the first client since memory was last below three quarters of the bound.
func (l *loop) closeHolder(h session.Holder) {
	m := l.srv.memory
	m.closed.Add(1)
	if m.overLimit.CompareAndSwap(false, true) {
		m.log.Warn("max_memory reached: closing the clients that hold most, largest first",
			"max_memory", m.limit.Load(), "held", m.held.Load(), "pool", h.Pool(), "client", h.Addr(), "holds", h.Bytes)
	}
	l.reported.unlent -= h.Close()
	l.reported.report(m, l.Loop)
}
