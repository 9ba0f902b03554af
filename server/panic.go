package server

import (
	"fmt"
	"sync"
	"time"

	"ringway/eventloop"
)

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
