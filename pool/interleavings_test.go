package pool

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/eventloop"
	"ringway/pipeline"
	"ringway/resp"
)

// send has a client send a request, if it may.
func (p *player) send(kind string) {
	w := p.w
	if p.blocked || p.serial {
		return
	}
	key := w.keys[w.rng.IntN(len(w.keys))]
	a := &ask{w: w, id: len(w.asks), p: p, kind: kind, key: key, left: 1, large: kind == "GET" && w.chance(5)}
	shard := w.l.Map().Index([]byte(key))
	a.unordered = !w.follows && w.l.Conf().AutoEjectHosts || // keys move, and later requests do not wait
		kind == "EVAL" // later requests do not wait for a refused script
	c := p.connSet.Conn(shard, p.number)
	full := c.Full()
	if kind == "GET" && w.follows {
		c = p.connSet.ReadConn(shard, p.number)
		full = c.FullForReads()
		a.unordered = len(p.connSet.reads[shard]) > 0 || w.l.Conf().HedgeAfter > 0
	}
	if full {
		p.blocked = true
		c.Wait(p)
		return
	}
	w.asks = append(w.asks, a)
	w.trace("%s", a)
	a.bytes = w.request(a)
	p.flying++
	if f := p.sendOver(c, shard, a); f != nil && a.ended == "" {
		a.unsent = true
		a.end(f.Error())
	}
}

func (w *world) request(a *ask) []byte {
	args := []string{a.kind, a.key, strconv.Itoa(a.id)}
	if a.kind == "SET" && w.chance(10) {
		args = append(args, strings.Repeat("x", 3000))
	}
	if a.kind == "MULTI" {
		args[0] = "SET"
		return slices.Concat(encode("MULTI"), encode(args...), encode("EXEC"))
	}
	return encode(args...)
}

func encode(args ...string) []byte {
	var raw [][]byte
	for _, arg := range args {
		raw = append(raw, []byte(arg))
	}
	return resp.AppendRequest(nil, raw)
}

func (p *player) sendOver(c *pipeline.Conn, shard int, a *ask) *pipeline.Failure {
	switch {
	case a.kind == "MULTI":
		a.left, a.conn = 3, c
		return c.SendUnit(a.bytes, 3, a, 0)
	case a.kind == "EVAL":
		return c.SendMarked(a.bytes, a, 0)
	case a.kind == "GET" && p.w.follows && p.w.l.Conf().HedgeAfter > 0:
		return p.connSet.SendHedged(c, shard, p.number, a.bytes, a, 0)
	case p.w.chance(30):
		b, f := c.Reserve(len(a.bytes))
		if f == nil {
			c.Commit(append(b, a.bytes...), a, 0, pipeline.AnyKind)
		}
		return f
	}
	return c.Send(a.bytes, a, 0)
}

// step makes one event happen.
func (w *world) step() {
	for _, s := range w.p.staticServers() {
		s.apart()
	}
	s := w.servers[w.rng.IntN(len(w.servers))]
	switch n := w.rng.IntN(100); {
	case n < 30:
		kind := []string{"SET", "SET", "SET", "SET", "GET", "GET", "GET", "EVAL", "MULTI"}[w.rng.IntN(9)]
		w.players[w.rng.IntN(len(w.players))].send(kind)
	case n < 55:
		w.trace("turn")
		w.turn()
	case n < 75 && len(s.conns) > 0 && !s.hung:
		c := s.conns[w.rng.IntN(len(s.conns))]
		c.read()
		c.serve(w.rng.IntN(4))
		c.flush(w.rng.IntN(60 << w.rng.IntN(10)))
	case n < 80:
		w.pass(time.Duration(1+w.rng.IntN(20)) * time.Millisecond)
	case n < 82:
		w.pass(time.Duration(w.rng.IntN(700)) * time.Millisecond)
	case n < 88:
		w.endDials(false)
	case n < 94:
		w.fault(s)
	default:
		w.control()
	}
}

func (w *world) turn() {
	w.loop.Turn(w.now)
	if slices.ContainsFunc(w.l.shards, func(sh *localShard) bool { return len(sh.repliesHeldOn) > 0 }) {
		return // replies are not read
	}
	for _, s := range w.servers {
		for _, c := range s.conns {
			if len(c.out) == 0 {
				c.untold = c.untold[:0]
			}
		}
	}
}

func (w *world) pass(d time.Duration) {
	w.trace("%v pass", d)
	w.now += int64(d)
	w.endDials(false)
}

// fault changes the state of a server, or ends one of its connections.
func (w *world) fault(s *scriptedServer) {
	n := w.rng.IntN(9)
	w.trace("fault %d at %s", n, s.addr)
	s.changes()
	switch n {
	case 0:
		s.stop()
	case 1, 2:
		s.up, s.hung, s.full = true, false, false
	case 3:
		s.hung = true
	case 4:
		s.full = w.chance(50)
	case 5:
		s.loading = !s.loading
	case 6:
		s.down = !s.down
	default:
		if len(s.conns) > 0 {
			c := s.conns[w.rng.IntN(len(s.conns))]
			if c.read(); w.chance(50) {
				c.serve(1) // the reply is lost
			}
			c.end()
		}
	}
}

// control changes who serves what, or tells the pool.
func (w *world) control() {
	shard := w.rng.IntN(len(w.primaries))
	n := w.rng.IntN(10)
	w.trace("control %d, shard %d", n, shard)
	switch {
	case !w.follows:
		w.restore()
	case n < 2:
		w.failover(shard)
	case n == 2:
		w.install()
	case n == 3 && w.clustered:
		w.migrate()
	case n < 7:
		w.tellAll()
	case w.clustered:
	case n == 7:
		w.p.Hold(shard)
	case n == 8 && w.chance(50):
		w.p.HoldReplies(shard)
	case n == 8:
		w.p.Release(shard)
	case w.chance(30):
		w.p.GiveUpReplies(shard)
	case w.chance(40):
		w.p.SetReplicaAcks(shard, w.rng.IntN(3))
	case w.chance(30):
		w.p.SetReplicas(shard, w.view(shard).Replicas)
	case w.chance(30):
		w.p.SetView(shard, View{Refuse: "ERR not certain"})
	default:
		w.p.SetView(shard, View{})
	}
}

// failover makes the other server of a shard its primary.
func (w *world) failover(shard int) {
	old := w.servers[w.primaries[shard]]
	next := w.servers[old.index^1]
	old.changes()
	next.changes()
	old.stale, next.stale = w.chance(10) && !w.clustered, false
	w.primaries[shard] = next.index
}

// migrate goes one step further in moving a slot.
func (w *world) migrate() {
	key := w.keys[w.rng.IntN(len(w.keys))]
	to, migrates := w.migrating[key]
	w.servers[w.primaries[w.owner[key]]].changes()
	switch {
	case !migrates:
		w.migrating[key] = 1 - w.owner[key]
	case !w.gone[key]:
		w.gone[key] = true
	default:
		w.owner[key] = to
		delete(w.migrating, key)
		delete(w.gone, key)
	}
}

// install does what installMoves does now and then.
func (w *world) install() {
	if w.clustered {
		w.p.installOnce()
		w.p.installingMoves = true
	}
}

// restore restores the servers that the pool has reported as down.
func (w *world) restore() {
	w.makeRings()
	for _, server := range w.watcher.down {
		w.p.Restore(server)
	}
	w.watcher.down = nil
}

func (w *world) makeRings() {
	w.p.makeRings()
	w.p.makingRing = true
}

// settle repairs everything, and turns until nothing is in flight.
func (w *world) settle() {
	w.trace("settle")
	for _, key := range w.keys {
		if to, migrates := w.migrating[key]; migrates {
			w.owner[key] = to
		}
	}
	clear(w.migrating)
	clear(w.gone)
	for _, s := range w.servers {
		s.changes()
		*s = scriptedServer{w: w, index: s.index, addr: s.addr, conns: s.conns, up: true}
	}
	w.tellAll()
	for shard := range w.primaries {
		if w.follows && !w.clustered {
			w.p.Release(shard)
		}
	}
	idle := 0
	for range 1000 {
		if !w.follows {
			w.restore()
		}
		w.install()
		busy := w.endDials(true)
		for _, s := range w.servers {
			for _, c := range slices.Clone(s.conns) {
				busy = c.read() || busy
				busy = c.serve(100) || busy
				busy = c.flush(1<<20) || busy
			}
		}
		w.turn()
		switch {
		case w.err != "":
			return
		case busy:
			idle = 0
		case w.unfinished() == "" && idle > 4:
			return
		default:
			idle++
			w.now += int64(20*time.Millisecond) << min(idle, 5) // less than an attempt to connect may take
		}
	}
	w.fail("it does not settle: %s", w.unfinished())
}

// unfinished says what is not finished; "" if nothing is left.
func (w *world) unfinished() string {
	for _, a := range w.asks {
		if a.ended == "" {
			return fmt.Sprintf("request %s has not ended", a)
		}
	}
	for _, p := range w.players {
		if p.blocked || p.serial {
			return fmt.Sprintf("client %d waits", p.number)
		}
	}
	if w.p.CountDown() > 0 {
		return "a server is down"
	}
	for _, sh := range w.l.shards {
		switch {
		case sh.allHeld || sh.writesHeld || sh.draining || sh.probe != nil:
			return fmt.Sprintf("shard %d waits: all held %v, writes held %v, draining %v, probing %v", sh.index, sh.allHeld, sh.writesHeld, sh.draining, sh.probe != nil)
		case len(sh.parked)+len(sh.parkedUnsent)+len(sh.scriptRetries)+len(sh.repliesHeldOn) > 0 || sh.undrained != 0:
			return fmt.Sprintf("shard %d has %d parked, %d parked unsent, %d script retries, replies held on %d, %d undrained", sh.index, len(sh.parked), len(sh.parkedUnsent), len(sh.scriptRetries), len(sh.repliesHeldOn), sh.undrained)
		case sh.timer.Armed() || sh.scriptTimer.Armed():
			return fmt.Sprintf("a timer of shard %d is armed", sh.index)
		}
	}
	for _, n := range w.l.connSets {
		for _, c := range n.all() {
			if c.InFlight() > 0 || c.IsShut() || !c.Up() && c.Addr() != "" {
				return fmt.Sprintf("connection to %q: %d in flight, shut %v, up %v", c.Addr(), c.InFlight(), c.IsShut(), c.Up())
			}
		}
	}
	if n := len(w.l.hedges.pending); n > 0 {
		return fmt.Sprintf("%d hedged reads", n)
	}
	return ""
}

// serves has every client send a request, which must be answered.
func (w *world) serves() {
	for i, p := range w.players {
		w.now += int64(2 * time.Second) // no server is put off any more
		w.settle()
		before := len(w.asks)
		p.send("SET")
		w.settle()
		if w.err != "" {
			return
		}
		if len(w.asks) == before || w.asks[before].at == 0 {
			w.fail("everything works, and request %d of client %d gets %+v", before, i, w.asks[before:])
		}
	}
}

// close closes everything, and checks that nothing is left.
func (w *world) close(timers int) {
	for _, p := range w.players {
		p.connSet.Release()
	}
	w.l.Close()
	for range 4 { // timers of connections that were retired fire once
		w.endDials(true)
		w.turn()
		w.now += int64(time.Second)
	}
	for _, s := range w.servers {
		s.stop()
	}
	if w.err != "" {
		return
	}
	switch {
	case w.loop.Conns() > 0:
		w.fail("%d connections are left", w.loop.Conns())
	case w.loop.Lent() > 0:
		w.fail("%d bytes are lent", w.loop.Lent())
	case w.loop.Timers() > timers:
		w.fail("%d timers are armed", w.loop.Timers())
	}
}

// judge checks the outcome of all requests.
func (w *world) judge() {
	last := map[string]*ask{}
	// A primary that -MOVED named first, and that the control plane then makes another
	// shard's, has two connections for a while.
	twice := len(w.l.shards) > len(w.primaries)
	for _, a := range w.asks {
		switch {
		case a.writes() && a.executed > 1:
			w.fail("request %s was executed %d times", a, a.executed)
		case a.writes() && a.at == 0 && a.executed > 0 && (a.unsent || strings.HasPrefix(a.ended, `"-`)):
			w.fail("request %s was executed, and its client got %s", a, a.ended)
		case a.at > 0 && a.executed == 0:
			w.fail("request %s was not executed, and its client got %s", a, a.ended)
		}
		if a.at == 0 || a.unordered || twice {
			continue
		}
		id := fmt.Sprint(a.p.number, a.key)
		if before := last[id]; before != nil && before.at > a.at {
			w.fail("request %s was executed before %s", a, before)
		}
		last[id] = a
	}
}

// runWorld plays one world to its end. It returns the time by its clock, and what went
// wrong.
func runWorld(loop *eventloop.Loop, now int64, timers int, seed uint64, tracer func(string, ...any)) (then int64, err string) {
	w := newWorld(loop, now, seed, tracer)
	for n := 20 + w.rng.IntN(150); n > 0 && w.err == ""; n-- {
		w.step()
	}
	w.settle()
	w.serves()
	w.judge()
	w.close(timers)
	return w.now, w.err
}

// Whatever happens to a pool, in whatever order: each request has one outcome, none is
// executed twice, a client's requests for a key keep their order, and in the end nothing
// waits and nothing is left. The worlds are the same in each run, so a failure comes from a
// change and not from chance. RINGWAY_LONG=1 runs other worlds each time, for minutes;
// RINGWAY_SEED repeats one that failed.
func TestInterleavings(t *testing.T) {
	seed, runs := uint64(1), 200
	if os.Getenv("RINGWAY_LONG") != "" {
		seed, runs = rand.Uint64()>>16, 100_000
	}
	if text := os.Getenv("RINGWAY_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		seed = n
	}
	var loop *eventloop.Loop
	timers := 0
	fresh := func() {
		if loop != nil {
			loop.Stop()
			loop.Run()
		}
		var err error
		if loop, err = eventloop.New(); err != nil {
			t.Fatal(err)
		}
		timers = loop.Timers()
	}
	fresh()
	defer func() { loop.Stop(); loop.Run() }()
	now := loop.Now() + int64(time.Hour)
	for i := range uint64(runs) {
		then, err := runWorld(loop, now, timers, seed+i, nil)
		if now = then; err == "" {
			continue
		}
		var lines []string
		fresh()
		_, again := runWorld(loop, loop.Now()+int64(time.Hour), timers, seed+i, func(format string, args ...any) {
			lines = append(lines, fmt.Sprintf(format, args...))
		})
		t.Fatalf("RINGWAY_SEED=%d: %s\nthe run again: %s\n%s", seed+i, err, cmp.Or(again, "all well"), strings.Join(lines, "\n"))
	}
}
