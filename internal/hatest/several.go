package hatest

import (
	"strconv"
	"strings"
	"time"
)

// transaction increments the counter and, unless the load is pipelined (see
// client.several), writes a register in the same slot.
func (c *client) transaction(reg *register) []question {
	n, seq := &c.counter, 0
	questions := []question{c.queued("MULTI"), c.queued("INCR", n.key)}
	if c.running.load.Depth == 1 {
		set := c.set(reg)
		seq = c.seq
		questions = append(questions, c.queued(set.args...))
	}
	results := len(questions) - 1
	return append(questions, question{[]string{"EXEC"}, func(got reply, outcome Outcome, _ time.Duration) {
		if seq > 0 {
			c.wrote(reg, seq, outcome)
		}
		switch {
		case outcome == NotSent:
		case outcome != OK:
			n.unknown++
		case got.kind != '*' || len(got.elements) != results:
			c.violation("reply %v to EXEC", got)
		default:
			c.counted(got.elements[0])
		}
	}})
}

// queued is one request of a transaction, MULTI included.
func (c *client) queued(request ...string) question {
	return question{request, func(got reply, _ Outcome, _ time.Duration) {
		if got.text != "QUEUED" && got.text != "OK" {
			c.violation("reply %v to %q in a transaction", got, request)
		}
	}}
}

// pushed records what a client has pushed to its list and popped from it.
type pushed struct {
	key      string
	there    map[int]bool // pushed, not popped
	perhaps  map[int]bool // pushed or popped with an unknown outcome
	doubtful int          // pops with an unknown outcome
}

// queue pushes an element and pops one with a blocking command, which takes a dedicated
// connection.
func (c *client) queue() []question {
	c.seq++
	seq, q := c.seq, &c.list
	return []question{
		{[]string{"RPUSH", q.key, strconv.Itoa(seq)}, func(_ reply, outcome Outcome, _ time.Duration) {
			switch outcome {
			case OK:
				q.there[seq] = true
			case NotSent:
			default:
				q.perhaps[seq] = true
			}
		}},
		{[]string{"BLPOP", q.key, "0.2"}, func(got reply, outcome Outcome, _ time.Duration) {
			switch {
			case outcome == Unknown, outcome == Refused, outcome == Leaked:
				q.doubtful++
			case outcome == OK:
				c.popped(got)
			}
		}},
	}
}

func (c *client) popped(got reply) {
	q := &c.list
	if got.kind == '_' {
		if len(q.there) > q.doubtful && !c.running.load.Lossy {
			c.violation("nothing to pop from %s, where %d elements were pushed", q.key, len(q.there))
		}
		return
	}
	seq := -1
	if got.kind == '*' && len(got.elements) == 2 && got.elements[0].text == q.key {
		if n, err := strconv.Atoi(got.elements[1].text); err == nil {
			seq = n
		}
	}
	switch {
	case q.there[seq]:
		delete(q.there, seq)
	case q.perhaps[seq]:
		delete(q.perhaps, seq)
	case c.running.load.Lossy && seq > 0 && seq <= c.seq: // the pop was lost
		c.lost++
	default:
		c.violation("popped %v from %s, which was not pushed or was popped before", got, q.key)
	}
}

// increase adds one to a shared number, with WATCH. It reports whether the connection can
// still be used.
func (c *client) increase() bool {
	key := c.running.sharedCounter()
	value, usable := 0, true
	ask := func(judge func(got reply, outcome Outcome), request ...string) {
		usable = usable && c.exchange([]question{{request, func(got reply, outcome Outcome, _ time.Duration) { judge(got, outcome) }}})
	}
	watched := false
	ask(func(_ reply, outcome Outcome) { watched = outcome == OK }, "WATCH", key)
	ask(func(got reply, outcome Outcome) {
		if n, err := strconv.Atoi(got.text); outcome == OK && err == nil {
			value = n
		} else if outcome != OK || got.kind != '_' {
			watched = false
		}
	}, "GET", key)
	if !watched {
		ask(func(reply, Outcome) {}, "UNWATCH")
		return usable
	}
	ask(func(reply, Outcome) {}, "MULTI")
	ask(func(reply, Outcome) {}, "SET", key, strconv.Itoa(value+1))
	ask(func(got reply, outcome Outcome) {
		switch {
		case outcome == OK && got.kind == '*':
			c.increases++
		case outcome == OK, outcome == NotSent, strings.HasPrefix(got.text, "EXECABORT"):
		default:
			c.increasesUnknown++
		}
	}, "EXEC")
	return usable
}

func (r *Running) sharedCounter() string { return r.name + ":increased" }

// checkIncreases compares the shared number with the sum of all clients' increases.
func (r *Running) checkIncreases() {
	sum, unknown := 0, 0
	for _, c := range r.clients {
		sum += c.increases
		unknown += c.increasesUnknown
	}
	for _, c := range r.clients {
		got := -1
		c.exchange([]question{{[]string{"GET", r.sharedCounter()}, func(reply reply, outcome Outcome, _ time.Duration) {
			if outcome == OK {
				got, _ = strconv.Atoi(reply.text)
			}
		}}})
		if got < 0 {
			continue // try another client
		}
		if got > sum+unknown || got < sum && !r.load.Lossy {
			c.violation("%s is %d after %d increases, %d of unknown outcome", r.sharedCounter(), got, sum, unknown)
		}
		return
	}
}
