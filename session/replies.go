package session

import (
	"math/bits"

	"ringway/eventloop"
	"ringway/stats"
)

// replies is a session's line of replies: a position for each request without a reply,
// oldest first. Requests are numbered from the session's first one; numbers wrap around
// after 2^32. Replies leave in the order of the requests: one that is next in line goes to
// the client's output at once, an early one waits in its position.
//
// Invariants: each reply leaves the line once and in its turn; nothing else is written between two
// parts of a reply; bytes counts what waits in the line, or elsewhere on its behalf, and is 0
// when nothing does.
type replies struct {
	w     *Worker         // of the session; its loop lends the buffers
	conn  *eventloop.Conn // to the client
	stats *stats.Pool     // counts the replies that leave; nil to count nothing

	ring       []position // positions by number, modulo the size, which is a power of two
	head, tail uint32     // numbers of the oldest request without a reply, and of the next request
	passed     int        // bytes of the reply at the head that have been written

	early     []byte // the small early replies, in a buffer of the loop; nil if there are none
	earlyLive int    // bytes of early that are still to be written; the others are garbage
	charged   int    // bytes of spilled replies, and those that others hold (charge)
}

// position is the state of one request in the line.
type position struct {
	state     positionState
	flags     positionFlags
	command   uint16        // as session.lastCommand
	came      uint32        // when the request came, as stats.Time
	off, size uint32        // in state early: where the reply is in replies.early; before: where the request is in Worker.recent
	spilled   *spilledReply // in state spilled; else nil
}

// positionState is how far the reply to one request has come. A position begins as pending.
// At the head of the line it becomes passing, if the reply comes in parts; behind the head
// it becomes early or spilled, and a spilled reply that is not complete becomes passing when
// its turn comes.
type positionState uint8

const (
	pending positionState = iota // no reply yet
	early                        // the whole reply came before its turn, and is in replies.early
	spilled                      // a reply, or a first part of it, came before its turn, and is in a buffer of its own
	passing                      // at the head: a first part of the reply has been written
)

// positionFlags are what is special about a reply.
type positionFlags uint8

const (
	muted   positionFlags = 1 << iota // the client wants no reply
	unsized                           // the reply may be of any size, and nothing of it has come yet
	sampled                           // the request counts for the hot keys, as many times as 1<<(flags>>weightShift)

	weightShift = 4 // the weight of a sample has the rest of the bits
)

const (
	// spillFrom is the size, in bytes, from which an early reply gets a buffer of its own.
	// That is given back as soon as the reply leaves, while replies.early stays until the
	// line has no early reply left.
	spillFrom = 16 << 10
	// maxEarly is the most bytes that replies.early may hold: position.off has 32 bits.
	maxEarly = 1 << 30
)

// spilledReply is a large reply that came before its turn.
type spilledReply struct {
	bytes eventloop.Chain
	done  bool // all of it has come
}

// idle reports whether no request awaits its reply.
func (r *replies) idle() bool { return r.head == r.tail }

// unanswered returns how many requests have no reply yet.
func (r *replies) unanswered() int { return int(r.tail - r.head) }

// awaits reports whether the request with the given number is in the line: its reply has not
// left.
func (r *replies) awaits(number uint32) bool { return number-r.head < r.tail-r.head }

// answered reports whether the reply to the request with the given number, one of the
// last 2^31, has left the line.
func (r *replies) answered(number uint32) bool { return int32(r.head-number) > 0 }

// latest returns the number of the request that came last.
func (r *replies) latest() uint32 { return r.tail - 1 }

// at returns the position of a request in the line. It must not be called for others: when
// the line is empty there may be no ring at all.
func (r *replies) at(number uint32) *position { return &r.ring[number&uint32(len(r.ring)-1)] }

// midReply reports whether a part of a reply has been written whose rest is to come. Nothing
// else may be written before the rest.
func (r *replies) midReply() bool { return r.head != r.tail && r.at(r.head).state == passing }

// bytes returns how many bytes wait for the client in the line, or elsewhere on its behalf.
func (r *replies) bytes() int { return r.earlyLive + r.charged }

// charge adds n bytes to the account that somebody else holds for the client, such as parts
// of a reply that is being joined. refund takes them out.
func (r *replies) charge(n int) { r.charged += n }
func (r *replies) refund(n int) { r.charged -= n }

// push adds a request with the position p to the line, and returns its number.
func (r *replies) push(p position) (number uint32) {
	if int(r.tail-r.head) == len(r.ring) {
		r.grow()
	}
	number = r.tail
	*r.at(number) = p
	r.tail++
	return number
}

// grow doubles the ring.
func (r *replies) grow() {
	bigger := r.w.spareRings.get(max(4, 2*len(r.ring)))
	for n := r.head; n != r.tail; n++ {
		bigger[n&uint32(len(bigger)-1)] = *r.at(n)
	}
	clear(r.ring)
	r.w.spareRings.put(r.ring)
	r.ring = bigger
}

// addSize counts n more bytes of the reply to a request in the line, which are about to be
// passed or stored. It returns the size of what has come of the reply so far.
func (r *replies) addSize(number uint32, n int) (size int) {
	if number == r.head {
		r.passed += n
		return r.passed
	}
	if sp := r.at(number).spilled; sp != nil {
		n += sp.bytes.Len()
	}
	return n
}

// pass writes a reply, or a part of one, to the client: that at the head of the line. After
// the last part it writes the early replies behind it. It reports whether replies have left
// the line up to a pending one. The connection may be closed when it returns.
func (r *replies) pass(b []byte, last bool) bool {
	r.conn.Write(b)
	if !r.conn.Open() {
		return false
	}
	if !last {
		r.at(r.head).state = passing
		return false
	}
	r.passed = 0
	r.leave(r.at(r.head))
	return r.advance()
}

// leave takes the reply at the head, which is complete, out of the line.
func (r *replies) leave(p *position) {
	if r.stats != nil {
		r.stats.Replied(p.command, p.came, stats.Time(r.w.loop.Now()))
	}
	r.head++
}

// store copies a reply, or a part of one, until its turn comes.
func (r *replies) store(number uint32, b []byte, last bool) {
	p := r.at(number)
	if p.state == pending && last && len(b) < spillFrom && len(r.early) < maxEarly {
		if len(b) > cap(r.early)-len(r.early) {
			r.growEarly(len(b))
		}
		p.state, p.off, p.size = early, uint32(len(r.early)), uint32(len(b))
		r.early = append(r.early, b...)
		r.earlyLive += len(b)
		return
	}
	if p.state == pending {
		p.state, p.spilled = spilled, &spilledReply{}
	}
	r.w.loop.Append(&p.spilled.bytes, b)
	p.spilled.done = last
	r.charged += len(b)
}

// discardParts drops the stored parts of a reply, if there are any: the request is sent
// again, and its reply begins anew.
func (r *replies) discardParts(number uint32) {
	if p := r.at(number); p.state == spilled {
		r.charged -= p.spilled.bytes.Len()
		r.w.loop.Drop(&p.spilled.bytes)
		*p = position{flags: p.flags, command: p.command, came: p.came, off: p.off, size: p.size}
	}
}

// growEarly makes room for n bytes in the buffer of early replies. If half of it is garbage
// or more, the live replies are copied to a new buffer.
func (r *replies) growEarly(n int) {
	loop := r.w.loop
	if r.early == nil {
		r.early = loop.Buffer(n)
		return
	}
	if r.earlyLive > len(r.early)/2 {
		r.early = loop.Grow(r.early, n)
		return
	}
	fresh := loop.Buffer(2*r.earlyLive + n)
	for number := r.head; number != r.tail; number++ {
		if p := r.at(number); p.state == early {
			off := len(fresh)
			fresh = append(fresh, r.early[p.off:][:p.size]...)
			p.off = uint32(off)
		}
	}
	loop.Release(r.early)
	r.early = fresh
}

// drop frees the early replies and the ring. The client is gone, and nothing of r is used
// afterwards.
func (r *replies) drop() {
	for number := r.head; number != r.tail; number++ {
		if sp := r.at(number).spilled; sp != nil {
			r.w.loop.Drop(&sp.bytes)
		}
	}
	r.w.loop.Release(r.early)
	r.early, r.earlyLive, r.ring = nil, 0, nil
}

// advance writes the early replies whose turn has come. It reports whether it came to a
// pending one, or to the line's end. At the end it gives the buffers back to the loop.
func (r *replies) advance() bool {
	for r.head != r.tail {
		p := r.at(r.head)
		switch p.state {
		case early:
			r.conn.Append(r.early[p.off:][:p.size])
			r.earlyLive -= int(p.size)
		case spilled:
			sp, size := p.spilled, p.spilled.bytes.Len()
			p.spilled = nil
			r.charged -= size
			r.conn.WriteChain(&sp.bytes)
			if !r.conn.Open() {
				return false
			}
			if !sp.done {
				r.passed = size
				p.state = passing
				return false
			}
		default:
			return true
		}
		r.leave(p)
	}
	if r.early != nil {
		r.w.loop.Release(r.early)
		r.early = nil
	}
	if len(r.ring) > keptPositions {
		r.w.spareRings.put(r.ring)
		r.ring = nil
	}
	return true
}

const (
	// keptPositions is the size of the largest ring that an idle session keeps. Larger ones
	// go back to the Worker for reuse.
	keptPositions = 64
	// maxSpareRings is how many rings of each size a Worker keeps.
	maxSpareRings = 64
)

// spareRings is the rings that sessions have given back, by the logarithm of their size.
type spareRings [32][][]position

// get returns a ring of n positions, a power of two. Their content is arbitrary.
func (r *spareRings) get(n int) []position {
	rings := &r[bits.Len(uint(n))-1]
	last := len(*rings) - 1
	if last < 0 {
		return make([]position, n)
	}
	ring := (*rings)[last]
	*rings = (*rings)[:last]
	return ring
}

// put takes a ring back. Its positions must hold no spilled reply.
func (r *spareRings) put(ring []position) {
	if len(ring) == 0 {
		return
	}
	rings := &r[bits.Len(uint(len(ring)))-1]
	if len(*rings) < maxSpareRings {
		*rings = append(*rings, ring)
	}
}

// trim frees half of the rings.
func (r *spareRings) trim() {
	for i := range r {
		keep := len(r[i]) / 2
		clear(r[i][keep:])
		r[i] = r[i][:keep]
	}
}
