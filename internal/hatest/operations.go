package hatest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// register is a key that only one client writes, which therefore knows its value.
type register struct {
	key     string
	value   int          // the number of the last write that took effect; 0 for none
	unknown map[int]bool // writes that may have taken effect, or still may
}

// counter is a key that one client increments, which shows a request that was
// executed twice.
type counter struct {
	key     string
	value   int // as last replied
	unknown int // increments since then that may have taken effect, or still may
}

// valueOf returns a value that contains its key and number.
func valueOf(key string, client, seq int) string { return fmt.Sprintf("%s=%d.%d", key, client, seq) }

// ask returns the next request, or several that belong together.
func (c *client) ask() []question {
	reg := c.own[rand.N(len(c.own))]
	shared := c.running.name + ":shared:" + strconv.Itoa(rand.N(c.running.load.Shared))
	kinds := 12
	if c.running.load.Plain {
		kinds = 10
	}
	switch rand.N(kinds) {
	case 0, 1:
		return []question{c.set(reg)}
	case 2, 3:
		return []question{c.get(reg)}
	case 4: // in order, if the load is pipelined
		if c.running.load.Depth == 1 {
			return []question{c.get(reg)}
		}
		return []question{c.set(reg), c.get(reg), c.set(reg), c.get(reg)}
	case 5:
		return []question{c.mset()}
	case 6:
		return []question{c.mget()}
	case 7:
		return []question{c.incr()}
	case 8:
		return []question{c.setShared(shared)}
	case 10:
		return c.transaction(c.own[0])
	case 11:
		return c.queue()
	default:
		return []question{c.getShared(shared)}
	}
}

func (c *client) set(reg *register) question {
	c.seq++
	seq := c.seq
	return question{[]string{"SET", reg.key, valueOf(reg.key, c.id, seq)}, func(got reply, outcome Outcome, _ time.Duration) {
		c.wrote(reg, seq, outcome)
		if outcome == OK && (got.kind != '+' || got.text != "OK") {
			c.violation("reply %v to SET", got)
		}
	}}
}

// wrote records a write's outcome. A refusal counts as unknown, to be on the safe side.
func (c *client) wrote(reg *register, seq int, outcome Outcome) {
	switch outcome {
	case OK:
		reg.value = seq
	case NotSent:
	default:
		reg.unknown[seq] = true
	}
}

func (c *client) get(reg *register) question {
	return question{[]string{"GET", reg.key}, func(got reply, outcome Outcome, _ time.Duration) {
		if outcome == OK {
			c.saw(reg, got)
		}
	}}
}

// saw compares a value that was read with those written.
func (c *client) saw(reg *register, got reply) {
	seq := 0
	if got.kind != '_' {
		owner, rest, _ := strings.Cut(got.text, "=")
		var id int
		if n, _ := fmt.Sscanf(rest, "%d.%d", &id, &seq); got.kind != '$' || n != 2 || owner != reg.key || id != c.id {
			c.violation("%v in reply to a read of %s: the reply is another request's", got, reg.key)
			return
		}
	}
	switch {
	case seq == reg.value:
	case reg.unknown[seq]:
		// It has taken effect, and has overwritten the known value.
		delete(reg.unknown, seq)
		reg.value = seq
	case c.running.load.Lossy && seq < reg.value:
		c.lost++
		reg.value = seq
	default:
		c.violation("%s has write %d, where %d was acknowledged last (unknown: %v)", reg.key, seq, reg.value, reg.unknown)
		reg.value = seq
	}
}

// several returns some keys for one request. If the load is pipelined, no two of them are
// in one slot of a Cluster: while a slot is being moved such a request is tried again,
// and the requests behind it, which the server has read by then, come first.
func (c *client) several() (regs []*register) {
	tagged := false
	for _, i := range rand.Perm(len(c.own)) {
		if i%2 == 0 && tagged && c.running.load.Depth > 1 {
			continue
		}
		tagged = tagged || i%2 == 0
		if regs = append(regs, c.own[i]); len(regs) == 4 {
			break
		}
	}
	return regs
}

func (c *client) mset() question {
	args := []string{"MSET"}
	c.seq++
	seq := c.seq
	regs := c.several()
	for _, reg := range regs {
		args = append(args, reg.key, valueOf(reg.key, c.id, seq))
	}
	return question{args, func(got reply, outcome Outcome, _ time.Duration) {
		if outcome == NotSent { // perhaps of one part only
			outcome = Unknown
		}
		for _, reg := range regs {
			c.wrote(reg, seq, outcome)
		}
	}}
}

func (c *client) mget() question {
	args := []string{"MGET"}
	regs := c.several()
	for _, reg := range regs {
		args = append(args, reg.key)
	}
	return question{args, func(got reply, outcome Outcome, _ time.Duration) {
		if outcome != OK {
			return
		}
		if got.kind != '*' || len(got.elements) != len(regs) {
			c.violation("reply %v to %q", got, args)
			return
		}
		for i, reg := range regs {
			c.saw(reg, got.elements[i])
		}
	}}
}

func (c *client) incr() question {
	n := &c.counter
	request := []string{"INCR", n.key}
	if load := &c.running.load; !load.Plain && !load.NoScripts && rand.N(3) == 0 {
		request = []string{"EVAL", "return redis.call('INCR', KEYS[1])", "1", n.key}
	}
	return question{request, func(got reply, outcome Outcome, _ time.Duration) {
		switch outcome {
		case OK:
			c.counted(got)
		case NotSent:
		default:
			n.unknown++
		}
	}}
}

// counted compares a counter's value with its increments.
func (c *client) counted(got reply) {
	n := &c.counter
	value, err := strconv.Atoi(got.text)
	if got.kind != ':' || err != nil {
		c.violation("reply %v to INCR", got)
		return
	}
	more := value - n.value - 1
	switch {
	case more >= 0 && more <= n.unknown:
		n.unknown -= more
	case more < 0 && c.running.load.Lossy:
		c.lost += -more
	default:
		c.violation("%s is %d after %d, with %d increments of unknown outcome", n.key, value, n.value, n.unknown)
	}
	n.value = value
}

func (c *client) setShared(key string) question {
	c.seq++
	value := valueOf(key, c.id, c.seq)
	return question{[]string{"SET", key, value}, func(got reply, outcome Outcome, called time.Duration) {
		c.running.history.wrote(c.id, key, value, outcome, called, c.since())
	}}
}

func (c *client) getShared(key string) question {
	return question{[]string{"GET", key}, func(got reply, outcome Outcome, called time.Duration) {
		if outcome != OK {
			return
		}
		if got.kind != '_' && (got.kind != '$' || !strings.HasPrefix(got.text, key+"=")) {
			c.violation("%v in reply to a read of %s: the reply is another request's", got, key)
			return
		}
		c.running.history.read(c.id, key, got.text, called, c.since())
	}}
}

// readBack reads all keys of the client at the end, over the client's connection. After
// an error it tries again for a while.
func (c *client) readBack() {
	if c.conn == nil {
		return
	}
	deadline := time.Now().Add(readBackWithin)
	for _, reg := range c.own {
		for again := true; again; {
			q := c.get(reg)
			judge := q.judge
			q.judge = func(got reply, outcome Outcome, called time.Duration) {
				judge(got, outcome, called)
				if again = outcome != OK; again && time.Now().After(deadline) {
					c.violation("%v when %s is read back", got, reg.key)
					again = false
				}
			}
			if !c.exchange([]question{q}) {
				return
			}
			if again {
				<-time.After(readBackPause)
			}
		}
	}
}
