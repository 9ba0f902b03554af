package reshard

import (
	"fmt"
	"math/rand/v2"
)

// A world has one key, a counter, which moves while instances of a proxy and leaders run, stop and die. All that
// happens is chosen by a seed. Requests on one connection are executed in their order, those of different connections in
// any; what was sent may be executed long after its sender has died.
type world struct {
	random         *rand.Rand
	source, target *server
	instances      []*instance
	leaders        []*leader
	nextID         uint64

	executed, acked int // increments
	moved           bool
	wrong           string
	mistakes        mistakes
}

// mistakes are what a simulation must find.
type mistakes struct {
	obeyed, alone, reads, fresh bool
}

type server struct {
	count  int
	record Record
	conns  []*conn
}

// conn is a connection, with what is on its way in both directions.
type conn struct {
	at      *server
	writer  uint64 // the leader that writes copies over it; 0 for others
	owner   *instance
	epoch   uint64 // its name
	in      []func(c *conn) func()
	out     []func()
	dead    bool // disconnected by the server
	left    bool // its owner has died or given it up
	usable  bool // of an instance: it has read the record
	waiting bool // of a leader: for an answer
}

func (w *world) fail(format string, args ...any) {
	if w.wrong == "" {
		w.wrong = fmt.Sprintf(format, args...)
	}
}

func (w *world) connect(at *server) *conn {
	c := &conn{at: at}
	at.conns = append(at.conns, c)
	return c
}

// send puts a request on its way: run is executed by the server, and what it returns by the sender, when the
// reply comes.
func (c *conn) send(run func(c *conn) func()) { c.in = append(c.in, run) }

func (c *conn) kill() { c.dead, c.in, c.out = true, nil, nil }

// serve executes one request of some connection.
func (w *world) serve(s *server) {
	c := s.conns[w.random.IntN(len(s.conns))]
	if c.dead || len(c.in) == 0 {
		return
	}
	run := c.in[0]
	c.in = c.in[1:]
	c.out = append(c.out, run(c))
	if c.left && len(c.in) == 0 {
		c.kill() // the server has read to the end
	}
}

// deliver hands over one reply.
func (w *world) deliver(conns []*conn) {
	c := conns[w.random.IntN(len(conns))]
	if len(c.out) == 0 || c.left {
		return
	}
	take := c.out[0]
	c.out = c.out[1:]
	take()
}

// instance is one proxy.
type instance struct {
	w        *world
	follower Follower
	toSource []*conn
	toTarget *conn
}

func (i *instance) step() {
	w := i.w
	for n, c := range i.toSource {
		if c != nil && c.dead {
			i.toSource[n] = nil
		}
	}
	n := w.random.IntN(len(i.toSource))
	c := i.toSource[n]
	switch {
	case c == nil:
		c = w.connect(w.source)
		c.owner, i.toSource[n] = i, c
		if w.mistakes.fresh && i.follower.known {
			c.usable, c.epoch = true, i.follower.Epoch()
			return
		}
		i.readRecord(c)
	case w.random.IntN(4) == 0:
		i.readRecord(c)
	case w.random.IntN(2) == 0:
		i.request(c, w.random.IntN(2) == 0)
	default:
		w.deliver([]*conn{c, i.toTarget})
	}
}

// readRecord asks for the record over a connection, and learns it.
func (i *instance) readRecord(c *conn) {
	c.send(func(c *conn) func() {
		r := c.at.record
		return func() {
			first := !c.usable
			if c.usable = true; !i.follower.Learn(r) && !first {
				return
			}
			for _, c := range i.toSource {
				if c != nil {
					epoch := i.follower.Epoch()
					c.send(func(c *conn) func() { c.epoch = epoch; return func() {} })
				}
			}
		}
	})
}

// request sends an increment or a read where it may go.
func (i *instance) request(c *conn, write bool) {
	w := i.w
	switch i.follower.Where(write) {
	case Nowhere:
		return
	case AtTarget:
		c = i.toTarget
	case AtSource:
		if !c.usable {
			return
		}
	}
	before := w.acked
	if write {
		c.send(func(c *conn) func() {
			if c.at == w.source && w.moved {
				w.fail("an increment at the source after one at the target")
			}
			w.moved = w.moved || c.at == w.target
			c.at.count++
			w.executed++
			return func() { w.acked++ }
		})
		return
	}
	c.send(func(c *conn) func() {
		n := c.at.count
		if n < before {
			w.fail("a read of %d at the %s; %d were acknowledged before it was sent", n, w.name(c.at), before)
		}
		return func() {}
	})
}

func (w *world) name(s *server) string {
	if s == w.source {
		return "source"
	}
	return "target"
}

// leader is a run of the move.
type leader struct {
	w                *world
	l                Leader
	toSource, writer *conn
	seen             Seen
	reading          bool // the record was not read since it may have changed
	done             bool
}

func (w *world) newLeader() *leader {
	w.nextID++
	l := &leader{w: w, l: Leader{ID: w.nextID, Forward: w.random.IntN(2) == 0}, toSource: w.connect(w.source), writer: w.connect(w.target), reading: true}
	l.writer.writer = l.l.ID
	l.toSource.epoch = 1 << 62 // it sends no requests of clients
	return l
}

// die leaves what was sent on its way.
func (l *leader) die() {
	for _, c := range []*conn{l.toSource, l.writer} {
		c.left = true
		if len(c.in) == 0 {
			c.kill()
		}
	}
}

// ask sends a request and waits for the answer.
func (l *leader) ask(c *conn, run func(c *conn) func()) {
	c.waiting = true
	c.send(func(c *conn) func() {
		take := run(c)
		return func() { c.waiting = false; take() }
	})
}

func (l *leader) step() {
	if l.toSource.waiting || l.writer.waiting {
		l.w.deliver([]*conn{l.toSource, l.writer})
		if l.writer.dead { // another leader has it
			l.die()
			l.done = true
		}
		return
	}
	if l.reading || l.w.random.IntN(5) == 0 {
		l.readRecord()
		return
	}
	seen := l.seen
	seen.Overdue = l.w.random.IntN(10) == 0
	if l.w.mistakes.obeyed || l.w.mistakes.reads && seen.Record.Phase == Reading {
		seen.Obeyed = true
	}
	seen.Alone = seen.Alone || l.w.mistakes.alone
	do, next := l.l.Next(seen)
	if seen.Record.Phase == Source && do == Raise && l.w.random.IntN(2) == 0 {
		do = Copy // ahead of the switch
	}
	l.do(do, next, seen)
}

func (l *leader) readRecord() {
	l.ask(l.toSource, func(c *conn) func() {
		r := c.at.record
		return func() {
			if l.reading = false; r != l.seen.Record {
				alone := l.seen.Alone && r.Leader == l.seen.Record.Leader
				l.seen = Seen{Record: r, Alone: alone, Led: l.seen.Led || l.seen.Record.Leader == l.l.ID}
			}
		}
	})
}

func (l *leader) do(do Do, next Record, seen Seen) {
	switch do {
	case Lead, Raise:
		l.reading = true
		l.ask(l.toSource, func(c *conn) func() {
			if c.at.record == seen.Record {
				c.at.record = next
			}
			return func() {}
		})
	case Disconnect:
		l.ask(l.writer, func(c *conn) func() {
			for _, other := range c.at.conns {
				if other.writer != 0 && other != c {
					other.kill()
				}
			}
			return func() { l.seen.Alone = true }
		})
	case Copy:
		l.ask(l.toSource, func(c *conn) func() {
			n := c.at.count
			return func() {
				l.ask(l.writer, func(c *conn) func() {
					c.at.count = n
					return func() { l.seen.Complete = seen.Obeyed && l.seen.Record == seen.Record }
				})
			}
		})
	case Fence:
		l.ask(l.toSource, func(c *conn) func() {
			for _, other := range c.at.conns {
				if other.owner != nil && other.epoch < seen.Record.Epoch {
					other.kill()
				}
			}
			return func() {}
		})
	case Wait:
		l.ask(l.toSource, func(c *conn) func() {
			obeyed := true
			for _, other := range c.at.conns {
				obeyed = obeyed && (other.dead || other.owner == nil || other.epoch >= seen.Record.Epoch)
			}
			return func() { l.seen.Obeyed = obeyed && l.seen.Record == seen.Record }
		})
	case Done, GiveUp:
		l.die()
		l.done = true
	}
}

// newWorld returns a world in which nothing has happened yet.
func newWorld(seed uint64, m mistakes) *world {
	w := &world{random: rand.New(rand.NewPCG(seed, 0)), source: &server{}, target: &server{}, mistakes: m}
	w.target.count = -1 // an old copy
	for range 1 + w.random.IntN(3) {
		i := &instance{w: w, toSource: make([]*conn, 2), toTarget: w.connect(w.target)}
		w.instances = append(w.instances, i)
	}
	for range 1 + w.random.IntN(2) {
		w.leaders = append(w.leaders, w.newLeader())
	}
	return w
}

// run has the world go on for some steps. Some of its members rest, as by SIGSTOP, for as long as awake says.
func (w *world) run(steps int, faults bool) {
	asleep := map[int]int{}
	for range steps {
		members := len(w.instances) + len(w.leaders)
		n := w.random.IntN(members + 4)
		switch {
		case w.wrong != "":
			return
		case n >= members:
			s := []*server{w.source, w.target}[n%2]
			if len(s.conns) > 0 {
				w.serve(s)
			}
			continue
		case asleep[n] > 0:
			asleep[n]--
			continue
		}
		if faults && w.random.IntN(200) == 0 {
			asleep[n] = w.random.IntN(300)
		}
		if n < len(w.instances) {
			w.instances[n].step()
			continue
		}
		at := n - len(w.instances)
		l := w.leaders[at]
		if faults && w.random.IntN(100) == 0 {
			l.die()
			w.leaders[at] = w.newLeader()
			continue
		}
		switch {
		case !l.done:
			l.step()
		case faults && w.random.IntN(20) == 0:
			w.leaders[at] = w.newLeader()
		}
	}
}

// repair ends all leaders and begins a run of the move that gets to its end.
func (w *world) repair() {
	for _, l := range w.leaders {
		if !l.done {
			l.die()
		}
	}
	l := w.newLeader()
	l.l.Forward = true
	w.leaders = []*leader{l}
}
