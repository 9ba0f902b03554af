package eventloop

import "syscall"

// maxTogether is how many reads or writes are made in one system call.
const maxBatch = 64

const (
	// readsTogether is how many connections are read at once, each into a part
	// of the loop's read buffer.
	maxBatchReads = 16
	partSize      = 8 << 10
)

// together is how a loop reads and writes several connections in one system
// call each, by io_uring. Nothing else differs from one call after the other.
type ioBatch struct {
	uring *uring // nil: one call after the other

	// Of the events that are being handled together, at most readsTogether.
	events      []event
	reading     [maxBatchReads]*Conn // in their order, nil for those that are read by themselves
	readResults []int32              // what the reads returned, from the next one on
	buf         []byte               // the loop's read buffer, which they were made into
	delivered   int                  // events of which it was handed over what was read together
	handled     int                  // events that are done with

	// Of a turn's outputs.
	writing      []*Conn         // all of them
	rest         []*Conn         // of writing, those to come
	wrote        []*Conn         // written, in this order, which has yet to be noted
	writeResults []int32         // what the writes of wrote returned
	failed       []failedWriting // of whose failure has yet to be told
}

type failedWriting struct {
	conn *Conn
	err  error
}

// UseIOURing has the loop read and write many connections in one system call.
// It returns an error if that cannot be had, and the loop goes on with one call
// for each; errors.ErrUnsupported where there is no Linux. Call it before Run.
func (l *Loop) UseIOURing() (err error) {
	l.io.uring, err = openURing()
	return err
}

// possible tells whether n calls are to be made together. A ring that is broken
// is given up.
func (t *ioBatch) enabled(n int) bool {
	if t.uring != nil && t.uring.broken {
		t.close()
	}
	return t.uring != nil && n > 1
}

func (t *ioBatch) close() {
	if t.uring != nil {
		t.uring.close()
		t.uring = nil
	}
}

// handle tells the connections of what the poller reported.
func (l *Loop) handle() {
	t := &l.io
	for {
		// The whole read buffer is needed by the others, so what was read together comes first.
		for t.delivered < len(t.events) {
			l.deliverPart()
		}
		for t.handled < len(t.events) {
			i := t.handled
			t.handled++
			if t.reading[i] == nil {
				l.handleOne(t.events[i])
			}
			t.reading[i] = nil
		}
		l.progress.conn = nil
		if len(l.progress.events) == 0 {
			t.events, t.delivered, t.handled = nil, 0, 0
			return
		}
		t.events = l.progress.events[:min(len(l.progress.events), maxBatchReads)]
		l.progress.events = l.progress.events[len(t.events):]
		t.delivered, t.handled = len(t.events), 0
		if t.enabled(len(t.events)) {
			l.readBatch()
		}
	}
}

func (l *Loop) handleOne(ev event) {
	if c := l.connAt(ev.fd()); c != nil {
		l.progress.conn = c
		c.ready(ev)
		l.flushFull()
	}
}

// readTogether reads the connections whose bytes are likely to fit in a part of
// the read buffer.
func (l *Loop) readBatch() {
	t := &l.io
	t.buf, t.delivered = l.readBuf, 0
	for i, ev := range t.events {
		if c := l.connAt(ev.fd()); c != nil && c.readsLittle(ev) {
			t.reading[i] = c
			t.uring.read(c.fd, t.part(i))
		}
	}
	t.readResults = t.uring.run()
}

// handOverPart hands over what was read together for the next event, if
// anything was.
func (l *Loop) deliverPart() {
	t := &l.io
	i := t.delivered
	t.delivered++
	if c := t.reading[i]; c != nil {
		n := int(t.readResults[0])
		t.readResults = t.readResults[1:]
		l.progress.conn = c
		c.wasRead(t.part(i), n)
		l.flushFull()
	}
}

func (t *ioBatch) part(i int) []byte { return t.buf[i*partSize : (i+1)*partSize] }

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
		c.deliverRead(b[:n])
	case n < 0:
		c.ended(n, syscall.Errno(-n))
	case !c.paused: // else it will be reported again
		c.ended(0, nil)
	}
}

// flushAll writes the output of all connections that have some.
func (l *Loop) flushAll() {
	t := &l.io
	if !t.underWay() && !t.enabled(len(l.dirty)+len(l.dirtyServers)) {
		flush(&l.dirty)
		flush(&l.dirtyServers)
		return
	}
	l.finishWriting() // what a panic cut short
	t.writing = append(append(t.writing[:0], l.dirty...), l.dirtyServers...)
	clear(l.dirty)
	clear(l.dirtyServers)
	l.dirty, l.dirtyServers = l.dirty[:0], l.dirtyServers[:0]
	t.rest = t.writing
	l.finishWriting()
	clear(t.writing)
}

func (t *ioBatch) underWay() bool { return len(t.rest)+len(t.wrote)+len(t.failed) > 0 }

// finishWriting writes what there is to write. All of one system call is noted
// before anybody hears of a failure: whoever does may take back what another
// connection has not written.
func (l *Loop) finishWriting() {
	t := &l.io
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
		some := t.rest[:min(len(t.rest), maxBatch)]
		t.rest = t.rest[len(some):]
		t.write(some)
	}
}

// noteOne notes what became of the next writing.
func (t *ioBatch) noteOne() {
	c, n := t.wrote[0], int(t.writeResults[0])
	t.wrote, t.writeResults = t.wrote[1:], t.writeResults[1:]
	if err := syscall.Errno(-n); n < 0 && !transient(err) {
		t.failed = append(t.failed, failedWriting{c, err})
		return
	}
	c.noteWritten(max(n, 0))
}

// write writes the output of conns, which it reorders.
func (t *ioBatch) write(conns []*Conn) {
	wrote := conns[:0]
	for _, c := range conns {
		if c != nil && c.toBeWritten() {
			t.uring.write(c.fd, c.firstBlock())
			wrote = append(wrote, c)
		}
	}
	t.writeResults = t.uring.run()
	t.wrote = wrote
}
