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

	// Of the events that are being handled together, at most readsTogether.
	events  []event
	reading [readsTogether]*Conn // in their order, nil for those that are read by themselves
	got     []int32              // what the reads returned, from the next one on
	buf     []byte               // the loop's read buffer, which they were made into
	handed  int                  // events of which it was handed over what was read together
	handled int                  // events that are done with

	// Of a turn's outputs.
	writing []*Conn         // all of them
	rest    []*Conn         // of writing, those to come
	wrote   []*Conn         // written, in this order, which has yet to be noted
	results []int32         // what the writes of wrote returned
	failed  []failedWriting // of whose failure has yet to be told
}

type failedWriting struct {
	conn *Conn
	err  error
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
func (l *Loop) handle() {
	t := &l.together
	for {
		// The whole read buffer is needed by the others, so what was read together comes first.
		for t.handed < len(t.events) {
			l.handOverPart()
		}
		for t.handled < len(t.events) {
			i := t.handled
			t.handled++
			if t.reading[i] == nil {
				l.handleOne(t.events[i])
			}
			t.reading[i] = nil
		}
		l.turns.conn = nil
		if len(l.turns.events) == 0 {
			t.events, t.handed, t.handled = nil, 0, 0
			return
		}
		t.events = l.turns.events[:min(len(l.turns.events), readsTogether)]
		l.turns.events = l.turns.events[len(t.events):]
		t.handed, t.handled = len(t.events), 0
		if t.possible(len(t.events)) {
			l.readTogether()
		}
	}
}

func (l *Loop) handleOne(ev event) {
	if c := l.connAt(ev.fd()); c != nil {
		l.turns.conn = c
		c.ready(ev)
		l.flushFull()
	}
}

// readTogether reads the connections whose bytes are likely to fit in a part of
// the read buffer.
func (l *Loop) readTogether() {
	t := &l.together
	t.buf, t.handed = l.readBuf, 0
	for i, ev := range t.events {
		if c := l.connAt(ev.fd()); c != nil && c.readsLittle(ev) {
			t.reading[i] = c
			t.uring.read(c.fd, t.part(i))
		}
	}
	t.got = t.uring.run()
}

// handOverPart hands over what was read together for the next event, if
// anything was.
func (l *Loop) handOverPart() {
	t := &l.together
	i := t.handed
	t.handed++
	if c := t.reading[i]; c != nil {
		n := int(t.got[0])
		t.got = t.got[1:]
		l.turns.conn = c
		c.wasRead(t.part(i), n)
		l.flushFull()
	}
}

func (t *together) part(i int) []byte { return t.buf[i*partSize : (i+1)*partSize] }

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
	t := &l.together
	if !t.underWay() && !t.possible(len(l.dirty)+len(l.last)) {
		flush(&l.dirty)
		flush(&l.last)
		return
	}
	l.finishWriting() // what a panic cut short
	t.writing = append(append(t.writing[:0], l.dirty...), l.last...)
	clear(l.dirty)
	clear(l.last)
	l.dirty, l.last = l.dirty[:0], l.last[:0]
	t.rest = t.writing
	l.finishWriting()
	clear(t.writing)
}

func (t *together) underWay() bool { return len(t.rest)+len(t.wrote)+len(t.failed) > 0 }

// finishWriting writes what there is to write. All of one system call is noted
// before anybody hears of a failure: whoever does may take back what another
// connection has not written.
func (l *Loop) finishWriting() {
	t := &l.together
	for {
		for len(t.wrote) > 0 {
			t.noteOne()
		}
		for len(t.failed) > 0 {
			f := t.failed[0]
			t.failed = t.failed[1:]
			f.conn.fail(f.err)
		}
		if len(t.rest) == 0 {
			return
		}
		some := t.rest[:min(len(t.rest), maxTogether)]
		t.rest = t.rest[len(some):]
		t.write(some)
	}
}

// noteOne notes what became of the next writing.
func (t *together) noteOne() {
	c, n := t.wrote[0], int(t.results[0])
	t.wrote, t.results = t.wrote[1:], t.results[1:]
	if err := syscall.Errno(-n); n < 0 && !transient(err) {
		t.failed = append(t.failed, failedWriting{c, err})
		return
	}
	c.noteWritten(max(n, 0))
}

// write writes the output of conns, which it reorders.
func (t *together) write(conns []*Conn) {
	wrote := conns[:0]
	for _, c := range conns {
		if c != nil && c.toBeWritten() {
			t.uring.write(c.fd, c.first())
			wrote = append(wrote, c)
		}
	}
	t.results = t.uring.run()
	t.wrote = wrote
}
