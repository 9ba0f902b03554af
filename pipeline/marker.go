package pipeline

import (
	"bytes"
	crand "crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
)

// A server's replies are matched with requests by position alone, so one reply too many goes to
// somebody else's request. A client decides what a script replies, and some servers let a script
// end its reply and begin another one (CVE-2025-67733). A marker detects that: an ECHO of a random
// number behind the script. Nothing that follows the script's reply is delivered before the ECHO
// has been answered correctly. ADR 0011 has the reasons and the costs.

// ErrMarker is the cause when a server gave more replies than it was sent requests, or fewer. It is
// a breach of the protocol.
var ErrMarker = errors.New("the server lost count of its replies: one that is not a marker's stands in its position")

// errMarkerRefused is the cause when a server's state forbids ECHO, so that nothing is known about
// its replies.
var errMarkerRefused = errors.New("the server refuses ECHO for now, so its replies can't be checked")

const (
	nonceSize   = 16 // bytes
	echoHead    = "*2\r\n$4\r\nECHO\r\n"
	nameOffset  = len("*2\r\n$4\r\n")
	echoReply   = "$32\r\n"
	nonceOffset = len(echoHead) + len(echoReply)
	echoSize    = nonceOffset + 2*nonceSize + len("\r\n")
)

// spareMarkers is how many answered markers a connection keeps for reuse.
const spareMarkers = 64

// marker is the Receiver of an ECHO, or of a PING where ECHO is refused.
type marker struct {
	c       *Conn
	late    bool          // it has timed out; the answer must be right all the same
	trusted bool          // no script is before it whose own marker is not answered yet
	command markerCommand // how it was sent
	// request is the ECHO, whose last argument is spelt as its reply will be.
	request [echoSize]byte
}

// connMarkers is a connection's own state for markers.
type connMarkers struct {
	random     *rand.ChaCha8 // of nonces, which clients must not guess; nil until the first marker
	spare      []*marker
	unanswered int // markers whose answer is to come
}

// SendMarked is Send for a request whose reply may not end where it should: a script's. It sends a
// marker behind the request, which takes a position of its own in the queue.
func (c *Conn) SendMarked(request []byte, r Receiver, tag uint32) *Failure {
	c.ProbeMarkerSupport()
	f := c.Send(request, r, tag)
	if f == nil {
		c.SendMarker()
	}
	return f
}

// SendMarker makes the server prove, after its reply to the last request that was sent, that it has
// not lost count. A connection in use also does this by itself every Config.ReplyCheck: a server
// that once omits a reply, or gives one twice, would otherwise give each later request the reply of
// another.
//
// Where the server refuses every marker command, the connection takes no more requests, and is
// replaced once all requests in flight are answered.
func (c *Conn) SendMarker() {
	if c.support.command() == noMarker {
		c.fullUntilRenewed = !c.cfg.Once
		c.Renew()
		return
	}
	c.appendMarker(false)
}

// ProbeMarkerSupport finds out which marker command the server permits, if no connection knows yet.
// Call it before sending a request that SendMarker is to follow: what comes in the position of that
// marker's answer may be the script's and proves nothing.
func (c *Conn) ProbeMarkerSupport() {
	if command := c.support.command(); command == echoUntried || command == pingUntried {
		c.appendMarker(true)
	}
}

func (c *Conn) appendMarker(trusted bool) {
	m := c.newMarker()
	m.trusted = trusted
	c.markers.unanswered++
	if c.Send(m.request[:], m, 0) != nil {
		m.recycle() // the request before it has failed, or will
	}
}

// newMarker returns a marker with a new nonce. A nonce is used once, since others may see it
// afterwards, in SLOWLOG for instance.
func (c *Conn) newMarker() *marker {
	own := &c.markers
	if own.random == nil {
		var seed [32]byte
		crand.Read(seed[:])
		own.random = rand.NewChaCha8(seed)
	}
	var m *marker
	if last := len(own.spare) - 1; last >= 0 {
		m = own.spare[last]
		own.spare = own.spare[:last]
	} else {
		m = &marker{c: c}
		copy(m.request[:], echoHead+echoReply)
		copy(m.request[echoSize-2:], "\r\n")
	}
	var nonce [nonceSize]byte
	binary.NativeEndian.PutUint64(nonce[:8], own.random.Uint64())
	binary.NativeEndian.PutUint64(nonce[8:], own.random.Uint64())
	hex.Encode(m.request[nonceOffset:], nonce[:])
	m.late = false
	m.command = c.support.command()
	copy(m.request[nameOffset:], m.command.name())
	return m
}

// Reply is Receiver's. It is given whatever stands in the position of the marker's answer.
func (m *marker) Reply(_ uint32, b []byte, last bool) {
	c := m.c
	if m.late {
		c.inTime = false // a late answer is no sign of health
	}
	passed := last && bytes.Equal(b, m.request[len(echoHead):])
	// Redis quotes the arguments of a command that it does not know, so the refusal of a renamed
	// command proves as much as its answer.
	quoted := last && bytes.HasPrefix(b, []byte(unknownCommand)) && bytes.Contains(b, m.request[nonceOffset:][:2*nonceSize])
	trusted, command := m.trusted, m.command
	if last {
		m.recycle()
	}
	switch {
	case passed && trusted:
		c.support.permitted(command)
	case passed:
	case quoted, trusted && last && refusesMarkerForGood(b):
		if c.support.refused(command) {
			c.obs.Failed(&MarkerError{Command: command.name(), Instead: c.support.command().name(), Reply: string(bytes.TrimSpace(b))})
		}
	case last && mayRefuseMarker(b):
		c.lost(errMarkerRefused)
	default:
		c.broken(ErrMarker)
	}
}

// OnlyMarkers reports whether at least one marker is in flight and nothing else is.
func (c *Conn) OnlyMarkers() bool {
	return c.markers.unanswered > 0 && c.markers.unanswered == c.queue.len()
}

func isMarker(r Receiver) bool {
	_, ok := r.(*marker)
	return ok
}

// marksRequest reports whether r is a marker that SendMarker sent behind a request, and not one
// that the connection sends by itself.
func marksRequest(r Receiver) bool {
	m, ok := r.(*marker)
	return ok && !m.trusted
}

// answeredWasMarked reports whether a marker follows the request that was answered last.
func (c *Conn) answeredWasMarked() bool {
	return c.queue.len() > 0 && marksRequest(c.queue.at(c.queue.head).receiver)
}

// answersLaterMarker reports whether b answers a marker while the oldest request is not a marker:
// the server has omitted that request's reply.
func (c *Conn) answersLaterMarker(b []byte) bool {
	if len(b) != len(echoReply)+2*nonceSize+len("\r\n") || !bytes.HasPrefix(b, []byte(echoReply)) || isMarker(c.queue.at(c.queue.head).receiver) {
		return false
	}
	for pos := c.queue.head + 1; pos != c.queue.tail; pos++ {
		if m, ok := c.queue.at(pos).receiver.(*marker); ok {
			return bytes.Equal(b, m.request[len(echoHead):])
		}
	}
	return false
}

// Fail is Receiver's.
func (m *marker) Fail(uint32, *Failure, []byte) { m.recycle() }

func (m *marker) recycle() {
	own := &m.c.markers
	own.unanswered--
	if len(own.spare) < spareMarkers {
		own.spare = append(own.spare, m)
	}
}

// mayRefuseMarker reports whether a healthy server may answer a marker with this error: while a
// script runs for too long, while it loads its data, or to a user without the permission. A script
// can make such a reply up, so it proves nothing; but it is no breach of the protocol either.
func mayRefuseMarker(b []byte) bool {
	for _, code := range []string{"-BUSY ", "-LOADING ", "-MASTERDOWN ", "-NOPERM ", unknownCommand} {
		if bytes.HasPrefix(b, []byte(code)) {
			return true
		}
	}
	return false
}
