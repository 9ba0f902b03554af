package eventloop

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
)

// Handler gets a connection's bytes and its end. It is always called on the loop's goroutine.
type Handler interface {
	// Data is given all bytes that wait to be handled, oldest first, and returns how many of them
	// it is done with. The rest is presented again, followed by more. b is valid only during the
	// call.
	Data(b []byte) (n int)

	// EOF is called when the peer has ended its side, and after Data was given all bytes. The
	// connection can still be written to; the handler closes it when it is done.
	EOF()

	// Closed is called when the connection has failed and is closed. TakeUnwritten still returns
	// what was not written. Closed is not called after Close.
	Closed(err error)

	// Drained is called when output that the peer did not take at first has left completely.
	Drained()
}

// Conn is a buffered non-blocking connection of one loop. Output is collected and written at the
// end of the turn. It belongs to the loop's goroutine.
type Conn struct {
	// Static, but fd is -1 once the connection is closed.
	loop  *Loop
	h     Handler
	fd    int
	relay Relay // stands between fd and the peer; nil if nothing does

	secured *secured // its encrypted side; nil without a Cipher

	// Input that the handler has left.
	in    []byte // from inOff; nil when there is none
	inOff int

	// Output that is to be written: the blocks, then out.
	out        []byte   // nil when there is no output; from outOff if there are no blocks
	outOff     int      // in the first block, or in out, of the first byte that is not written
	outCap     int      // capacity of the last out, to start the next one with
	blocks     [][]byte // before out, oldest first
	blocksSize int      // bytes in blocks
	wrote      uint64   // bytes that the kernel has taken so far
	wroteTo    *uint64  // counts them as well, for several connections; nil for nothing
	notCounted int      // so many of them are yet to be left out of that

	sealedWaiting int // bytes of encrypted output that wait before all that; see secured

	// State of the input and the output. All flags stand together, since connections are many.
	inHandler bool  // the handler is being given bytes of in
	inShared  bool  // an output has come to share in's buffer
	readsMuch bool  // the last read would have filled a part of the loop's read buffer
	dirty     bool  // in loop.dirty or loop.dirtyServers
	delayed   bool  // output was delayed at the end of the last turn
	stalledAt int64 // when stalled was last set, as Loop.Now
	stalled   bool  // the peer did not take all output; waiting for writability

	// What the handler has said: see PeerIsServer, Urgent, MoreComing and Pause.
	toServer bool
	urgent   bool
	more     bool
	paused   bool

	// The peer's end, and the poller.
	eof       bool     // the peer has ended its side, and all was read
	peerEnded bool     // the peer was seen to end its side while the connection was paused
	armed     interest // what the poller reports
}

// Attach makes a connection of fd, a non-blocking connected socket which the
// loop now owns, and starts to read from it.
func (l *Loop) Attach(fd int, h Handler) (*Conn, error) {
	c := &Conn{loop: l, h: h, fd: fd, armed: readable}
	if err := l.poll.add(fd, c.armed); err != nil {
		return nil, err
	}
	for fd >= len(l.conns) {
		l.conns = append(l.conns, nil)
	}
	l.conns[fd] = c
	l.openConns++
	return c, nil
}

// Close closes the connection at once and drops what was not written. It may be called twice, and
// from the connection's own handler, whose bytes stay valid until it returns.
func (c *Conn) Close() {
	if c.fd < 0 {
		return
	}
	if c.secured != nil && c.Waiting() == 0 {
		c.endSealed()
	}
	closeFD(c.forget())
	c.releaseBuffers()
}

// forget removes the connection from the loop.
func (c *Conn) forget() (fd int) {
	fd = c.fd
	c.fd = -1
	c.loop.conns[fd] = nil
	c.loop.openConns--
	if c.urgent {
		c.loop.urgentConns--
	}
	if c.relay != nil {
		c.relay.LoopClosed()
	}
	return fd
}

func (c *Conn) releaseBuffers() {
	c.dropIn(c.inHandler)
	c.dropOut()
	c.releaseSealed()
}

// PeerIsServer says that the peer answers what it is sent. Its output is written after the
// clients', so that more of the servers' replies have arrived by the next poll, and it is read with
// the whole read buffer. Once fullOutput bytes wait, they are written after the current event, so
// that the server begins while the loop handles the next one.
func (c *Conn) PeerIsServer() { c.toServer = true }

// Urgent makes the loop handle the connection before all others that are ready at the same time,
// and read it with the whole read buffer. It is for a peer that drops what is not read in time.
func (c *Conn) Urgent() {
	if !c.urgent && c.fd >= 0 {
		c.urgent = true
		c.loop.urgentConns++
	}
}

// fullOutput is how much output for a server is written before the end of the turn. Redis reads as
// much at once before it answers (PROTO_IOBUF_LEN), so a larger write saves neither side a system
// call.
const fullOutput = 16 << 10

// maxDelayed is the most output that may be delayed: more is worth a write.
const maxDelayed = 16 << 10

// MoreComing says whether the handler will soon add to the output. While it will, output may be
// delayed to the end of the next turn, which begins within a millisecond, and leave together with
// what that turn adds.
func (c *Conn) MoreComing(more bool) { c.more = more }

// delayOutput reports whether the output waits for the next turn's.
func (c *Conn) delayOutput() bool {
	c.delayed = c.more && !c.delayed && !c.stalled && c.Waiting() > 0 && c.Waiting() < maxDelayed
	return c.delayed
}

// Open reports whether the connection has not been closed.
func (c *Conn) Open() bool { return c.fd >= 0 }

// FD returns the connection's descriptor, for socket options; -1 when closed.
func (c *Conn) FD() int { return c.fd }

// Peer returns the IP address of the peer, or of the peer behind a Relay; the zero Addr if it has
// none.
func (c *Conn) Peer() netip.Addr {
	if c.relay != nil {
		ap, _ := netip.ParseAddrPort(c.relay.Conn().RemoteAddr().String())
		return ap.Addr().Unmap()
	}
	if c.fd < 0 {
		return netip.Addr{}
	}
	switch a, _ := syscall.Getpeername(c.fd); a := a.(type) {
	case *syscall.SockaddrInet4:
		return netip.AddrFrom4(a.Addr)
	case *syscall.SockaddrInet6:
		return netip.AddrFrom16(a.Addr).Unmap()
	}
	return netip.Addr{}
}

// Waiting returns how many bytes of output wait to be written.
func (c *Conn) Waiting() int { return c.unsealed() + c.sealedWaiting }

// unsealed is Waiting without what is encrypted.
func (c *Conn) unsealed() int { return c.blocksSize + len(c.out) - c.outOff }

// Written returns how many bytes of the handler's the kernel has taken so far. Of encrypted ones it is
// their share of what the kernel has taken.
func (c *Conn) Written() uint64 { return c.wrote }

// Output returns how many bytes the handler has written so far, whether or not the kernel has taken them.
func (c *Conn) Output() uint64 {
	n := c.wrote + uint64(c.unsealed())
	if c.secured != nil {
		n += uint64(c.secured.plain)
	}
	return n
}

// CountWritten has the bytes that the kernel takes from now on added to *total as well, which belongs
// to the loop.
func (c *Conn) CountWritten(total *uint64) { c.wroteTo = total }

// NotCounted leaves the next n bytes that the kernel takes out of CountWritten's total.
func (c *Conn) NotCounted(n int) { c.notCounted = n }

func (c *Conn) countWritten(n int) {
	c.wrote += uint64(n)
	if c.notCounted > 0 {
		left := max(c.notCounted-n, 0)
		n -= c.notCounted - left
		c.notCounted = left
	}
	if c.wroteTo != nil {
		*c.wroteTo += uint64(n)
	}
}

// StalledAt returns when the peer has last begun not to take all that was written to it, as Loop.Now.
func (c *Conn) StalledAt() int64 { return c.stalledAt }

// Stalled reports whether the peer has not taken all that was written to it.
func (c *Conn) Stalled() bool { return c.stalled }

// Unread returns how many bytes were read that the handler has left.
func (c *Conn) Unread() int { return len(c.in) - c.inOff }

// Append copies b to the output, which is written at the end of the turn.
func (c *Conn) Append(b []byte) {
	switch {
	case len(b) <= cap(c.out)-len(c.out):
		c.out = append(c.out, b...)
	case len(c.out)+len(b) > blockSize:
		c.appendBlocks(b)
	default:
		c.growOut(len(b))
		c.out = append(c.out, b...)
	}
	if !c.dirty {
		c.markDirty()
	}
}

// Reserve returns the output buffer with room for at least n more bytes. The caller appends to it
// and hands it back with Commit, before anything else is done with the connection.
func (c *Conn) Reserve(n int) []byte {
	switch {
	case n <= cap(c.out)-len(c.out):
	case len(c.out)+n > blockSize:
		c.noteFull(n)
		c.pushOut()
		c.out = c.loop.bufs.get(max(n, blockSize))
	default:
		c.growOut(n)
	}
	return c.out
}

// Commit takes b, which is what Reserve returned with bytes appended, and returns how many bytes
// were appended.
func (c *Conn) Commit(b []byte) (n int) {
	n = len(b) - len(c.out)
	c.loop.bufs.lent += cap(b) - cap(c.out) // the caller has grown the buffer
	c.out = b
	if !c.dirty {
		c.markDirty()
	}
	return n
}

func (c *Conn) markDirty() {
	if c.fd < 0 {
		return
	}
	c.dirty = true
	if c.toServer {
		c.loop.dirtyServers = append(c.loop.dirtyServers, c)
		return
	}
	c.loop.dirty = append(c.loop.dirty, c)
}

func (c *Conn) growOut(n int) {
	if c.out == nil {
		c.out = c.loop.bufs.get(max(n, c.outCap))
		return
	}
	if len(c.blocks) == 0 && c.outOff > 0 && c.outOff >= len(c.out)/2 {
		c.out = c.out[:copy(c.out, c.out[c.outOff:])]
		c.outOff = 0
		if n <= cap(c.out)-len(c.out) {
			return
		}
	}
	c.noteFull(n)
	c.out = c.loop.bufs.grow(c.out, n)
}

// directWrite is the size from which on a system call of its own costs less than copying the bytes
// to the output buffer and from there to the kernel.
const directWrite = 16 << 10

// Write is Append for bytes that may be many. directWrite bytes or more are given to the kernel at
// once, after what waits already, and only what it does not take is kept. Even that is not copied
// if b is large input that the handler of another connection is being given.
func (c *Conn) Write(b []byte) {
	if len(b) < directWrite {
		c.Append(b)
		return
	}
	if c.secured != nil {
		c.writeThrough(b)
		return
	}
	if c.stalled || c.Waiting() > 0 && !c.writeOut() {
		if c.fd >= 0 {
			c.appendOrShare(b)
		}
		return
	}
	n, err := write(c.fd, b)
	if err != nil && err != syscall.EAGAIN {
		c.fail(err)
		return
	}
	c.countWritten(max(n, 0))
	if n < len(b) {
		c.appendOrShare(b[max(n, 0):])
		c.stall() // another write in this turn would take nothing
	}
}

// stall waits for the poller to say that the peer takes more.
func (c *Conn) stall() {
	if !c.stalled {
		c.stalled, c.stalledAt = true, c.loop.Now()
		c.arm()
	}
}

// TakeUnwritten returns the output that is not written, in a buffer that the caller owns and may
// give to Loop.Release. The output is empty then.
func (c *Conn) TakeUnwritten() []byte {
	if c.out == nil {
		return nil
	}
	if len(c.blocks) > 0 {
		return c.takeBlocks()
	}
	out := c.out[:copy(c.out, c.out[c.outOff:])]
	c.out, c.outOff = nil, 0
	return out
}

// Pause stops reading until Resume: Data is not called.
func (c *Conn) Pause() {
	c.paused = true
	c.arm()
}

// Resume goes on reading. It does not present bytes that the handler has left: see Redeliver.
func (c *Conn) Resume() {
	c.paused = false
	c.arm()
}

// Paused reports whether Pause was called and Resume was not.
func (c *Conn) Paused() bool { return c.paused }

// Redeliver calls the handler's Data with the bytes that it left, if any. It is for a handler that
// can go on now; do not call it from Data.
func (c *Conn) Redeliver() {
	if c.Unread() > 0 {
		c.deliver()
	}
}

// deliver gives the handler what waits in the connection's own buffer. If the connection ends
// meanwhile, the buffer is not lent to others yet: the handler may still be using the bytes.
func (c *Conn) deliver() {
	before := c.loop.inHandler
	c.inHandler, c.loop.inHandler = true, c
	n := c.h.Data(c.in[c.inOff:])
	c.inHandler, c.loop.inHandler = false, before
	c.consume(n)
	if c.inShared {
		c.moveInput()
	}
}

// ready handles what the poller reported.
func (c *Conn) ready(ev event) {
	if ev.writable() && c.stalled {
		c.resumeWriting()
	}
	if c.fd < 0 {
		return
	}
	if ev.readable() && !c.paused && !c.eof {
		c.read()
		return
	}
	switch {
	case ev.broken():
		// The connection is not being read, but the peer is gone for good: nothing can be delivered
		// to it.
		c.fail(syscall.ECONNRESET)
	case ev.hangUp() && c.watchesHangUp():
		c.hungUp()
	}
}

func (c *Conn) read() {
	if c.secured != nil {
		c.readSealed()
		return
	}
	if c.Unread() == 0 {
		b := c.loop.readBuf
		if !c.toServer && !c.urgent {
			b = b[:requestsSize]
		}
		n, err := read(c.fd, b)
		c.readsMuch = n >= partSize
		if n > 0 {
			c.deliverRead(b[:n])
			return
		}
		c.ended(n, err)
		return
	}
	n, err := read(c.fd, c.roomToRead())
	if n > 0 {
		c.in = c.in[:len(c.in)+n]
		c.noteFilled()
		c.deliver()
		return
	}
	c.ended(n, err)
}

// deliverRead gives the handler b, which was read into the shared buffer, and keeps what it leaves.
func (c *Conn) deliverRead(b []byte) {
	if c.secured != nil {
		c.openSealed(b)
		return
	}
	c.deliverPlain(b)
}

// deliverPlain is deliverRead for bytes that are not encrypted.
func (c *Conn) deliverPlain(b []byte) {
	if !c.paused {
		b = b[c.h.Data(b):]
	}
	if c.fd >= 0 && len(b) > 0 {
		c.in = append(c.loop.bufs.get(len(b)), b...)
	}
}

// minRead is the least room for a read into a connection's own buffer.
const minRead = 4 << 10

// enoughRoom is room enough for a read, however much was read before.
const enoughRoom = 64 << 10

// roomToRead makes room behind the bytes that were left, unless there is room for all that was
// announced. The buffer grows as bytes arrive.
func (c *Conn) roomToRead() []byte {
	room := cap(c.in) - len(c.in)
	if room >= max(minRead, min(c.Unread()/2, enoughRoom)) {
		return c.room()
	}
	need := c.need()
	switch {
	case room > 0 && need <= cap(c.in)-c.inOff && need > c.Unread():
	case c.inOff > c.Unread():
		c.in = c.in[:copy(c.in, c.in[c.inOff:])]
		c.inOff = 0
	default:
		c.growIn(inSize(c.Unread(), need))
	}
	return c.room()
}

// maxOwnRead is the most that is read at once into a connection's own buffer: more would make the
// turn a long one.
const maxOwnRead = 1 << 20

func (c *Conn) room() []byte { return c.in[len(c.in):min(cap(c.in), len(c.in)+maxOwnRead)] }

func (c *Conn) consume(n int) {
	if c.fd < 0 {
		return
	}
	c.inOff += n
	if c.inOff == len(c.in) {
		c.dropIn(false)
	}
}

// ended handles a read that brought nothing.
func (c *Conn) ended(n int, err error) {
	switch {
	case n == 0 && err == nil && c.cause(nil) != nil:
		c.fail(nil)
	case n == 0 && err == nil:
		c.eof = true
		c.arm()
		c.h.EOF()
	case !transient(err):
		c.fail(err)
	}
}

// transient reports whether a read or write with this error is to be repeated when the poller says.
func transient(err error) bool { return err == syscall.EAGAIN || err == syscall.EINTR }

// toBeWritten takes the connection off the list of those with output, unless its output is delayed,
// and reports whether there is something to write now. A peer that did not take all of the last
// write is not written to until the poller says that it can take more.
func (c *Conn) toBeWritten() bool {
	if !c.dirty {
		return false // listed twice: it was full, and has been written
	}
	if c.delayOutput() {
		c.loop.delayed = append(c.loop.delayed, c)
		return false
	}
	c.dirty = false
	return c.fd >= 0 && (c.out != nil || c.sealedWaiting > 0) && !c.stalled
}

func (c *Conn) resumeWriting() {
	if c.writeOut() {
		c.stalled = false
		c.arm()
		c.h.Drained()
	}
}

// writeOut writes the output and reports whether all of it was written.
func (c *Conn) writeOut() bool {
	if c.secured != nil {
		return c.writeSealed()
	}
	n, err := c.writeSome()
	if err != nil && !transient(err) {
		c.fail(err)
		return false
	}
	return c.noteWritten(max(n, 0))
}

// noteWritten removes n bytes from the output and reports whether that was all.
func (c *Conn) noteWritten(n int) bool {
	if c.secured != nil {
		c.noteSealed(n)
	} else {
		c.outOff += n
		c.countWritten(n)
		if len(c.blocks) > 0 {
			c.freeWritten()
		}
	}
	if c.Waiting() > 0 {
		c.stall()
		return false
	}
	if c.out != nil {
		c.dropWritten()
	}
	return true
}

// dropWritten gives the output's buffer back when nothing in it waits.
func (c *Conn) dropWritten() {
	c.outCap = cap(c.out)
	if c.toServer {
		c.outCap = min(c.outCap, fullOutput) // so that the buffer grows only when the output is full: see noteFull
	} else if c.outCap > 64<<10 {
		c.outCap = 0
	}
	c.loop.bufs.put(c.out)
	c.out, c.outOff = nil, 0
}

// arm tells the poller what to report, if that has changed.
func (c *Conn) arm() {
	if c.fd < 0 {
		return
	}
	var want interest
	if !c.paused && !c.eof {
		want |= readable
	}
	if c.stalled {
		want |= writable
	}
	if c.watchesHangUp() {
		want |= hangUp
	}
	if want != c.armed {
		c.armed = want
		c.loop.poll.modify(c.fd, want)
	}
}

// watchesHangUp reports whether the poller is to report the peer's end by itself.
func (c *Conn) watchesHangUp() bool { return c.paused && !c.eof && !c.peerEnded }

func (c *Conn) fail(err error) {
	if c.fd < 0 {
		return
	}
	closeFD(c.forget())
	c.h.Closed(c.cause(err))
	c.releaseBuffers()
}

// IsOrderly reports whether err means that the peer went away, which needs no log line.
func IsOrderly(err error) bool {
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
