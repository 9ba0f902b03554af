package pool

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"ringway/hashring"
	"ringway/pipeline"
)

// started is what times are counted from. Changes of the system's clock do not affect it.
var started = time.Now()

// Succeeded is pipeline.Observer's. It runs for each batch of replies, so it writes
// shared memory only after a failure.
func (s *server) Succeeded() {
	if s.failures.Load() != 0 {
		s.failures.Store(0)
	}
}

// sameEvent is how close together the failures of several connections may be to count as
// one: a server that closes all its connections at once has failed once, however many
// loops notice it. It is shorter than the least time after which a connection is tried
// again.
const sameEvent = 20 * time.Millisecond

// Failed is pipeline.Observer's. What several loops notice of one event, or of one stall,
// counts once (docs/adr/0004).
func (s *server) Failed(err error) (ejecting bool) {
	p := s.pool
	if m := (*pipeline.MarkerError)(nil); errors.As(err, &m) {
		s.refusesMarkers(m)
		return false
	}
	if errors.Is(err, pipeline.ErrMarker) {
		s.miscounted(err)
		return false
	}
	if p.follows {
		p.log.Debug("server failed", "addr", s.addr, "err", err)
		if p.watcher != nil {
			p.watcher.Suspect(p, s.index, s.addr, LostPrimary)
		}
		return false
	}
	apart := sameEvent
	if errors.Is(err, pipeline.ErrTimeout) {
		apart = max(apart, p.Conf().Timeout)
	}
	now, last := int64(time.Since(started)), s.failureAt.Load()
	if last != 0 && now-last < int64(apart) || !s.failureAt.CompareAndSwap(last, now) {
		p.log.Debug("server failed, counted already", "server", s.name, "addr", s.addr, "err", err)
		return s.ejecting.Load()
	}
	n := s.failures.Add(1)
	p.log.Debug("server failed", "server", s.name, "addr", s.addr, "err", err, "failures", n)
	if int(n) >= p.Conf().ServerFailureLimit {
		p.takeDown(s, err)
	}
	return s.ejecting.Load()
}

// refusesMarkers logs what follows when the pool's user may not send ECHO.
func (s *server) refusesMarkers(m *pipeline.MarkerError) {
	if m.Instead != "" {
		s.pool.log.Info("server refuses "+m.Command+": using "+m.Instead+" instead to check the order of its replies; permit it (ACL: +echo) if possible",
			"server", s.name, "addr", s.addr, "reply", m.Reply)
		return
	}
	s.pool.log.Warn("server refuses ECHO and PING: the order of its replies can't be checked, and each script needs a new connection; permit one of them (ACL: +echo)",
		"server", s.name, "addr", s.addr, "reply", m.Reply)
}

// miscounted warns once of a server whose count of replies can't be relied on. It is no
// failure: a client's script must not be able to have a server ejected.
func (s *server) miscounted(err error) {
	if s.miscountLogged.Swap(true) {
		s.pool.log.Debug("server gave too many or too few replies again", "addr", s.addr, "err", err)
		return
	}
	s.pool.log.Warn("connection to server closed: it gave replies too many or too few; on servers without the fix "+
		"for CVE-2025-67733 a script can add replies: update the server. No client got them, and the requests in flight failed. Logged once for each server",
		"server", s.name, "addr", s.addr, "err", err)
}

// takeDown marks a server as down: its requests fail at once, and with auto_eject_hosts
// its keys move to the other servers.
func (p *Pool) takeDown(s *server, err error) {
	p.mu.Lock()
	if p.down[s.index] || p.shards[s.index].leaving() {
		p.mu.Unlock()
		return
	}
	now := time.Now()
	p.down[s.index] = true
	s.takenDown++
	s.ejecting.Store(p.Conf().AutoEjectHosts)
	s.downAt, s.outage = now, &pipeline.Outage{Why: err, Since: now}
	if s.restoredAt.IsZero() || now.Sub(s.restoredAt) > steadyAfter {
		s.relapses = 0
	} else {
		s.relapses++
	}
	relapses := s.relapses
	p.swapRing(func(live int) { p.tookDown(s, err, live, relapses) })
}

// steadyAfter is how long a restored server must work to count as sound. One that fails
// earlier has relapsed.
const steadyAfter = 10 * time.Second

// flapsAfter is after how many relapses in a row the log says that a server flaps.
const flapsAfter = 3

// tookDown is called when the Map without the server is installed. It tells the log, the
// loops and the watcher.
func (p *Pool) tookDown(s *server, err error, live, relapses int) {
	s.ejecting.Store(false)
	if p.Conf().AutoEjectHosts {
		p.log.Warn("server ejected: its keys move to the others until it answers again",
			"server", s.name, "addr", s.addr, "err", err, "live", live, "retry_after", p.Conf().ServerRetryTimeout)
	} else {
		p.log.Warn("server down: requests for its keys fail until it answers again",
			"server", s.name, "addr", s.addr, "err", err, "live", live)
	}
	if relapses == flapsAfter {
		p.log.Warn("server flaps: it answers probes and fails again as soon as it has its keys back; it is probed less and less often, down to once in 30 s",
			"server", s.name, "addr", s.addr, "err", err)
	}
	p.eachLocal(func(l *Local) {
		if p.IsDown(s.index) {
			l.suspend(s.index)
		}
		l.changes.MapChanged()
	})
	if p.watcher != nil {
		p.watcher.ServerDown(p, s.index, relapses)
	}
}

// Eject takes a static pool's server down as its failures would. It is for a Watcher that
// has found the server unfit. It does nothing to a server that is down.
func (p *Pool) Eject(server int, err error) { p.takeDown(p.staticServer(server), err) }

// staticServer returns a static pool's server by its shard.
func (p *Pool) staticServer(shard int) *server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.shards[shard].serving.primary
}

// outage returns why a server's requests fail.
func (p *Pool) outage(server int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.shards[server].serving.primary.outage; o != nil {
		return o
	}
	return pipeline.ErrSuspended
}

// IsDown reports whether a server has failed and was not restored since. It takes no
// lock.
func (p *Pool) IsDown(server int) bool {
	down := p.current.Load().down
	return server < len(down) && down[server]
}

// Restore puts a server that was down back to work. It is for a Watcher, once the server
// has answered a probe. It returns at once. First every loop opens its connections to
// requests again, then the ring gets the server back: the other way round, requests would
// meet connections that refuse them.
func (p *Pool) Restore(server int) {
	p.mu.Lock()
	s := p.shards[server].serving.primary
	if !p.down[server] || s.restoring || s.byHand.Load() {
		p.mu.Unlock()
		return
	}
	s.restoring = true
	s.attempts.Reset()
	s.markers.Forget() // it may have been restarted with other rules
	locals := p.locals
	p.mu.Unlock()

	left := new(atomic.Int32)
	left.Store(int32(len(locals)))
	for _, l := range locals {
		l.loop.Post(func() {
			l.restore(server)
			if left.Add(-1) == 0 {
				p.restored(server)
			}
		})
	}
	if len(locals) == 0 {
		p.restored(server)
	}
}

// restored gives a server its keys back.
func (p *Pool) restored(server int) {
	p.mu.Lock()
	s := p.shards[server].serving.primary
	p.down[server], s.restoring = false, false
	s.failures.Store(0)
	s.failureAt.Store(0)
	s.restoredAt = time.Now()
	after := s.restoredAt.Sub(s.downAt)
	p.swapRing(func(live int) {
		p.eachLocal(func(l *Local) { l.changes.MapChanged() })
		p.log.Info("server restored", "server", s.name, "addr", s.addr, "live", live, "down_for", after.Round(time.Millisecond))
	})
}

// swapRing installs a Map of the servers that are down now, and with auto_eject_hosts a ring
// of the others. The caller holds p.mu, which swapRing unlocks. Then it has done called with
// the number of servers that are left.
//
// Making a ring takes some milliseconds, 20 for a large one, and the caller may be an event
// loop. So a goroutine makes it, which ends when there is nothing left to make. Changes that
// come meanwhile become one ring. Until that is installed, requests go where they went, and
// those that were not sent to a failed server wait.
func (p *Pool) swapRing(done func(live int)) {
	if !p.Conf().AutoEjectHosts {
		live := p.installMap(p.fullRing)
		p.mu.Unlock()
		done(live)
		return
	}
	p.ringDone = append(p.ringDone, done)
	if !p.makingRing {
		p.makingRing = true
		go p.makeRings()
	}
	p.mu.Unlock()
}

// makeRings makes rings until the newest one is installed.
func (p *Pool) makeRings() {
	for {
		p.mu.Lock()
		if len(p.ringDone) == 0 {
			p.makingRing = false
			p.mu.Unlock()
			return
		}
		down, full, changes := slices.Clone(p.down), p.fullRing, p.ringDone
		missing := p.missing()
		p.ringDone = nil
		p.mu.Unlock()

		ring := full.Without(missing)

		p.mu.Lock()
		if !slices.Equal(down, p.down) || full != p.fullRing { // it is out of date: make the next one
			p.ringDone = append(changes, p.ringDone...)
			p.mu.Unlock()
			continue
		}
		live := p.installMap(ring)
		p.mu.Unlock()
		for _, done := range changes {
			done(live)
		}
	}
}

// installMap installs a Map of the servers that are down now with a ring that fits. It
// returns how many are left. The caller holds p.mu, or is New.
func (p *Pool) installMap(ring *hashring.Ring) (live int) {
	m := &Map{ring: ring, down: slices.Clone(p.down)}
	if !p.inOrder() {
		m.owners, m.owns = slices.Clone(p.order), make([]bool, len(p.shards))
		for _, shard := range p.order {
			m.owns[shard] = true
		}
	}
	p.current.Store(m)
	return len(p.order) - m.countDown()
}

// inOrder reports whether the shards are the ring's servers, in their order. The caller holds p.mu,
// or is New.
func (p *Pool) inOrder() bool {
	for i, shard := range p.order {
		if i != shard {
			return false
		}
	}
	return p.follows || len(p.order) == len(p.shards)
}

// missing returns which servers of fullRing are down. The caller holds p.mu.
func (p *Pool) missing() []bool {
	missing := make([]bool, len(p.order))
	for i, shard := range p.order {
		missing[i] = p.down[shard]
	}
	return missing
}

// CountDown returns how many servers have failed and were not restored since. It takes no
// lock.
func (p *Pool) CountDown() int { return p.current.Load().countDown() }

func (m *Map) countDown() (n int) {
	for _, down := range m.down {
		if down {
			n++
		}
	}
	return n
}
