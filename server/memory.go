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

// told is what a worker has told of its loop.
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
func (w *worker) tellMemory() {
	m := w.server.memory
	w.told.tell(m, w.loop)
	was := w.tight
	if w.tight = m.much(m.held.Load()); was && !w.tight {
		w.goOn()
	}
	switch {
	case m.tooMuch():
		w.relieve()
	case !w.tight && m.episode.Load() && m.episode.CompareAndSwap(true, false):
		m.log.Info("memory is below three quarters of max_memory again", "closed", m.closed.Load())
	}
}

// goOn has the sessions go on that took no more while much was held.
func (w *worker) goOn() {
	for _, s := range w.sessions {
		if s.blocked {
			s.settle()
		}
	}
}

// weighTicks is how often what is in no buffer of the loop is counted, in ticks.
const weighTicks = 10

// weigh counts what is held for clients in no buffer of the loop: transactions, and
// what the kernel has for those that do not read.
func (w *worker) weigh() {
	w.told.apart = 0
	for _, s := range w.sessions {
		if s.conn.Stalled() {
			s.inKernel = s.conn.InKernel()
		} else {
			s.inKernel = 0
		}
		w.told.apart += int64(s.apart())
	}
}

// apart is how many bytes are held for a client in no buffer of the loop.
func (s *session) apart() (n int) {
	n = s.inKernel + cap(s.interjections)
	if s.tx != nil {
		n += cap(s.tx.unit)
	}
	if s.sub != nil {
		n += cap(s.sub.backlog)
	}
	return n
}

// holds is how many bytes are held for a client.
func (s *session) holds() int { return s.waiting() + s.conn.Unread() + s.apart() }

// worthClosing is from which size on it is of use to close a client.
const worthClosing = 64 << 10

// relieve has those clients closed for which most is held, whichever loop they are on,
// until the process holds less than it may. What another loop's clients hold is known
// for the moment only in which it looks, so all of them look first.
func (w *worker) relieve() {
	srv := w.server
	if !srv.memory.search.CompareAndSwap(0, int32(len(srv.workers))) {
		return // that is under way
	}
	for _, other := range srv.workers {
		other.loop.Post(other.look)
	}
}

// look tells how much is held for the loop's largest client. The last loop to do so has
// the one with the largest of all close it.
func (w *worker) look() {
	most := 0
	for _, s := range w.sessions {
		most = max(most, s.holds())
	}
	w.told.most.Store(int64(most))
	if w.server.memory.search.Add(-1) == 0 {
		first := w.server.largest()
		first.loop.Post(first.closeMost)
	}
}

// closeMost closes the loop's largest clients while the process holds too much, down to
// what is held for the largest one of the other loops.
func (w *worker) closeMost() {
	m := w.server.memory
	var sizes []sized
	for _, s := range w.sessions {
		if n := s.holds(); n >= worthClosing {
			sizes = append(sizes, sized{s, n})
		}
	}
	slices.SortFunc(sizes, func(a, b sized) int { return cmp.Compare(b.holds, a.holds) })
	others := w.mostElsewhere()
	for i, largest := range sizes {
		if !m.tooMuch() {
			return
		}
		if i > 0 && int64(largest.holds) < others {
			break
		}
		w.closeLargest(largest.s, largest.holds)
	}
	if len(sizes) > 0 && m.tooMuch() {
		w.relieve()
	}
}

// sized is a session and how many bytes are held for it.
type sized struct {
	s     *session
	holds int
}

// mostElsewhere is what is held for the largest client of all other loops.
func (w *worker) mostElsewhere() (most int64) {
	for _, other := range w.server.workers {
		if other != w {
			most = max(most, other.told.most.Load())
		}
	}
	return most
}

// largest is the worker that has the client for which most is held.
func (srv *Server) largest() *worker {
	return slices.MaxFunc(srv.workers, func(a, b *worker) int { return cmp.Compare(a.told.most.Load(), b.told.most.Load()) })
}

// closeLargest closes a client for which so much is held that it is the largest.
func (w *worker) closeLargest(s *session, holds int) {
	m := w.server.memory
	m.closed.Add(1)
	if m.episode.CompareAndSwap(false, true) {
		m.log.Warn("max_memory reached: the clients that hold most are closed, largest first",
			"max_memory", m.limit, "held", m.held.Load(), "pool", s.poolName, "client", s.info.addr, "holds", holds)
	}
	apart := int64(s.apart())
	s.close()
	w.told.apart -= apart
	w.told.tell(m, w.loop)
}
