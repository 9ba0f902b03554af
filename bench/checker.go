package bench

import (
	"bytes"
	"errors"
	"fmt"
)

// errDesync is the error for a stream of replies that can no longer be matched with its
// requests. The connection is closed.
var errDesync = errors.New("reply stream out of step")

// maxLine bounds a reply's first line; Redis's own errors are far shorter.
const maxLine = 1024

// call is one request that awaits its reply.
type call struct {
	at   int64 // nanoseconds on the generator's clock: when it was sent or, in an open loop, due
	kind Op
	keys []uint32 // the numbers of the keys, in order; the slice belongs to the queue
}

// tally counts replies by kind. It belongs to one goroutine.
type tally struct {
	replies uint64 // replies of any kind
	wrong   uint64 // replies that do not answer their request, or miss a value
	errors  uint64 // error replies, and requests whose connection was lost
	example string // the first wrong reply or error, for the report
}

func (t *tally) noteWrong(format string, args ...any) {
	t.wrong++
	t.note(format, args...)
}

func (t *tally) noteError(format string, args ...any) {
	t.errors++
	t.note(format, args...)
}

func (t *tally) note(format string, args ...any) {
	if t.example == "" {
		t.example = fmt.Sprintf(format, args...)
	}
}

// add adds the counts of o to t.
func (t *tally) add(o *tally) {
	t.replies += o.replies
	t.wrong += o.wrong
	t.errors += o.errors
	if t.example == "" {
		t.example = o.example
	}
}

// checker matches a stream of replies with a queue of calls and checks every byte of
// every value. It checks values as they arrive, in pieces of any size, and keeps none,
// so a client needs no buffer in the generator.
type checker struct {
	size  int // bytes of every value
	tally *tally

	// The queue of calls, a ring.
	calls []call
	head  int
	count int

	// Where in a reply the stream is.
	line     []byte // the part of an unfinished line that came earlier
	elems    int    // elements of an array that are still to come
	elem     int    // the element that comes next
	bad      bool   // the reply is wrong; it counts once
	bodyLeft int    // bytes of a bulk string and its CRLF still to come
	bodySize int
	bodyAt   int
	header   [headerLen]byte // what the bulk string repeats
}

// newChecker returns a checker for at most depth calls in flight.
func newChecker(w Workload, depth int, t *tally) *checker {
	c := &checker{size: w.Value, tally: t, calls: make([]call, depth)}
	keys := make([]uint32, depth*w.Fanout)
	for i := range c.calls {
		c.calls[i].keys = keys[i*w.Fanout : (i+1)*w.Fanout : (i+1)*w.Fanout]
	}
	return c
}

// full reports whether no further call can be queued.
func (c *checker) full() bool { return c.count == len(c.calls) }

// push queues a call and returns it for the caller to fill in. The queue must
// not be full.
func (c *checker) push() *call {
	at := c.head + c.count
	if at >= len(c.calls) {
		at -= len(c.calls)
	}
	c.count++
	return &c.calls[at]
}

// pop takes the oldest call off the queue.
func (c *checker) pop() *call {
	oldest := &c.calls[c.head]
	c.head++
	if c.head == len(c.calls) {
		c.head = 0
	}
	c.count--
	return oldest
}

// feed checks the next bytes of the stream and calls done once for every reply that they
// complete. If the stream is lost it returns an error that is errDesync, and the checker
// must not be used again. It does not keep b.
func (c *checker) feed(b []byte, done func(*call)) error {
	for len(b) > 0 {
		if c.bodyLeft > 0 {
			b = c.body(b)
			if c.bodyLeft == 0 {
				c.finishPart(done)
			}
			continue
		}
		end := bytes.IndexByte(b, '\n')
		if end < 0 {
			if len(c.line)+len(b) > maxLine {
				return c.lost("a line of over %d bytes", maxLine)
			}
			c.line = append(c.line, b...)
			return nil
		}
		line := b[:end+1]
		b = b[end+1:]
		if len(c.line) > 0 {
			c.line = append(c.line, line...)
			line = c.line
			c.line = c.line[:0]
		}
		if len(line) < 3 || line[len(line)-2] != '\r' {
			return c.lost("line %q", clip(line))
		}
		if err := c.reply(line[:len(line)-2], done); err != nil {
			return err
		}
	}
	return nil
}

// body checks the part of a bulk string at the start of b and returns the rest of b.
func (c *checker) body(b []byte) []byte {
	n := min(len(b), c.bodyLeft)
	part := b[:n]
	if value := c.bodySize - c.bodyAt; value > 0 {
		v := part[:min(n, value)]
		if !c.bad && !matchesAt(v, &c.header, c.bodyAt) {
			c.markBad("a value that holds %q where %q repeats", clip(v), c.header[:])
		}
	}
	for i := max(0, c.bodySize-c.bodyAt); i < n; i++ {
		if part[i] != crlf[c.bodyAt+i-c.bodySize] {
			c.markBad("a value that ends in %q", part[i])
		}
	}
	c.bodyAt += n
	c.bodyLeft -= n
	return b[n:]
}

// reply handles the first line of a reply or of an element.
func (c *checker) reply(line []byte, done func(*call)) error {
	if c.count == 0 {
		return c.lost("a reply without a request: %q", clip(line))
	}
	oldest := &c.calls[c.head]
	switch kind := line[0]; {
	case kind == '-' && c.elems == 0:
		c.tally.noteError("%s: %s", oldest.kind, clip(line))
	case kind == '$':
		return c.bulk(line, oldest, done)
	case kind == '*' && c.elems == 0:
		if n, ok := parseLength(line[1:]); oldest.kind != OpMGet || !ok || n != len(oldest.keys) {
			return c.lost("an array %q to %s of %d keys", clip(line), oldest.kind, len(oldest.keys))
		}
		c.elems, c.elem = len(oldest.keys), 0
		return nil
	case kind == '+' && c.elems == 0 && string(line) == "+OK" && (oldest.kind == OpSet || oldest.kind == OpMSet):
	case kind == '+' || kind == ':' || kind == '-':
		c.markBad("%q to %s", clip(line), oldest.kind)
	default:
		return c.lost("line %q", clip(line))
	}
	c.finishPart(done)
	return nil
}

// bulk handles the first line of a bulk string.
func (c *checker) bulk(line []byte, oldest *call, done func(*call)) error {
	n, ok := parseLength(line[1:])
	if !ok || n > maxValue {
		return c.lost("line %q", clip(line))
	}
	wanted := c.elems > 0 || oldest.kind == OpGet
	if !wanted {
		c.markBad("a bulk string to %s", oldest.kind)
	}
	if n < 0 {
		c.markBad("no value for a key that was written")
		c.finishPart(done)
		return nil
	}
	if n != c.size {
		c.markBad("a value of %d bytes instead of %d", n, c.size)
	}
	key := oldest.keys[0]
	if c.elems > 0 {
		key = oldest.keys[c.elem]
	}
	c.header = valueHeader(int(key), c.size)
	c.bodySize, c.bodyAt, c.bodyLeft = n, 0, n+len(crlf)
	return nil
}

// finishPart ends an element or, with the last one, the reply.
func (c *checker) finishPart(done func(*call)) {
	if c.elems > 0 {
		c.elems--
		c.elem++
		if c.elems > 0 {
			return
		}
	}
	if c.bad {
		c.tally.wrong++
		c.bad = false
	}
	c.tally.replies++
	done(c.pop())
}

// markBad marks the reply as wrong. finishPart counts it at its end.
func (c *checker) markBad(format string, args ...any) {
	if !c.bad {
		c.bad = true
		c.tally.note(format, args...)
	}
}

// lost counts a wrong reply and returns an error that ends the stream.
func (c *checker) lost(format string, args ...any) error {
	c.tally.noteWrong(format, args...)
	return fmt.Errorf("%w: "+format, append([]any{errDesync}, args...)...)
}

// parseLength reads the length in the first line of a bulk string or array:
// -1 or a decimal number of at most nine digits.
func parseLength(b []byte) (n int, ok bool) {
	if string(b) == "-1" {
		return -1, true
	}
	return parseDecimal(b)
}

// clip shortens b to fit a line of text.
func clip(b []byte) []byte { return b[:min(len(b), 80)] }
