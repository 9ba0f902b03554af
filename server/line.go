package server

import (
	"math/bits"

	"ringway/eventloop"
	"ringway/pipeline"
)

// place is that of one request in its session's line of replies.
type place struct {
	state     placeState
	muted     bool   // the client wants no reply
	blind     bool   // the reply may be of any size, and none has come so far
	off, size uint32 // held: where the reply is in session.early
	far       *farReply
}

type placeState uint8

const (
	waiting placeState = iota // no reply yet
	held                      // the reply came before its turn and is in session.early
	apart                     // the same, in a buffer of its own, perhaps with more to come
	passing                   // at the head: a first part of a large reply has been passed on
)

const (
	// farFrom is the size from which an early reply has a buffer of its own, which is
	// given back when it leaves.
	farFrom = 16 << 10
	// maxEarly is the most that session.early may hold: places know 32 bits of where a
	// reply is.
	maxEarly = 1 << 30
)

// farReply is a large reply that came before its turn.
type farReply struct {
	bytes eventloop.Chain
	done  bool
}

// keptPlaces is the largest ring of places that a session without requests
// keeps; larger ones go back to the worker, which keeps some for reuse.
const (
	keptPlaces = 64
	spareRings = 64 // of each size
)

// spareLines are the rings that sessions have given back, by the logarithm of
// their size.
type spareLines [32][][]place

// get returns a ring of n places, a power of two, with anything in them.
func (r *spareLines) get(n int) []place {
	rings := &r[bits.Len(uint(n))-1]
	last := len(*rings) - 1
	if last < 0 {
		return make([]place, n)
	}
	ring := (*rings)[last]
	*rings = (*rings)[:last]
	return ring
}

// put takes back a ring whose places hold no reply.
func (r *spareLines) put(ring []place) {
	if len(ring) == 0 {
		return
	}
	rings := &r[bits.Len(uint(len(ring)))-1]
	if len(*rings) < spareRings {
		*rings = append(*rings, ring)
	}
}

// trim gives up half of what is kept.
func (r *spareLines) trim() {
	for i := range r {
		keep := len(r[i]) / 2
		clear(r[i][keep:])
		r[i] = r[i][:keep]
	}
}

// place is the place of a request that is awaited; others have none, and when
// nothing is awaited there may be no ring at all.
func (s *session) place(number uint32) *place { return &s.line[number&uint32(len(s.line)-1)] }

// isAwaited reports whether a request waits for its reply.
func (s *session) isAwaited(number uint32) bool { return number-s.head < s.tail-s.head }

// midReply reports whether the client has got a part of a reply whose rest is to
// come: nothing else may be sent to it before that.
func (s *session) midReply() bool { return s.head != s.tail && s.place(s.head).state == passing }

// unasked is called with the number of a reply that no request awaits: a bug of
// ours. Which reply belongs to which request is not known any more.
func (s *session) unasked(number uint32) {
	s.w.log.Error("bug: a reply that no request awaits: the client is closed",
		"pool", s.local.Conf().Name, "client", s.info.addr, "reply", number, "next", s.head, "awaited", s.tail-s.head)
	s.close()
}

// push takes a place in the line for the current request and returns its number.
func (s *session) push() (number uint32) {
	if int(s.tail-s.head) == len(s.line) {
		s.growLine()
	}
	number = s.tail
	*s.place(number) = place{muted: s.muting, blind: s.any}
	if s.any {
		s.blind.underWay++
	}
	s.tail++
	return number
}

func (s *session) growLine() {
	bigger := s.w.rings.get(max(4, 2*len(s.line)))
	for n := s.head; n != s.tail; n++ {
		bigger[n&uint32(len(bigger)-1)] = *s.place(n)
	}
	clear(s.line)
	s.w.rings.put(s.line)
	s.line = bigger
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
	s.any = false
	s.finish(s.push(), b)
}

// Reply is pipeline.Receiver's: a server has answered the request with the
// given number, or sent a part of a large answer.
func (s *session) Reply(number uint32, b []byte, last bool) {
	if !s.conn.Open() {
		return
	}
	if !s.isAwaited(number) {
		s.unasked(number)
		return
	}
	if number != s.head {
		s.keep(number, b, last)
		return
	}
	pl := s.place(number)
	s.blind.part += len(b)
	if pl.blind {
		s.measure(pl, s.blind.part, last)
	}
	if pl.muted {
		b = nil
	}
	s.conn.Write(b)
	if !s.conn.Open() {
		return
	}
	if !last {
		pl.state = passing
		s.checkOutput()
		return
	}
	s.blind.part = 0
	s.head++
	s.advance()
}

// measure learns from the size of the reply to a request that may have one of any
// size, or from that of its parts so far.
func (s *session) measure(pl *place, size int, whole bool) {
	if size > largeReply {
		s.noteLarge(size)
	}
	if whole {
		pl.blind = false
		s.blind.sawReply(size, s.w.conf.ClientPipeline)
	}
}

// finish answers the request with the given number with a whole reply.
func (s *session) finish(number uint32, b []byte) {
	if s.conn.Open() {
		s.Reply(number, b, true)
	}
}

// keep stores a reply, or a part of one, until its turn comes.
func (s *session) keep(number uint32, b []byte, last bool) {
	pl := s.place(number)
	if pl.blind {
		size := len(b)
		if pl.far != nil {
			size += pl.far.bytes.Len()
		}
		s.measure(pl, size, last)
	}
	if pl.muted {
		b = nil
	}
	if pl.state == waiting && last && len(b) < farFrom && len(s.early) < maxEarly {
		if len(b) > cap(s.early)-len(s.early) {
			s.growEarly(len(b))
		}
		pl.state, pl.off, pl.size = held, uint32(len(s.early)), uint32(len(b))
		s.early = append(s.early, b...)
		s.earlyLive += len(b)
		s.checkOutput()
		return
	}
	if pl.state == waiting {
		pl.state, pl.far = apart, &farReply{}
	}
	s.w.loop.Append(&pl.far.bytes, b)
	pl.far.done = last
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
		if pl := s.place(number); pl.state == held {
			off := len(fresh)
			fresh = append(fresh, s.early[pl.off:][:pl.size]...)
			pl.off = uint32(off)
		}
	}
	loop.Release(s.early)
	s.early = fresh
}

// dropEarly gives up the early replies and the line, as the client is gone.
func (s *session) dropEarly() {
	for number := s.head; number != s.tail; number++ {
		if pl := s.place(number); pl.far != nil {
			s.w.loop.Drop(&pl.far.bytes)
		}
	}
	s.w.loop.Release(s.early)
	s.early, s.earlyLive, s.line = nil, 0, nil
}

// advance sends the early replies whose turn has come.
func (s *session) advance() {
	for s.head != s.tail {
		pl := s.place(s.head)
		switch pl.state {
		case held:
			s.conn.Append(s.early[pl.off:][:pl.size])
			s.earlyLive -= int(pl.size)
		case apart:
			far, size := pl.far, pl.far.bytes.Len()
			pl.far = nil
			s.far -= size
			s.conn.WriteChain(&far.bytes)
			if !s.conn.Open() {
				return
			}
			if !far.done {
				s.blind.part = size
				pl.state = passing
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
	if len(s.line) > keptPlaces {
		s.w.rings.put(s.line)
		s.line = nil
	}
	s.progress()
}

// worthWaiting is how many more replies a client must await for those that are
// there to wait for them. A client with a few requests under way, as one that
// many threads share, gets each reply at once.
const worthWaiting = 4

// progress is called when replies have left the line. A client that awaits many
// more is better written to once they are there.
func (s *session) progress() {
	s.conn.MoreComing(int(s.tail-s.head) >= worthWaiting)
	switch {
	case !s.conn.Open():
	case s.blocked:
		if int(s.tail-s.head) <= s.window/2 && s.blind.underWay <= s.blind.most/2 {
			s.settle()
		}
	case s.head == s.tail && (s.closing || s.eof || s.moving != nil || s.wary):
		s.settle()
	}
	s.checkOutput()
}

// checkOutput closes a client that lets more replies wait than it may.
func (s *session) checkOutput() {
	if s.conn.Open() && int64(s.waiting()) > s.w.conf.ClientOutputLimit {
		s.w.log.Warn("client closed: it does not read its replies; see client_output_limit",
			"pool", s.local.Conf().Name, "client", s.info.addr, "waiting", s.waiting())
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
	if !s.isAwaited(number) {
		s.unasked(number)
		return
	}
	pl := s.place(number)
	switch {
	case pl.state == passing:
		// A part of a reply can't be taken back.
		s.close()
		return
	case pl.state == apart:
		s.far -= pl.far.bytes.Len()
		s.w.loop.Drop(&pl.far.bytes)
		*pl = place{muted: pl.muted, blind: pl.blind}
	}
	if request != nil && s.resend(number, f, request) {
		return
	}
	s.finish(number, f.AppendReply(s.w.failure[:0]))
}
