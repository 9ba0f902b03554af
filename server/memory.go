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

// memory is what the loops hold for clients and servers in buffers, and the bound of
// it for the process. Each loop tells what it holds when that has changed by much,
// and on its ticks; any goroutine may read it.
type memory struct {
	limit int64 // max_memory
	log   *slog.Logger

	held    atomic.Int64 // bytes that are in use
	buffers atomic.Int64 // bytes that loops have for buffers, lent or not
	dropped atomic.Bool  // something else that may be large was given up
	search  atomic.Int32 // loops that have yet to look for their largest client; 0 if nobody looks

	closed  atomic.Int64 // clients that were closed since the process held too much
	episode atomic.Bool  // the process holds much since it held too much
}

func newMemory(c *conf.Proxy, log *slog.Logger) *memory {
	m := &memory{limit: c.MaxMemory, log: log}
	if m.limit == 0 {
		m.limit = availableMemory() / 2
	}
	return m
}

// LimitHeap has the runtime collect garbage more often rather than let the heap grow
// far beyond max_memory. It does nothing if GOMEMLIMIT is set.
func (srv *Server) LimitHeap() {
	if limit := srv.memory.limit; limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit + limit/4 + fixedHeap)
	}
}

// fixedHeap is what a proxy has that does nothing.
const fixedHeap = 32 << 20

// much reports whether so much is held that clients with anything waiting are not
// read: above three quarters of the bound.
func (m *memory) much(held int64) bool { return m.limit > 0 && held > m.limit/4*3 }

// tooMuch reports whether the bound is reached.
func (m *memory) tooMuch() bool { return m.limit > 0 && m.held.Load() >= m.limit }

// told is what a loop has told of itself.
type told struct {
	held    int64
	buffers int64
	apart   int64        // of held, what is in no buffer of the loop
	most    atomic.Int64 // held for one client, when the loop last looked
}

func (t *told) tell(m *memory, loop *eventloop.Loop) {
	held, buffers := int64(loop.Lent())+t.apart, int64(loop.Lent()+loop.Kept())
	m.held.Add(held - t.held)
	m.buffers.Add(buffers - t.buffers)
	t.held, t.buffers = held, buffers
}

// tellMemory tells what the loop holds and does what is to be done about it.
func (l *loop) tellMemory() {
	m := l.srv.memory
	l.told.tell(m, l.Loop)
	tight := m.much(m.held.Load())
	l.sessions.Restrict(tight)
	switch {
	case m.tooMuch():
		l.srv.relieve()
	case !tight && m.episode.Load() && m.episode.CompareAndSwap(true, false):
		m.log.Info("memory is below three quarters of max_memory again", "closed", m.closed.Load())
	}
}

// weighTicks is how often what is in no buffer of the loop is counted, in ticks.
const weighTicks = 10

// worthClosing is from which size on it is of use to close a client.
const worthClosing = 64 << 10

// relieve has those clients closed for which most is held, whichever loop they are on,
// until the process holds less than it may. What another loop's clients hold is known
// for the moment only in which it looks, so all of them look first. Any loop may call it.
func (srv *Server) relieve() {
	if !srv.memory.search.CompareAndSwap(0, int32(len(srv.loops))) {
		return // that is under way
	}
	for _, l := range srv.loops {
		l.Post(l.look)
	}
}

// look tells how much is held for the loop's largest client. The last loop to do so has
// the one with the largest of all close it.
func (l *loop) look() {
	l.told.most.Store(int64(l.sessions.Most()))
	if l.srv.memory.search.Add(-1) == 0 {
		first := slices.MaxFunc(l.srv.loops, func(a, b *loop) int { return cmp.Compare(a.told.most.Load(), b.told.most.Load()) })
		first.Post(first.closeMost)
	}
}

// closeMost closes the loop's largest clients while the process holds too much, down to
// what is held for the largest one of the other loops.
func (l *loop) closeMost() {
	m, others := l.srv.memory, l.mostElsewhere()
	holders := l.sessions.Holders(worthClosing)
	for i, h := range holders {
		if !m.tooMuch() {
			return
		}
		if i > 0 && int64(h.Bytes) < others {
			break
		}
		l.closeHolder(h)
	}
	if len(holders) > 0 && m.tooMuch() {
		l.srv.relieve()
	}
}

// mostElsewhere is what is held for the largest client of all other loops.
func (l *loop) mostElsewhere() (most int64) {
	for _, other := range l.srv.loops {
		if other != l {
			most = max(most, other.told.most.Load())
		}
	}
	return most
}

// closeHolder closes a client for which so much is held that it is the largest.
func (l *loop) closeHolder(h session.Holder) {
	m := l.srv.memory
	m.closed.Add(1)
	if m.episode.CompareAndSwap(false, true) {
		m.log.Warn("max_memory reached: the clients that hold most are closed, largest first",
			"max_memory", m.limit, "held", m.held.Load(), "pool", h.Pool(), "client", h.Addr(), "holds", h.Bytes)
	}
	l.told.apart -= h.Close()
	l.told.tell(m, l.Loop)
}
