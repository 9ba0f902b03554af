package pipeline

import "ringway/eventloop"

// Redirector takes requests that a server has certainly not executed, to have
// them executed elsewhere or later. Without one they fail, or their Receivers
// get the server's error. Its methods are called on the loop and may send at once.
type Redirector interface {
	// Refused is given a request that the server has answered with an error, and
	// which was the only one of its unit. It reports true if it has taken the
	// request over, false if the reply is the Receiver's.
	Refused(c *Conn, reply []byte, r Request) bool

	// Doubtful is given a request with its reply, which is no error, once Doubt was
	// called. It reports as Refused does.
	Review(c *Conn, r Request) bool

	// Unsent is given a request, or a unit of them, that was not sent since the
	// connection is gone. It reports false if that is for the Receiver to know.
	Unsent(c *Conn, err error, r Request) bool

	// Down tells that the connection could not be made and that requests are
	// refused until Opened. It comes before the requests that wait are Unsent.
	Down(c *Conn, err error)

	// Opened tells that the connection has been made.
	Opened(c *Conn)
}

// Request is one request as a Conn knows it, or several that were sent as a unit.
type Request struct {
	Bytes    []byte // valid only during the call
	Replies  int    // how many there are to it
	Receiver Receiver
	Tag      uint32
	Marked   bool // it was sent with a fence, and is to be again
}

// SetRedirector gives the connection a Redirector. It is to be called before the
// connection is used. From then on the connection keeps a copy of every request
// until it is answered.
func (c *Conn) SetRedirector(r Redirector) { c.redirector = r }

// sentLog holds the bytes of the requests on a connection that has a Redirector,
// oldest first, so that one which the server refuses can be sent elsewhere. Its
// buffer is lent by the loop.
type sentLog struct {
	buf     []byte
	off     int  // of the oldest request
	midUnit bool // the requests of a unit are being answered
}

func (l *sentLog) add(loop *eventloop.Loop, request []byte) {
	if len(request) > cap(l.buf)-len(l.buf) {
		if l.off > 0 && l.off >= len(l.buf)/2 {
			l.buf, l.off = l.buf[:copy(l.buf, l.buf[l.off:])], 0
		}
		if len(request) > cap(l.buf)-len(l.buf) {
			l.buf = loop.Grow(l.buf, len(request))
		}
	}
	l.buf = append(l.buf, request...)
}

// take removes the oldest entry's bytes and returns them, valid until add. A
// unit's are its last entry's. alone tells that the entry is no part of a unit.
func (l *sentLog) take(e *entry) (request []byte, alone bool) {
	request = l.buf[l.off:][:e.size]
	alone = e.size > 0 && !l.midUnit
	l.midUnit = e.size == 0
	if l.off += int(e.size); l.off == len(l.buf) {
		l.buf, l.off = l.buf[:0], 0
	}
	return request, alone
}

// release gives the buffer back. There must be nothing in it that is wanted.
func (l *sentLog) release(loop *eventloop.Loop) {
	loop.Release(l.buf)
	*l = sentLog{}
}

// cut removes the newest n bytes.
func (l *sentLog) cut(n int) { l.buf = l.buf[:len(l.buf)-n] }

// refused tells whether the Redirector has taken an answered request over. It is
// called for each last reply on a connection that has one, after e was popped. A
// reply of which a part was passed on is the Receiver's: its last part is no
// error, whatever it looks like.
func (c *Conn) redirected(e *entry, reply []byte, whole bool) bool {
	request, alone := c.sent.take(e)
	if !alone || !whole || e.receiver == nil || reply[0] != '-' && !c.reviewing {
		return false
	}
	r := Request{Bytes: request, Replies: 1, Receiver: e.receiver, Tag: e.tag, Marked: c.answeredWasMarked()}
	if reply[0] == '-' {
		return c.redirector.Refused(c, reply, r)
	}
	if int32(c.queue.head-c.reviewedTo) > 0 { // it was sent later
		c.reviewing = false
		return false
	}
	return c.redirector.Review(c, r)
}

// Doubt has the Redirector see the replies to all that is in flight: something
// before it was refused, and it may show a state from before that.
func (c *Conn) ReviewReplies() { c.reviewing, c.reviewedTo = true, c.queue.tail }

// giveBack offers requests that were not executed, and whose bytes are at the
// start of held, to the Redirector, and fails those that it does not take.
func (c *Conn) giveBack(entries []entry, err error, held []byte) {
	var unit []entry // that is being given back
	defer func() {
		if unit != nil { // somebody panicked, the others are to hear of it all the same
			c.giveBack(entries, err, held)
			abandon(unit[0].receiver)
		}
	}()
	for len(entries) > 0 {
		n := 1 // entries of the unit
		for entries[n-1].size == 0 && n < len(entries) {
			n++
		}
		unit = entries[:n]
		last := entries[n-1]
		request := held[:last.size]
		fenced := n < len(entries) && marksRequest(entries[n].receiver)
		entries, held = entries[n:], held[last.size:]
		switch {
		case isMarker(last.receiver): // a fence is for its connection alone
			last.receiver.Fail(last.tag, nil, nil)
		case last.receiver == nil: // its client was told that its time is over
		case c.redirector != nil && c.redirector.Unsent(c, err, Request{request, n, last.receiver, last.tag, fenced}):
		default:
			failUnsent(unit, c.failure(err), request)
		}
	}
	unit = nil
}

// Gate keeps requests from being sent, without a word to those that are under way.
type Gate uint8

// The gates, from the widest to the narrowest.
const (
	Open      Gate = iota // all may be sent
	ReadsOnly             // Full reports true, FullForReads does not
	Shut                  // both do
)

// SetGate changes what the connection takes. Who Waits is told when more may go.
func (c *Conn) SetGate(g Gate) {
	opens := g < c.gate
	c.gate = g
	if opens {
		c.wake()
	}
}

// IsShut reports whether the connection takes nothing for now.
func (c *Conn) IsShut() bool { return c.gate == Shut }

// Refuse has the connection, which is not made, answer every request with a
// failure of the given cause.
func (c *Conn) Refuse(cause error) {
	c.refusal = cause
	c.Suspend()
}

// FullForReads is Full for a request that only reads.
func (c *Conn) FullForReads() bool {
	return c.gate == Shut || c.renewing || c.fullUntilRenewed || c.overBound()
}

// AfterReplies calls fn once everything that is in flight now was answered or
// has failed; at once if nothing is.
func (c *Conn) AfterReplies(fn func()) {
	if c.queue.len() == 0 {
		fn()
		return
	}
	c.barriers = append(c.barriers, barrier{c.queue.tail, fn})
}

// mark is a place in the queue, and what to do when it is reached.
type barrier struct {
	behind uint32 // position behind the last request before the mark
	fn     func()
}

// passMarks calls what waits for the requests that are gone from the queue.
func (c *Conn) passBarriers() {
	for len(c.barriers) > 0 && int32(c.queue.head-c.barriers[0].behind) >= 0 {
		fn := c.barriers[0].fn
		c.barriers = c.barriers[1:]
		fn()
	}
}

// Retire ends the connection without cutting anything off: it takes no request
// any more, gives those that are not written to the Redirector, and closes when
// the others are answered or their time is over, or after grace.
func (c *Conn) Retire() {
	c.retired = true
	if c.state != ready {
		c.Suspend()
		c.wakeAll()
		return
	}
	c.takeBack()
	c.wakeAll()
	if !c.awaited() {
		c.Close()
		return
	}
	c.attempt.After(max(c.cfg.Timeout, grace))
}

// awaited reports whether anybody waits for what is in flight: those whose time
// was over have been told so.
func (c *Conn) awaited() bool {
	for pos := c.queue.head; pos != c.queue.tail; pos++ {
		if r := c.queue.at(pos).receiver; r != nil {
			if _, ok := r.(*marker); !ok {
				return true
			}
		}
	}
	return false
}

// takeBack takes the requests of which nothing was written from the output and
// gives them back.
func (c *Conn) takeBack() {
	unwritten := c.conn.TakeUnwritten()
	first, size := c.firstUnsent(len(unwritten))
	var unsent []entry
	for pos := first; pos != c.queue.tail; pos++ {
		unsent = append(unsent, *c.queue.at(pos))
	}
	c.queue.tail = first
	c.expected.cut(first)
	for i := range c.barriers { // what a mark stood behind is gone
		if int32(c.barriers[i].behind-first) > 0 {
			c.barriers[i].behind = first
		}
	}
	if int32(c.unexpiredFrom-first) > 0 {
		c.unexpiredFrom = first
	}
	rest := unwritten[:len(unwritten)-size]
	if len(rest) > 0 { // of a request that was written in part
		c.conn.Append(rest)
	}
	if c.redirector != nil {
		c.sent.cut(size)
	}
	c.giveBack(unsent, ErrSuspended, unwritten[len(rest):])
	c.loop.Release(unwritten)
}

// resendable are the requests of sent that may be executed again, with their
// bytes, on a connection that only carries reads: all but one whose reply was
// passed on in part.
func (c *Conn) resendable(sent []entry, log *sentLog) (again []entry, request []byte) {
	if !c.cfg.ReadsOnly || c.redirector == nil {
		return nil, nil
	}
	request = log.buf[log.off:]
	if len(sent) > 0 && c.streaming {
		request, sent = request[sent[0].size:], sent[1:]
	}
	return sent, request
}
