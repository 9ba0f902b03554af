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

// Attempts is what the connections to one server, on all loops, know of attempts
// to connect that have failed, so that they back off together: else a server that
// is full, or something that accepts in front of one that is dead, is asked by each
// of them. The zero value is ready for use, and any goroutine may use it.
type Attempts struct {
	// Jitter returns a part of a time, for tests that leave nothing to chance; nil for one
	// at random. It is not changed once in use.
	Jitter func(most time.Duration) time.Duration

	mu      sync.Mutex
	backoff time.Duration // 0 while the last attempt has not failed
	until   int64         // before that nobody is to try, as eventloop.Loop.Now
	failed  int64         // when the last attempt that counted has failed
	cause   error         // of that

	ended atomic.Uint32
}

// Ends is how many connections the server has ended, or not let be made: while it stays
// the same, the server is the one that it was.
func (a *Attempts) Ends() uint32 { return a.ended.Load() }

const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = time.Second

	// sameFailure is how close together attempts of several connections that fail
	// are one failure of their server.
	sameFailure = firstBackoff / 2
)

// claim reports how long the next attempt has to wait, and why; 0 if it may be made
// now, and then others are to wait for what comes of it.
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

// fail notes that an attempt has failed, and reports how long the next has to wait.
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

// postpone has the next attempt wait, with jitter so that proxies do not all come
// at one moment. The caller holds a.mu.
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

// state reports whether the last attempt has failed, and whether the server was
// full then.
func (a *Attempts) state() (failing, full bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.backoff > 0, errors.Is(a.cause, ErrTurnedAway)
}

// ErrTurnedAway tells that a server takes no more clients, or not this one: it has
// read nothing of what it was sent.
var ErrTurnedAway = errors.New("the server turned the connection away")

// doorWords begin what a server says to a connection that it closes unheard: when
// it has too many clients, or is in protected mode.
var turnAwayTexts = [][]byte{[]byte("-ERR max number of clients"), []byte("-DENIED ")}

// turnsAway returns the error if a first reply turns the connection away, else nil.
func turnsAway(reply []byte) error {
	for _, word := range turnAwayTexts {
		if bytes.HasPrefix(reply, word) {
			return fmt.Errorf("%w: %s", ErrTurnedAway, bytes.TrimSpace(reply[1:min(len(reply), 100)]))
		}
	}
	return nil
}

// maxDoorLine bounds the line that is waited for to see what it says: the one of
// protected mode has some 900 bytes.
const maxTurnAwayLine = 2048

// met looks at the first bytes of a connection's first reply. It reports false if
// more of them must come first, or if the server has turned the connection away.
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

// turnedAway handles a connection that its server has closed unheard. Requests that
// were written were not executed, but without a Redirector their bytes are gone.
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

// putOff refuses requests until it is time for the next attempt, of any connection
// to the server, after one that has failed because of cause.
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

// mayTry reports whether the connection may be attempted now. If not, it has been
// put off. One that a client has to itself is the client's to try, but not at a
// server that is full.
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

// failedBy is who is to know of an attempt that failed: that a server refuses a
// user, a database or a protocol is no concern of those who come with another.
func (c *Conn) attemptsFor(err error) *Attempts {
	if errors.Is(err, ErrHandshake) {
		return &c.handshakeAttempts
	}
	return c.attempts
}
