package pipeline

import (
	"bytes"
	crand "crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
)

// Replies are matched with requests by their position alone, so a reply too many
// goes to somebody else's request. What a script replies is made by a client,
// and there are servers that let it end the reply and begin another one
// (CVE-2025-67733). A fence finds that out: an ECHO of a random number behind the
// script, before whose answer nothing that follows is delivered to anybody.

// ErrMarker tells that a server gave more replies than it was sent requests, or
// fewer. It counts as a breach of the protocol.
var ErrMarker = errors.New("what follows a script's reply is not what was asked for next")

// errFenceState tells the same of a server whose state forbids ECHO, so that
// nothing is known about it.
var errMarkerRefused = errors.New("the server refuses ECHO for now, so what follows a script's reply can't be trusted")

const (
	nonceSize   = 16 // bytes
	echoHead    = "*2\r\n$4\r\nECHO\r\n"
	nameOffset  = len("*2\r\n$4\r\n")
	echoReply   = "$32\r\n"
	nonceOffset = len(echoHead) + len(echoReply)
	echoSize    = nonceOffset + 2*nonceSize + len("\r\n")
)

// spareFences is how many fences that were answered a connection keeps.
const spareMarkers = 64

// fence is the Receiver of an ECHO, or of a PING where ECHO is refused.
type marker struct {
	c       *Conn
	late    bool          // its time is over; the answer must be right all the same
	trusted bool          // no script is before it whose own fence has not passed
	command markerCommand // how it was sent
	// request is the ECHO, whose last argument is spelt as its reply will be.
	request [echoSize]byte
}

// fencing is what a connection needs for fences.
type connMarkers struct {
	random     *rand.ChaCha8 // what nobody can guess; nil until the first fence
	spare      []*marker
	unanswered int // fences whose answer is to come
}

// SendMarked is Send for a request whose reply can't be trusted to end where it
// should: a script's. The fence takes a place of its own in the queue.
func (c *Conn) SendMarked(request []byte, r Receiver, tag uint32) *Failure {
	c.ProbeMarkerSupport()
	f := c.Send(request, r, tag)
	if f == nil {
		c.SendMarker()
	}
	return f
}

// Fence has the server prove, after its reply to the last request that was sent,
// that it has not lost count. A connection does so by itself now and then while it
// is in use, see Config.ReplyCheck: a server that once leaves a reply out, or gives
// one twice, would otherwise go on giving each request the reply of another. At a
// server that refuses all that could prove it, the connection is made anew when
// what is in flight was answered, and takes no request until then.
func (c *Conn) SendMarker() {
	if c.support.command() == noMarker {
		c.fullUntilRenewed = !c.cfg.Once
		c.Renew()
		return
	}
	c.appendMarker(false)
}

// AskMarking finds out what the server permits for markers, if nobody has yet. It is
// for before a request that Fence is called behind: what comes in the place of that
// fence's answer need not be the server's.
func (c *Conn) ProbeMarkerSupport() {
	if way := c.support.command(); way == echoUntried || way == pingUntried {
		c.appendMarker(true)
	}
}

func (c *Conn) appendMarker(trusted bool) {
	f := c.newMarker()
	f.trusted = trusted
	c.markers.unanswered++
	if c.Send(f.request[:], f, 0) != nil {
		f.recycle() // what it was to fence has failed, or will
	}
}

// newFence returns a fence with a nonce of its own: what was used once may have
// been seen by others, in SLOWLOG say.
func (c *Conn) newMarker() *marker {
	fs := &c.markers
	if fs.random == nil {
		var seed [32]byte
		crand.Read(seed[:])
		fs.random = rand.NewChaCha8(seed)
	}
	var f *marker
	if last := len(fs.spare) - 1; last >= 0 {
		f = fs.spare[last]
		fs.spare = fs.spare[:last]
	} else {
		f = &marker{c: c}
		copy(f.request[:], echoHead+echoReply)
		copy(f.request[echoSize-2:], "\r\n")
	}
	var nonce [nonceSize]byte
	binary.NativeEndian.PutUint64(nonce[:8], fs.random.Uint64())
	binary.NativeEndian.PutUint64(nonce[8:], fs.random.Uint64())
	hex.Encode(f.request[nonceOffset:], nonce[:])
	f.late = false
	f.command = c.support.command()
	copy(f.request[nameOffset:], f.command.name())
	return f
}

// Reply is Receiver's: what stands where the answer to ECHO should.
func (f *marker) Reply(_ uint32, b []byte, last bool) {
	c := f.c
	if f.late {
		c.inTime = false // nobody was served by this
	}
	passed := last && bytes.Equal(b, f.request[len(echoHead):])
	// Redis quotes the arguments of a command that it does not know, so that the
	// refusal of one that was renamed proves as much as its answer.
	quoted := last && bytes.HasPrefix(b, []byte(unknownCommand)) && bytes.Contains(b, f.request[nonceOffset:][:2*nonceSize])
	trusted, way := f.trusted, f.command
	if last {
		f.recycle()
	}
	switch {
	case passed && trusted:
		c.support.permitted(way)
	case passed:
	case quoted, trusted && last && refusesMarkerForGood(b):
		if c.support.refused(way) {
			c.obs.Failed(&MarkerError{Command: way.name(), Instead: c.support.command().name(), Reply: string(bytes.TrimSpace(b))})
		}
	case last && mayRefuseMarker(b):
		c.lost(errMarkerRefused)
	default:
		c.broken(ErrMarker)
	}
}

// OnlyFences tells whether nothing is in flight but fences, one at least.
func (c *Conn) OnlyMarkers() bool {
	return c.markers.unanswered > 0 && c.markers.unanswered == c.queue.len()
}

func isMarker(r Receiver) bool {
	_, ok := r.(*marker)
	return ok
}

// isMarkerOf reports whether r is the marker that belongs to the request before it, by
// Fence, and not one that a connection sends by itself.
func marksRequest(r Receiver) bool {
	f, ok := r.(*marker)
	return ok && !f.trusted
}

// fenceIsNext reports whether the request that was answered last was fenced.
func (c *Conn) answeredWasMarked() bool {
	return c.queue.len() > 0 && marksRequest(c.queue.at(c.queue.head).receiver)
}

// isFenceAhead tells whether b is the answer to a fence that stands behind a request
// without a reply: the server has left that request's out.
func (c *Conn) answersLaterMarker(b []byte) bool {
	if len(b) != len(echoReply)+2*nonceSize+len("\r\n") || !bytes.HasPrefix(b, []byte(echoReply)) || isMarker(c.queue.at(c.queue.head).receiver) {
		return false
	}
	for pos := c.queue.head + 1; pos != c.queue.tail; pos++ {
		if f, ok := c.queue.at(pos).receiver.(*marker); ok {
			return bytes.Equal(b, f.request[len(echoHead):])
		}
	}
	return false
}

// Fail is Receiver's.
func (f *marker) Fail(uint32, *Failure, []byte) { f.recycle() }

func (f *marker) recycle() {
	fs := &f.c.markers
	fs.unanswered--
	if len(fs.spare) < spareMarkers {
		fs.spare = append(fs.spare, f)
	}
}

// refusesEcho tells whether a reply is one that a server in good health may give
// to ECHO: while a script runs for too long, before the data is there, or to a user
// who may not. A
// script can make it up, so it proves nothing; but it is no breach either.
func mayRefuseMarker(b []byte) bool {
	for _, code := range []string{"-BUSY ", "-LOADING ", "-MASTERDOWN ", "-NOPERM ", unknownCommand} {
		if bytes.HasPrefix(b, []byte(code)) {
			return true
		}
	}
	return false
}
