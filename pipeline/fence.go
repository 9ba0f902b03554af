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
var errFenceState = errors.New("the server refuses ECHO for now, so what follows a script's reply can't be trusted")

const (
	nonceSize  = 16 // bytes
	echoHead   = "*2\r\n$4\r\nECHO\r\n"
	wordPlace  = len("*2\r\n$4\r\n")
	echoReply  = "$32\r\n"
	noncePlace = len(echoHead) + len(echoReply)
	echoSize   = noncePlace + 2*nonceSize + len("\r\n")
)

// spareFences is how many fences that were answered a connection keeps.
const spareFences = 64

// fence is the Receiver of an ECHO, or of a PING where ECHO is refused.
type fence struct {
	c       *Conn
	late    bool    // its time is over; the answer must be right all the same
	trusted bool    // no script is before it whose own fence has not passed
	way     marking // how it was sent
	// request is the ECHO, whose last argument is spelt as its reply will be.
	request [echoSize]byte
}

// fencing is what a connection needs for fences.
type fencing struct {
	random *rand.ChaCha8 // what nobody can guess; nil until the first fence
	spare  []*fence
	open   int // fences whose answer is to come
}

// SendMarked is Send for a request whose reply can't be trusted to end where it
// should: a script's. The fence takes a place of its own in the queue.
func (c *Conn) SendMarked(request []byte, r Receiver, tag uint32) *Failure {
	c.AskMarking()
	f := c.Send(request, r, tag)
	if f == nil {
		c.Fence()
	}
	return f
}

// Fence has the server prove, after its reply to the last request that was sent,
// that it has not lost count. A connection does so by itself now and then while it
// is in use, see Config.ReplyCheck: a server that once leaves a reply out, or gives
// one twice, would otherwise go on giving each request the reply of another. At a
// server that refuses all that could prove it, the connection is made anew when
// what is in flight was answered, and takes no request until then.
func (c *Conn) Fence() {
	if c.markers.way() == unmarked {
		c.lone = !c.cfg.Once
		c.Renew()
		return
	}
	c.sendMarker(false)
}

// AskMarking finds out what the server permits for markers, if nobody has yet. It is
// for before a request that Fence is called behind: what comes in the place of that
// fence's answer need not be the server's.
func (c *Conn) AskMarking() {
	if way := c.markers.way(); way == echoUntried || way == pingUntried {
		c.sendMarker(true)
	}
}

func (c *Conn) sendMarker(trusted bool) {
	f := c.newFence()
	f.trusted = trusted
	c.fences.open++
	if c.Send(f.request[:], f, 0) != nil {
		f.recycle() // what it was to fence has failed, or will
	}
}

// newFence returns a fence with a nonce of its own: what was used once may have
// been seen by others, in SLOWLOG say.
func (c *Conn) newFence() *fence {
	fs := &c.fences
	if fs.random == nil {
		var seed [32]byte
		crand.Read(seed[:])
		fs.random = rand.NewChaCha8(seed)
	}
	var f *fence
	if last := len(fs.spare) - 1; last >= 0 {
		f = fs.spare[last]
		fs.spare = fs.spare[:last]
	} else {
		f = &fence{c: c}
		copy(f.request[:], echoHead+echoReply)
		copy(f.request[echoSize-2:], "\r\n")
	}
	var nonce [nonceSize]byte
	binary.NativeEndian.PutUint64(nonce[:8], fs.random.Uint64())
	binary.NativeEndian.PutUint64(nonce[8:], fs.random.Uint64())
	hex.Encode(f.request[noncePlace:], nonce[:])
	f.late = false
	f.way = c.markers.way()
	copy(f.request[wordPlace:], f.way.word())
	return f
}

// Reply is Receiver's: what stands where the answer to ECHO should.
func (f *fence) Reply(_ uint32, b []byte, last bool) {
	c := f.c
	if f.late {
		c.inTime = false // nobody was served by this
	}
	passed := last && bytes.Equal(b, f.request[len(echoHead):])
	// Redis quotes the arguments of a command that it does not know, so that the
	// refusal of one that was renamed proves as much as its answer.
	quoted := last && bytes.HasPrefix(b, []byte(unknownCommand)) && bytes.Contains(b, f.request[noncePlace:][:2*nonceSize])
	trusted, way := f.trusted, f.way
	if last {
		f.recycle()
	}
	switch {
	case passed && trusted:
		c.markers.works(way)
	case passed:
	case quoted, trusted && last && refusesMarkers(b):
		if c.markers.refused(way) {
			c.obs.Failed(&MarkerError{Word: way.word(), Left: c.markers.way().word(), Reply: string(bytes.TrimSpace(b))})
		}
	case last && refusesEcho(b):
		c.lost(errFenceState)
	default:
		c.broken(ErrMarker)
	}
}

// OnlyFences tells whether nothing is in flight but fences, one at least.
func (c *Conn) OnlyFences() bool { return c.fences.open > 0 && c.fences.open == c.queue.len() }

func isFence(r Receiver) bool {
	_, ok := r.(*fence)
	return ok
}

// isMarkerOf reports whether r is the marker that belongs to the request before it, by
// Fence, and not one that a connection sends by itself.
func isMarkerOf(r Receiver) bool {
	f, ok := r.(*fence)
	return ok && !f.trusted
}

// fenceIsNext reports whether the request that was answered last was fenced.
func (c *Conn) fenceIsNext() bool {
	return c.queue.len() > 0 && isMarkerOf(c.queue.at(c.queue.head).receiver)
}

// isFenceAhead tells whether b is the answer to a fence that stands behind a request
// without a reply: the server has left that request's out.
func (c *Conn) isFenceAhead(b []byte) bool {
	if len(b) != len(echoReply)+2*nonceSize+len("\r\n") || !bytes.HasPrefix(b, []byte(echoReply)) || isFence(c.queue.at(c.queue.head).receiver) {
		return false
	}
	for pos := c.queue.head + 1; pos != c.queue.tail; pos++ {
		if f, ok := c.queue.at(pos).receiver.(*fence); ok {
			return bytes.Equal(b, f.request[len(echoHead):])
		}
	}
	return false
}

// Fail is Receiver's.
func (f *fence) Fail(uint32, *Failure, []byte) { f.recycle() }

func (f *fence) recycle() {
	fs := &f.c.fences
	fs.open--
	if len(fs.spare) < spareFences {
		fs.spare = append(fs.spare, f)
	}
}

// refusesEcho tells whether a reply is one that a server in good health may give
// to ECHO: while a script runs for too long, before the data is there, or to a user
// who may not. A
// script can make it up, so it proves nothing; but it is no breach either.
func refusesEcho(b []byte) bool {
	for _, code := range []string{"-BUSY ", "-LOADING ", "-MASTERDOWN ", "-NOPERM ", unknownCommand} {
		if bytes.HasPrefix(b, []byte(code)) {
			return true
		}
	}
	return false
}
