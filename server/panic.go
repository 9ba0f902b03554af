package server

import (
	"fmt"
	"sync"
	"time"

	"ringway/eventloop"
)

// More than maxPanics within panicWindow end the process: it is broken as a whole, and
// its supervisor starts it afresh (docs/adr/0029-panics.md).
const (
	maxPanics   = 100
	panicWindow = time.Minute
)

// panics counts the panics that the loops have survived. Any goroutine may use it.
type panics struct {
	mu     sync.Mutex
	total  int64
	latest [maxPanics]time.Time // times of the last ones, a ring whose oldest is at total%maxPanics
}

// add counts a panic at the time now. It reports whether the process must end.
func (p *panics) add(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	oldest := &p.latest[p.total%maxPanics]
	tooMany := p.total >= maxPanics && now.Sub(*oldest) < panicWindow
	*oldest = now
	p.total++
	return tooMany
}

// count returns how many panics there have been.
func (p *panics) count() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.total
}

// onPanic logs and counts a panic that a loop has recovered from, and panics itself if
// there were too many. The loops call it.
func (srv *Server) onPanic(p eventloop.Panic) {
	srv.log.Error("bug: a callback panicked; its connection was closed, the others go on; please report this with the stack",
		"panic", fmt.Sprint(p.Value), "stack", string(p.Stack))
	if srv.panics.add(time.Now()) {
		panic(fmt.Sprintf("more than %d panics within %s, the last: %v", maxPanics, panicWindow, p.Value))
	}
}
