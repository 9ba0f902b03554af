package topology

import (
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"ringway/conf"
	"ringway/pool"
)

// clusterFollower keeps a pool's map of its Redis Cluster true. One goroutine
// asks and decides; the questions to servers are goroutines of their own, since
// a server may hang.
type clusterFollower struct {
	pool *pool.Pool
	conf *conf.Pool
	log  *slog.Logger

	wake chan struct{} // capacity 1: somebody doubts the map

	mu       sync.Mutex      // guards the next two
	suspects map[string]bool // the addresses of servers that the data path has doubts about
	known    []string        // the addresses of the primaries

	// The rest belongs to the goroutine of run.
	held    *clusterMap
	askers  map[string]*clusterAsker // by the address that is connected to
	tracks  map[string]*track        // of the primaries, by their IDs; only if replicas are read
	busy    int                      // askers of which a question is under way
	answers chan clusterAnswer       // capacity is the number of askers that may be busy
	turn    int                      // whom to ask first, by rotation
	state   clusterState
	moved   int       // slots that went elsewhere since the last line of the log
	movedAt time.Time // when that line was
	silent  int       // rounds in a row without an answer
	skipped int       // rounds in a row whose news may be older than what the data path knows
}

// clusterState is what the log was told last.
type clusterState struct {
	told  bool
	down  string // why, or "" if it is up
	since time.Time
}

const (
	// clusterAsked is how many servers are asked in a round: of a small Cluster
	// all primaries, of a large one different ones each time.
	clusterAsked = 6
	// clusterGrace is how long a round waits for others once one server has answered.
	clusterGrace = 100 * time.Millisecond
	// Rounds for which the data path asks are so far apart: the least if the last
	// one brought news, and then more and more.
	clusterLeast = 20 * time.Millisecond
	clusterMost  = 200 * time.Millisecond
	// movedEvery is how often the log tells of slots that moved.
	movedEvery = 10 * time.Second
)

func newClusterFollower(p *pool.Pool, log *slog.Logger) *clusterFollower {
	return &clusterFollower{
		pool: p, conf: p.Conf(), log: log.With("pool", p.Conf().Name),
		wake: make(chan struct{}, 1), suspects: map[string]bool{},
		held: new(clusterMap), askers: map[string]*clusterAsker{}, tracks: map[string]*track{},
		answers: make(chan clusterAnswer, clusterNodesMost), movedAt: time.Now().Add(-movedEvery),
	}
}

// suspect is follower's: the Cluster is asked soon, and that server among the
// first.
func (f *clusterFollower) suspect(_ int, addr string, _ pool.Suspicion) {
	f.mu.Lock()
	if len(f.suspects) < clusterAsked {
		f.suspects[addr] = true
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// servers is follower's.
func (f *clusterFollower) servers() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.known) == 0 {
		return f.seeds()
	}
	return f.known
}

// run is follower's: it returns when ctx is done and all questions have ended.
func (f *clusterFollower) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer func() {
		cancel()
		asking.Wait()
		for _, a := range f.askers {
			a.close()
		}
	}()
	pause := clusterLeast
	for {
		news := f.round(ctx, &asking)
		if pause = min(2*pause, clusterMost); news {
			pause = clusterLeast
		}
		if !sleep(ctx, pause, nil, nil) {
			return
		}
		rest := f.conf.ProbeInterval - pause
		if !sleep(ctx, rest-rand.N(max(rest/8, 0)+1), f.wake, nil) {
			return
		}
	}
}

// round asks some servers, and all of them if their answers don't settle who owns
// each slot. It reports whether that brought news.
func (f *clusterFollower) round(ctx context.Context, asking *sync.WaitGroup) bool {
	first, rest := f.whom()
	readsReplicas := f.conf.ReadFrom != conf.ReadPrimary
	if readsReplicas { // which all have to say how they are
		first, rest = slices.Concat(first, rest), nil
	}
	views := f.ask(ctx, asking, first)
	if len(views) == 0 && len(rest) > 0 {
		views, rest = f.ask(ctx, asking, rest), nil
	}
	members := len(f.held.nodes)
	if len(views) == 0 {
		views = f.ask(ctx, asking, f.seeds())
		members = len(views) // those known before do not answer: they may be no more
	}
	if ctx.Err() != nil {
		return false
	}
	next, unsettled := f.merge(views, members)
	if unsettled > 0 && len(rest) > 0 {
		views = append(views, f.ask(ctx, asking, rest)...)
		next, _ = f.merge(views, members)
	}
	f.tellState(views, next)
	news := next != f.held
	if news {
		f.tellChanges(next)
		f.held = next
	}
	f.forgetAskers()
	if readsReplicas {
		f.judgeReplicas()
	}
	return f.tellPool() || news
}

// merge returns what is held if the views say nothing new.
func (f *clusterFollower) merge(views []*clusterView, members int) (*clusterMap, int) {
	if !slices.ContainsFunc(views, func(v *clusterView) bool { return !f.held.agrees(v) }) {
		return f.held, 0
	}
	return f.held.merge(views, members)
}

// whom returns the addresses to ask in a round and those that are left: suspects
// first, then primaries in turn, then replicas. Servers that failed the last time
// come last. Before anything is known, the seeds are asked.
func (f *clusterFollower) whom() (first, rest []string) {
	f.mu.Lock()
	first = slices.Sorted(maps.Keys(f.suspects))
	clear(f.suspects)
	f.mu.Unlock()
	if len(f.held.nodes) == 0 {
		return f.seeds(), nil
	}
	var primaries, replicas, failing []string
	for _, id := range slices.Sorted(maps.Keys(f.held.nodes)) {
		n := f.held.nodes[id]
		addr := f.conf.MapAddr(n.addr)
		switch a := f.askers[addr]; {
		case slices.Contains(first, addr):
		case a != nil && a.failing:
			failing = append(failing, addr)
		case n.primary == "":
			primaries = append(primaries, addr)
		default:
			replicas = append(replicas, addr)
		}
	}
	f.turn++
	if n := len(primaries); n > 0 {
		turn := f.turn % n
		primaries = slices.Concat(primaries[turn:], primaries[:turn])
	}
	all := slices.Concat(first, primaries, replicas, failing)
	n := min(max(clusterAsked, len(first)), len(all))
	return all[:n], all[n:]
}

func (f *clusterFollower) seeds() (addrs []string) {
	for _, s := range f.conf.Servers {
		addrs = append(addrs, s.Addr)
	}
	return addrs
}

// ask asks servers at once and returns what those say that answer in time. Each is
// asked all that is wanted of it.
func (f *clusterFollower) ask(ctx context.Context, asking *sync.WaitGroup, addrs []string) (views []*clusterView) {
	outstanding := 0
	round := rand.Uint64()
	for _, addr := range addrs {
		a := f.askers[addr]
		if a == nil {
			a = &clusterAsker{conf: f.conf, addr: addr}
			f.askers[addr] = a
		}
		if a.busy || f.busy == clusterNodesMost {
			continue // it hangs, or very many do
		}
		a.busy = true
		f.busy++
		outstanding++
		asking.Go(func() {
			var answer clusterAnswer
			if err := survive(f.log, "asking "+addr, func() { answer = a.ask(ctx) }); err != nil {
				answer.err = err
				a.close()
			}
			answer.asker, answer.round = a, round
			f.answers <- answer
		})
	}
	grace := time.NewTimer(f.conf.ConnectTimeout + clusterGrace)
	defer grace.Stop()
	for outstanding > 0 {
		select {
		case answer := <-f.answers:
			f.take(answer)
			if answer.round != round {
				continue // it is old
			}
			if outstanding--; answer.err == nil {
				views = append(views, answer.view)
				grace.Reset(clusterGrace)
			}
		case <-grace.C:
			return views
		case <-ctx.Done():
			return views
		}
	}
	return views
}

// take takes note of how a server answers.
func (f *clusterFollower) take(answer clusterAnswer) {
	a := answer.asker
	f.busy--
	a.busy, a.failing, a.last = false, answer.err != nil, answer.observation
	if h := hint(answer.err, asClusterServer); h != a.hinted && (h != "" || answer.err == nil) {
		a.hinted = h
		if h != "" {
			f.log.Warn("a server can't be asked for the Cluster: "+h, "addr", a.addr, "err", answer.err)
		}
	}
	if answer.err != nil {
		f.log.Debug("a server of the Cluster does not tell its slots", "addr", a.addr, "err", answer.err)
		a.last = observation{addr: a.addr, asked: time.Now(), err: answer.err}
	}
}

// tellPool tells the pool what is held. What is older than what the data path has
// met meanwhile is not told, unless that has gone on for some rounds: then it
// reports true, for the next round to come soon.
func (f *clusterFollower) tellPool() (soon bool) {
	if len(f.held.shards) == 0 {
		return false
	}
	if f.doubted() && f.skipped < 3 {
		f.skipped++
		return true
	}
	f.skipped = 0
	shards := f.clusterShards()
	f.pool.SetCluster(shards)
	var known []string
	for _, s := range shards {
		known = append(known, s.Primary.Addr)
	}
	f.mu.Lock()
	f.known = known
	f.mu.Unlock()
	return false
}

// doubted reports whether the data path has doubts that came after the round began.
func (f *clusterFollower) doubted() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.suspects) > 0
}

// forgetAskers closes the connections to servers that are not of the Cluster any
// more.
func (f *clusterFollower) forgetAskers() {
	keep := map[string]bool{}
	for _, n := range f.held.nodes {
		keep[f.conf.MapAddr(n.addr)] = true
	}
	for addr, a := range f.askers {
		if !keep[addr] && !a.busy {
			a.close()
			delete(f.askers, addr)
		}
	}
}

// tellState logs when the Cluster goes down or comes up, once each.
func (f *clusterFollower) tellState(views []*clusterView, next *clusterMap) {
	if f.silent++; len(views) > 0 {
		f.silent = 0
	}
	down := ""
	switch covered := next.covered(); {
	case len(views) == 0 && f.silent < silentLooks:
		return // servers that are slow have yet to answer an earlier question
	case len(views) == 0:
		down = "no server of it answers"
	case !slices.ContainsFunc(views, func(v *clusterView) bool { return !v.down }):
		down = "its servers say that it is"
	case covered < clusterSlots:
		down = "not every slot is served"
	}
	s := &f.state
	if s.told && (s.down == "") == (down == "") {
		return
	}
	was, now := s.since, time.Now()
	first := !s.told
	*s = clusterState{true, down, now}
	switch {
	case down != "":
		f.log.Warn("Cluster down: requests that can't be served wait, and fail after failover_wait", "reason", down, "slots", next.covered())
	case first:
		f.log.Info("Cluster found", "shards", len(next.shards), "servers", len(next.nodes))
	default:
		f.log.Info("Cluster up", "down_for", now.Sub(was).Round(time.Millisecond))
	}
}

// tellChanges logs what the next map has that the held one has not.
func (f *clusterFollower) tellChanges(next *clusterMap) {
	if len(f.held.shards) == 0 {
		return // all of it is new
	}
	changes, moved := f.held.changesTo(next)
	for _, c := range changes {
		from, to := f.conf.MapAddr(c.from.addr), f.conf.MapAddr(c.to.addr)
		switch c.what {
		case "failover":
			f.log.Warn("failover: a replica has taken its primary's place", "primary", to, "was", from, "slots", f.slotsOf(next, c.to.id), "epoch", c.to.epoch)
		case "added":
			f.log.Info("shard added", "primary", to, "slots", f.slotsOf(next, c.to.id))
		case "removed":
			f.log.Info("shard removed: it serves no slot any more", "primary", from)
		case "address":
			f.log.Info("primary has another address", "primary", to, "was", from)
		}
	}
	if f.moved += moved; f.moved > 0 && time.Since(f.movedAt) >= movedEvery {
		f.log.Info("slots moved", "slots", f.moved, "shards", len(next.shards))
		f.moved, f.movedAt = 0, time.Now()
	}
}

func (f *clusterFollower) slotsOf(m *clusterMap, id string) (n int) {
	for _, r := range m.shards[id] {
		n += int(r.Last) - int(r.First) + 1
	}
	return n
}
