// Package logqueue lets goroutines log without waiting for the log's reader.
//
// A pipe that no process reads, a container's log driver that blocks, or a stopped
// terminal accepts a few lines and then blocks the writer. A Queue accepts lines at
// once and writes them from a goroutine of its own. It drops and counts lines that
// do not fit, and writes a line that says how many as soon as the log is read again:
//
//	q := logqueue.New(os.Stderr, 1<<20, func(lines int64) []byte {
//		return fmt.Appendf(nil, "%d lines dropped\n", lines)
//	})
//	log := slog.New(slog.NewTextHandler(q, nil))
//	...
//	q.Close(time.Second)
package logqueue

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// keep is the largest buffer, in bytes, that is reused for the next lines.
const keep = 64 << 10

// Queue is an io.Writer of lines. Its methods may be called from any goroutine.
type Queue struct {
	// Static after construction.
	w     io.Writer
	limit int
	lost  func(lines int64) []byte
	some  chan struct{} // of capacity one: there is something to write, or Close was called
	ended chan struct{} // closed when run has ended

	// Owned by run.
	missed int64 // lines missing at the end of the log that no line reports yet

	mu      sync.Mutex // guards the fields below; it is not held while writing
	pending []byte     // lines that are not yet written
	dropped int64      // lines after the pending ones that did not fit
	closed  bool
}

// New returns a queue that writes to w, which may block, and starts its goroutine,
// which ends with Close. The queue holds at most limit bytes that wait, and as many
// that are being written. Lost returns the line that reports how many lines were
// dropped; the queue's goroutine calls it.
func New(w io.Writer, limit int, lost func(lines int64) []byte) *Queue {
	q := &Queue{w: w, limit: limit, lost: lost, some: make(chan struct{}, 1), ended: make(chan struct{})}
	go q.run()
	return q
}

// Write copies the lines into the queue without waiting. It drops all of them if they
// do not fit or if the queue is closed. It never returns an error.
func (q *Queue) Write(lines []byte) (int, error) {
	q.mu.Lock()
	// After a dropped line the next ones are dropped too, even if they fit: in the log
	// they would come before the line that reports the drop.
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
// whether everything was written. Later lines are dropped.
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
	default: // run has been woken already
	}
}

// run writes pending lines until the queue is closed and empty.
func (q *Queue) run() {
	defer close(q.ended)
	var written []byte // an empty buffer, swapped with pending
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

// report writes how many lines are missing, if any.
func (q *Queue) report() {
	if q.missed > 0 && q.write(q.lost(q.missed)) == 0 {
		q.missed = 0
	}
}

// take returns the pending lines, and how many were dropped after them. Empty becomes
// the buffer for the next lines.
func (q *Queue) take(empty []byte) (lines []byte, dropped int64, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lines, dropped, closed = q.pending, q.dropped, q.closed
	q.pending, q.dropped = empty, 0
	return lines, dropped, closed
}

// write writes lines and returns how many it could not write.
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
