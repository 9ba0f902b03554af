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

// clusterFollower keeps a pool's table of slots up to date for topology "cluster". In rounds
// it asks a few servers for their view of the Cluster, and more if these leave a slot
// undecided; clusterMap.merge makes one map of the views, by configuration epochs as the
// Cluster itself does. The data path asks for a round when it meets -MOVED; what -MOVED says
// of a slot, the pool has learnt by itself already.
//
// One goroutine, that of run, makes all decisions. Each question to a server is a goroutine
// of its own, since a server may hang.
type clusterFollower struct {
	// Static after construction.
	pool *pool.Pool
	conf *conf.Pool
	log  *slog.Logger
	wake chan struct{} // capacity 1: begin a round soon

	mu       sync.Mutex      // guards suspects and known
	suspects map[string]bool // addresses of servers that the data path suspects, since the last round
	known    []string        // addresses of the primaries

	// Of the goroutine of run: what is known.
	current *clusterMap
	offsets map[string]*offsetHistory // of the primaries, by their IDs; only if replicas are read

	// Of the goroutine of run: the questions.
	askers        map[string]*clusterAsker // by address
	busy          int                      // askers of which a question is under way
	answers       chan clusterAnswer       // its capacity is the number of askers that may be busy
	rotation      int                      // which primary is asked first, modulo their number
	silentRounds  int                      // in a row, without any answer
	skippedRounds int                      // in a row, whose result may be older than what the data path knows

	// Of the goroutine of run: the log.
	state   clusterState
	moved   int       // slots that changed their shard since the last line about that
	movedAt time.Time // when that line was
}

// clusterState is the state of the Cluster that was logged last.
type clusterState struct {
	logged bool
	down   string // why it is down; "" if it is up
	since  time.Time
}

const (
	// serversPerRound is how many servers a round asks at first: all primaries of a small
	// Cluster, others each time of a large one.
	serversPerRound = 6
	// roundGrace is how long a round waits for further servers once one has answered.
	roundGrace = 100 * time.Millisecond
	// Rounds that the data path asks for are this far apart: the least after a round with
	// news, then twice as far each time. While slots are migrated, -MOVED comes all the time.
	roundPauseMin = 20 * time.Millisecond
	roundPauseMax = 200 * time.Millisecond
	// movedLogInterval is how often moved slots are logged at most.
	movedLogInterval = 10 * time.Second
)

func newClusterFollower(p *pool.Pool, log *slog.Logger) *clusterFollower {
	return &clusterFollower{
		pool: p, conf: p.Conf(), log: log.With("pool", p.Conf().Name),
		wake: make(chan struct{}, 1), suspects: map[string]bool{},
		current: new(clusterMap), askers: map[string]*clusterAsker{}, offsets: map[string]*offsetHistory{},
		answers: make(chan clusterAnswer, clusterServersMost), movedAt: time.Now().Add(-movedLogInterval),
	}
}

// suspect implements follower: a round begins soon, and asks the suspected server among the
// first.
func (f *clusterFollower) suspect(_ int, addr string, _ pool.Suspicion) {
	f.mu.Lock()
	if len(f.suspects) < serversPerRound {
		f.suspects[addr] = true
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// servers implements follower: it returns the primaries, and before they are known the servers
// of the configuration.
func (f *clusterFollower) servers() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.known) == 0 {
		return f.seeds()
	}
	return f.known
}

// run implements follower.
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
	pause := roundPauseMin
	for {
		news := f.round(ctx, &asking)
		if pause = min(2*pause, roundPauseMax); news {
			pause = roundPauseMin
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

// round asks some servers, and all of them if the answers leave undecided who owns a slot; the
// configuration's servers if nobody answers. It logs what has changed and informs the pool. It
// reports whether there was news.
func (f *clusterFollower) round(ctx context.Context, asking *sync.WaitGroup) bool {
	first, rest := f.serversToAsk()
	readsReplicas := f.conf.ReadFrom != conf.ReadPrimary
	if readsReplicas { // all servers must be asked, for their health
		first, rest = slices.Concat(first, rest), nil
	}
	views := f.ask(ctx, asking, first)
	if len(views) == 0 && len(rest) > 0 {
		views, rest = f.ask(ctx, asking, rest), nil
	}
	members := len(f.current.servers)
	if len(views) == 0 {
		views = f.ask(ctx, asking, f.seeds())
		members = len(views) // no server known before answers, so they have no vote
	}
	if ctx.Err() != nil {
		return false
	}
	next, undecided := f.merge(views, members)
	if undecided > 0 && len(rest) > 0 {
		views = append(views, f.ask(ctx, asking, rest)...)
		next, _ = f.merge(views, members)
	}
	f.logState(views, next)
	news := next != f.current
	if news {
		f.logChanges(next)
		f.current = next
	}
	if len(views) > 0 && f.state.down == "" {
		f.pool.ConfirmCluster()
	}
	f.forgetAskers()
	if readsReplicas {
		f.judgeReplicas()
	}
	return f.updatePool() || news
}

// merge merges views into the current map. If they agree with it, it is returned itself: most
// rounds cost no more than a comparison.
func (f *clusterFollower) merge(views []*clusterView, members int) (*clusterMap, int) {
	if !slices.ContainsFunc(views, func(v *clusterView) bool { return !f.current.agrees(v) }) {
		return f.current, 0
	}
	return f.current.merge(views, members)
}

// serversToAsk returns the addresses to ask first in a round, and the remaining ones:
// suspected servers, then primaries in rotation, then replicas, and last those that did not
// answer the previous time. Before anything is known it returns the configuration's servers.
func (f *clusterFollower) serversToAsk() (first, rest []string) {
	f.mu.Lock()
	first = slices.Sorted(maps.Keys(f.suspects))
	clear(f.suspects)
	f.mu.Unlock()
	if len(f.current.servers) == 0 {
		return f.seeds(), nil
	}
	var primaries, replicas, failing []string
	for _, id := range slices.Sorted(maps.Keys(f.current.servers)) {
		n := f.current.servers[id]
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
	f.rotation++
	if n := len(primaries); n > 0 {
		turn := f.rotation % n
		primaries = slices.Concat(primaries[turn:], primaries[:turn])
	}
	all := slices.Concat(first, primaries, replicas, failing)
	n := min(max(serversPerRound, len(first)), len(all))
	return all[:n], all[n:]
}

// seeds returns the servers that the configuration lists.
func (f *clusterFollower) seeds() (addrs []string) {
	for _, s := range f.conf.Servers {
		addrs = append(addrs, s.Addr)
	}
	return addrs
}

// ask asks servers all at once and returns the views of those that answer in time. A server
// that still owes an answer is not asked again.
func (f *clusterFollower) ask(ctx context.Context, asking *sync.WaitGroup, addrs []string) (views []*clusterView) {
	outstanding := 0
	round := rand.Uint64()
	for _, addr := range addrs {
		a := f.askers[addr]
		if a == nil {
			a = &clusterAsker{conf: f.conf, addr: addr}
			f.askers[addr] = a
		}
		if a.busy || f.busy == clusterServersMost {
			continue // the server hangs, or a great many do
		}
		a.busy = true
		f.busy++
		outstanding++
		asking.Go(func() {
			var answer clusterAnswer
			if err := catchPanic(f.log, "asking "+addr, func() { answer = a.ask(ctx) }); err != nil {
				answer.err = err
				a.close()
			}
			answer.asker, answer.round = a, round
			f.answers <- answer
		})
	}
	grace := time.NewTimer(f.conf.ConnectTimeout + roundGrace)
	defer grace.Stop()
	for outstanding > 0 {
		select {
		case answer := <-f.answers:
			f.record(answer)
			if answer.round != round {
				continue // of an earlier round
			}
			if outstanding--; answer.err == nil {
				views = append(views, answer.view)
				grace.Reset(roundGrace)
			}
		case <-grace.C:
			return views
		case <-ctx.Done():
			return views
		}
	}
	return views
}

// record takes note of an answer: whether the server answers, how it is, and, in the log,
// which setting may be wrong.
func (f *clusterFollower) record(answer clusterAnswer) {
	a := answer.asker
	f.busy--
	a.busy, a.failing, a.last = false, answer.err != nil, answer.observation
	if h := hint(answer.err, asClusterServer); h != a.loggedHint && (h != "" || answer.err == nil) {
		a.loggedHint = h
		if h != "" {
			f.log.Warn("Cluster server can't be asked: "+h, "addr", a.addr, "err", answer.err)
		}
	}
	if answer.err != nil {
		f.log.Debug("Cluster server did not answer", "addr", a.addr, "err", answer.err)
		a.last = observation{addr: a.addr, askedAt: time.Now(), err: answer.err}
	}
}

// updatePool tells the pool the current map. If the data path has met -MOVED since the round
// began, the map may be older than what the pool has learnt from that, and would undo it: then
// the pool is not told, and it reports true, for the next round to come soon. After three such
// rounds in a row the pool is told all the same.
func (f *clusterFollower) updatePool() (skipped bool) {
	if len(f.current.shards) == 0 {
		return false
	}
	if f.hasSuspects() && f.skippedRounds < 3 {
		f.skippedRounds++
		return true
	}
	f.skippedRounds = 0
	shards := f.poolShards()
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

// hasSuspects reports whether the data path has suspected a server since the round began.
func (f *clusterFollower) hasSuspects() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.suspects) > 0
}

// forgetAskers closes the connections to servers that no longer belong to the Cluster.
func (f *clusterFollower) forgetAskers() {
	keep := map[string]bool{}
	for _, n := range f.current.servers {
		keep[f.conf.MapAddr(n.addr)] = true
	}
	for addr, a := range f.askers {
		if !keep[addr] && !a.busy {
			a.close()
			delete(f.askers, addr)
		}
	}
}

// logState logs when the Cluster goes down or comes up. It is down if no server answers, all
// that answer say so, or a slot is not served.
func (f *clusterFollower) logState(views []*clusterView, next *clusterMap) {
	if f.silentRounds++; len(views) > 0 {
		f.silentRounds = 0
	}
	down := ""
	switch covered := next.covered(); {
	case len(views) == 0 && f.silentRounds < unansweredMax:
		return // slow servers may still answer an earlier question
	case len(views) == 0:
		down = "no server answers"
	case !slices.ContainsFunc(views, func(v *clusterView) bool { return !v.down }):
		down = "its servers say so"
	case covered < clusterSlots:
		down = "some slots are not served"
	}
	s := &f.state
	if s.logged && (s.down == "") == (down == "") {
		return
	}
	was, now := s.since, time.Now()
	first := !s.logged
	*s = clusterState{true, down, now}
	switch {
	case down != "":
		f.log.Warn("Cluster down: requests that can't be served wait, and fail after failover_wait", "reason", down, "slots", next.covered())
	case first:
		f.log.Info("Cluster found", "shards", len(next.shards), "servers", len(next.servers))
	default:
		f.log.Info("Cluster up", "down_for", now.Sub(was).Round(time.Millisecond))
	}
}

// logChanges logs the differences between the current map and the next.
func (f *clusterFollower) logChanges(next *clusterMap) {
	if len(f.current.shards) == 0 {
		return // everything is new; logState has logged the Cluster
	}
	changes, moved := f.current.changesTo(next)
	for _, c := range changes {
		from, to := f.conf.MapAddr(c.from.addr), f.conf.MapAddr(c.to.addr)
		switch c.what {
		case "failover":
			f.pool.CountFailover()
			f.log.Warn("failover: replica promoted", "primary", to, "was", from, "slots", f.slotCount(next, c.to.id), "epoch", c.to.epoch)
		case "added":
			f.log.Info("shard added", "primary", to, "slots", f.slotCount(next, c.to.id))
		case "removed":
			f.log.Info("shard removed: it serves no slots", "primary", from)
		case "address":
			f.log.Info("primary address changed", "primary", to, "was", from)
		}
	}
	if f.moved += moved; f.moved > 0 && time.Since(f.movedAt) >= movedLogInterval {
		f.log.Info("slots moved", "slots", f.moved, "shards", len(next.shards))
		f.moved, f.movedAt = 0, time.Now()
	}
}

// slotCount returns how many slots a primary serves, by its ID.
func (f *clusterFollower) slotCount(m *clusterMap, id string) (n int) {
	for _, r := range m.shards[id] {
		n += int(r.Last) - int(r.First) + 1
	}
	return n
}
