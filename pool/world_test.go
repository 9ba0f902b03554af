package pool

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/hashring"
	"ringway/pipeline"
	"ringway/resp"
)

// world is a pool with its servers, its control plane and its clients. Events are drawn at
// random, one step at a time, on one goroutine and with a clock that stands still in between:
// the same seed gives the same run.
type world struct {
	rng    *rand.Rand
	loop   *eventloop.Loop
	parser resp.RequestParser
	tracer func(format string, args ...any)
	now    int64
	err    string

	follows, clustered bool
	p                  *Pool
	l                  *Local
	watcher            watcher
	servers            []*scriptedServer
	dials              []*scriptedDial
	players            []*player
	asks               []*ask
	executed           int

	// Who serves what. The pool is told now and then.
	primaries []int // by shard: the server
	keys      []string
	owner     map[string]int  // of a Cluster: the shard of a key
	migrating map[string]int  // and the shard that its slot is on its way to
	gone      map[string]bool // whether it is there already
}

// scriptedDial is an attempt to connect.
type scriptedDial struct {
	s     *scriptedServer
	done  func(s eventloop.Socket, err error)
	until int64
}

// player is a client that keeps a session's rules about what may follow what.
type player struct {
	w       *world
	number  uint64
	connSet *ConnSet
	blocked bool // it waits for a connection
	serial  bool
	flying  int // requests under way
}

// ConnReady is pipeline.Waiter's.
func (p *player) ConnReady() { p.blocked = false }

// ask is one request of a client, and its outcome.
type ask struct {
	w         *world
	id        int
	p         *player
	kind, key string
	large     bool // so is the reply
	bytes     []byte
	received  []*scriptedRequest
	executed  int
	unordered bool // its order among others is not promised

	left    int            // replies to come
	refusal []byte         // of a unit
	conn    *pipeline.Conn // that carries the unit
	resent  bool
	text    []byte // the reply as far as it has come
	ended   string
	at      int // for a request that was executed: as which of all
	unsent  bool
}

func (a *ask) String() string {
	if a == nil {
		return "-"
	}
	return fmt.Sprintf("%d (%s %s of client %d)", a.id, a.kind, a.key, a.p.number)
}

func (a *ask) writes() bool { return a.kind != "GET" }

// Reply is pipeline.Receiver's.
func (a *ask) Reply(_ uint32, b []byte, last bool) {
	if a.ended != "" {
		a.w.fail("request %s got %.60q after %s", a, b, a.ended)
		return
	}
	if a.kind == "MULTI" && a.unit(b, last) {
		return
	}
	if a.text = append(a.text, b...); !last {
		return
	}
	if id, at, ok := a.outcome(a.text); ok {
		a.at = at
		if id != a.id {
			a.w.fail("request %s got the reply to %d", a, id)
		}
	}
	a.end(fmt.Sprintf("%.60q", a.text))
}

// unit handles replies to what a transaction consists of, as a session does. It reports
// false for what is the client's.
func (a *ask) unit(b []byte, last bool) bool {
	if a.left > 1 {
		if last {
			if b[0] == '-' && a.refusal == nil && RefusalOf(b) != NoRefusal {
				a.refusal = append([]byte(nil), b...)
			}
			a.left--
		}
		return true
	}
	refusal := b
	if a.refusal != nil && strings.HasPrefix(string(b), "-EXECABORT") {
		refusal = a.refusal
	}
	if len(a.text) > 0 || !a.w.follows || RefusalOf(refusal) == NoRefusal || a.resent {
		return false
	}
	if RefusalOf(refusal) == Demoted {
		a.conn.ReviewReplies()
	}
	a.resent, a.left, a.refusal = true, 3, nil
	r := pipeline.Request{Bytes: a.bytes, Replies: 3, Receiver: a}
	if !a.p.connSet.Resend(a.w.l.Map().Index([]byte(a.key)), a.p.number, r, refusal) {
		a.end(string(refusal))
	}
	return true
}

// Fail is pipeline.Receiver's.
func (a *ask) Fail(_ uint32, f *pipeline.Failure, request []byte) {
	if a.ended != "" {
		if a.kind != "MULTI" { // each of its requests fails
			a.w.fail("request %s got %v after %s", a, f, a.ended)
		}
		return
	}
	if !a.w.follows && request != nil && a.kind != "MULTI" && !f.Sent {
		c := a.p.connSet.Conn(a.w.l.Map().Index([]byte(a.key)), a.p.number)
		if c.Up() && !c.Full() && c.Send(request, a, 0) == nil {
			a.unordered = true // nothing keeps it before those behind it
			return
		}
	}
	a.unsent = !f.Sent
	a.end(f.Error())
}

func (a *ask) end(how string) {
	a.w.trace("  %s: %s", a, how)
	a.ended = how
	if a.p.flying--; a.p.flying == 0 {
		a.p.serial = false
	}
}

func (w *world) trace(format string, args ...any) {
	if w.tracer != nil {
		w.tracer(format, args...)
	}
}

func (w *world) fail(format string, args ...any) {
	if w.err == "" {
		w.err = fmt.Sprintf(format, args...)
	}
}

// newWorld returns a random world on a loop that is turned by hand.
func newWorld(loop *eventloop.Loop, now int64, seed uint64, tracer func(string, ...any)) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 0)), loop: loop, now: now, tracer: tracer, owner: map[string]int{}, migrating: map[string]int{}, gone: map[string]bool{}}
	topology := []string{conf.Static, conf.Replicated, conf.Sentinel, conf.Cluster}[w.rng.IntN(4)]
	w.follows, w.clustered = topology != conf.Static, topology == conf.Cluster
	c := conf.DefaultPool("alpha")
	c.Topology, c.Hash, c.Distribution = topology, "fnv1a_64", "modula"
	c.Timeout = []time.Duration{0, 400 * time.Millisecond}[w.rng.IntN(2)]
	c.FailoverWait = []time.Duration{time.Millisecond, time.Second, 5 * time.Second}[w.rng.IntN(3)]
	c.ServerConnections = 1 + w.rng.IntN(2)
	c.ServerFailureLimit = 1 + w.rng.IntN(2)
	c.AutoEjectHosts = w.chance(50)
	c.Preconnect = w.chance(20)
	c.ReadFrom = []string{conf.ReadPrimary, conf.ReadPrimary, conf.ReadPreferReplica, conf.ReadReplica}[w.rng.IntN(4)]
	if w.follows && w.chance(30) {
		c.HedgeAfter = 5 * time.Millisecond
	}
	if w.primaries = []int{0, 2}; !w.follows {
		w.primaries = []int{0, 1, 2, 3}
	}
	for i := range 4 {
		w.servers = append(w.servers, &scriptedServer{w: w, index: i, addr: fmt.Sprintf("127.0.0.1:%d", i+1), up: true})
	}
	for i, server := range w.primaries {
		c.Shards = append(c.Shards, conf.Shard{Name: fmt.Sprint("s", i), Weight: 1})
		c.Servers = append(c.Servers, conf.Server{Name: fmt.Sprint("s", i), Network: "tcp", Addr: w.servers[server].addr, Weight: 1})
	}
	if !w.follows {
		c.Shards = nil
	}
	proxy := conf.Default().Proxy
	proxy.ServerQueue = 16
	var err error
	if w.p, err = New(&c, &proxy, &w.watcher, slog.New(slog.DiscardHandler)); err != nil {
		panic(err)
	}
	w.p.makingRing, w.p.installingMoves = true, true // what their goroutines do is done in steps
	for i, s := range w.servers {
		at := w.p.staticServers()
		if w.follows {
			at = []*server{0: w.p.serverAt(s.addr, w.home(i))}
		}
		at[i%len(at)].attempts.Jitter = func(most time.Duration) time.Duration { return time.Duration(w.rng.Int64N(int64(most))) }
	}
	loop.ByHand(w.dial)
	w.l = w.p.NewLocal(loop, w.ownerOf)
	w.l.SetReads(func(request []byte) bool { return strings.Contains(string(request[:min(len(request), 20)]), "GET") })
	w.l.SetOnLate(w.late)
	for i := range 3 {
		p := &player{w: w, number: uint64(i), connSet: w.l.ConnSet(resp.RESP2, 0)}
		if w.chance(20) {
			p.connSet = w.l.ConnSet(resp.RESP3, 0)
		}
		p.connSet.Retain()
		w.players = append(w.players, p)
	}
	for i := range 3 {
		key := fmt.Sprint("k", i)
		w.keys = append(w.keys, key)
		w.owner[key] = i % 2
	}
	w.tellAll()
	w.trace("%s, timeout %v, failover_wait %v, connections %d, read_from %v, hedge_after %v", topology, c.Timeout, c.FailoverWait, c.ServerConnections, c.ReadFrom, c.HedgeAfter)
	return w
}

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

// dial is what the loop is given for Dial.
func (w *world) dial(t eventloop.Target, done func(eventloop.Socket, error)) {
	i := slices.IndexFunc(w.servers, func(s *scriptedServer) bool { return s.addr == t.Addr })
	w.dials = append(w.dials, &scriptedDial{w.servers[i], done, w.now + int64(time.Second)})
}

// endDials ends an attempt to connect, and all that have taken too long.
func (w *world) endDials(all bool) (any bool) {
	one := -1
	if len(w.dials) > 0 {
		one = w.rng.IntN(len(w.dials))
	}
	left := w.dials[:0]
	for i, d := range slices.Clone(w.dials) {
		switch {
		case w.now >= d.until:
			w.loop.Post(func() { d.done(eventloop.Socket{}, os.ErrDeadlineExceeded) })
		case (all || i == one) && !d.s.hung:
			fd, err := d.s.link()
			w.loop.Post(func() { d.done(eventloop.Socket{FD: fd}, err) })
		default:
			left = append(left, d)
			continue
		}
		any = true
	}
	w.dials = left
	return any
}

func (w *world) ownerOf(m *Map, requests []byte) (shard int, ok bool) {
	for _, key := range w.keys {
		if strings.Contains(string(requests), "\r\n"+key+"\r\n") {
			return m.Index([]byte(key)), true
		}
	}
	return 0, false
}

// shardOf is the shard that owns a key, whatever the pool knows.
func (w *world) shardOf(key string) int {
	if w.clustered {
		return w.owner[key]
	}
	return w.p.fullRing.Index([]byte(key))
}

// home is the shard whose primary or replica a server is.
func (w *world) home(server int) int { return server / 2 }

// late is SetOnLate's: requests in flight may now be overtaken by later ones.
func (w *world) late() {
	w.trace("  late")
	for _, a := range w.asks {
		if a.ended == "" {
			a.p.serial, a.unordered = true, true
		}
	}
}

// tellAll tells the pool who serves what.
func (w *world) tellAll() {
	switch {
	case w.clustered:
		w.p.SetCluster(w.cluster())
	case w.follows:
		for shard := range w.primaries {
			w.p.SetView(shard, w.view(shard))
		}
	}
}

func (w *world) view(shard int) View {
	v := View{Primary: Member{Addr: w.servers[w.primaries[shard]].addr}}
	for _, s := range w.servers {
		if w.home(s.index) == shard && s.index != w.primaries[shard] && s.up {
			v.Replicas = append(v.Replicas, Member{Addr: s.addr})
		}
	}
	return v
}

func (w *world) cluster() (shards []ClusterShard) {
	for shard := range w.primaries {
		c := ClusterShard{View: w.view(shard), ID: fmt.Sprint("id", shard)}
		for _, key := range w.keys {
			if w.owner[key] == shard {
				slot := hashring.Slot([]byte(key))
				c.Slots = append(c.Slots, SlotRange{slot, slot})
			}
		}
		shards = append(shards, c)
	}
	return shards
}

// staticServers returns the servers of a static pool, by shard.
func (p *Pool) staticServers() (servers []*server) {
	if p.follows {
		return nil
	}
	for _, sh := range p.shards {
		servers = append(servers, sh.serving.primary)
	}
	return servers
}
