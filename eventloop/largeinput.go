package eventloop

// Large input costs more to copy than everything else that is done with it. So its buffer has the
// announced size from the start, in memory that is mapped for it, and output that is a part of it
// shares the buffer instead of copying it. ADR 0026 has the numbers.

// Expecter may be implemented by a Handler that knows how many bytes must arrive before it can go
// on. Need returns that number, counted from the first byte that the handler has left, or 0 if it
// does not know. A peer announces it, so it may be any number.
type Expecter interface{ Need() int }

// largeInput is the size from which on input is large: smaller buffers are used again.
const largeInput = 1 << maxBufferBits

// need returns how many bytes are announced, including those that are there; 0 if unknown.
func (c *Conn) need() int {
	if e, ok := c.h.(Expecter); ok {
		return e.Need()
	}
	return 0
}

// extraInput is the room for what a request may have behind the argument that it has announced,
// such as the options of a SET, so that the buffer need not be copied for it.
const extraInput = 4 << 10

// inSize returns the size of the buffer that replaces one with n bytes, if need bytes were
// announced: a little more than announced, so that little of what follows comes into it, or else
// much larger than now. A large buffer is mapped, so that what it does not use costs nothing.
func inSize(n, need int) int {
	switch {
	case 2*n <= largeInput:
		return max(2*n, 4*minRead)
	case need >= 2*n:
		return max(need, need+extraInput) // the sum may be too large for an int
	}
	return 8 * n
}

// growIn moves the input to a buffer of the given size. Where memory can't be mapped, the buffer is
// as large as the bytes that are there need it: an announcement is no reason to take memory.
func (c *Conn) growIn(size int) {
	var bigger []byte
	if size > largeInput {
		bigger = c.loop.bufs.getMapped(size)
	}
	if bigger == nil {
		bigger = c.loop.bufs.get(min(size, max(2*c.Unread(), 4*minRead)))
	}
	bigger = append(bigger, c.in[c.inOff:]...)
	c.dropIn(false)
	c.in = bigger
	c.noteFilled()
}

// noteFilled records that something was read behind the input.
func (c *Conn) noteFilled() {
	if cap(c.in) > largeInput {
		c.loop.bufs.noteFilled(c.in)
	}
}

// dropIn gives the input's buffer back: with the next turn if a handler may still be using it.
func (c *Conn) dropIn(inUse bool) {
	if c.in == nil {
		return
	}
	if inUse {
		c.loop.bufs.putLater(c.in)
	} else {
		c.loop.bufs.put(c.in)
	}
	c.in, c.inOff = nil, 0
}

// appendOrShare is Append for bytes that may be part of another connection's large input, which are
// shared instead of copied.
func (c *Conn) appendOrShare(b []byte) {
	from := c.loop.inHandler
	if len(b) <= largeInput || from == nil || from == c || !sameArray(b, from.in) {
		c.Append(b)
		return
	}
	c.noteFull(len(b))
	c.pushOut()
	c.blocks = append(c.blocks, b)
	c.blocksSize += len(b)
	c.out = c.loop.bufs.get(0)
	c.loop.bufs.share(b)
	from.inShared = true
	if !c.dirty {
		c.markDirty()
	}
}

// moveInput moves the rest of the input to a buffer of its own after an output has come to share
// its buffer: nothing may be written to that any more.
func (c *Conn) moveInput() {
	c.inShared = false
	if c.in == nil { // all was passed on, or the connection is closed
		return
	}
	rest := append(c.loop.bufs.get(c.Unread()), c.in[c.inOff:]...)
	c.dropIn(false)
	c.in = rest
}
