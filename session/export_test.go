package session

import "time"

// Methods for tests of the whole proxy. What they do runs on the Worker's loop.

// MoveAll has all sessions move to another Worker, as HandOver has half of the active ones.
func (w *Worker) MoveAll(to *Worker) {
	w.loop.Post(func() {
		for _, s := range w.sessions {
			if w != to && s.movingTo == nil {
				s.movingTo = to
				s.deferRun()
			}
		}
	})
}

// Do runs fn on the loop and waits until it has returned.
func (w *Worker) Do(fn func()) {
	done := make(chan struct{})
	w.loop.Post(func() {
		defer close(done)
		fn()
	})
	<-done
}

// Post runs fn on the loop some time later.
func (w *Worker) Post(fn func()) { w.loop.Post(fn) }

// PanicOnReply sends a request to a shard for the client at addr. When the reply comes, its
// Receiver panics.
func (w *Worker) PanicOnReply(addr string, shard int, request []byte) {
	w.onSession(addr, func(s *session) {
		s.primaryConn(shard).Send(request, panicking{s}, s.push())
	})
}

// PanicOnRequest makes the client's next request panic; if deferred, it makes the session's
// RunDeferred panic at once.
func (w *Worker) PanicOnRequest(addr string, deferred bool) {
	w.onSession(addr, func(s *session) {
		s.limits = nil
		if deferred {
			s.conns, s.tracking = nil, &tracking{} // its flush panics, since it has no session
			s.deferRun()
		}
	})
}

// onSession runs fn with the session of the client at addr, if it is this Worker's, and waits
// until it has returned.
func (w *Worker) onSession(addr string, fn func(s *session)) {
	w.Do(func() {
		for _, s := range w.sessions {
			if s.info.addr == addr {
				fn(s)
			}
		}
	})
}

// panicking is a Receiver that panics.
type panicking struct{ *session }

func (b panicking) Reply(uint32, []byte, bool) { panic("bomb") }

// Busy keeps the loop busy for d in one turn, as if for one of its clients.
func (w *Worker) Busy(d time.Duration) {
	w.Do(func() {
		if len(w.sessions) > 0 {
			w.noteWork(w.sessions[0], 1<<20)
		}
		for began := time.Now(); time.Since(began) < d; {
		}
	})
}

// WaitingOnShards is how many requests wait for keys of several shards, their keys counted.
func (w *Worker) WaitingOnShards() (n int) {
	w.Do(func() {
		for _, s := range w.sessions {
			if s.shardsWait != nil && s.shardsWait.isIdle() {
				n++
			}
		}
	})
	return n
}

// WaitedKeys is how many keys there are for which requests wait.
func (w *Worker) WaitedKeys() (n int) {
	w.Do(func() {
		for _, sh := range w.pools {
			for _, ws := range sh.waits {
				n += ws.byAge.Len()
			}
		}
	})
	return n
}

// MoveClient has the session of the client at addr move to another Worker.
func (w *Worker) MoveClient(addr string, to *Worker) {
	w.onSession(addr, func(s *session) {
		if w != to {
			s.movingTo = to
			s.deferRun()
		}
	})
}

// WaitingToPublish is how many sessions wait to publish.
func (w *Worker) WaitingToPublish() (n int) {
	w.Do(func() { n = len(w.publishers) })
	return n
}

// Subscribing reports whether subscriptions of any loop are unconfirmed.
func (w *Worker) Subscribing() (any bool) {
	w.Do(func() { any = w.pools[0].subscriptions.Subscribing() })
	return any
}

// BeginAllAs makes all sessions those of a user, as a certificate would. It reports whether all are.
func (w *Worker) BeginAllAs(name string) bool {
	all := true
	for _, s := range w.sessions {
		all = s.beginAs(name) && all
	}
	return all
}
