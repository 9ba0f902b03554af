package server

import (
	"math/bits"

	"ringway/pipeline"
)

// slot is the place of one request in its session's line of replies.
type slot struct {
	state     slotState
	muted     bool   // the client wants no reply
	off, size uint32 // held: where the reply is in session.early
	far       *farReply
}

type slotState uint8

const (
	waiting slotState = iota // no reply yet
	held                     // the reply came before its turn and is in session.early
	apart                    // the same, in a buffer of its own, perhaps with more to come
	passing                  // at the head: a first part of a large reply has been passed on
)

// farReply is a large reply that came before its turn.
type farReply struct {
	buf  []byte // lent by the loop
	done bool
}

// spareSlots is the largest ring of slots that a session without requests
// keeps; larger ones go back to the worker, which keeps some for reuse.
const (
	spareSlots = 64
	spareRings = 64 // of each size
)

// slotRings are the rings that sessions have given back, by the logarithm of
// their size.
type slotRings [32][][]slot

// get returns a ring of n slots, a power of two, with anything in them.
func (r *slotRings) get(n int) []slot {
	rings := &r[bits.Len(uint(n))-1]
	last := len(*rings) - 1
	if last < 0 {
		return make([]slot, n)
	}
	ring := (*rings)[last]
	*rings = (*rings)[:last]
	return ring
}

// put takes back a ring whose slots hold no reply.
func (r *slotRings) put(ring []slot) {
	if len(ring) == 0 {
		return
	}
	rings := &r[bits.Len(uint(len(ring)))-1]
	if len(*rings) < spareRings {
		*rings = append(*rings, ring)
	}
}

// trim gives up half of what is kept.
func (r *slotRings) trim() {
	for i := range r {
		keep := len(r[i]) / 2
		clear(r[i][keep:])
		r[i] = r[i][:keep]
	}
}

func (s *session) slot(number uint32) *slot { return &s.slots[number&uint32(len(s.slots)-1)] }

// push takes a place in the line for the current request and returns its number.
func (s *session) push() (number uint32) {
	if int(s.tail-s.head) == len(s.slots) {
		s.growSlots()
	}
	number = s.tail
	*s.slot(number) = slot{muted: s.muting}
	s.tail++
	return number
}

func (s *session) growSlots() {
	bigger := s.w.rings.get(max(4, 2*len(s.slots)))
	for n := s.head; n != s.tail; n++ {
		bigger[n&uint32(len(bigger)-1)] = *s.slot(n)
	}
	clear(s.slots)
	s.w.rings.put(s.slots)
	s.slots = bigger
}

// reply answers the current request, which has no place in the line yet, with
// bytes made by the proxy. They are copied.
func (s *session) reply(b []byte) {
	switch {
	case s.head != s.tail:
	case s.muting:
		return
	default:
		s.conn.Append(b)
		return
	}
	s.finish(s.push(), b)
}

// Reply is pipeline.Receiver's: a server has answered the request with the
// given number, or sent a part of a large answer.
func (s *session) Reply(number uint32, b []byte, last bool) {
	if !s.conn.Open() {
		return
	}
	s.average += (len(b) - s.average) / 8
	if number != s.head {
		s.keep(number, b, last)
		return
	}
	if s.mutes && s.slot(number).muted {
		b = nil
	}
	s.conn.Write(b)
	if !s.conn.Open() {
		return
	}
	if !last {
		s.slot(number).state = passing
		s.checkOutput()
		return
	}
	s.head++
	s.advance()
}

// finish answers the request with the given number with a whole reply.
func (s *session) finish(number uint32, b []byte) {
	if s.conn.Open() {
		s.Reply(number, b, true)
	}
}

// keep stores a reply, or a part of one, until its turn comes.
func (s *session) keep(number uint32, b []byte, last bool) {
	sl := s.slot(number)
	if sl.muted {
		b = nil
	}
	if sl.state == waiting && last {
		if len(b) > cap(s.early)-len(s.early) {
			s.growEarly(len(b))
		}
		sl.state, sl.off, sl.size = held, uint32(len(s.early)), uint32(len(b))
		s.early = append(s.early, b...)
		s.earlyLive += len(b)
		s.checkOutput()
		return
	}
	if sl.state == waiting {
		sl.state, sl.far = apart, &farReply{buf: s.w.loop.Buffer(2 * len(b))}
	}
	if len(b) > cap(sl.far.buf)-len(sl.far.buf) {
		sl.far.buf = s.w.loop.Grow(sl.far.buf, len(b))
	}
	sl.far.buf = append(sl.far.buf, b...)
	sl.far.done = last
	s.far += len(b)
	s.checkOutput()
}

// growEarly makes room in the buffer of early replies, first by giving up the
// room of those that have been sent.
func (s *session) growEarly(n int) {
	loop := s.w.loop
	if s.early == nil {
		s.early = loop.Buffer(n)
		return
	}
	if s.earlyLive > len(s.early)/2 {
		s.early = loop.Grow(s.early, n)
		return
	}
	fresh := loop.Buffer(2*s.earlyLive + n)
	for number := s.head; number != s.tail; number++ {
		if sl := s.slot(number); sl.state == held {
			off := len(fresh)
			fresh = append(fresh, s.early[sl.off:][:sl.size]...)
			sl.off = uint32(off)
		}
	}
	loop.Release(s.early)
	s.early = fresh
}

// advance sends the early replies whose turn has come.
func (s *session) advance() {
	for s.head != s.tail {
		sl := s.slot(s.head)
		switch sl.state {
		case held:
			s.conn.Append(s.early[sl.off:][:sl.size])
			s.earlyLive -= int(sl.size)
		case apart:
			s.conn.Write(sl.far.buf)
			s.far -= len(sl.far.buf)
			s.w.loop.Release(sl.far.buf)
			if !s.conn.Open() {
				return
			}
			done := sl.far.done
			sl.far = nil
			if !done {
				sl.state = passing
				s.checkOutput()
				return
			}
		default:
			s.progress()
			return
		}
		s.head++
	}
	if s.early != nil {
		s.w.loop.Release(s.early)
		s.early = nil
	}
	if len(s.slots) > spareSlots {
		s.w.rings.put(s.slots)
		s.slots = nil
	}
	s.progress()
}

// progress is called when replies have left the line.
func (s *session) progress() {
	switch {
	case !s.conn.Open():
	case s.blocked:
		if int(s.tail-s.head) <= s.window/2 {
			s.settle()
		}
	case s.head == s.tail && (s.closing || s.eof || s.moving != nil):
		s.settle()
	}
	s.checkOutput()
}

// checkOutput closes a client that lets more replies wait than it may.
func (s *session) checkOutput() {
	if s.conn.Open() && s.conn.Waiting()+s.earlyLive+s.far > int(s.w.conf.ClientOutputLimit) {
		s.w.log.Warn("client closed: it does not read its replies; see client_output_limit",
			"pool", s.local.Conf().Name, "client", s.info.addr, "waiting", s.conn.Waiting()+s.earlyLive+s.far)
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
	sl := s.slot(number)
	switch {
	case sl.state == passing:
		// A part of a reply can't be taken back.
		s.close()
		return
	case sl.state == apart:
		s.far -= len(sl.far.buf)
		s.w.loop.Release(sl.far.buf)
		*sl = slot{}
	}
	if request != nil && s.resend(number, f, request) {
		return
	}
	s.finish(number, f.AppendReply(s.w.failure[:0]))
}
