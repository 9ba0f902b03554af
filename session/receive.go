package session

import (
	"ringway/pipeline"
	"ringway/stats"
)

// A session is itself the Receiver of the replies to most of its requests: the tag is the
// request's number. Requests that need more have Receivers of their own (fanout, broadcast,
// exclusive …), which end in session.finish or session.Reply too.

// push appends a position for the current request to the line of replies, and returns the
// request's number.
func (s *session) push() (number uint32) {
	if s.unsized {
		s.sizes.inFlight++
	}
	p := position{command: s.lastCommand, came: s.arrived}
	if s.stats != nil {
		s.note(&p)
	}
	if s.muting {
		p.flags |= muted
	}
	if s.unsized {
		p.flags |= unsized
	}
	return s.replies.push(p)
}

// reply answers the current request, which has no position in the line yet, with a whole
// reply that the proxy has made. b is copied. If no earlier request is unanswered, the
// reply goes straight to the client's output.
func (s *session) reply(b []byte) {
	switch {
	case s.executing != nil && s.executing.capturing:
		s.executing.take(b, true)
		return
	case !s.replies.idle():
	case s.muting:
		s.countAnswer(b)
		return
	default:
		s.countAnswer(b)
		s.conn.Append(b)
		return
	}
	s.unsized = false
	s.finish(s.push(), b)
}

// Reply implements pipeline.Receiver: a server has sent the reply to the request with the
// given number, or a part of a large one; last marks the final part. b is the connection's
// read buffer, so it is copied if it is kept.
func (s *session) Reply(number uint32, b []byte, last bool) {
	if !s.conn.Open() {
		return
	}
	r := &s.replies
	if !r.awaits(number) {
		s.unexpectedReply(number)
		return
	}
	p := r.at(number)
	if len(b) > 0 && b[0] == '-' && p.state == pending {
		s.countError(p.command, b)
	}
	size := r.addSize(number, len(b))
	if p.flags&(unsized|sampled) != 0 {
		s.measure(p, size, last)
	}
	if last && s.isSlow(p) {
		s.noteSlow(p, size, b)
	}
	if p.flags&muted != 0 {
		if s.executing != nil && s.executing.capturing {
			if s.executing.take(b, last); !s.conn.Open() {
				return
			}
		}
		b = nil
	}
	switch {
	case number != r.head:
		r.store(number, b, last)
		s.checkOutputLimit()
	case r.pass(b, last):
		s.afterReplies()
	default:
		s.checkOutputLimit()
	}
}

// unexpectedReply closes the client: a reply has come for a number that no request awaits.
// That is a bug of the proxy, and which reply belongs to which request is unknown from here on.
func (s *session) unexpectedReply(number uint32) {
	s.closeReason = stats.ClosedBug
	s.w.log.Error("bug: reply that no request awaits; client closed",
		"pool", s.poolName, "client", s.info.addr, "reply", number, "next", s.replies.head, "awaited", s.replies.unanswered())
	s.close()
}

// measure learns from the reply at p. If its size was unknown when it was asked for, that is
// s.sizes; if the request is a sample, what its keys cost. size counts all its bytes so far; whole
// says that these are all.
func (s *session) measure(p *position, size int, whole bool) {
	if p.flags&sampled != 0 && whole {
		s.countSample(p, size)
	}
	if whole && size >= s.big.replyFrom {
		s.noteBigReply(p, size)
	}
	if p.flags&unsized == 0 {
		return
	}
	if size > largeReply {
		s.noteLarge(size)
	}
	if whole {
		p.flags &^= unsized
		s.sizes.sawReply(size, s.w.conf.ClientPipeline)
	}
}

// finish answers the request with the given number with a whole reply. b is copied. If the
// client has gone it does nothing.
func (s *session) finish(number uint32, b []byte) {
	if s.conn.Open() {
		s.Reply(number, b, true)
	}
}

// delayWritesFrom is from how many unanswered requests on a client's replies are held back
// for the next turn, to be written together with more (docs/adr/0015). A client with fewer
// requests under way, such as a connection that several threads share, gets each at once.
const delayWritesFrom = 4

// afterReplies is called when replies have left the line. It delays the write if many more
// are to come, and asks for RunDeferred if what was waiting for these replies can go on.
// A blocked session goes on only when half of its window is free, so that requests are run
// in batches rather than one for each reply.
func (s *session) afterReplies() {
	awaited := s.replies.unanswered()
	s.conn.MoreComing(awaited >= delayWritesFrom)
	switch {
	case !s.conn.Open():
	case s.blocked:
		if awaited <= s.window/2 && s.sizes.inFlight <= s.sizes.limit/2 {
			s.deferRun()
		}
	case awaited == 0 && (s.closing || s.eof || s.movingTo != nil || s.serial):
		s.deferRun()
	}
	s.checkOutputLimit()
}

// checkOutputLimit closes the client if the replies that wait for it exceed
// client_output_limit.
func (s *session) checkOutputLimit() {
	if s.conn.Open() && int64(s.waiting()) > s.w.conf.ClientOutputLimit {
		s.w.log.Warn("client closed: it does not read its replies; see client_output_limit",
			"pool", s.poolName, "client", s.info.addr, "waiting", s.waiting())
		s.closeFor(stats.ClosedOutput)
	}
}

// Fail implements pipeline.Receiver: there will be no reply to the request with the given
// number. request is the request itself if it was not sent: then it goes to the server that
// owns its key now, if that is another one. Otherwise the client gets an error.
func (s *session) Fail(number uint32, f *pipeline.Failure, request []byte) {
	if !s.conn.Open() {
		return
	}
	r := &s.replies
	if !r.awaits(number) {
		s.unexpectedReply(number)
		return
	}
	if r.at(number).state == passing {
		s.closeFor(stats.ClosedMissedData) // the client has got a part of the reply already
		return
	}
	r.discardParts(number)
	if request != nil && s.resend(number, f, request) {
		return
	}
	s.finish(number, s.failureReply(f))
}
