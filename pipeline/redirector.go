package pipeline

import "ringway/eventloop"

// Redirector takes over requests that a server has certainly not executed, to have them executed
// elsewhere or later. Without one such requests fail, or their Receivers get the server's error.
// Its methods are called on the loop and may send at once.
type Redirector interface {
	// Refused is given a request that the server has answered with an error and that was not part
	// of a unit (SendUnit). It reports whether it has taken the request over; if not, the Receiver
	// gets the reply.
	Refused(c *Conn, reply []byte, r Request) bool

	// Review is given a request whose reply is no error, for each request in flight when
	// ReviewReplies was called. It reports as Refused does.
	Review(c *Conn, r Request) bool

	// Unsent is given a request, or a unit of them, that was not sent because the connection is
	// gone. It reports whether it has taken the request over; if not, the request fails.
	Unsent(c *Conn, err error, r Request) bool

	// Down is called when the connection could not be made: requests are refused until Opened. The
	// requests that wait are passed to Unsent afterwards.
	Down(c *Conn, err error)

	// Opened is called when the connection has been made.
	Opened(c *Conn)
}

// Request is one request as a Conn knows it, or a unit of several (SendUnit).
type Request struct {
	Bytes    []byte // valid only during the call
	Replies  int    // how many there are to it
	Receiver Receiver
	Tag      uint32
	Marked   bool // a marker was sent behind it, and must be again
}

// SetRedirector gives the connection a Redirector. Call it before the connection is used. From then
// on the connection keeps a copy of every request until it is answered.
func (c *Conn) SetRedirector(r Redirector) { c.redirector = r }

// sentLog holds the bytes of the requests in flight on a connection with a Redirector, oldest
// first, so that a refused request can be sent elsewhere. The loop lends its buffer.
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

// take removes the oldest entry's bytes and returns them, valid until add. A unit's bytes belong to
// its last entry. single reports whether the entry is not part of a unit.
func (l *sentLog) take(e *entry) (request []byte, single bool) {
	request = l.buf[l.off:][:e.size]
	single = e.size > 0 && !l.midUnit
	l.midUnit = e.size == 0
	if l.off += int(e.size); l.off == len(l.buf) {
		l.buf, l.off = l.buf[:0], 0
	}
	return request, single
}

// release gives the buffer back to the loop and drops what is in it.
func (l *sentLog) release(loop *eventloop.Loop) {
	loop.Release(l.buf)
	*l = sentLog{}
}

// cut removes the newest n bytes.
func (l *sentLog) cut(n int) { l.buf = l.buf[:len(l.buf)-n] }

// redirected reports whether the Redirector has taken an answered request over. It is called for
// the last part of each reply on a connection with a Redirector, after e was popped. Where an
// earlier part of the reply was passed on, the reply is the Receiver's: its last part is no error,
// whatever it looks like.
func (c *Conn) redirected(e *entry, reply []byte, whole bool) bool {
	request, single := c.sent.take(e)
	if !single || !whole || e.receiver == nil || reply[0] != '-' && !c.reviewing {
		return false
	}
	r := Request{Bytes: request, Replies: 1, Receiver: e.receiver, Tag: e.tag, Marked: c.answeredWasMarked()}
	if reply[0] == '-' {
		return c.redirector.Refused(c, reply, r)
	}
	if int32(c.queue.head-c.reviewedTo) > 0 { // it was sent after ReviewReplies
		c.reviewing = false
		return false
	}
	return c.redirector.Review(c, r)
}

// ReviewReplies passes every request in flight to Redirector.Review when it is answered: a request
// before them was refused, and their replies may show a state from before it.
func (c *Conn) ReviewReplies() { c.reviewing, c.reviewedTo = true, c.queue.tail }

// giveBack offers requests that were not executed to the Redirector, and fails those that it does
// not take. Their bytes are at the start of requests, one after the other.
func (c *Conn) giveBack(entries []entry, err error, requests []byte) {
	var unit []entry // that is being given back
	defer func() {
		if unit != nil { // a Receiver panicked; the others must be told all the same
			c.giveBack(entries, err, requests)
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
		request := requests[:last.size]
		marked := n < len(entries) && marksRequest(entries[n].receiver)
		entries, requests = entries[n:], requests[last.size:]
		switch {
		case isMarker(last.receiver): // a marker is for its connection alone
			last.receiver.Fail(last.tag, nil, nil)
		case last.receiver == nil: // it has timed out, and its client was told
		case c.redirector != nil && c.redirector.Unsent(c, err, Request{request, n, last.receiver, last.tag, marked}):
		default:
			failUnsent(unit, c.failure(err), request)
		}
	}
	unit = nil
}

// resendable returns the entries of sent that may be executed again, with their bytes. There are
// some only on a connection with Config.ReadsOnly: all but one whose reply was passed on in part.
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
