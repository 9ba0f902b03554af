package session

import (
	"ringway/pipeline"
)

// push takes a position in the line of replies for the current request and returns the
// request's number.
func (s *session) push() (number uint32) {
	if s.unsized {
		s.sizes.underWay++
	}
	return s.replies.push(position{muted: s.muting, unsized: s.unsized})
}

// reply answers the current request, which has no position in the line yet, with
// bytes made by the proxy. They are copied.
func (s *session) reply(b []byte) {
	switch {
	case !s.replies.idle():
	case s.muting:
		return
	default:
		s.conn.Append(b)
		return
	}
	s.unsized = false
	s.finish(s.push(), b)
}

// Reply is pipeline.Receiver's: a server has answered the request with the
// given number, or sent a part of a large answer.
func (s *session) Reply(number uint32, b []byte, last bool) {
	if !s.conn.Open() {
		return
	}
	r := &s.replies
	if !r.awaits(number) {
		s.unasked(number)
		return
	}
	p := r.at(number)
	if size := r.seen(number, len(b)); p.unsized {
		s.measure(p, size, last)
	}
	if p.muted {
		b = nil
	}
	switch {
	case number != r.head:
		r.keep(number, b, last)
		s.checkOutput()
	case r.pass(b, last):
		s.progress()
	default:
		s.checkOutput()
	}
}

// unasked is called with the number of a reply that no request awaits: a bug of
// ours. Which reply belongs to which request is not known any more.
func (s *session) unasked(number uint32) {
	s.w.log.Error("bug: a reply that no request awaits: the client is closed",
		"pool", s.poolName, "client", s.info.addr, "reply", number, "next", s.replies.head, "awaited", s.replies.awaited())
	s.close()
}

// measure learns from the size of the reply to a request that may have one of any
// size, or from that of its parts so far.
func (s *session) measure(p *position, size int, whole bool) {
	if size > largeReply {
		s.noteLarge(size)
	}
	if whole {
		p.unsized = false
		s.sizes.sawReply(size, s.w.conf.ClientPipeline)
	}
}

// finish answers the request with the given number with a whole reply.
func (s *session) finish(number uint32, b []byte) {
	if s.conn.Open() {
		s.Reply(number, b, true)
	}
}

// worthWaiting is how many more replies a client must await for those that are
// there to wait for them. A client with a few requests under way, as one that
// many threads share, gets each reply at once.
const worthWaiting = 4

// progress is called when replies have left the line. A client that awaits many
// more is better written to once they are there.
func (s *session) progress() {
	awaited := s.replies.awaited()
	s.conn.MoreComing(awaited >= worthWaiting)
	switch {
	case !s.conn.Open():
	case s.blocked:
		if awaited <= s.window/2 && s.sizes.underWay <= s.sizes.most/2 {
			s.settle()
		}
	case awaited == 0 && (s.closing || s.eof || s.moving != nil || s.serial):
		s.settle()
	}
	s.checkOutput()
}

// checkOutput closes a client that lets more replies wait than it may.
func (s *session) checkOutput() {
	if s.conn.Open() && int64(s.waiting()) > s.w.conf.ClientOutputLimit {
		s.w.log.Warn("client closed: it does not read its replies; see client_output_limit",
			"pool", s.poolName, "client", s.info.addr, "waiting", s.waiting())
		s.close()
	}
}

// Fail is pipeline.Receiver's: there will be no reply to the request with the
// given number. One that was not sent goes to the server that owns its key
// now, if that is another; else the client gets an error.
func (s *session) Fail(number uint32, f *pipeline.Failure, request []byte) {
	if !s.conn.Open() {
		return
	}
	r := &s.replies
	if !r.awaits(number) {
		s.unasked(number)
		return
	}
	if r.at(number).state == passing {
		s.close() // a part of a reply can't be taken back
		return
	}
	r.restart(number)
	if request != nil && s.resend(number, f, request) {
		return
	}
	s.finish(number, f.AppendReply(s.w.failure[:0]))
}
