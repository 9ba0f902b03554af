// Package pipeline carries many requests over one connection to a Redis server.
//
// Requests are appended to one output buffer and written together at the end
// of the loop's turn. Redis answers in order, so position is the only match
// between a request and its reply: a Conn that loses count is closed. A request
// that times out is answered at once, but its place in the queue stays until
// its late reply was read and dropped. What was never written may be sent again
// over a new connection; what was written is never sent twice.
//
// A Conn belongs to one event loop and is not safe for concurrent use.
package pipeline

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"time"

	"ringway/eventloop"
	"ringway/resp"
	"ringway/tlsrelay"
)

// Receiver is who sent a request. Both methods are called on the loop, and
// exactly one of them ends a request. Sending one may fail others, so a call
// may come from within Send, but not for the request that is being sent.
type Receiver interface {
	// Reply is given the reply to the request that was sent with tag, or, if
	// it is a large one, its next part; last marks the end. There is at least one
	// byte, but a part may end anywhere: only the first byte of the first one tells
	// the type of the reply. The bytes are valid only during the call.
	Reply(tag uint32, b []byte, last bool)

	// Fail tells that no reply, or not the rest of it, will come. If the
	// request was not sent, request is its bytes, valid only during the call;
	// else it is nil.
	Fail(tag uint32, f *Failure, request []byte)
}

// Waiter is told when a connection that was Full has room again.
type Waiter interface {
	// ConnReady is called once for each Conn.Wait, on the loop. It must not
	// send at once, but defer that.
	ConnReady()
}

// Observer is told what a connection learns of its server's health, on the
// loop, from within calls of Conn's methods as well.
type Observer interface {
	Succeeded() // the server answered something

	// Failed tells that a connection attempt, a connection or a request failed. It
	// reports whether Suspend will follow at once: then requests that were not sent
	// wait for that, since others will own their keys.
	Failed(err error) (leaving bool)

	// Complained is given an error that the server has answered a request with,
	// valid only during the call; what a script replies is not its own.
	Complained(reply []byte)
}

// Config is what a Conn needs to know. It is not changed once in use.
type Config struct {
	Network, Addr string // as for net.Dial: "tcp" or "unix"
	Name          string // for clients, as Failure.Server

	// TLS, if not nil, has the server spoken to in TLS. It is called for each
	// connection, on a goroutine of its own.
	TLS func() (*tls.Config, error)

	Protocol resp.Protocol // of the replies
	Auth     []string      // what AUTH is given on every new connection: a password, or a user and a password, of which each may be empty; nil for no AUTH
	DB       int           // for SELECT on every new connection; 0 for none
	SelectAs []string      // what AUTH is given first, to SELECT as a user who may, before Auth; nil if that may

	Timeout        time.Duration // from Send to the reply; 0 means none
	ConnectTimeout time.Duration // for one attempt, handshake included
	KeepAlive      bool          // SO_KEEPALIVE

	// ReadsOnly tells that the connection carries reads only: such a request may be
	// executed again when its reply was lost. The Redirector is given it as unsent.
	ReadsOnly bool
	// Replica has a server of a Cluster answer reads although it is a replica:
	// READONLY on every new connection.
	Replica bool

	// Attempts is what all connections to the server know of attempts that failed;
	// nil if the connection is the only one.
	Attempts *Attempts
	// Cautious has PING go first on a connection that follows one which was lost or
	// could not be made: no request is written before something has come back.
	PingAfterLoss bool

	// ReplyCheck is how often a connection in use, but for Once, has the server prove
	// that its replies are in order; 0 for never, and then their kinds do not matter.
	ReplyCheck time.Duration
	// Markers is what all connections of the user to the server know of that; nil if
	// the connection is the only one.
	MarkerSupport *MarkerSupport

	// Once makes the connection end for good when it is lost: what a server
	// knows of a connection, such as WATCH, does not survive it.
	Once bool

	MaxRequests int // requests awaiting replies at which Full reports true
	MaxBytes    int // unwritten bytes, same
	MaxReplies  int // expected bytes of replies at which Laden reports true; 0 for no bound

	Replies resp.ReplyLimits
}

// target is what connections to the server are made to.
func (cfg *Config) target() eventloop.Target {
	t := eventloop.Target{Network: cfg.Network, Addr: cfg.Addr, Timeout: cfg.ConnectTimeout, KeepAlive: cfg.KeepAlive}
	if cfg.TLS != nil {
		t.Wrap = tlsrelay.Wrap(cfg.Addr, cfg.TLS)
	}
	return t
}

// greets tells whether the server is told something before the first request.
func (cfg *Config) hasHandshake() bool {
	return cfg.Protocol != resp.RESP2 || cfg.Auth != nil || cfg.DB != 0 || cfg.Replica
}

// auth returns the request with the credentials.
func (cfg *Config) auth() [][]byte { return authRequest(cfg.Auth) }

func authRequest(credentials []string) [][]byte {
	args := [][]byte{[]byte("AUTH")}
	for _, arg := range credentials {
		args = append(args, []byte(arg))
	}
	return args
}

type state uint8

const (
	idle        state = iota // no connection: the next Send makes one
	dialing                  // requests are held
	handshaking              // connected, AUTH, HELLO and SELECT not yet answered; requests are held
	ready                    // requests go out
	down                     // the last attempt failed: requests fail at once until the next
	suspended                // the pool says the server is down: same until Restore
)

const (
	// grace is how long a retired connection waits for replies, at least.
	grace = time.Second

	// streamFrom is how much of an incomplete reply must have arrived for it
	// to be passed on in parts rather than read again when it is complete.
	streamFrom = 16 << 10
)

// Conn is a persistent connection to one server, which comes back by itself.
type Conn struct {
	link // whose attempt also bounds the greeting, Renew and Retire

	queue     queue
	expected  expected
	buffered  []byte // bytes of the queued requests while there is no connection
	streaming bool   // the head's reply was passed on in part

	unsentFrom uint32 // position of the first entry of which nothing was written, if output waits and is not stalled
	answerable uint32 // position behind the last entry that may be answered by what was just read

	answering     Receiver // whose Reply is being called; known after a panic, see Abandon
	inTime        bool     // what was just read answered a request that had not timed out
	unexpiredFrom uint32   // position of the first entry that has not timed out
	deadline      *eventloop.Timer
	reviewing     bool   // replies to what was in flight at Doubt are offered to the Redirector
	reviewedTo    uint32 // position behind that
	lastTimeout   int64  // when a timeout last counted as a failure
	lastRead      int64  // when a part of a large reply last arrived

	attempts          *Attempts          // of the server
	handshakeAttempts Attempts           // those that AUTH and the like have ended
	handshakeLeft     int                // greeting: replies that are to come
	onHandshake       []func(f *Failure) // see Meet
	pingFirst         bool               // the last connection was lost, or could not be made; see Config.Cautious

	checkTimer       *eventloop.Timer // see lookAt
	checkDue         int64            // when it is to fire
	checking         bool             // it is armed
	lastMarker       int64            // when the last marker of lookAt was sent
	support          *MarkerSupport
	alsoAllowed      Kinds // what replies may be of whatever is known of them
	untimed          bool  // what is in flight may take any time
	repliesHeld      bool  // see HoldReplies
	timeoutsFrom     int64 // no request times out before that
	fullUntilRenewed bool  // it carries a script that nothing may follow: full until it is made anew
	awaitsSuspend    bool  // down: Suspend will follow, until when requests are held

	markers connMarkers

	waiters []Waiter

	// ServerID is the server's number for the connection, for who has asked for it
	// with CLIENT ID. It is of use if the connection ends when it is lost.
	ServerID int64

	// With a Redirector.
	redirector Redirector
	sent       sentLog
	gate       Gate
	refusal    error // after Refuse
	downCause  error // down or suspended: what requests fail with; nil for ErrSuspended
	retired    bool  // no request is taken any more; closed when all are answered
	renewing   bool  // the same, but then it is made anew
	stale      bool  // with Once: the server is to be found at another address
	barriers   []barrier
}

// New returns a connection that will be made when the first request is sent.
// The caller keeps cfg as it is.
func New(loop *eventloop.Loop, cfg *Config, obs Observer) *Conn {
	c := &Conn{link: link{loop: loop, cfg: cfg, obs: obs}, attempts: cfg.Attempts}
	if c.attempts == nil {
		c.attempts = new(Attempts)
	}
	if c.support = cfg.MarkerSupport; c.support == nil {
		c.support = new(MarkerSupport)
		c.support.permitted(echoUntried)
	}
	if cfg.ReplyCheck == 0 {
		c.alsoAllowed = AnyKind
	}
	c.checkTimer = loop.NewTimer(c.check).OwnedBy(c)
	c.deadline = loop.NewTimer(c.expire).OwnedBy(c)
	c.attempt = loop.NewTimer(c.attemptDue).OwnedBy(c)
	return c
}

// Connect makes the connection now instead of at the first request.
func (c *Conn) Connect() {
	if c.state == idle {
		c.connect()
	}
}

// InFlight is how many requests await their replies.
func (c *Conn) InFlight() int { return c.queue.len() }

// WaitingSince is when the oldest request that awaits its reply was sent, as
// eventloop.Loop.Now, or 0 if there is none or it has not left.
func (c *Conn) WaitingSince() int64 {
	if c.state != ready || c.queue.len() == 0 {
		return 0
	}
	return c.queue.at(c.queue.head).at
}

// Up tells whether requests would be sent or held rather than refused.
func (c *Conn) Up() bool { return c.state < down }

// Full tells whether the connection has reached one of its bounds. A caller
// that sends all the same breaks the bound, not the connection.
func (c *Conn) Full() bool {
	return c.gate != Open || c.renewing || c.fullUntilRenewed || c.overBound()
}

func (c *Conn) overBound() bool {
	if c.queue.len() >= c.cfg.MaxRequests {
		return true
	}
	if c.state == ready {
		return c.conn.Waiting() >= c.cfg.MaxBytes
	}
	return len(c.buffered) >= c.cfg.MaxBytes
}

// Wait asks that w be told when the connection is no longer Full.
func (c *Conn) Wait(w Waiter) { c.waiters = append(c.waiters, w) }

// Send appends one request, whose bytes are copied, to be written at the end
// of the turn. r is then told of its reply or failure with tag. If it returns
// a failure, the request was refused and r will hear nothing of it.
func (c *Conn) Send(request []byte, r Receiver, tag uint32) *Failure {
	return c.SendKind(request, r, tag, AnyKind)
}

// SendKind is Send for a request whose reply is of known kinds.
func (c *Conn) SendKind(request []byte, r Receiver, tag uint32, kinds Kinds) *Failure {
	if c.state == ready {
		c.noteUnsent()
		c.conn.Write(request)
	}
	if c.state != ready {
		// Not connected, or not any more: then the write of this request is
		// what failed, and none of it has left.
		if f := c.buffer(request); f != nil {
			return f
		}
	} else if c.redirector != nil {
		c.sent.add(c.loop, request)
	}
	c.enqueue(r, tag, len(request), kinds)
	return nil
}

// SendUnit sends several requests that belong together, such as MULTI to EXEC,
// and that get as many replies. They are written to one connection or to none.
// r is told of every reply with tag, or of every request's failure.
func (c *Conn) SendUnit(requests []byte, replies int, r Receiver, tag uint32) *Failure {
	if c.state == ready {
		c.noteUnsent()
		c.conn.Write(requests)
	}
	if c.state != ready {
		if f := c.buffer(requests); f != nil {
			return f
		}
	} else if c.redirector != nil {
		c.sent.add(c.loop, requests)
	}
	// The size is that of the last entry, so that splitSent finds all of them
	// on the same side.
	for range replies - 1 {
		c.enqueue(r, tag, 0, AnyKind)
	}
	c.enqueue(r, tag, len(requests), AnyKind)
	return nil
}

// SendUntimed sends a request whose reply may take any time: a blocking one. The
// connection must carry no other.
func (c *Conn) SendUntimed(request []byte, r Receiver, tag uint32) *Failure {
	f := c.Send(request, r, tag)
	if f == nil {
		c.deadline.Stop()
		c.untimed = true
	}
	return f
}

// Reserve returns a buffer with room for a request of n bytes, to append it
// to and hand back with Commit. If it returns a failure, there is no buffer.
func (c *Conn) Reserve(n int) ([]byte, *Failure) {
	if c.state == ready {
		return c.conn.Reserve(n), nil
	}
	if f := c.buffer(nil); f != nil {
		return nil, f
	}
	if n > cap(c.buffered)-len(c.buffered) {
		c.buffered = c.loop.Grow(c.buffered, n)
	}
	return c.buffered, nil
}

// Commit sends the request that was appended to b, which Reserve returned, and whose
// reply is of the given kinds.
func (c *Conn) Commit(b []byte, r Receiver, tag uint32, kinds Kinds) {
	if c.state == ready {
		c.noteUnsent()
		size := c.conn.Commit(b)
		if c.redirector != nil {
			c.sent.add(c.loop, b[len(b)-size:])
		}
		c.enqueue(r, tag, size, kinds)
		return
	}
	size := len(b) - len(c.buffered)
	c.buffered = b
	c.enqueue(r, tag, size, kinds)
}

// noteUnsent remembers which request is the first in the output. It is called
// before one is appended.
func (c *Conn) noteUnsent() {
	if c.conn.Waiting() == 0 {
		c.unsentFrom = c.queue.tail
	}
}

func (c *Conn) enqueue(r Receiver, tag uint32, size int, kinds Kinds) {
	c.queue.push(entry{receiver: r, at: c.loop.Now()&^kindBits | int64(kinds|c.alsoAllowed), tag: tag, size: uint32(size)})
	if c.cfg.Timeout > 0 && !c.deadline.Armed() {
		c.deadline.After(c.cfg.Timeout)
	}
	if !c.checking {
		c.scheduleCheck()
	}
}

// hold keeps a request until there is a connection, and sees to that.
func (c *Conn) buffer(request []byte) *Failure {
	switch c.state {
	case down:
		if !c.awaitsSuspend {
			return c.refuse()
		}
	case suspended:
		return c.refuse()
	case idle:
		c.connect()
		if c.state == suspended || c.state == down && c.redirector == nil {
			return c.refuse()
		}
		// Where it was put off, who has sent this could not know: it waits for the attempt.
	}
	if len(request) > cap(c.buffered)-len(c.buffered) {
		c.buffered = c.loop.Grow(c.buffered, len(request))
	}
	c.buffered = append(c.buffered, request...)
	return nil
}

// refuse is the failure of requests while none is taken.
func (c *Conn) refuse() *Failure {
	if c.refusal != nil {
		return &Failure{Cause: c.refusal}
	}
	return c.failure(cmp.Or(c.downCause, ErrSuspended))
}

// connect starts an attempt; connected is told of its result. If it is not yet time
// for one, the connection is down afterwards.
func (c *Conn) connect() {
	if !c.mayDial() {
		return
	}
	c.awaitsSuspend = false
	c.dial(c, c.connected)
}

func (c *Conn) connected(err error) {
	if err != nil {
		c.attempts.ended.Add(1)
		c.attemptFailed(err)
		return
	}
	c.conn.PeerIsServer()
	c.streaming = false
	if !c.cfg.hasHandshake() && c.cfg.TLS == nil && !(c.pingFirst && c.cfg.PingAfterLoss) {
		c.open()
		return
	}
	c.startHandshake()
}

// open lets the requests that were held go out.
func (c *Conn) open() {
	c.state = ready
	c.pingFirst = false
	c.attempts.Reset()
	c.handshakeAttempts.Reset()
	c.downCause = nil
	defer c.handshakeEnded(nil)
	c.unsentFrom, c.answerable = c.queue.head, c.queue.head
	if len(c.buffered) > 0 {
		c.conn.Append(c.buffered)
	}
	if c.repliesHeld {
		c.conn.Pause()
	}
	if c.redirector != nil {
		c.sent.add(c.loop, c.buffered)
	}
	c.loop.Release(c.buffered)
	c.buffered = nil
	if c.fullUntilRenewed {
		c.Renew()
	}
	if c.redirector != nil {
		c.redirector.Opened(c)
	}
	c.wake()
}

// attemptDue is called when it is time to try again, or to give up trying.
func (c *Conn) attemptDue() {
	switch c.state {
	case ready:
		if c.renewing {
			c.lost(fmt.Errorf("renewed: %w", ErrTimeout))
			return
		}
		c.Close() // retired
	case down:
		c.connect()
	case handshaking:
		c.disconnect()
		c.attemptFailed(fmt.Errorf("handshake: %w", ErrTimeout))
	}
}

// attemptFailed refuses requests until the next attempt, which comes by itself:
// a server that is down costs a client an error at once, not a timeout.
func (c *Conn) attemptFailed(err error) {
	defer func() { c.handshakeEnded(c.failure(err)) }()
	defer c.passBarriers()
	if c.cfg.Once {
		a := c.attemptsFor(err)
		if failing, _ := a.state(); !failing || errors.Is(err, ErrTurnedAway) {
			a.fail(c.loop.Now(), err)
		}
		c.state = suspended
		c.failBuffered(err)
		c.obs.Failed(err)
		return
	}
	c.state, c.pingFirst = down, true
	c.downCause = c.outage(err)
	c.attempt.After(c.attemptsFor(err).fail(c.loop.Now(), err))
	c.awaitsSuspend = !isLocal(err) && c.obs.Failed(err)
	if c.redirector != nil {
		c.redirector.Down(c, err)
	}
	if !c.awaitsSuspend {
		c.failBuffered(err)
	}
}

// outage returns why requests fail after an attempt that failed, and perhaps others
// before.
func (c *Conn) outage(err error) error {
	var last *Outage
	switch {
	case isLocal(err):
		return err
	case errors.As(c.downCause, &last):
		return &Outage{err, last.Since}
	}
	return &Outage{err, time.Now()}
}

// Suspend closes the connection and refuses requests until Restore. Those in
// flight fail.
func (c *Conn) Suspend() { c.SuspendFor(ErrSuspended) }

// SuspendFor is Suspend with the cause of the failures, which is ErrSuspended to
// errors.Is.
func (c *Conn) SuspendFor(why error) {
	if c.state == suspended {
		return
	}
	c.downCause = why
	wasReady := c.state == ready
	log := c.sent
	unwritten := c.disconnect()
	c.attempt.Stop()
	c.state, c.awaitsSuspend = suspended, false
	defer func() { c.handshakeEnded(c.failure(why)) }()
	defer c.passBarriers()
	defer c.failBuffered(why)
	if wasReady {
		defer log.release(c.loop)
		c.failSent(c.splitSent(unwritten), why, &log)
	}
}

// Restore ends Suspend: the next request makes a connection.
func (c *Conn) Restore() {
	if c.state == suspended {
		c.state, c.downCause = idle, nil
	}
}

// Close closes the connection for good; requests in flight fail.
func (c *Conn) Close() {
	c.Suspend()
	c.deadline.Stop()
	c.checkTimer.Stop()
	c.checking = false
}

// EOF is eventloop.Handler's.
func (c *Conn) EOF() { c.lost(io.EOF) }

// Closed is eventloop.Handler's.
func (c *Conn) Closed(err error) { c.lost(err) }

// Drained is eventloop.Handler's.
func (c *Conn) Drained() { c.wake() }

// lost handles the end of the connection. Requests of which a byte was written
// fail; the others go out over a new connection. A server that closes while
// nothing is in flight has done no wrong: Redis does so with idle clients.
func (c *Conn) lost(err error) {
	c.attempts.ended.Add(1)
	wasReady := c.state == ready
	log := c.sent
	unwritten := c.disconnect()
	if !wasReady {
		c.attemptFailed(fmt.Errorf("handshake: %w", err))
		return
	}
	c.state = idle
	if c.cfg.Once || c.retired {
		c.state = suspended
		c.attempt.Stop()
	}
	sent := c.splitSent(unwritten)
	ours := errors.Is(err, eventloop.ErrPanicked) // and none of the server's fault
	c.pingFirst = c.pingFirst || (len(sent) > 0 || !c.answered) && !ours
	defer c.afterFailures(&log)
	defer c.failSent(sent, err, &log)
	leaving := false
	if err != errMarkerRefused && !isStall(err) && !ours && (len(sent) > 0 || !eventloop.IsOrderly(err)) {
		leaving = c.obs.Failed(err)
	}
	switch {
	case c.state == suspended:
		c.failBuffered(err)
	case c.queue.len() == 0:
		c.fullUntilRenewed = false
	case !leaving:
		c.connect()
	}
}

// settleAfter does what is due after requests have failed, even if one of those who
// were told has panicked.
func (c *Conn) afterFailures(log *sentLog) {
	log.release(c.loop)
	defer c.wake() // no reply is going to come and do that
	c.passBarriers()
}

// failSent fails requests that were sent, but for reads that can be sent again.
func (c *Conn) failSent(sent []entry, err error, log *sentLog) {
	again, requests := c.resendable(sent, log)
	failEntries(sent[:len(sent)-len(again)], &Failure{Cause: err, Sent: true, Server: c.cfg.Name})
	c.giveBack(again, err, requests)
}

// disconnect closes the socket and returns the bytes of requests that it has not
// taken, in a buffer for Loop.Release.
func (c *Conn) disconnect() (unwritten []byte) {
	if c.conn == nil {
		return nil
	}
	unwritten = c.conn.TakeUnwritten()
	if c.state != ready { // it is the handshake's
		c.loop.Release(unwritten)
		unwritten = nil
	}
	c.hangUp()
	if c.renewing {
		c.renewing = false
		c.attempt.Stop()
	}
	return unwritten
}

// broken handles a server that does not keep to the protocol.
func (c *Conn) broken(err error) {
	c.lost(fmt.Errorf("%w: %w", ErrProtocol, err))
}

// wake tells the waiters, if there is room again by a margin.
func (c *Conn) wake() {
	if len(c.waiters) == 0 || c.gate == Shut || c.renewing || c.queue.len() > c.cfg.MaxRequests/2 ||
		c.cfg.MaxReplies > 0 && c.expected.bytes > c.cfg.MaxReplies/2 ||
		c.state == ready && c.conn.Waiting() > c.cfg.MaxBytes/2 || c.state < ready && len(c.buffered) > c.cfg.MaxBytes/2 {
		return
	}
	c.wakeAll()
}

func (c *Conn) wakeAll() {
	waiters := c.waiters
	c.waiters = nil
	for _, w := range waiters {
		w.ConnReady()
	}
}
