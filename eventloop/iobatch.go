package eventloop

import "syscall"

// maxBatch is the most reads or writes that are made in one system call.
const maxBatch = 64

const (
	// maxBatchReads is how many connections are read at once, each into a part of the loop's read
	// buffer.
	maxBatchReads = 16
	partSize      = 8 << 10
)

// ioBatch reads and writes several connections in one system call, by io_uring. The results are the
// same as those of one call after the other.
type ioBatch struct {
	uring *uring // nil: one call after the other

	// Of the events that are being handled together, at most maxBatchReads.
	events      []event
	reading     [maxBatchReads]*Conn // for each event; nil if it is read by itself
	readResults []int32              // what the reads returned, from the next one on
	buf         []byte               // the loop's read buffer, which was read into
	delivered   int                  // events whose bytes have been delivered, if they were read together
	handled     int                  // events that are done with

	// Of a turn's outputs.
	writing      []*Conn         // all of them
	rest         []*Conn         // of writing, those to come
	wrote        []*Conn         // written, in this order; their results are yet to be recorded
	writeResults []int32         // what the writes of wrote returned
	failed       []failedWriting // whose handlers are yet to be told
}

// failedWriting is a write whose failure the connection's handler has not been told of.
type failedWriting struct {
	conn *Conn
	err  error
}

// UseIOURing makes the loop read and write many connections in one system call. If io_uring is not
// available it returns an error, and the loop makes one call for each; the error is
// errors.ErrUnsupported on systems other than Linux. Call it before Run.
func (l *Loop) UseIOURing() (err error) {
	l.io.uring, err = openURing()
	return err
}

// enabled reports whether to make n calls together. It gives up a ring that is broken.
func (io *ioBatch) enabled(n int) bool {
	if io.uring != nil && io.uring.broken {
		io.close()
	}
	return io.uring != nil && n > 1
}

func (io *ioBatch) close() {
	if io.uring != nil {
		io.uring.close()
		io.uring = nil
	}
}

// handle passes the poller's events on to their connections.
func (l *Loop) handle() {
	io := &l.io
	for {
		// What was read together comes first, since the others need the whole read buffer.
		for io.delivered < len(io.events) {
			l.deliverPart()
		}
		for io.handled < len(io.events) {
			i := io.handled
			io.handled++
			if io.reading[i] == nil {
				l.handleOne(io.events[i])
			}
			io.reading[i] = nil
		}
		l.progress.conn = nil
		if len(l.progress.events) == 0 {
			io.events, io.delivered, io.handled = nil, 0, 0
			return
		}
		io.events = l.progress.events[:min(len(l.progress.events), maxBatchReads)]
		l.progress.events = l.progress.events[len(io.events):]
		io.delivered, io.handled = len(io.events), 0
		if io.enabled(len(io.events)) {
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

// readBatch reads the connections whose bytes are likely to fit into a part of the read buffer.
func (l *Loop) readBatch() {
	io := &l.io
	io.buf, io.delivered = l.readBuf, 0
	for i, ev := range io.events {
		if c := l.connAt(ev.fd()); c != nil && c.readsLittle(ev) {
			io.reading[i] = c
			io.uring.read(c.fd, io.part(i))
		}
	}
	io.readResults = io.uring.run()
}

// deliverPart delivers what was read together for the next event, if anything was.
func (l *Loop) deliverPart() {
	io := &l.io
	i := io.delivered
	io.delivered++
	if c := io.reading[i]; c != nil {
		n := int(io.readResults[0])
		io.readResults = io.readResults[1:]
		l.progress.conn = c
		c.wasRead(io.part(i), n)
		l.flushFull()
	}
}

func (io *ioBatch) part(i int) []byte { return io.buf[i*partSize : (i+1)*partSize] }

// readsLittle reports whether ev asks for nothing but a read whose bytes are likely to fit into a
// part of the read buffer.
func (c *Conn) readsLittle(ev event) bool {
	return !c.readsMuch && ev.readable() && !(ev.writable() && c.stalled) && !c.paused && !c.eof && c.Unread() == 0
}

// wasRead handles a read that returned n: a number of bytes, now in b, or a negative error number.
// A connection handled before it may have closed or paused it.
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
	io := &l.io
	if !io.underWay() && !io.enabled(len(l.dirty)+len(l.dirtyServers)) {
		flush(&l.dirty)
		flush(&l.dirtyServers)
		return
	}
	l.finishWriting() // the rest of a flush that a panic cut short
	io.writing = append(append(io.writing[:0], l.dirty...), l.dirtyServers...)
	clear(l.dirty)
	clear(l.dirtyServers)
	l.dirty, l.dirtyServers = l.dirty[:0], l.dirtyServers[:0]
	io.rest = io.writing
	l.finishWriting()
	clear(io.writing)
}

func (io *ioBatch) underWay() bool { return len(io.rest)+len(io.wrote)+len(io.failed) > 0 }

// finishWriting writes what is to be written. It records all results of one system call before it
// calls any handler because of a failure: the handler may take back what another connection has not
// written.
func (l *Loop) finishWriting() {
	io := &l.io
	for {
		for len(io.wrote) > 0 {
			io.noteOne()
		}
		for len(io.failed) > 0 {
			f := io.failed[0]
			io.failed = io.failed[1:]
			f.conn.fail(f.err)
		}
		if len(io.rest) == 0 {
			return
		}
		some := io.rest[:min(len(io.rest), maxBatch)]
		io.rest = io.rest[len(some):]
		io.write(some)
	}
}

// noteOne records the result of the next write.
func (io *ioBatch) noteOne() {
	c, n := io.wrote[0], int(io.writeResults[0])
	io.wrote, io.writeResults = io.wrote[1:], io.writeResults[1:]
	if err := syscall.Errno(-n); n < 0 && !transient(err) {
		io.failed = append(io.failed, failedWriting{c, err})
		return
	}
	c.noteWritten(max(n, 0))
}

// write writes the output of conns, which it reorders.
func (io *ioBatch) write(conns []*Conn) {
	wrote := conns[:0]
	for _, c := range conns {
		if c != nil && c.toBeWritten() {
			io.uring.write(c.fd, c.nextWrite())
			wrote = append(wrote, c)
		}
	}
	io.writeResults = io.uring.run()
	io.wrote = wrote
}
