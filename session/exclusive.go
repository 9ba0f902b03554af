package session

import (
	"errors"
	"time"

	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// exclusive is the Receiver of a request that must be answered before the session's next one is
// run, since one of the two goes over a dedicated connection. The window is closed meanwhile.
//
// In a pool whose primaries change (keepForRetry), a request that a server refuses is sent again
// over a new dedicated connection: after -MOVED, -ASK, -READONLY and the like (retryRefused), or
// when the server could not be reached and nothing was sent (retryUnsent). That ends after
// maxRetries redirections, or with failover_wait.
type exclusive struct {
	s      *session
	number uint32
	done   func() // called before the reply's last part is passed on, or before Fail answers; may be nil

	// For requests that may be sent again. Times are as eventloop.Loop.Now.
	raw        []byte // a copy of the request; nil if it is not sent again
	moves      bool   // its keys have another owner, and its server was asked to unblock it
	fresh      bool   // the dedicated connection was acquired for this request
	untimed    bool   // it may block: the server has no time limit
	marked     bool   // it is a script: a marker follows it
	retries    int    // redirections so far
	slot       int    // dedicated.slot of the connection that was given up for another
	skipAsking bool   // the next reply is ASKING's
	since      int64  // when it was sent first
	sentAt     int64  // when it was sent last
	deadline   int64  // until when it may be sent again
}

// start closes the window and takes the request's position in the line. It returns the number.
func (a *exclusive) start() (number uint32) {
	a.s.closeWindow()
	a.number = a.s.push()
	return a.number
}

// checkSent takes the result of sending the request: a failure is handled as if it came later.
func (a *exclusive) checkSent(f *pipeline.Failure) {
	if f != nil {
		a.Fail(a.number, f, nil)
	}
}

// sendBlocking sends a request that may block, without a timeout, over the session's
// dedicated connection. With asking it goes behind ASKING: the server is one to which the
// request's slot is being moved.
func (s *session) sendBlocking(raw []byte, a *exclusive, asking bool) *pipeline.Failure {
	conn := s.dedicated.conn
	if conn.ServerID == 0 {
		if f := conn.Send(requestClientID, idReceiver{conn}, 0); f != nil {
			return f
		}
	}
	if asking {
		// Not by SendUnit, which sets a timeout. ASKING holds for the connection's next
		// request, which is this one.
		a.skipAsking = true
		if f := conn.Send(pool.RequestAsking, a, a.number); f != nil {
			a.skipAsking = false
			return f
		}
	}
	s.blockedSince, s.blocking = s.w.loop.Now(), a
	return conn.SendUntimed(raw, a, a.number)
}

// Reply implements pipeline.Receiver.
func (a *exclusive) Reply(number uint32, b []byte, last bool) {
	if !a.s.conn.Open() {
		return // cleanUp has released the dedicated connection
	}
	if a.skipAsking {
		a.skipAsking = !last
		return
	}
	if last && b[0] == '-' && a.raw != nil && (a.follow(b) || a.s.local.Follows() && a.retryRefused(b)) {
		return
	}
	if last {
		a.end()
	}
	a.s.Reply(number, b, last)
}

// Fail implements pipeline.Receiver.
func (a *exclusive) Fail(number uint32, f *pipeline.Failure, _ []byte) {
	if !a.s.conn.Open() {
		return
	}
	if a.skipAsking { // ASKING's failure; that of the request comes next
		a.skipAsking = false
		return
	}
	// Retry if the server was unreachable. A refusal is final, except that a Cluster's
	// shard without a primary has lost its slots to another shard.
	retryable := errors.Is(f, pool.ErrNoPrimary) || !errors.As(f, new(pipeline.Refusal))
	if e := pipeline.HandshakeRefusal(f); e != nil && e.Lasting() {
		retryable = false
	}
	if a.raw != nil && a.s.local.Follows() && a.fresh && !f.Sent && a.s.w.loop.Now() < a.deadline && retryable {
		a.retryUnsent()
		return
	}
	a.end()
	if a.untimed && a.s.local.Follows() && errors.Is(f, pipeline.ErrSuspended) {
		a.s.finish(number, replyUnblocked)
		return
	}
	a.s.Fail(number, f, nil) // nil: session.resend has no dedicated connection to send it over
}

// replyUnblocked is Redis's reply to blocked clients when their server is no longer primary.
var replyUnblocked = []byte("-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n")

// maxRetries is how many -MOVED and -ASK a request on a dedicated connection follows.
const maxRetries = 16

// retryRefused sends the request again, to the shard that the error reply names or that serves
// its keys now. It reports false if it does not, and the error is for the client.
func (a *exclusive) retryRefused(reply []byte) bool {
	s := a.s
	kind := pool.RefusalOf(reply)
	if now := s.w.loop.Now(); a.untimed && now-a.sentAt > int64(acceptedAfter) {
		// The server had accepted it and it was blocked. This refusal belongs to a new
		// change of primaries, so the limits count from now on.
		a.retries, a.deadline = 0, now+int64(s.local.Conf().FailoverWait)
	}
	if a.retries++; kind == pool.NoRefusal || a.retries > maxRetries && kind <= pool.Ask || s.w.loop.Now() > a.deadline {
		return false
	}
	if a.marked && (!pool.InRedisWords(reply) || kind <= pool.Ask && !s.local.Map().Slotted()) {
		return false
	}
	shard, asking, wait := s.local.Redirect(s.dedicated.shard, reply, a.marked)
	a.slot = s.dedicated.slot
	s.releaseDedicated(false)
	if wait > 0 {
		s.w.loop.NewTimer(func() { a.send(shard, asking) }).OwnedBy(a).After(wait)
	} else {
		a.send(shard, asking)
	}
	return true
}

// acceptedAfter is how long after sending a blocking request its server must have accepted it:
// a refusal that comes later is due to a change while the request was blocked.
const acceptedAfter = time.Second

// retryDelay is the time until a request is tried again whose server could not be reached.
const retryDelay = 50 * time.Millisecond

// retryUnsent tries a request that was not sent once more after retryDelay, at the shard that
// serves its keys then.
func (a *exclusive) retryUnsent() {
	s := a.s
	shard := s.dedicated.shard
	a.slot = s.dedicated.slot
	s.releaseDedicated(false)
	s.w.loop.NewTimer(func() {
		if owner, ok := s.ownerOf(s.local.Map(), a.raw); ok {
			shard = owner
		}
		a.send(shard, false)
	}).OwnedBy(a).After(retryDelay)
}

// send sends the request over a new dedicated connection to a shard, behind ASKING if the shard
// has answered -ASK for it.
func (a *exclusive) send(shard int, asking bool) {
	s := a.s
	if !s.conn.Open() {
		return
	}
	conn, err := s.conns.Acquire(shard)
	if err != nil {
		a.end()
		s.finish(a.number, resp.AppendError(nil, errNoDedicated.Error()))
		return
	}
	// A WATCH on the former connection is lost.
	s.dedicated = s.newDedicated(shard, a.slot, conn)
	s.dedicated.watchLost = !a.fresh
	a.sentAt = s.w.loop.Now()
	var f *pipeline.Failure
	switch {
	case a.untimed:
		f = s.sendBlocking(s.w.shortenWait(a.raw, time.Duration(a.sentAt-a.since)), a, asking)
	case asking:
		a.skipAsking = true
		f = conn.SendUnit(append(append([]byte(nil), pool.RequestAsking...), a.raw...), 2, a, a.number)
		if f != nil {
			a.skipAsking = false
		}
	default:
		f = conn.Send(a.raw, a, a.number)
	}
	if a.marked && f == nil {
		conn.SendMarker()
	}
	a.checkSent(f)
}

// keepForRetry copies the request so that it can be sent again, if the pool's primaries can change, or if
// it may block for so long that its keys get another owner (moveBlocked).
func (a *exclusive) keepForRetry(raw []byte) {
	if s := a.s; s.local.Follows() || a.untimed {
		a.raw = append([]byte(nil), raw...)
		a.since = s.w.loop.Now()
		a.sentAt = a.since
		a.deadline = a.since + int64(s.local.Conf().FailoverWait)
	}
}

// end ends the wait: the window opens, and done is called.
func (a *exclusive) end() {
	a.s.blockedSince, a.s.blocking = 0, nil
	a.s.resume()
	if a.done != nil {
		a.done()
	}
}
