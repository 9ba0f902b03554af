package server

import (
	"slices"
	"sync"
	"time"
)

// questions are what a loop is asked from outside and has not begun to answer. Its mailbox has one
// function for all of them, and whoever no longer waits takes a question back: a loop that is stuck
// gathers none. Any goroutine may use them.
type questions struct {
	mu     sync.Mutex
	asked  []*func() // guarded by mu
	posted bool      // the mailbox has a function that answers; guarded by mu
}

// put adds a question. It reports whether the loop must be told to answer.
func (q *questions) put(question *func()) (post bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asked = append(q.asked, question)
	post = !q.posted
	q.posted = true
	return post
}

// withdraw takes a question back, if it is still there.
func (q *questions) withdraw(question *func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.asked, question); i >= 0 {
		q.asked = slices.Delete(q.asked, i, i+1)
	}
}

// take removes and returns all questions.
func (q *questions) take() []*func() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.posted = false
	asked := q.asked
	q.asked = nil
	return asked
}

// ask has question run on the loop, between two turns.
func (l *loop) ask(question *func()) {
	if l.questions.put(question) {
		l.Post(func() {
			for _, question := range l.questions.take() {
				(*question)()
			}
		})
	}
}

// eachLoop returns what ask returns for each loop, in no order. It is called on that loop, between
// two turns. Loops that have not answered after figuresTimeout are left out.
func eachLoop[T any](srv *Server, ask func(l *loop) T) (told []T) {
	return eachLoopInTurns(srv, func(l *loop, tell func(T)) { tell(ask(l)) })
}

// eachLoopInTurns is eachLoop for what a loop does in several turns: it calls tell once, at the end.
func eachLoopInTurns[T any](srv *Server, ask func(l *loop, tell func(T))) (told []T) {
	answers := make(chan T, len(srv.loops))
	for _, l := range srv.loops {
		question := func() { ask(l, func(answer T) { answers <- answer }) }
		l.ask(&question)
		defer l.questions.withdraw(&question)
	}
	timeout := time.After(figuresTimeout)
	for range srv.loops {
		select {
		case answer := <-answers:
			told = append(told, answer)
		case <-timeout:
			return told
		}
	}
	return told
}

// Hanging returns the event loops, from 0, that have not answered within a second, between two turns. It waits for them so
// long; any goroutine may call it but a loop's.
func (srv *Server) Hanging() (loops []int) {
	answered := map[*loop]bool{}
	for _, l := range eachLoop(srv, func(l *loop) *loop { return l }) {
		answered[l] = true
	}
	for i, l := range srv.loops {
		if !answered[l] {
			loops = append(loops, i)
		}
	}
	return loops
}
