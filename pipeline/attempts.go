package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Attempts is what the connections to one server, on all loops, know of failed attempts to connect.
// They back off together: else each of them would go on asking a server that is full, or something
// that accepts in front of a dead one. The zero value is ready for use, and any goroutine may use
// it.
type Attempts struct {
	// Jitter returns a duration from 0 to most, for tests that must not depend on chance; nil for a
	// random one. It is not changed once in use.
	Jitter func(most time.Duration) time.Duration

	mu      sync.Mutex
	backoff time.Duration // 0 unless the last attempt has failed
	until   int64         // before that no attempt is to be made, as eventloop.Loop.Now
	failed  int64         // when the last attempt that counted has failed
	cause   error         // of that

	ended atomic.Uint32
}

// Ends returns how many connections the server has closed or not accepted. While the number stays
// the same, no connection was lost, so the server is the process that it was.
func (a *Attempts) Ends() uint32 { return a.ended.Load() }

// ServerLife is a time in which a server has lost no connection, so that it still has what it was
// given, such as scripts. Lives are compared; the zero value is no server's.
type ServerLife struct {
	server *Attempts
	ends   uint32
}

// ServerLife returns the present life of the server to which the connection is, or is to be made.
// It begins anew, for all loops, when one of them has lost a connection to the server.
func (c *Conn) ServerLife() ServerLife { return ServerLife{c.attempts, c.attempts.Ends()} }

const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = time.Second

	// sameFailure is how close together failed attempts of several connections count as one
	// failure.
	sameFailure = firstBackoff / 2
)

// claim returns how long the next attempt has to wait, and why. 0 means that the caller may make it
// now; other connections then wait for its result.
func (a *Attempts) claim(now int64) (wait time.Duration, cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.backoff == 0 {
		return 0, nil
	}
	if now < a.until {
		return time.Duration(a.until - now), a.cause
	}
	a.postpone(now)
	return 0, a.cause
}

// fail records a failed attempt and returns how long the next one has to wait.
func (a *Attempts) fail(now int64, cause error) (wait time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.backoff == 0 || now-a.failed >= int64(sameFailure) {
		a.backoff = min(max(2*a.backoff, firstBackoff), lastBackoff)
		a.failed, a.cause = now, cause
		a.postpone(now)
	}
	return time.Duration(max(a.until-now, 1))
}

// postpone sets when the next attempt may be made, with jitter so that many proxies do not connect
// at the same moment. The caller holds a.mu.
func (a *Attempts) postpone(now int64) {
	jitter := rand.N[time.Duration]
	if a.Jitter != nil {
		jitter = a.Jitter
	}
	a.until = now + int64(a.backoff/2+jitter(a.backoff/2))
}

// Reset forgets the failures: the server has answered.
func (a *Attempts) Reset() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.backoff, a.until, a.failed, a.cause = 0, 0, 0, nil
}

// state reports whether the last attempt has failed, and whether the server was full then.
func (a *Attempts) state() (failing, full bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.backoff > 0, errors.Is(a.cause, ErrTurnedAway)
}

// ErrTurnedAway is the cause when a server accepts no more clients, or not this one: it has read
// nothing of what it was sent.
var ErrTurnedAway = errors.New("the server turned the connection away")

// turnAwayTexts begin what a server sends to a connection that it closes without reading: when it
// has too many clients, or is in protected mode.
var turnAwayTexts = [][]byte{[]byte("-ERR max number of clients"), []byte("-DENIED ")}

// turnsAway returns an error if a first reply turns the connection away, else nil.
func turnsAway(reply []byte) error {
	for _, text := range turnAwayTexts {
		if bytes.HasPrefix(reply, text) {
			return fmt.Errorf("%w: %s", ErrTurnedAway, bytes.TrimSpace(reply[1:min(len(reply), 100)]))
		}
	}
	return nil
}

// maxTurnAwayLine bounds the line that must be complete before it is judged: the one of protected
// mode has some 900 bytes.
const maxTurnAwayLine = 2048

// checkFirstReply looks at the first bytes of a connection's first reply. It reports false if more
// of them must come first, or if the server has turned the connection away.
func (c *Conn) checkFirstReply(b []byte) bool {
	if b[0] == '-' {
		eol := bytes.IndexByte(b, '\n')
		if eol < 0 && len(b) < maxTurnAwayLine {
			return false
		}
		if err := turnsAway(b); err != nil {
			c.turnedAway(err)
			return false
		}
	}
	c.answered = true
	return true
}

// turnedAway handles a connection that its server has closed without reading. Requests that were
// written were not executed; only with a Redirector are their bytes still there to be sent again.
func (c *Conn) turnedAway(err error) {
	if c.state != ready {
		c.loop.Release(c.disconnect())
		c.attemptFailed(err)
		return
	}
	log := c.sent
	unwritten := c.disconnect()
	if c.redirector != nil {
		c.sent = sentLog{}
		c.buffered = append(c.loop.Buffer(len(log.buf)-log.off), log.buf[log.off:]...)
		log.release(c.loop)
		c.loop.Release(unwritten)
		c.attemptFailed(err)
		return
	}
	sent := c.splitSent(unwritten)
	defer failEntries(sent, c.failure(err))
	c.attemptFailed(err)
}

// backOff refuses requests until the next attempt is due, after one of any connection to the server
// has failed with cause.
func (c *Conn) backOff(wait time.Duration, cause error) {
	c.downCause = c.outage(cause)
	defer func() { c.handshakeEnded(c.failure(c.downCause)) }()
	defer c.passBarriers()
	if c.cfg.Once {
		c.state = suspended
		c.failBuffered(cause)
		return
	}
	again := c.state == down
	c.state = down
	c.attempt.After(wait)
	if c.redirector != nil && !again {
		c.redirector.Down(c, cause)
	}
	c.failBuffered(cause)
}

// mayDial reports whether to attempt a connection now; if not, it has called backOff. A client with
// a dedicated connection (Once) may always try, except at a server that is full.
func (c *Conn) mayDial() bool {
	for _, a := range []*Attempts{&c.handshakeAttempts, c.attempts} {
		failing, full := a.state()
		c.pingFirst = c.pingFirst || failing
		if !failing || c.cfg.Once && !full {
			continue
		}
		if wait, cause := a.claim(c.loop.Now()); wait > 0 {
			c.backOff(wait, cause)
			return false
		}
	}
	return true
}

// attemptsFor returns who keeps count of a failed attempt. A refused user, database or protocol
// does not concern connections with another.
func (c *Conn) attemptsFor(err error) *Attempts {
	if errors.Is(err, ErrHandshake) {
		return &c.handshakeAttempts
	}
	return c.attempts
}
