package eventloop

// Large input costs more to copy than all else that is done with it. So the buffer that
// it arrives in grows in few steps when the handler knows how much is announced, and what
// is written on from it, as a whole, is not copied: the output takes the buffer over.

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

// inSize is how large the buffer is that follows one with n bytes, of which need were
// announced. Little is reserved for what is only announced: a buffer of the whole follows
// when an eighth of it is there.
func inSize(n, need int) int {
	switch {
	case n <= largeInput:
		return max(2*n, 4*minRead)
	case need > n && need <= 8*n:
		return need
	case need > n:
		return 4 * n
	}
	return n + n/2
}

// growIn has the input go on in a buffer of a size. What is reserved of a large one for
// bytes that are only announced is no memory yet: the kernel gives pages as they are
// written to.
func (c *Conn) growIn(size int) {
	bigger := append(c.loop.bufs.get(size), c.in[c.inOff:]...)
	c.dropIn(false)
	c.in = bigger
	if size > largeInput {
		c.empty = cap(bigger) - len(bigger)
		c.loop.bufs.lent -= c.empty
	}
}

// noteFilled notes that n bytes were read behind the input.
func (c *Conn) noteFilled(n int) {
	if c.empty > 0 {
		filled := min(n, c.empty)
		c.empty -= filled
		c.loop.bufs.lent += filled
	}
}

// dropIn gives the input's buffer back, or leaves it to the collector if somebody may
// look at it still.
func (c *Conn) dropIn(inUse bool) {
	c.loop.bufs.lent += c.empty
	if inUse {
		c.loop.bufs.lent -= cap(c.in)
	} else {
		c.loop.bufs.put(c.in)
	}
	c.in, c.inOff, c.empty = nil, 0, 0
}

// keep is Append for bytes that may be large input of this loop: such are not copied.
func (c *Conn) keep(b []byte) {
	from := c.loop.handing
	if len(b) <= largeInput || from == nil || from == c || !sameArray(b, from.in) {
		c.Append(b)
		return
	}
	c.noteFull(len(b))
	c.pushOut()
	c.before = append(c.before, b[:len(b):len(b)]) // too large for put to use again, so that anybody may look at it still
	c.beforeSize += len(b)
	c.out = c.loop.bufs.get(0)
	c.loop.bufs.lent += len(b)
	from.given = true
	if !c.dirty {
		c.markDirty()
	}
}

// sameArray reports whether two slices end, to their capacity, with the same byte.
func sameArray(a, b []byte) bool {
	return cap(a) > 0 && cap(b) > 0 && &a[:cap(a)][cap(a)-1] == &b[:cap(b)][cap(b)-1]
}

// leaveInput has the input go on in a buffer of its own after an output has taken its
// buffer: nothing is written to that any more.
func (c *Conn) leaveInput() {
	c.given = false
	if c.in == nil {
		return
	}
	rest := c.in[c.inOff:]
	c.dropIn(true)
	if len(rest) > 0 {
		c.in = append(c.loop.bufs.get(len(rest)), rest...)
	}
}
