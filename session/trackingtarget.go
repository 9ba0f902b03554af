package session

import "ringway/resp"

// redirect is where invalidations of one client go that has named another one for
// them. It belongs to the loop of the first; the other client stays on its loop
// as long as it is there.
type redirect struct {
	from   *tracking
	id     uint64 // the other client's
	w      *Worker
	to     *session // belongs to w
	broken bool     // the other client is gone
}

// findClient looks for a client of the pool on all loops, has it stay on its own,
// and calls found with it, or with nil if there is none.
func (s *session) findClient(id uint64, found func(w *Worker, to *session)) {
	type client struct {
		w *Worker
		s *session
	}
	who := s.viewer()
	gather(s.shared, func(peer *shared, tell func(client)) {
		var it client
		for _, other := range who.sees(peer.sessions()) {
			if other.info.id == id {
				it = client{peer.w, other}
				other.targets++
			}
		}
		tell(it)
	}, func(told []client) {
		it := client{}
		for _, c := range told {
			if c.s != nil {
				it = c
			}
		}
		found(it.w, it.s)
	})
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
	if !s.replies.midReply() {
		s.conn.Append(frame)
	} else {
		s.interjections = append(s.interjections, frame...)
		s.blocked = true
	}
	s.checkOutputLimit()
}

// flushInterjections sends what has waited for a reply's end. It reports false if
// that has not come.
func (s *session) flushInterjections() bool {
	if s.replies.midReply() {
		return false
	}
	s.conn.Append(s.interjections)
	s.interjections = nil
	return true
}
