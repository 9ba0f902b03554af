package eventloop

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
)

// Handler is what a connection's bytes and end are told to, always on the
// loop's goroutine.
type Handler interface {
	// Data is given all bytes that wait to be handled, oldest first, and
	// returns how many of them are done with; the rest is presented again,
	// followed by more. The bytes are valid only during the call.
	Data(b []byte) (n int)

	// EOF tells that the peer will send no more: b is what it left undone.
	// The connection can still write; the handler closes it when it is done.
	EOF()

	// Closed tells that the connection failed and is gone; TakeUnwritten still
	// returns what was not written. It is not called after Close.
	Closed(err error)

	// Drained tells that output which the peer did not take at first has
	// now left completely.
	Drained()
}

// Conn is a buffered non-blocking connection of one loop. Output is collected
// and written at the end of the turn. It belongs to the loop's goroutine.
type Conn struct {
	loop *Loop
	h    Handler
	fd   int

	in     []byte // bytes the handler left, from inOff; nil when there are none
	inOff  int
	out    []byte // bytes to write, from outOff; nil when there are none
	outOff int    // in the first of before, if there are any
	outCap int    // size of the last output buffer, to start the next one with

	blocks     [][]byte // blocks of output before out, which is not nil then
	blocksSize int      // bytes of them
	wrote      uint64

	inHandler bool     // the handler is looking at in
	inShared  bool     // an output has taken the buffer of in
	dirty     bool     // in loop.dirty or loop.last
	toServer  bool     // the peer answers what it is sent; see Answers
	urgent    bool     // see Urgent
	more      bool     // the handler will add to the output soon
	delayed   bool     // output was held back at the end of the last turn
	readsMuch bool     // the last read would have filled a part of the loop's read buffer
	stalled   bool     // the peer did not take all output; waiting for writability
	paused    bool     // the handler does not want data
	eof       bool     // the peer has ended its side, and all was read
	peerEnded bool     // the peer was seen to end its side while the connection was paused
	armed     interest // what the poller reports

	relay Relay // stands between fd and the peer; nil if nothing does
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

// Detach takes the connection, which must have no input or output waiting,
// away from the loop and returns its descriptor, for another loop to Attach. It
// is not for connections with a Relay.
func (c *Conn) Detach() (fd int) {
	if c.Waiting() > 0 || c.Unread() > 0 {
		panic("bug: detaching a connection with bytes in its buffers")
	}
	c.loop.poll.remove(c.fd)
	return c.forget()
}

// Close closes the connection at once and drops what was not written. It may
// be called twice, and from its own handler, whose bytes stay valid until it
// returns.
func (c *Conn) Close() {
	if c.fd < 0 {
		return
	}
	closeFD(c.forget())
	c.releaseBuffers()
}

// forget takes the connection out of the loop's tables.
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
}

// Answers tells that the peer answers what is written to it: its output is
// written after that of others, for the later it starts to answer, the more of
// its answers, and of its peers', are there when the loop looks next; and more
// of them is read at once than of requests. So much output that a write of its
// own is no loss leaves after the event that brought it, for the peer to begin
// while the loop is at the next.
func (c *Conn) PeerIsServer() { c.toServer = true }

// Urgent has what the connection brings handled before what others do that are ready at
// the same time, and much of it be read at once: its peer does not wait until it is read.
func (c *Conn) Urgent() {
	if !c.urgent && c.fd >= 0 {
		c.urgent = true
		c.loop.urgentConns++
	}
}

// fullOutput is that much: what Redis reads at most before it answers
// (PROTO_IOBUF_LEN), so that a larger write saves neither side a system call.
const fullOutput = 16 << 10

// maxHeld is how much output may be held back: more than that is worth a write.
const maxDelayed = 16 << 10

// MoreComing says whether the handler will soon add to the output. While it
// will, what was appended in a turn may leave with what the next turn adds: at
// the end of that turn, which begins within a millisecond.
func (c *Conn) MoreComing(more bool) { c.more = more }

// holdBack tells whether the output is to wait for the next turn's.
func (c *Conn) delayOutput() bool {
	c.delayed = c.more && !c.delayed && !c.stalled && c.Waiting() > 0 && c.Waiting() < maxDelayed
	return c.delayed
}

// Open tells whether the connection has not been closed.
func (c *Conn) Open() bool { return c.fd >= 0 }

// FD is the connection's descriptor, for socket options; -1 when closed.
func (c *Conn) FD() int { return c.fd }

// Peer is the IP address at the other end, or of the peer behind a Relay; the zero
// Addr if there is none.
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

// Waiting is how many bytes wait to be written.
func (c *Conn) Waiting() int { return c.blocksSize + len(c.out) - c.outOff }

// Written is how many bytes the kernel has taken so far.
func (c *Conn) Written() uint64 { return c.wrote }

// Stalled tells whether the peer has not taken all that was written to it.
func (c *Conn) Stalled() bool { return c.stalled }

// Unread is how many bytes were read that the handler has left.
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

// Reserve returns the output buffer with room for at least n more bytes, for
// the caller to append to and hand back with Commit before anything else is
// done with the connection.
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

// Commit takes b, which is what Reserve returned with bytes appended, and
// returns how many these are.
func (c *Conn) Commit(b []byte) (n int) {
	n = len(b) - len(c.out)
	c.loop.bufs.lent += cap(b) - cap(c.out) // more than there was room for
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

// directWrite is the least size for which a system call of its own costs less
// than to copy the bytes to the output buffer and from there to the kernel.
const directWrite = 16 << 10

// Write is Append for bytes that may be many: those are given to the kernel
// right away, after what waits already, and only what it does not take is
// copied, unless it is large and what the handler of another connection was given
// to look at.
func (c *Conn) Write(b []byte) {
	if len(b) < directWrite {
		c.Append(b)
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
	c.wrote += uint64(max(n, 0))
	if n < len(b) {
		c.appendOrShare(b[max(n, 0):])
		c.stalled = true // another write this turn would be in vain
		c.arm()
	}
}

// TakeUnwritten returns what waits to be written, in a buffer that the caller
// now owns and may give to Loop.Release. The output is empty then.
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

// Pause stops reading: the handler wants no data until Resume.
func (c *Conn) Pause() {
	c.paused = true
	c.arm()
}

// Resume reads on. The handler must ask for bytes that it left with Redeliver.
func (c *Conn) Resume() {
	c.paused = false
	c.arm()
}

// Paused tells whether Pause is in force.
func (c *Conn) Paused() bool { return c.paused }

// Redeliver calls the handler's Data with the bytes that it left, if any.
// It is for a handler that can go on now; do not call it from Data.
func (c *Conn) Redeliver() {
	if c.Unread() > 0 {
		c.deliver()
	}
}

// handOver gives the handler what waits in the connection's own buffer. Should
// the connection end meanwhile, the buffer is not lent to others: the handler
// may be deep in what it does with the bytes.
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
		// Not reading, yet the peer is gone for good: nothing that waits for
		// it can be delivered.
		c.fail(syscall.ECONNRESET)
	case ev.hangUp() && c.watchesHangUp():
		c.hungUp()
	}
}

func (c *Conn) read() {
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

// handOverRead gives the handler b, which was read while nothing was left, and
// keeps what it leaves.
func (c *Conn) deliverRead(b []byte) {
	if !c.paused {
		b = b[c.h.Data(b):]
	}
	if c.fd >= 0 && len(b) > 0 {
		c.in = append(c.loop.bufs.get(len(b)), b...)
	}
}

// minRead is the least room that a read into a connection's own buffer gets.
const minRead = 4 << 10

// muchToRead is room enough for a read, however much is there already.
const enoughRoom = 64 << 10

// roomToRead makes room behind the bytes that were left, unless there is room for all
// that was announced. The buffer grows as bytes arrive.
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

// mostRead is how much is read at once into a connection's own buffer: more would make the
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

// transient tells whether a read or write that failed so is merely to be made
// again when the poller says.
func transient(err error) bool { return err == syscall.EAGAIN || err == syscall.EINTR }

// toBeWritten takes the connection from those with output, unless it is held
// back, and tells whether there is something to write now. A peer that did not
// take all of the last write is left alone until the poller says that it can
// take more.
func (c *Conn) toBeWritten() bool {
	if !c.dirty {
		return false // listed twice: it was full, and has been written
	}
	if c.delayOutput() {
		c.loop.delayed = append(c.loop.delayed, c)
		return false
	}
	c.dirty = false
	return c.fd >= 0 && c.out != nil && !c.stalled
}

func (c *Conn) resumeWriting() {
	if c.writeOut() {
		c.stalled = false
		c.arm()
		c.h.Drained()
	}
}

// writeOut tells whether all output was written.
func (c *Conn) writeOut() bool {
	n, err := c.writeSome()
	if err != nil && !transient(err) {
		c.fail(err)
		return false
	}
	return c.noteWritten(max(n, 0))
}

// noteWritten takes n bytes off the output and tells whether that was all.
func (c *Conn) noteWritten(n int) bool {
	c.outOff += n
	c.wrote += uint64(n)
	if len(c.blocks) > 0 {
		c.freeWritten()
	}
	if c.Waiting() > 0 {
		if !c.stalled {
			c.stalled = true
			c.arm()
		}
		return false
	}
	c.outCap = cap(c.out)
	if c.toServer {
		c.outCap = min(c.outCap, fullOutput) // so that to grow means to be full
	} else if c.outCap > 64<<10 {
		c.outCap = 0
	}
	c.loop.bufs.put(c.out)
	c.out, c.outOff = nil, 0
	return true
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

// watchesHangUp reports whether the poller is to tell of the peer's end by itself.
func (c *Conn) watchesHangUp() bool { return c.paused && !c.eof && !c.peerEnded }

func (c *Conn) fail(err error) {
	if c.fd < 0 {
		return
	}
	closeFD(c.forget())
	c.h.Closed(c.cause(err))
	c.releaseBuffers()
}

// IsOrderly tells whether err is a peer that went away: nothing to log.
func IsOrderly(err error) bool {
	return err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
