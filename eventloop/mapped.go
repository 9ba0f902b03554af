package eventloop

import "syscall"

// mapped are the buffers of large input, each in memory that is mapped for it. Mapped memory takes
// no room before it is written to, so that a buffer can have the announced size from the start and
// need not be copied as it fills. All of it returns to the system when it is given back.
type mapped struct {
	byEnd        map[*byte]*mapping // by the last byte
	deferredPuts [][]byte           // given back while a handler may be using them: until the next turn
}

// mapping is one mapped buffer. A slice of it is recognised by its last byte, so every slice must
// reach to the buffer's end.
type mapping struct {
	mem    []byte
	filled int // bytes from the start on that were written to; these count as lent
	users  int
}

// getMapped returns an empty buffer with room for n bytes, which must be many, or nil if so much
// can't be mapped.
func (p *buffers) getMapped(n int) []byte {
	mem, err := syscall.Mmap(-1, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	useHugePages(mem)
	if p.mapped.byEnd == nil {
		p.mapped.byEnd = map[*byte]*mapping{}
	}
	p.mapped.byEnd[end(mem)] = &mapping{mem: mem, users: 1}
	return mem[:0]
}

// noteFilled records that a buffer from getMapped has been written to as far as b reaches.
func (p *buffers) noteFilled(b []byte) {
	m := p.mapped.byEnd[end(b)]
	if m == nil {
		return
	}
	if filled := len(m.mem) - (cap(b) - len(b)); filled > m.filled {
		p.lent += filled - m.filled
		m.filled = filled
	}
}

// share adds a user of a large buffer, of which b is a part that reaches to its end. Each user puts
// its part.
func (p *buffers) share(b []byte) {
	if m := p.mapped.byEnd[end(b)]; m != nil {
		m.users++
		return
	}
	p.lent += cap(b) // the garbage collector counts the users
}

// putLarge takes back a buffer that is too large to be used again.
func (p *buffers) putLarge(b []byte) {
	m := p.mapped.byEnd[end(b)]
	if m == nil {
		p.lent -= cap(b)
		return
	}
	if m.users--; m.users > 0 {
		return
	}
	delete(p.mapped.byEnd, end(b))
	p.lent -= m.filled
	go syscall.Munmap(m.mem) // of many pages this takes a while
}

// putLater takes b back as put does, but in the next turn, when no handler uses it any more.
func (p *buffers) putLater(b []byte) { p.mapped.deferredPuts = append(p.mapped.deferredPuts, b) }

// putDeferred takes back what putLater was given in earlier turns.
func (p *buffers) putDeferred() {
	if len(p.mapped.deferredPuts) == 0 {
		return
	}
	for _, b := range p.mapped.deferredPuts {
		p.put(b)
	}
	p.mapped.deferredPuts = nil
}

// end returns the last byte of a slice's capacity.
func end(b []byte) *byte { return &b[:cap(b)][cap(b)-1] }

// sameArray reports whether two slices end, to their capacity, with the same byte.
func sameArray(a, b []byte) bool { return cap(a) > 0 && cap(b) > 0 && end(a) == end(b) }
