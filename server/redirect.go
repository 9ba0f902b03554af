package server

import "ringway/resp"

// redirect is where invalidations of one client go that has named another one for
// them. It belongs to the loop of the first; the other client stays on its loop
// as long as it is there.
type redirect struct {
	from   *tracking
	id     uint64 // the other client's
	w      *worker
	to     *session // belongs to w
	broken bool     // the other client is gone
}

// findClient looks for a client of the pool on all loops, has it stay on its own,
// and calls found with it, or with nil if there is none.
func (s *session) findClient(id uint64, found func(w *worker, to *session)) {
	workers, home, name, who := s.w.server.workers, s.w, s.local.Conf().Name, s.onlooker()
	left := len(workers)
	var where *worker
	var which *session
	for _, w := range workers {
		w.loop.Post(func() {
			var it *session
			for _, peer := range who.sees(w.sessionsOf(name)) {
				if peer.info.id == id {
					it = peer
					it.targets++
				}
			}
			home.loop.Post(func() {
				if it != nil {
					where, which = w, it
				}
				if left--; left == 0 {
					found(where, which)
				}
			})
		})
	}
}

// end gives the other client free.
func (r *redirect) end() { r.w.loop.Post(func() { r.to.targets-- }) }

// tell sends the other client an invalidation.
func (r *redirect) tell(payload []byte) {
	if r.broken {
		return
	}
	payload = append([]byte(nil), payload...)
	null := len(payload) == 0
	home := r.from.s.w
	r.w.loop.Post(func() {
		to := r.to
		if !to.conn.Open() || to.closing {
			home.loop.Post(r.breaks)
			return
		}
		if null {
			payload = nil
		}
		to.pushed(payload)
	})
}

// breaks tells the client that nobody is there any more to be told.
func (r *redirect) breaks() {
	s := r.from.s
	if s == nil || r.broken {
		return
	}
	r.broken = true
	if s.protocol != resp.RESP3 || !s.conn.Open() {
		return
	}
	frame := resp.AppendBulkString(s.protocol.AppendPush(nil, 2), "tracking-redir-broken")
	s.interject(resp.AppendInt(frame, int64(r.id)))
}

// pushed gives the client another one's invalidation. In RESP2 only who has
// subscribed to something can be told.
func (s *session) pushed(payload []byte) {
	if s.protocol == resp.RESP3 || s.sub != nil && s.sub.total() > 0 {
		s.interject(appendInvalidation(nil, payload, s.protocol))
	}
}

// interject sends what is no reply: at once, but not into the middle of a reply.
func (s *session) interject(frame []byte) {
	if !s.midReply() {
		s.conn.Append(frame)
	} else {
		s.interjections = append(s.interjections, frame...)
		s.blocked = true
	}
	s.checkOutput()
}

// flushInterjections sends what has waited for a reply's end. It reports false if
// that has not come.
func (s *session) flushInterjections() bool {
	if s.midReply() {
		return false
	}
	s.conn.Append(s.interjections)
	s.interjections = nil
	return true
}
