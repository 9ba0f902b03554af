package session

import (
	"time"

	"ringway/pipeline"
)

// Nobody knows how large a reply is before it comes, and what has been asked for
// comes: a server holds it in memory, and then this process does. So few requests
// whose reply may be of any size are under way for a client of which nothing is
// known; with each reply there may be more, and after a large one few again.
const (
	firstUnsized = 16 // requests that a new client may have under way
	moreUnsized  = 2  // with each reply
	fewUnsized   = 2  // after a large reply

	// largeReply is what a reply is large above: two of them are more than a network
	// has under way, so that more of them at once gain nothing.
	largeReply = 64 << 10

	// firstReply is how large the replies of a new client are taken to be,
	firstReply = 64 << 10
	// and newcomersReply the same where it counts for a server's connection: many new
	// clients may come before anything is known of any of them.
	newcomersReply = 1 << 20

	// notedReply is from which size on the expected replies count for a server's
	// connection.
	notedReply = 4 << 10

	// recentReplies is for how many replies, and at most twice as many, the largest
	// of them is remembered.
	recentReplies = 16

	// lately is for how long after a large reply new clients of a loop are taken to
	// ask for large ones too.
	lately = int64(time.Second)
)

// sizes is what a session knows of the sizes of its replies, and how many
// requests it has under way whose replies may be of any size.
type sizes struct {
	underWay int
	most     int  // how many there may be
	answered bool // one at least was

	recent, before int   // the largest of the last replies, and of those before them
	count          uint8 // of replies in recent
}

func newSizes(most int) sizes { return sizes{most: min(firstUnsized, most), before: firstReply} }

// largest is the size of the largest of the last replies.
func (z *sizes) largest() int { return max(z.recent, z.before) }

// expected is how many bytes are under way, if the replies are as large as the
// largest of the last ones were.
func (z *sizes) expected() int { return z.underWay * z.largest() }

// sawReply learns from the size of a whole reply.
func (z *sizes) sawReply(size, most int) {
	z.underWay--
	z.answered = true
	if size <= largeReply {
		z.most = min(z.most+moreUnsized, most)
	}
	z.recent = max(z.recent, size)
	if z.count++; z.count == recentReplies {
		z.before, z.recent, z.count = z.recent, 0, 0
	}
}

// mayAsk reports whether n more requests whose replies may be of any size may be
// under way.
func (s *session) mayAsk(n int) bool {
	z := &s.sizes
	n += z.underWay
	return n <= z.most && (z.answered || n <= fewUnsized || s.w.loop.Now()-s.w.lastLarge > lately)
}

// noteLarge is called when a reply has turned out to be large.
func (s *session) noteLarge(size int) {
	s.sizes.most = min(s.sizes.most, fewUnsized)
	s.sizes.answered = true
	s.sizes.recent = max(s.sizes.recent, size)
	s.w.lastLarge = s.w.loop.Now()
}

// expected is how large the reply to the current request is expected to be if that
// is worth noting, else 0.
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

// expect notes the reply to the current request, or one of several parts of it,
// which was sent over conn.
func (s *session) expect(conn *pipeline.Conn, parts int) {
	if n := s.expected(); n > 0 {
		conn.Expect(n / parts)
	}
}

// full reports whether the current request must wait for a connection.
func (s *session) full(conn *pipeline.Conn) bool { return conn.Full() || s.laden(conn) }

// laden reports whether it must since so much is expected there already.
func (s *session) laden(conn *pipeline.Conn) bool { return conn.RepliesFull() && s.expected() > 0 }
