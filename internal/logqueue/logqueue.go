// Package logqueue keeps those who log from waiting for those who read the log.
//
// A pipe that nobody reads, a container's log driver that blocks, or a terminal
// that was stopped takes a few lines and then holds up whoever writes the next
// one. A Queue takes lines at once, and writes them from a goroutine of its own.
// What does not fit is dropped and counted, and the log says how much that was
// as soon as it is read again.
package logqueue

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// keep is the largest buffer that is kept for the next lines.
const keep = 64 << 10

// Queue is an io.Writer of lines. Its methods may be called from any goroutine.
type Queue struct {
	// Static after construction.
	w     io.Writer
	limit int
	lost  func(lines int64) []byte
	some  chan struct{} // of one element: there is something to write, or Close was called
	ended chan struct{} // closed when run has ended

	// Owned by run.
	missed int64 // lines that are missing where the log is now, and nothing says so yet

	mu      sync.Mutex // guards the fields below; it is not held while writing
	pending []byte     // lines that are not yet written
	dropped int64      // lines that came behind those and did not fit
	closed  bool
}

// New returns a queue that writes to w, which may block, and starts its goroutine,
// which ends with Close. It holds at most limit bytes that are waiting, and as many
// that are being written. Lost returns the line that says how many lines were
// dropped; it is called on the queue's goroutine.
func New(w io.Writer, limit int, lost func(lines int64) []byte) *Queue {
	q := &Queue{w: w, limit: limit, lost: lost, some: make(chan struct{}, 1), ended: make(chan struct{})}
	go q.run()
	return q
}

// Write takes lines, which are copied, without waiting: all of them, or none if
// they do not fit or if the queue is closed. It never fails.
func (q *Queue) Write(lines []byte) (int, error) {
	q.mu.Lock()
	// Once a line was dropped the next are too, short as they may be: in the log they
	// would stand before the line that says so.
	if q.closed || q.dropped > 0 || len(q.pending)+len(lines) > q.limit {
		q.dropped += count(lines)
	} else {
		q.pending = append(q.pending, lines...)
	}
	q.mu.Unlock()
	q.wake()
	return len(lines), nil
}

// Close ends the queue when everything is written, or after wait, and reports
// whether everything was. What is written to the queue later is dropped.
func (q *Queue) Close(wait time.Duration) bool {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-q.ended:
		return true
	case <-timer.C:
		return false
	}
}

func (q *Queue) wake() {
	select {
	case q.some <- struct{}{}:
	default: // run will look
	}
}

// run writes what comes until the queue is closed and empty.
func (q *Queue) run() {
	defer close(q.ended)
	var written []byte // an empty buffer, in turns with pending
	for range q.some {
		lines, dropped, closed := q.take(written)
		q.report()
		q.missed += q.write(lines) + dropped
		q.report()
		if closed {
			return
		}
		if written = lines[:0]; cap(written) > keep {
			written = nil
		}
	}
}

// report writes how many lines are missing, if any are.
func (q *Queue) report() {
	if q.missed > 0 && q.write(q.lost(q.missed)) == 0 {
		q.missed = 0
	}
}

// take returns what is to be written, with empty to be filled in its place, and how
// many lines were dropped behind it.
func (q *Queue) take(empty []byte) (lines []byte, dropped int64, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lines, dropped, closed = q.pending, q.dropped, q.closed
	q.pending, q.dropped = empty, 0
	return lines, dropped, closed
}

// write returns how many lines could not be written.
func (q *Queue) write(lines []byte) (failed int64) {
	if len(lines) == 0 {
		return 0
	}
	n, err := q.w.Write(lines)
	if err == nil {
		return 0
	}
	return count(lines[min(max(n, 0), len(lines)):])
}

func count(lines []byte) int64 { return int64(bytes.Count(lines, []byte("\n"))) }
