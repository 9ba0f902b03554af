package eventloop

import (
	"io"
	"syscall"
)

// Cipher encrypts what a connection's handler writes and decrypts what the peer sends: TLS, for
// instance. The loop calls it, so it must not block, and it is used by one loop at a time.
// Package tlsconn has one. ADR 0043 says why a loop drives it itself.
type Cipher interface {
	// Open decrypts the records of sealed that are complete. It appends what they hold to plain,
	// and what the cipher itself has to say to the peer to out.
	Open(plain, sealed, out []byte) Opened

	// Seal appends records with the bytes of plain to out. After an error nothing more can be
	// written.
	Seal(out, plain []byte) ([]byte, error)

	// End appends to out the record that says that nothing follows, the first time that it is
	// called. Nothing is sealed after it.
	End(out []byte) []byte
}

// Opened is the result of Cipher.Open.
type Opened struct {
	Plain, Out []byte // the slices that Open was given, appended to
	Done       int    // how many bytes of sealed are done with
	Err        error  // io.EOF behind the peer's last record; another error if nothing more can be understood
}

// secured is the encrypted side of a connection that has a Cipher.
type secured struct {
	cipher Cipher
	in     []byte // a record that has come in part
	out    []byte // records to be written, from outOff
	outOff int
	plain  int // how many bytes of the handler's are in them
}

const (
	// sealAtOnce is the most output that is encrypted before the kernel has taken it: seven of
	// TLS's records, which fit into a buffer of 128 KiB.
	sealAtOnce = 7 << 14
	// recordExtra is room for what a record adds to the bytes in it.
	recordExtra = 64
	// maxRecord is the most bytes that a record of a peer may have, and a little more.
	maxRecord = 20 << 10
)

// secure makes the connection one with a cipher. input are bytes that were read already.
func (c *Conn) secure(cipher Cipher, input []byte) {
	c.secured = &secured{cipher: cipher}
	if len(input) > 0 {
		c.secured.in = append(c.loop.bufs.get(len(input)), input...)
	}
}

// plainBuf returns the buffer for what is decrypted, which all connections of the loop share.
func (l *Loop) plainBuf() []byte {
	if l.plain == nil {
		l.plain = make([]byte, 0, requestsSize+maxRecord)
	}
	return l.plain
}

// readSealed reads behind the part of a record that has come.
func (c *Conn) readSealed() {
	b := c.loop.readBuf[:requestsSize]
	before := copy(b, c.secured.in)
	n, err := read(c.fd, b[before:])
	if n <= 0 {
		c.ended(n, err)
		return
	}
	c.dropSealedIn()
	c.openSealed(b[:before+n])
}

func (c *Conn) dropSealedIn() {
	if s := c.secured; s.in != nil {
		c.loop.bufs.put(s.in)
		s.in = nil
	}
}

// openSealed decrypts b and gives the handler what was in it, also if the connection is paused: it
// was read, so nothing would report it again.
func (c *Conn) openSealed(b []byte) {
	s := c.secured
	had := cap(s.out)
	o := s.cipher.Open(c.loop.plainBuf(), b, s.out)
	c.setSealed(o.Out, had)
	b = b[o.Done:]
	if c.readsMuch = len(b) > 0; c.readsMuch && o.Err == nil {
		s.in = append(c.loop.bufs.get(len(b)), b...)
	}
	if len(o.Plain) > 0 {
		c.deliverOpened(o.Plain)
	}
	switch {
	case c.fd < 0:
	case o.Err == nil:
		if c.sealedWaiting > 0 && !c.dirty {
			c.markDirty()
		}
	case o.Err == io.EOF:
		c.eof = true
		c.arm()
		c.h.EOF()
	default:
		if c.sealedWaiting > 0 {
			write(c.fd, s.out[s.outOff:]) // why, as far as the peer can be told
		}
		c.fail(o.Err)
	}
}

// deliverOpened gives the handler b, behind the bytes that it has left.
func (c *Conn) deliverOpened(b []byte) {
	if c.Unread() == 0 {
		c.deliverPlain(b)
		return
	}
	for len(b) > 0 {
		n := copy(c.roomToRead(), b)
		c.in = c.in[:len(c.in)+n]
		c.noteFilled()
		b = b[n:]
	}
	if !c.paused {
		c.deliver()
	}
}

// setSealed makes b, which may have been appended to, the records to be written. had is the
// capacity that is counted as lent.
func (c *Conn) setSealed(b []byte, had int) {
	s := c.secured
	c.loop.bufs.lent += cap(b) - had
	s.out = b
	c.sealedWaiting = len(b) - s.outOff
}

// seal encrypts b behind the records that wait. An error ends the connection with the next event.
func (c *Conn) seal(b []byte) {
	s := c.secured
	if s.out == nil {
		s.out = c.loop.bufs.get(len(b) + recordExtra*(1+len(b)>>14))
	}
	had := cap(s.out)
	out, err := s.cipher.Seal(s.out, b)
	c.setSealed(out, had)
	s.plain += len(b)
	if err != nil {
		syscall.Shutdown(c.fd, syscall.SHUT_RDWR)
	}
}

// sealOutput encrypts the oldest output, unless there are records that were not written.
func (c *Conn) sealOutput() {
	if c.sealedWaiting > 0 {
		return
	}
	for c.out != nil && c.sealedWaiting < sealAtOnce {
		b := c.firstBlock()
		b = b[:min(len(b), sealAtOnce)]
		if len(b) > 0 {
			c.seal(b)
		}
		c.outOff += len(b)
		if len(c.blocks) > 0 {
			c.freeWritten()
		}
		if c.unsealed() == 0 {
			c.dropWritten()
		}
	}
}

// nextWrite returns what is to be written next, in one piece.
func (c *Conn) nextWrite() []byte {
	if c.secured == nil {
		return c.firstBlock()
	}
	c.sealOutput()
	return c.secured.out[c.secured.outOff:]
}

// writeSealed is writeOut for a connection with a cipher.
func (c *Conn) writeSealed() bool {
	for c.Waiting() > 0 {
		n, err := write(c.fd, c.nextWrite())
		if err != nil && !transient(err) {
			c.fail(err)
			return false
		}
		if c.noteSealed(max(n, 0)); c.sealedWaiting > 0 {
			c.stall()
			return false
		}
	}
	return true
}

// noteSealed removes n bytes from the records to be written.
func (c *Conn) noteSealed(n int) {
	s := c.secured
	if n > 0 {
		// What is counted is what the handler has written, without what the cipher adds.
		plain := int(int64(s.plain) * int64(n) / int64(c.sealedWaiting))
		s.plain -= plain
		c.countWritten(plain)
	}
	s.outOff += n
	if c.sealedWaiting -= n; c.sealedWaiting == 0 {
		c.dropSealed()
	}
}

func (c *Conn) dropSealed() {
	s := c.secured
	c.loop.bufs.put(s.out)
	s.out, s.outOff, s.plain, c.sealedWaiting = nil, 0, 0, 0
}

// writeThrough is Write for a connection with a cipher: what the kernel takes is encrypted without
// being copied first.
func (c *Conn) writeThrough(b []byte) {
	if c.stalled || c.Waiting() > 0 && !c.writeOut() {
		if c.fd >= 0 {
			c.appendOrShare(b)
		}
		return
	}
	for len(b) > 0 {
		n := min(len(b), sealAtOnce)
		c.seal(b[:n])
		b = b[n:]
		if !c.writeSealed() {
			if c.fd >= 0 && len(b) > 0 {
				c.appendOrShare(b)
			}
			return
		}
	}
}

// endSealed writes as much of the output as the kernel takes, and behind all of it that nothing
// follows.
func (c *Conn) endSealed() {
	if c.stalled {
		return
	}
	for c.Waiting() > 0 {
		n, _ := write(c.fd, c.nextWrite())
		if c.noteSealed(max(n, 0)); c.sealedWaiting > 0 {
			return
		}
	}
	if b := c.secured.cipher.End(nil); len(b) > 0 {
		write(c.fd, b)
	}
}

// releaseSealed gives the buffers back.
func (c *Conn) releaseSealed() {
	if c.secured != nil {
		c.dropSealedIn()
		c.dropSealed()
	}
}

// leftInput delivers what was read from a socket before a loop had it.
type leftInput struct{ conn *Conn }

// RunDeferred implements Deferred.
func (d leftInput) RunDeferred() {
	c := d.conn
	if c.fd < 0 {
		return
	}
	l := c.loop
	l.progress.conn = c // whom a panic ends
	if s := c.secured; s == nil {
		c.Redeliver()
	} else if len(s.in) > 0 {
		b := append(l.readBuf[:0], s.in...)
		c.dropSealedIn()
		c.openSealed(b)
	}
	l.progress.conn = nil
}
