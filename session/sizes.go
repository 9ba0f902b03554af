package session

import (
	"time"

	"ringway/pipeline"
)

// The size of a reply is unknown before it comes, and a reply that was asked for can't be
// stopped: the server holds it in memory, and then this process does. So a new client may
// have only few requests in flight whose replies may be of any size. Each reply allows
// more, as the window of TCP's slow start grows, and a large one sets the limit back to few.
const (
	firstUnsized = 16 // requests that a new client may have in flight
	moreUnsized  = 2  // more with each reply that is not large
	fewUnsized   = 2  // after a large reply

	// largeReply is the size, in bytes, above which a reply is large: two such replies
	// fill a network's pipe, so more of them at once gain nothing.
	largeReply = 64 << 10

	// firstReply is the size, in bytes, that is assumed for a new client's replies.
	firstReply = 64 << 10
	// newcomersReply is the same for the account of a server's connection. It is more,
	// since many new clients may come before the size of any reply is known.
	newcomersReply = 1 << 20

	// notedReply is the size, in bytes, from which an expected reply counts in the account
	// of a server's connection (pipeline.Conn.Expect).
	notedReply = 4 << 10

	// recentReplies is how many replies sizes.recent is about: the largest reply is
	// remembered for that many replies at least, and twice as many at most.
	recentReplies = 16

	// largeReplyWindow is the time after a large reply in which new clients of the loop
	// are assumed to ask for large ones, too. In nanoseconds, as eventloop.Loop.Now.
	largeReplyWindow = int64(time.Second)
)

// sizes is what a session knows of the sizes of its replies, and how many requests it has
// in flight whose replies may be of any size (unsized ones).
type sizes struct {
	inFlight int
	limit    int  // how many there may be in flight
	answered bool // at least one was answered

	recent, previous int   // bytes: the largest of the last replies, and of the recentReplies before them
	count            uint8 // how many replies recent is about
}

// newSizes returns what is known of a new client. limit is client_pipeline.
func newSizes(limit int) sizes { return sizes{limit: min(firstUnsized, limit), previous: firstReply} }

// largest returns the size of the largest of the last replies.
func (z *sizes) largest() int { return max(z.recent, z.previous) }

// expected returns how many bytes of replies are in flight, if each is as large as the
// largest of the last ones.
func (z *sizes) expected() int { return z.inFlight * z.largest() }

// sawReply learns from the size of a whole reply. limit is client_pipeline.
func (z *sizes) sawReply(size, limit int) {
	z.inFlight--
	z.answered = true
	if size <= largeReply {
		z.limit = min(z.limit+moreUnsized, limit)
	}
	z.recent = max(z.recent, size)
	if z.count++; z.count == recentReplies {
		z.previous, z.recent, z.count = z.recent, 0, 0
	}
}

// hasRoomForUnsized reports whether n more requests may be sent whose replies may be of any
// size.
func (s *session) hasRoomForUnsized(n int) bool {
	z := &s.sizes
	n += z.inFlight
	return n <= z.limit && (z.answered || n <= fewUnsized || s.w.loop.Now()-s.w.lastLarge > largeReplyWindow)
}

// noteLarge is called when a reply turns out to be large, before its end has come. size is
// what has come so far.
func (s *session) noteLarge(size int) {
	s.sizes.limit = min(s.sizes.limit, fewUnsized)
	s.sizes.answered = true
	s.sizes.recent = max(s.sizes.recent, size)
	s.w.lastLarge = s.w.loop.Now()
}

// expected returns how many bytes the reply to the current request is expected to have, or
// 0 if that is too little to be counted.
func (s *session) expected() int {
	if !s.unsized {
		return 0
	}
	if !s.sizes.answered {
		return newcomersReply
	}
	if n := s.sizes.largest(); n >= notedReply {
		return n
	}
	return 0
}

// expect counts the expected reply in the account of conn, over which the current request,
// or one of so many parts of it, was sent.
func (s *session) expect(conn *pipeline.Conn, parts int) {
	if n := s.expected(); n > 0 {
		conn.Expect(n / parts)
	}
}

// full reports whether the current request must wait for room in conn.
func (s *session) full(conn *pipeline.Conn) bool { return conn.Full() || s.laden(conn) }

// laden reports whether it must wait because conn expects many bytes of replies already.
func (s *session) laden(conn *pipeline.Conn) bool { return conn.RepliesFull() && s.expected() > 0 }
