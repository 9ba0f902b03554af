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
	"ringway/stats"
	"ringway/tlsrelay"
)

// Receiver gets the outcome of a request. Both methods are called on the loop, and exactly one of
// them ends a request. Sending a request may fail others, so they may be called from within Send,
// but not for the request that is being sent.
type Receiver interface {
	// Reply is given the reply to the request that was sent with tag; a large reply comes in parts,
	// and last marks the final one. b has at least one byte, but a part may end anywhere: only the
	// first byte of the first part tells the type of the reply. b is valid only during the call.
	Reply(tag uint32, b []byte, last bool)

	// Fail reports that no reply, or not the rest of it, will come. If the request was not sent,
	// request is its bytes, valid only during the call; else it is nil.
	Fail(tag uint32, f *Failure, request []byte)
}

// Waiter is woken when a connection that was Full has room again.
type Waiter interface {
	// ConnReady is called once for each Conn.Wait, on the loop. It must not send from within the
	// call: it defers that (eventloop.Loop.Defer).
	ConnReady()
}

// Observer gets what a connection learns of its server's health. It is called on the loop, from
// within Conn's methods as well.
type Observer interface {
	Succeeded() // the server answered something

	// Failed reports that a connection attempt, a connection or a request failed. It returns
	// whether Suspend will follow at once. If so, requests that were not sent are kept until then,
	// since other servers will own their keys.
	Failed(err error) (suspends bool)

	// Complained is given an error reply of the server, valid only during the call. Errors that a
	// script replies are left out: the client made them, not the server.
	Complained(reply []byte)
}

// Config describes a connection. It is not changed while in use.
type Config struct {
	Network, Addr string // as for net.Dial: "tcp" or "unix"
	Name          string // for clients, as Failure.Server
	ClientName    string // for the server, as its CLIENT LIST shows the connection; "" for none. A server may refuse it

	// TLS, if not nil, makes the connection speak TLS. It is called for each attempt, on the
	// dialing goroutine.
	TLS func() (*tls.Config, error)

	Protocol resp.Protocol // of the replies
	Auth     []string      // arguments of AUTH on every new connection: a password, or a user and a password, of which each may be empty; nil for no AUTH
	DB       int           // for SELECT on every new connection; 0 for none
	SelectAs []string      // arguments of an AUTH before SELECT, for a user who may SELECT; nil if the user of Auth may

	Timeout        time.Duration // from Send to the reply; 0 means none
	ConnectTimeout time.Duration // for one attempt, handshake included
	KeepAlive      bool          // SO_KEEPALIVE

	// ReadsOnly says that the connection carries only requests that read. Such a request may be
	// executed twice, so one whose reply was lost is given to Redirector.Unsent.
	ReadsOnly bool
	// Replica sends READONLY on every new connection, so that a replica of a Cluster answers reads.
	Replica bool

	// Attempts is shared by all connections to the server; nil if this is the only one.
	Attempts *Attempts
	// PingAfterLoss sends PING first on a connection that follows one which was lost or could not
	// be made. No request is written before the reply: something may accept connections in front of
	// a dead server.
	PingAfterLoss bool

	// ReplyCheck is how often a connection in use, unless it is Once, sends a marker. 0 means
	// never, and then replies are not checked by their Kinds either.
	ReplyCheck time.Duration
	// MarkerSupport is shared by all connections of the user to the server; nil if this is the only
	// one.
	MarkerSupport *MarkerSupport

	// Once makes the connection end for good when it is lost, because the server's state of it,
	// such as WATCH, is lost too.
	Once bool

	MaxRequests int // requests awaiting replies at which Full reports true
	MaxBytes    int // unwritten bytes at which Full reports true
	MaxReplies  int // expected bytes of replies at which RepliesFull reports true; 0 for no bound

	Replies resp.ReplyLimits
}

// target returns where and how to connect.
func (cfg *Config) target() eventloop.Target {
	t := eventloop.Target{Network: cfg.Network, Addr: cfg.Addr, Timeout: cfg.ConnectTimeout, KeepAlive: cfg.KeepAlive}
	if cfg.TLS != nil {
		t.Wrap = tlsrelay.Wrap(cfg.Addr, cfg.TLS)
	}
	return t
}

// hasHandshake reports whether the configuration needs requests before the first one of a client's.
func (cfg *Config) hasHandshake() bool {
	return cfg.Protocol != resp.RESP2 || cfg.Auth != nil || cfg.DB != 0 || cfg.Replica
}

// auth returns the AUTH request.
func (cfg *Config) auth() [][]byte { return authRequest(cfg.Auth) }

func authRequest(credentials []string) [][]byte {
	args := [][]byte{[]byte("AUTH")}
	for _, arg := range credentials {
		args = append(args, []byte(arg))
	}
	return args
}

// state is where a Conn or a Link stands. Of a Conn:
//
//	state        socket    a request is             left by
//	idle         none      buffered; starts dialing Send, Connect: dialing (down if attempts have to wait)
//	dialing      none yet  buffered                 connected: handshaking, or ready if there is no handshake;
//	                                                failed: down (Once: suspended)
//	handshaking  open      buffered                 all replies are good: ready; refused, late or lost: down
//	                                                (Once: suspended); Renew: dialing
//	ready        open      written                  lost: idle, and on to dialing if requests wait (Once, or
//	                                                retired: suspended); turned away: down; Renew, once all
//	                                                replies have come: dialing
//	down         none      refused, but buffered    the attempt timer: dialing
//	                       while awaitsSuspend
//	suspended    none      refused                  Restore: idle
//
// From each of them Suspend, Retire (from ready once all replies have come) and Close lead to
// suspended, and GiveUp leads from the first four to idle.
//
// What else bears on a Conn, in any state:
//
//	gate              Open, ReadsOnly or Shut: which requests Full lets pass
//	renewing          ready: takes no requests until those in flight are answered and it connects anew
//	fullUntilRenewed  the same after a script without a marker: nothing may follow it on this connection
//	retired           takes no requests, and is suspended when those in flight are answered
//	stale             Once: Renew was called; it is not to be lent again
//	repliesHeld       replies are not read and nothing times out, until ReleaseReplies or GiveUp
//	acks.acker        replies wait until replicas have acknowledged what came before (replicaacks.go)
//	reviewing         replies to what was in flight at ReviewReplies go to the Redirector first
//	refusal           suspended by Refuse: every request fails with it
//	untimed           the request in flight may take any time
//
// Link has a table of its own.
type state uint8

const (
	idle        state = iota
	dialing           // an attempt to connect is under way
	handshaking       // connected; AUTH, HELLO and SELECT are not yet answered
	ready
	down      // the last attempt failed; another follows
	suspended // the pool says that the server is down, or the connection has ended for good
)

const (
	// grace is how long a retired connection waits for replies, at least.
	grace = time.Second

	// streamFrom is how much of an incomplete reply must have arrived for it
	// to be passed on in parts rather than read again when it is complete.
	streamFrom = 16 << 10
)

// Conn is a persistent connection to one server, which comes back by itself. Make it with New.
// See state for what it does when. It belongs to its loop.
type Conn struct {
	link // whose attempt timer also bounds the handshake, Renew and Retire

	stats *stats.Server // what the connection counts in, with others of the loop; nil to count nothing

	// The requests in flight.
	queue      queue
	expected   expected
	buffered   []byte // bytes of the queued requests while the connection is not ready
	streaming  bool   // the oldest request's reply was passed on in part
	unsentFrom uint32 // position of the first entry of which nothing was written, if output waits and is not stalled
	answerable uint32 // position behind the last entry that may be answered by what was just read

	// Their replies and timeouts.
	answering     Receiver // whose Reply is being called; known after a panic, see Abandon
	inTime        bool     // what was just read answered a request that had not timed out
	unexpiredFrom uint32   // position of the first entry that has not timed out
	deadline      *eventloop.Timer
	reviewing     bool   // replies to what was in flight at ReviewReplies are offered to the Redirector
	reviewedTo    uint32 // position behind that
	lastTimeout   int64  // when a timeout last counted as a failure
	lastRead      int64  // when a part of a large reply last arrived
	untimed       bool   // what is in flight may take any time
	repliesHeld   bool   // see HoldReplies
	acks          replicaAcks
	timeoutsFrom  int64 // no request times out before that

	// Connecting and the handshake.
	attempts          *Attempts // of the server
	handshakeAttempts Attempts  // those that ended with a refused handshake: of this connection alone
	handshakeLeft     int       // replies to the handshake that are to come; while ready, only that to CLIENT SETNAME
	naming            bool      // that is one of them, the last
	onHandshake       []func(f *Failure)
	pingFirst         bool  // the last connection was lost, or could not be made; see Config.PingAfterLoss
	awaitsSuspend     bool  // down: Suspend will follow, until when requests are buffered
	downCause         error // down or suspended: what requests fail with; nil for ErrSuspended
	refusal           error // after Refuse

	// Checks that the connection is alive, and markers; see liveness.go and marker.go.
	checkTimer  *eventloop.Timer
	checkDue    int64 // when it is to fire
	checking    bool  // it is armed
	lastMarker  int64 // when check last sent a marker
	markers     connMarkers
	support     *MarkerSupport
	alsoAllowed Kinds // kinds that every reply may have: all, if replies are not checked

	// Who waits, and how the connection is to end.
	gate             Gate
	waiters          []Waiter
	barriers         []barrier
	fullUntilRenewed bool // it carries a script that nothing may follow
	retired          bool // no request is taken any more; closed when all are answered
	renewing         bool // the same, but then it connects anew
	stale            bool // with Once: Renew was called

	// With a Redirector.
	redirector Redirector
	sent       sentLog

	// ServerID is the server's number for the connection, as CLIENT ID reports it; whoever has
	// asked for it sets it. It is of use only with Config.Once.
	ServerID int64
}

// New returns a connection that is made when the first request is sent. It reads cfg as long as it
// lives. Obs must not be nil.
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

// CountIn makes the connection count in s, which belongs to the loop. Call it before the connection
// is used.
func (c *Conn) CountIn(s *stats.Server) { c.stats = s }

// Connect starts to connect now instead of at the first request.
func (c *Conn) Connect() {
	if c.state == idle {
		c.connect()
	}
}

// InFlight returns how many requests await their replies, markers included.
func (c *Conn) InFlight() int { return c.queue.len() }

// WaitingSince returns when the oldest request that awaits its reply was sent, as
// eventloop.Loop.Now; 0 if there is none or the connection is not ready.
func (c *Conn) WaitingSince() int64 {
	if c.state != ready || c.queue.len() == 0 {
		return 0
	}
	return c.queue.at(c.queue.head).at
}

// Unwritten returns how many bytes of requests the kernel has not taken yet.
func (c *Conn) Unwritten() int {
	if c.state == ready {
		return c.conn.Waiting()
	}
	return len(c.buffered)
}

// Connected reports whether there is a connection over which requests are sent.
func (c *Conn) Connected() bool { return c.state == ready }

// Up reports whether requests would be sent or buffered rather than refused.
func (c *Conn) Up() bool { return c.state < down }

// Full reports whether the connection should be sent nothing for now: it has reached one of its
// bounds, its gate is not Open, or it is about to be replaced. A caller that sends all the same
// exceeds the bound, and nothing worse happens. Wait tells when there is room.
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

// Wait makes the connection call w.ConnReady once when it is no longer Full, with some margin.
func (c *Conn) Wait(w Waiter) { c.waiters = append(c.waiters, w) }

// Send appends one request, whose bytes are copied, to the output that is written at the end of the
// turn. r then gets its reply or failure, with tag. If Send returns a failure, the request was
// refused and r is not called.
func (c *Conn) Send(request []byte, r Receiver, tag uint32) *Failure {
	return c.SendKind(request, r, tag, AnyKind)
}

// SendKind is Send for a request whose reply must be of the given kinds.
func (c *Conn) SendKind(request []byte, r Receiver, tag uint32, kinds Kinds) *Failure {
	if c.state == ready {
		c.noteUnsent()
		c.conn.Write(request)
	}
	if c.state != ready {
		// Not connected, or the write of this request has just failed: none of it has left.
		if f := c.buffer(request); f != nil {
			return f
		}
	} else if c.redirector != nil {
		c.sent.add(c.loop, request)
	}
	c.enqueue(r, tag, len(request), kinds)
	return nil
}

// SendUnit sends several requests that belong together, such as MULTI to EXEC, and that get the
// given number of replies. They are written to one connection or to none. r gets every reply with
// tag, or every request's failure.
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
	// The last entry has the size of all, so that splitSent finds all of them on the same side.
	for range replies - 1 {
		c.enqueue(r, tag, 0, AnyKind)
	}
	c.enqueue(r, tag, len(requests), AnyKind)
	return nil
}

// SendUntimed sends a request whose reply may take any time: a blocking one. The connection must
// carry no other.
func (c *Conn) SendUntimed(request []byte, r Receiver, tag uint32) *Failure {
	f := c.Send(request, r, tag)
	if f == nil {
		c.deadline.Stop()
		c.untimed = true
	}
	return f
}

// Reserve returns a buffer with room for a request of n bytes, to append the request to and to hand
// back with Commit. If it returns a failure, there is no buffer and no Commit must follow.
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

// Commit sends the request that was appended to b, which Reserve returned. The rest is as for
// SendKind.
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

// noteUnsent records which request is the first in the output. Call it before appending one.
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

// buffer keeps a request until there is a connection, and starts to connect if necessary.
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
		// If the attempt has to wait, the sender could not know that: the request waits with it.
	}
	if len(request) > cap(c.buffered)-len(c.buffered) {
		c.buffered = c.loop.Grow(c.buffered, len(request))
	}
	c.buffered = append(c.buffered, request...)
	return nil
}

// refuse returns the failure of a request that is not taken.
func (c *Conn) refuse() *Failure {
	if c.refusal != nil {
		return &Failure{Cause: c.refusal}
	}
	return c.failure(cmp.Or(c.downCause, ErrSuspended))
}

// connect starts an attempt, which ends in connected. If another attempt may not be made yet, the
// connection is down afterwards.
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
		if c.stats != nil {
			c.stats.ConnectFails++
			if isTimeout(err) {
				c.stats.ConnectTimeouts++
			}
		}
		c.attemptFailed(err)
		return
	}
	c.conn.PeerIsServer()
	if c.stats != nil {
		c.stats.Connects++
		c.conn.CountWritten(&c.stats.BytesOut)
	}
	c.streaming = false
	c.acks.forget()
	c.naming, c.handshakeLeft = false, 0
	if !c.cfg.hasHandshake() && c.cfg.TLS == nil && !(c.pingFirst && c.cfg.PingAfterLoss) {
		c.appendName()
		c.open()
		return
	}
	c.startHandshake()
}

// open makes the connection ready and writes the buffered requests.
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

// attemptDue is called by the attempt timer: it is time to connect again, or something has taken
// too long.
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

// attemptFailed refuses requests until the next attempt, which the timer starts: a server that is
// down costs a client an error at once, not a timeout.
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

// outage returns the cause with which requests fail after an attempt that failed with err. It keeps
// the time since when attempts have been failing.
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

// Suspend closes the connection and refuses requests until Restore. Requests in flight fail.
func (c *Conn) Suspend() { c.SuspendFor(ErrSuspended) }

// SuspendFor is Suspend with the cause of the failures, for which errors.Is(cause, ErrSuspended)
// must hold.
func (c *Conn) SuspendFor(cause error) {
	if c.state == suspended {
		return
	}
	c.downCause = cause
	wasReady := c.state == ready
	log := c.sent
	unwritten := c.disconnect()
	c.attempt.Stop()
	c.state, c.awaitsSuspend = suspended, false
	defer func() { c.handshakeEnded(c.failure(cause)) }()
	defer c.passBarriers()
	defer c.failBuffered(cause)
	if wasReady {
		defer log.release(c.loop)
		c.failSent(c.splitSent(unwritten), cause, &log)
	}
}

// Restore ends Suspend: the next request makes a connection.
func (c *Conn) Restore() {
	if c.state == suspended {
		c.state, c.downCause = idle, nil
	}
}

// Close closes the connection for good. Requests in flight fail.
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

// wake calls the Waiters if there is room again, by a margin, so that they are not woken for a
// single request.
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
