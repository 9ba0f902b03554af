package session

import "time"

// A chore is what one request asks for that is too much for one turn of its loop:
// thousands of names to subscribe to, a line for each of thousands of clients. It
// is a function that does a portion, some tens of microseconds of work, each time
// it is called, until it returns true.
type chore func() (done bool)

const (
	// choreTime is how much of a turn goes to chores: so long neighbours wait, and
	// a turn of its own costs little beside it.
	choreTime = time.Millisecond
	// portion is how many names or clients a chore sees to at once.
	portion = 128
)

// inPortions does a chore's first portion now, and the rest, if there is one, in the
// next turns of the loop. Several chores take turns.
func (w *Worker) inPortions(c chore) {
	if c() {
		return
	}
	w.chores = append(w.chores, c)
	if !w.choring {
		w.choring = true
		w.loop.Post(w.doChores)
	}
}

// doChores does one turn's share of the chores that there are.
func (w *Worker) doChores() {
	defer func() {
		if w.choring = len(w.chores) > 0; w.choring {
			w.loop.Post(w.doChores)
		}
	}()
	for began := time.Now(); len(w.chores) > 0 && time.Since(began) < choreTime; {
		c := w.chores[0]
		w.chores[0] = nil
		if w.chores = w.chores[1:]; !c() {
			w.chores = append(w.chores, c)
		}
	}
}
