package session

import "ringway/resp"

// trackingRedirect is the REDIRECT of a client's CLIENT TRACKING: the invalidations of one
// client go to another one, the target. It belongs to the first client's loop. The target
// may be on another loop, and can't move to a third one meanwhile.
type trackingRedirect struct {
	from       *tracking
	id         uint64   // the target's
	w          *Worker  // the target's
	to         *session // the target, which belongs to w's loop
	targetGone bool     // the target is gone
}

// findClient looks for a client of the pool on all loops. It calls found with the client,
// which can't move to another loop until trackingRedirect.end is called, or with nil if
// there is none that s may see.
func (s *session) findClient(id uint64, found func(w *Worker, to *session)) {
	type client struct {
		w *Worker
		s *session
	}
	who := s.viewer()
	gatherLoops(s.shared, func(peer *shared, tell func(client)) {
		var it client
		for _, other := range who.visible(peer.sessions()) {
			if other.info.id == id {
				it = client{peer.w, other}
				other.redirectsHere++
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

// end lets the target move to other loops again.
func (r *trackingRedirect) end() { r.w.loop.Post(func() { r.to.redirectsHere-- }) }

// send sends the target an invalidation. payload stays the caller's.
func (r *trackingRedirect) send(payload []byte) {
	if r.targetGone {
		return
	}
	payload = append([]byte(nil), payload...)
	null := len(payload) == 0
	home := r.from.s.w
	r.w.loop.Post(func() {
		to := r.to
		if !to.conn.Open() || to.closing {
			home.loop.Post(r.targetClosed)
			return
		}
		if null {
			payload = nil
		}
		to.receiveInvalidation(payload)
	})
}

// targetClosed tells the client, once, that its target is gone, as Redis does.
func (r *trackingRedirect) targetClosed() {
	s := r.from.s
	if s == nil || r.targetGone {
		return
	}
	r.targetGone = true
	if s.protocol != resp.RESP3 || !s.conn.Open() {
		return
	}
	frame := resp.AppendBulkString(s.protocol.AppendPush(nil, 2), "tracking-redir-broken")
	s.sendOutOfBand(resp.AppendInt(frame, int64(r.id)))
}

// receiveInvalidation sends the client an invalidation of another client, whose target it
// is. A client that speaks RESP2 gets it only while it is subscribed to something: no other
// client expects messages.
func (s *session) receiveInvalidation(payload []byte) {
	if s.protocol == resp.RESP3 || s.sub != nil && s.sub.total() > 0 {
		s.sendOutOfBand(appendInvalidation(nil, payload, s.protocol))
	}
}

// sendOutOfBand sends the client something that is no reply: at once, or at the end of the
// reply that is under way. frame stays the caller's.
func (s *session) sendOutOfBand(frame []byte) {
	if !s.replies.midReply() {
		s.conn.Append(frame)
	} else {
		s.outOfBand = append(s.outOfBand, frame...)
		s.replies.charge(len(frame))
		s.blocked = true
	}
	s.checkOutputLimit()
}

// flushOutOfBand sends what has waited for the end of a reply. It reports false if that end
// has not come.
func (s *session) flushOutOfBand() bool {
	if s.replies.midReply() {
		return false
	}
	s.replies.refund(len(s.outOfBand))
	s.conn.Append(s.outOfBand)
	s.outOfBand = nil
	return true
}
