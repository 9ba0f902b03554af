package eventloop

// Large input costs more to copy than all else that is done with it. So the buffer that
// it arrives in is as large as is announced, in memory that is mapped for it, and what is
// written on from there, as a whole, is not copied: the output shares the buffer.

// Expecter may be implemented by a Handler that knows how much has to arrive before it can
// do anything with what it has left: Need returns that, from the first byte that it left
// on, or 0. It is what a peer announces, and may be anything.
type Expecter interface{ Need() int }

// largeInput is the size from which on input is large: smaller buffers are used again.
const largeInput = 1 << maxBufferBits

// need is how many bytes are announced, those that are there included; 0 if that is not
// known.
func (c *Conn) need() int {
	if e, ok := c.h.(Expecter); ok {
		return e.Need()
	}
	return 0
}

// fewMore is how much more of a request may come than it has announced with its largest
// argument, such as the options of a SET, without all of it being copied.
const extraInput = 4 << 10

// inSize is how large the buffer is that follows one with n bytes, of which need were
// announced: as large as that and a little more, so that little of what follows comes into
// it, or else much larger than now. A large one is mapped, and what it has too much costs
// nothing.
func inSize(n, need int) int {
	switch {
	case 2*n <= largeInput:
		return max(2*n, 4*minRead)
	case need >= 2*n:
		return max(need, need+extraInput) // the sum may be too large for an int
	}
	return 8 * n
}

// growIn has the input go on in a buffer of a size, if that can be had: where nothing can
// be mapped, what is announced is no reason to take memory.
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

// noteFilled notes that something was read behind the input.
func (c *Conn) noteFilled() {
	if cap(c.in) > largeInput {
		c.loop.bufs.noteFilled(c.in)
	}
}

// dropIn gives the input's buffer back, later if a handler may look at it still.
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

// keep is Append for bytes that may be large input of this loop: such are not copied.
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

// leaveInput has the input go on in a buffer of its own after an output has come to share
// its buffer: nothing is written to that any more.
func (c *Conn) moveInput() {
	c.inShared = false
	if c.in == nil { // all was passed on, or the connection is closed
		return
	}
	rest := append(c.loop.bufs.get(c.Unread()), c.in[c.inOff:]...)
	c.dropIn(false)
	c.in = rest
}
