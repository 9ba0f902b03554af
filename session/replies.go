package session

import (
	"math/bits"

	"ringway/eventloop"
)

// replies is a session's line of replies: a position for each request that has no reply
// yet, oldest first. Requests are numbered from the session's first on. Replies leave
// in that order: one that is next in line goes to the client's output at once, one that
// is early waits in its position.
//
// Laws: a reply leaves the line once and in its turn; between two parts of one nothing
// else is written; bytes counts what waits in the line or elsewhere for it, and is 0
// when nothing does.
type replies struct {
	w    *Worker         // whose loop lends the buffers
	conn *eventloop.Conn // to the client

	ring       []position // its size is a power of two
	head, tail uint32     // numbers of the oldest request without a reply and of the next request
	passed     int        // bytes so far of the reply at the head

	early     []byte // replies that came before their turn, in a buffer of the loop
	earlyLive int    // bytes of early that are still to be sent
	elsewhere int    // bytes that wait in buffers of their own, here or with those who made charge
}

// position is that of one request in the line.
type position struct {
	state     positionState
	muted     bool   // the client wants no reply
	unsized   bool   // the reply may be of any size, and none has come so far
	off, size uint32 // early: where the reply is in replies.early
	spilled   *spilledReply
}

type positionState uint8

const (
	pending positionState = iota // no reply yet
	early                        // the reply came before its turn and is in replies.early
	spilled                      // the same, in a buffer of its own, perhaps with more to come
	passing                      // at the head: a first part of a large reply has been passed on
)

const (
	// spillFrom is the size from which an early reply has a buffer of its own, which is
	// given back when it leaves.
	spillFrom = 16 << 10
	// maxEarly is the most that replies.early may hold: positions know 32 bits of where
	// a reply is.
	maxEarly = 1 << 30
)

// spilledReply is a large reply that came before its turn.
type spilledReply struct {
	bytes eventloop.Chain
	done  bool
}

// idle reports whether no request awaits its reply.
func (r *replies) idle() bool { return r.head == r.tail }

// awaited is how many requests have no reply yet.
func (r *replies) awaited() int { return int(r.tail - r.head) }

// awaits reports whether the request with the given number has no reply yet.
func (r *replies) awaits(number uint32) bool { return number-r.head < r.tail-r.head }

// answered reports whether the reply to the request with the given number, one of the
// last 2^31, has left the line.
func (r *replies) answered(number uint32) bool { return int32(r.head-number) > 0 }

// latest is the number of the request that came last.
func (r *replies) latest() uint32 { return r.tail - 1 }

// at is the position of a request that is awaited; others have none, and when nothing
// is awaited there may be no ring at all.
func (r *replies) at(number uint32) *position { return &r.ring[number&uint32(len(r.ring)-1)] }

// midReply reports whether the client has got a part of a reply whose rest is to
// come: nothing else may be written before that.
func (r *replies) midReply() bool { return r.head != r.tail && r.at(r.head).state == passing }

// bytes is how much waits for the client in the line and elsewhere for it.
func (r *replies) bytes() int { return r.earlyLive + r.elsewhere }

// charge counts n bytes that somebody else holds for the client, such as parts of a
// reply that is being joined; refund counts them out.
func (r *replies) charge(n int) { r.elsewhere += n }
func (r *replies) refund(n int) { r.elsewhere -= n }

// push takes a position for one more request and returns the request's number.
func (r *replies) push(p position) (number uint32) {
	if int(r.tail-r.head) == len(r.ring) {
		r.grow()
	}
	number = r.tail
	*r.at(number) = p
	r.tail++
	return number
}

func (r *replies) grow() {
	bigger := r.w.rings.get(max(4, 2*len(r.ring)))
	for n := r.head; n != r.tail; n++ {
		bigger[n&uint32(len(bigger)-1)] = *r.at(n)
	}
	clear(r.ring)
	r.w.rings.put(r.ring)
	r.ring = bigger
}

// seen counts n more bytes of the reply to a request that is awaited, and returns how
// many have come so far.
func (r *replies) seen(number uint32, n int) (size int) {
	if number == r.head {
		r.passed += n
		return r.passed
	}
	if sp := r.at(number).spilled; sp != nil {
		n += sp.bytes.Len()
	}
	return n
}

// pass writes the reply at the head of the line, or a part of one, and then those behind
// it that were early. It reports whether replies have left the line, up to one that is
// pending. The connection may be closed when it returns.
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
	r.head++
	return r.advance()
}

// keep stores a reply, or a part of one, until its turn comes.
func (r *replies) keep(number uint32, b []byte, last bool) {
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
	r.elsewhere += len(b)
}

// restart gives up the parts of a reply that have been kept, if there are any.
func (r *replies) restart(number uint32) {
	if p := r.at(number); p.state == spilled {
		r.elsewhere -= p.spilled.bytes.Len()
		r.w.loop.Drop(&p.spilled.bytes)
		*p = position{muted: p.muted, unsized: p.unsized}
	}
}

// growEarly makes room in the buffer of early replies, first by giving up the
// room of those that have been sent.
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

// drop gives up the early replies and the ring, as the client is gone.
func (r *replies) drop() {
	for number := r.head; number != r.tail; number++ {
		if sp := r.at(number).spilled; sp != nil {
			r.w.loop.Drop(&sp.bytes)
		}
	}
	r.w.loop.Release(r.early)
	r.early, r.earlyLive, r.ring = nil, 0, nil
}

// advance writes the early replies whose turn has come. It reports whether it came to
// one that is pending, or to the line's end.
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
			r.elsewhere -= size
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
		r.head++
	}
	if r.early != nil {
		r.w.loop.Release(r.early)
		r.early = nil
	}
	if len(r.ring) > keptPositions {
		r.w.rings.put(r.ring)
		r.ring = nil
	}
	return true
}

// keptPositions is the largest ring of positions that a session without requests
// keeps; larger ones go back to the loop, which keeps some for reuse.
const (
	keptPositions = 64
	maxSpareRings = 64 // of each size
)

// spareRings are the rings that sessions have given back, by the logarithm of
// their size.
type spareRings [32][][]position

// get returns a ring of n positions, a power of two, with anything in them.
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

// put takes back a ring whose positions hold no reply.
func (r *spareRings) put(ring []position) {
	if len(ring) == 0 {
		return
	}
	rings := &r[bits.Len(uint(len(ring)))-1]
	if len(*rings) < maxSpareRings {
		*rings = append(*rings, ring)
	}
}

// trim gives up half of what is kept.
func (r *spareRings) trim() {
	for i := range r {
		keep := len(r[i]) / 2
		clear(r[i][keep:])
		r[i] = r[i][:keep]
	}
}
