package eventloop

import "syscall"

// blockSize is the size of the blocks of large output. One buffer that grew instead would be copied
// again and again, and take twice the memory while it is.
const blockSize = 64 << 10

// Chain holds bytes that may become many, in blocks lent by a loop. The zero value is empty. It
// belongs to the loop's goroutine.
type Chain struct {
	blocks [][]byte // oldest first
	size   int      // bytes in them
}

// Len returns the number of bytes.
func (ch *Chain) Len() int { return ch.size }

// Append copies b to the end of ch, in blocks that l lends.
func (l *Loop) Append(ch *Chain, b []byte) {
	ch.size += len(b)
	if last := len(ch.blocks) - 1; last >= 0 {
		block := ch.blocks[last]
		n := min(len(b), cap(block)-len(block))
		ch.blocks[last] = append(block, b[:n]...)
		b = b[n:]
	}
	for len(b) > 0 {
		size := blockSize
		if len(ch.blocks) == 0 {
			size = min(len(b), blockSize)
		}
		n := min(len(b), blockSize)
		ch.blocks = append(ch.blocks, append(l.bufs.get(size), b[:n]...))
		b = b[n:]
	}
}

// Drop gives the blocks of ch back to the loop and empties it.
func (l *Loop) Drop(ch *Chain) {
	for _, block := range ch.blocks {
		l.bufs.put(block)
	}
	*ch = Chain{}
}

// WriteChain is Write for the bytes of ch, which are not copied: the connection takes over the
// blocks, and ch is empty then.
func (c *Conn) WriteChain(ch *Chain) {
	if ch.size == 0 || c.fd < 0 {
		c.loop.Drop(ch)
		return
	}
	c.pushOut()
	last := len(ch.blocks) - 1
	for _, block := range ch.blocks[:last] {
		c.blocks = append(c.blocks, block)
		c.blocksSize += len(block)
	}
	c.out = ch.blocks[last]
	*ch = Chain{}
	if c.stalled || c.Waiting() < directWrite {
		if !c.dirty {
			c.markDirty()
		}
		return
	}
	c.writeOut()
}

// pushOut moves out to the end of blocks, or gives it back if nothing in it waits.
func (c *Conn) pushOut() {
	if len(c.out) == c.outOff && len(c.blocks) == 0 { // nothing waits
		c.loop.bufs.put(c.out)
		c.out, c.outOff = nil, 0
		return
	}
	if len(c.out) > 0 {
		c.blocks = append(c.blocks, c.out)
		c.blocksSize += len(c.out)
	} else {
		c.loop.bufs.put(c.out)
	}
	c.out = nil
}

// appendBlocks appends b to output that is too much for one block.
func (c *Conn) appendBlocks(b []byte) {
	c.noteFull(len(b))
	for len(b) > 0 {
		n := min(len(b), cap(c.out)-len(c.out))
		if n == 0 {
			c.pushOut()
			c.out = c.loop.bufs.get(blockSize)
			continue
		}
		c.out = append(c.out, b[:n]...)
		b = b[n:]
	}
}

// noteFull lists a server's connection to be written before the end of the turn, if n more bytes
// make its output a full one.
func (c *Conn) noteFull(n int) {
	if c.toServer && c.Waiting()+n > fullOutput {
		c.loop.fullOutputs = append(c.loop.fullOutputs, c)
	}
}

// firstBlock returns the oldest block of the output, from the first byte that is not written.
func (c *Conn) firstBlock() []byte {
	if len(c.blocks) > 0 {
		return c.blocks[0][c.outOff:]
	}
	return c.out[c.outOff:]
}

// writeSome writes what the kernel takes of the output in one system call.
func (c *Conn) writeSome() (n int, err error) {
	if len(c.blocks) > 0 {
		return c.writeBlocks()
	}
	return write(c.fd, c.out[c.outOff:])
}

// maxBlocks is how many blocks are written in one system call: about what a socket takes at once.
const maxBlocks = 64

// writeBlocks writes what the kernel takes of the first blocks.
func (c *Conn) writeBlocks() (n int, err error) {
	iov := c.loop.vectors[:0]
	add := func(b []byte) {
		if len(b) > 0 && len(iov) < maxBlocks {
			v := syscall.Iovec{Base: &b[0]}
			v.SetLen(len(b))
			iov = append(iov, v)
		}
	}
	add(c.firstBlock())
	for _, block := range c.blocks[1:min(len(c.blocks), maxBlocks)] {
		add(block)
	}
	add(c.out)
	n, err = writev(c.fd, iov)
	clear(iov)
	return n, err
}

// freeWritten gives back the blocks that are written completely.
func (c *Conn) freeWritten() {
	for len(c.blocks) > 0 && c.outOff >= len(c.blocks[0]) {
		block := c.blocks[0]
		c.blocks[0] = nil
		c.blocks = c.blocks[1:]
		c.outOff -= len(block)
		c.blocksSize -= len(block)
		c.loop.bufs.put(block)
	}
	if len(c.blocks) == 0 {
		c.blocks = nil
	}
}

// takeBlocks returns all output in one buffer.
func (c *Conn) takeBlocks() []byte {
	all := c.loop.bufs.get(c.Waiting())
	off := c.outOff
	for _, block := range c.blocks {
		all = append(all, block[off:]...)
		off = 0
		c.loop.bufs.put(block)
	}
	all = append(all, c.out...)
	c.loop.bufs.put(c.out)
	c.out, c.outOff, c.blocks, c.blocksSize = nil, 0, nil, 0
	return all
}

// dropOut drops the output.
func (c *Conn) dropOut() {
	for _, block := range c.blocks {
		c.loop.bufs.put(block)
	}
	c.loop.bufs.put(c.out)
	c.out, c.outOff, c.blocks, c.blocksSize = nil, 0, nil, 0
}
