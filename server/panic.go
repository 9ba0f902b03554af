package server

import (
	"fmt"
	"sync"
	"time"

	"ringway/eventloop"
)

// A panic in what a loop calls costs the connection whose event was handled, and
// no other; see docs/adr/0029-panics.md. Abandon, of a session and of all who
// receive replies for one, ends the client that would wait for ever otherwise.

// Abandon is eventloop.Abandoner's.
func (s *session) Abandon() {
	if s != nil && s.conn != nil && s.conn.Open() {
		s.close()
	}
}

func (rw *replicaWait) Abandon() { rw.s.Abandon() }
func (tx *transaction) Abandon() { tx.s.Abandon() }
func (g *gathering) Abandon()    { g.s.Abandon() }
func (a *alone) Abandon()        { a.s.Abandon() }
func (h *hashed) Abandon()       { h.s.Abandon() }
func (r *receivers) Abandon()    { r.s.Abandon() }
func (x *merged) Abandon()       { x.s.Abandon() }
func (sc *scan) Abandon()        { sc.s.Abandon() }
func (f *fanout) Abandon()       { f.s.Abandon() }
func (r *infoRequest) Abandon()  { r.s.Abandon() }
func (e *entering) Abandon()     { e.s.Abandon() }
func (b *broadcast) Abandon()    { b.s.Abandon() }
func (c *slotCheck) Abandon()    { c.s.Abandon() }
func (d *dryRun) Abandon()       { d.unanswered() } // those who wait are refused
func (r *unblockAsked) Abandon() { r.home.loop.Post(r.s.Abandon) }
func (p *busyProbe) Abandon()    { delete(p.conditions.asking, p.server) }

// More panics than this within panicWindow end the process: something is wrong
// with all of it, and its supervisor starts it afresh.
const (
	maxPanics   = 100
	panicWindow = time.Minute
)

// panics are those that the loops have survived.
type panics struct {
	mu     sync.Mutex
	total  int64
	latest [maxPanics]time.Time // a ring, from total%maxPanics on
}

// add counts one at a time. It reports whether it is one too many.
func (p *panics) add(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	oldest := &p.latest[p.total%maxPanics]
	tooMany := p.total >= maxPanics && now.Sub(*oldest) < panicWindow
	*oldest = now
	p.total++
	return tooMany
}

func (p *panics) count() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total
}

// panicked is told of panics on loops.
func (srv *Server) panicked(p eventloop.Panic) {
	srv.log.Error("bug: a callback panicked; its connection was closed, the others go on; please report this with the stack",
		"panic", fmt.Sprint(p.Value), "stack", string(p.Stack))
	if srv.panics.add(time.Now()) {
		panic(fmt.Sprintf("more than %d panics within %s, the last: %v", maxPanics, panicWindow, p.Value))
	}
}
