package eventloop

import "syscall"

// maxTogether is how many reads or writes are made in one system call.
const maxTogether = 64

const (
	// readsTogether is how many connections are read at once, each into a part
	// of the loop's read buffer.
	readsTogether = 16
	partSize      = 8 << 10
)

// together is how a loop reads and writes several connections in one system
// call each, by io_uring. Nothing else differs from one call after the other.
type together struct {
	uring *uring // nil: one call after the other

	reading [readsTogether]*Conn // in the order of events, nil for those that are read by themselves
	writing []*Conn
}

// UseIOURing has the loop read and write many connections in one system call.
// It returns an error if that cannot be had, and the loop goes on with one call
// for each; errors.ErrUnsupported where there is no Linux. Call it before Run.
func (l *Loop) UseIOURing() (err error) {
	l.together.uring, err = openURing()
	return err
}

// possible tells whether n calls are to be made together. A ring that is broken
// is given up.
func (t *together) possible(n int) bool {
	if t.uring != nil && t.uring.broken {
		t.close()
	}
	return t.uring != nil && n > 1
}

func (t *together) close() {
	if t.uring != nil {
		t.uring.close()
		t.uring = nil
	}
}

// handle tells the connections of what the poller reported.
func (l *Loop) handle(evs []event) {
	for len(evs) > 0 {
		some := evs[:min(len(evs), readsTogether)]
		evs = evs[len(some):]
		if l.together.possible(len(some)) {
			l.readTogether(some)
		}
		for i := range some {
			// The whole read buffer is needed now, so what was read together came first.
			if l.together.reading[i] == nil {
				l.handleOne(some[i])
			}
			l.together.reading[i] = nil
		}
	}
}

func (l *Loop) handleOne(ev event) {
	if c := l.connAt(ev.fd()); c != nil {
		c.ready(ev)
		l.flushFull()
	}
}

// readTogether reads the connections whose bytes are likely to fit in a part of
// the read buffer, and hands the bytes over.
func (l *Loop) readTogether(evs []event) {
	t := &l.together
	for i, ev := range evs {
		if c := l.connAt(ev.fd()); c != nil && c.readsLittle(ev) {
			t.reading[i] = c
			t.uring.read(c.fd, l.partOfReadBuf(i))
		}
	}
	got := t.uring.run()
	for i := range evs {
		if c := t.reading[i]; c != nil {
			c.wasRead(l.partOfReadBuf(i), int(got[0]))
			l.flushFull()
			got = got[1:]
		}
	}
}

func (l *Loop) partOfReadBuf(i int) []byte { return l.readBuf[i*partSize : (i+1)*partSize] }

// readsLittle tells whether all that ev asks for is a read that a part of the
// read buffer is likely to be enough for.
func (c *Conn) readsLittle(ev event) bool {
	return !c.readsMuch && ev.readable() && !(ev.writable() && c.stalled) && !c.paused && !c.eof && c.Unread() == 0
}

// wasRead handles a read that returned n: a number of bytes, now in b, or an
// error number with a minus sign. The connection may have been closed or paused
// by those handled before it.
func (c *Conn) wasRead(b []byte, n int) {
	switch {
	case c.fd < 0:
	case n > 0:
		c.readsMuch = n == len(b)
		c.handOverRead(b[:n])
	case n < 0:
		c.ended(n, syscall.Errno(-n))
	case !c.paused: // else it will be reported again
		c.ended(0, nil)
	}
}

// flushAll writes the output of all connections that have some.
func (l *Loop) flushAll() {
	if !l.together.possible(len(l.dirty) + len(l.last)) {
		flush(&l.dirty)
		flush(&l.last)
		return
	}
	t := &l.together
	t.writing = append(append(t.writing[:0], l.dirty...), l.last...)
	clear(l.dirty)
	clear(l.last)
	l.dirty, l.last = l.dirty[:0], l.last[:0]
	for rest := t.writing; len(rest) > 0; {
		some := rest[:min(len(rest), maxTogether)]
		rest = rest[len(some):]
		l.writeTogether(some)
	}
	clear(t.writing)
}

// writeTogether writes the output of conns, which it reorders.
func (l *Loop) writeTogether(conns []*Conn) {
	u, wrote := l.together.uring, conns[:0]
	for _, c := range conns {
		if c.toBeWritten() {
			u.write(c.fd, c.out[c.outOff:])
			wrote = append(wrote, c)
		}
	}
	// All is noted before anybody hears of a failure: whoever does may take back
	// what another connection has not written.
	got, failed := u.run(), false
	for i, c := range wrote {
		if n := int(got[i]); n >= 0 || transient(syscall.Errno(-n)) {
			c.noteWritten(max(n, 0))
		} else {
			failed = true
		}
	}
	if !failed {
		return
	}
	for i, c := range wrote {
		if err := syscall.Errno(-got[i]); got[i] < 0 && !transient(err) {
			c.fail(err)
		}
	}
}
