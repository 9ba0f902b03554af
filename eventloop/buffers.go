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

// buffers lends byte buffers whose sizes are powers of two, and keeps those that come back. A
// buffer that was not needed for a whole trim period is dropped, so that a burst leaves no memory
// behind.
type buffers struct {
	free [classes]freeList
	trim *Timer

	lent     int // bytes of buffers that are in use
	kept     int // bytes of buffers that wait in free
	reported int // lent, when onLentChange was last called

	onLentChange func()

	mapped mapped
}

type freeList struct {
	bufs [][]byte
	low  int // fewest that were free since the last trim: that many are surplus
}

// get returns an empty buffer with room for at least n bytes.
func (p *buffers) get(n int) []byte {
	if n > 1<<maxBufferBits {
		p.lent += n
		return make([]byte, 0, n)
	}
	class := 0
	if n > 1<<minBufferBits {
		class = bits.Len(uint(n-1)) - minBufferBits
	}
	p.lent += 1 << (class + minBufferBits)
	f := &p.free[class]
	last := len(f.bufs) - 1
	if last < 0 {
		return make([]byte, 0, 1<<(class+minBufferBits))
	}
	b := f.bufs[last]
	f.bufs[last] = nil
	f.bufs = f.bufs[:last]
	f.low = min(f.low, last)
	p.kept -= cap(b)
	return b
}

// put takes b back; its owner must not touch it again.
func (p *buffers) put(b []byte) {
	c := cap(b)
	if c > 1<<maxBufferBits {
		p.putLarge(b)
		return
	}
	p.lent -= c
	if c < 1<<minBufferBits || c&(c-1) != 0 {
		return
	}
	f := &p.free[bits.Len(uint(c))-1-minBufferBits]
	f.bufs = append(f.bufs, b[:0])
	p.kept += c
}

// grow returns a buffer with b's bytes and room for n more, and takes b back. The size doubles, or
// grows by half when it is large.
func (p *buffers) grow(b []byte, n int) []byte {
	size := 2 * cap(b)
	if size > 1<<maxBufferBits {
		size = cap(b) + cap(b)/2
	}
	bigger := append(p.get(max(len(b)+n, size)), b...)
	p.put(b)
	return bigger
}

// trimBuffers drops the surplus of each size, and does so again every trimEvery.
func (l *Loop) trimBuffers() {
	for i := range l.bufs.free {
		f := &l.bufs.free[i]
		n := len(f.bufs)
		l.bufs.kept -= f.low << (i + minBufferBits)
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

// Lent returns how many bytes of buffers are lent: to connections, and by Buffer and Grow.
func (l *Loop) Lent() int { return l.bufs.lent }

// Kept returns how many bytes of buffers wait to be lent.
func (l *Loop) Kept() int { return l.bufs.kept }

// lentStep is the change of Lent after which OnLentChange's fn is called.
const lentStep = 256 << 10

// OnLentChange makes the loop call fn at the end of a turn when Lent has changed by 256 KiB or more
// since fn was last called. fn may close connections.
func (l *Loop) OnLentChange(fn func()) { l.bufs.onLentChange = fn }

// reportLent calls OnLentChange's fn if it is due, and reports whether it was.
func (p *buffers) reportLent() bool {
	if p.onLentChange == nil || max(p.lent, p.reported)-min(p.lent, p.reported) < lentStep {
		return false
	}
	p.reported = p.lent
	p.onLentChange()
	return true
}

// Buffer lends an empty buffer with room for at least n bytes, to be given back with Release.
func (l *Loop) Buffer(n int) []byte { return l.bufs.get(n) }

// Grow returns a buffer with b's bytes and room for n more, and takes b back.
func (l *Loop) Grow(b []byte, n int) []byte { return l.bufs.grow(b, n) }

// Release takes back a buffer from Buffer or Grow; nil is allowed. The caller
// must not touch it again.
func (l *Loop) Release(b []byte) { l.bufs.put(b) }
