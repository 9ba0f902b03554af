package eventloop

import (
	"math/bits"
	"time"
)

const (
	minBufferBits = 9  // 512 bytes: replies are short, and many buffers of one page each would fight for the same cache sets
	maxBufferBits = 20 // 1 MiB: larger ones are left to the garbage collector
	classes       = maxBufferBits - minBufferBits + 1

	trimEvery = time.Second
)

// buffers lends byte buffers of powers of two and keeps those that come back.
// What was not needed for a whole trim period is given up, so that memory
// after a burst returns to what it was before.
type buffers struct {
	free [classes]freeList
	trim *Timer
}

type freeList struct {
	bufs [][]byte
	low  int // fewest that were free since the last trim: that many are surplus
}

// get returns an empty buffer with room for at least n bytes.
func (p *buffers) get(n int) []byte {
	if n > 1<<maxBufferBits {
		// Half as much again, for a caller that grows by and by.
		return make([]byte, 0, n+n>>1)
	}
	class := 0
	if n > 1<<minBufferBits {
		class = bits.Len(uint(n-1)) - minBufferBits
	}
	f := &p.free[class]
	last := len(f.bufs) - 1
	if last < 0 {
		return make([]byte, 0, 1<<(class+minBufferBits))
	}
	b := f.bufs[last]
	f.bufs[last] = nil
	f.bufs = f.bufs[:last]
	f.low = min(f.low, last)
	return b
}

// put takes b back; its owner must not touch it again.
func (p *buffers) put(b []byte) {
	c := cap(b)
	if c < 1<<minBufferBits || c > 1<<maxBufferBits || c&(c-1) != 0 {
		return
	}
	f := &p.free[bits.Len(uint(c))-1-minBufferBits]
	f.bufs = append(f.bufs, b[:0])
}

// grow returns a buffer with b's bytes and room for n more; b is taken back.
func (p *buffers) grow(b []byte, n int) []byte {
	bigger := append(p.get(max(len(b)+n, min(2*cap(b), 1<<maxBufferBits))), b...)
	p.put(b)
	return bigger
}

// trimBuffers drops the surplus of each size, now and then every trimEvery.
func (l *Loop) trimBuffers() {
	for i := range l.bufs.free {
		f := &l.bufs.free[i]
		n := len(f.bufs)
		clear(f.bufs[n-f.low:])
		f.bufs = f.bufs[:n-f.low]
		if len(f.bufs) == 0 {
			f.bufs = nil
		}
		f.low = len(f.bufs)
	}
	if l.bufs.trim == nil {
		l.bufs.trim = l.NewTimer(l.trimBuffers)
	}
	l.bufs.trim.After(trimEvery)
}

// Buffer lends an empty buffer with room for at least n bytes, to be given
// back with Release.
func (l *Loop) Buffer(n int) []byte { return l.bufs.get(n) }

// Grow returns a buffer with b's bytes and room for n more, and takes b back.
func (l *Loop) Grow(b []byte, n int) []byte { return l.bufs.grow(b, n) }

// Release takes back a buffer from Buffer or Grow; nil is allowed. The caller
// must not touch it again.
func (l *Loop) Release(b []byte) { l.bufs.put(b) }
