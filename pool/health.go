package pool

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"ringway/hashring"
	"ringway/pipeline"
)

// started is what times are counted from; clock jumps do not touch them.
var started = time.Now()

// Succeeded is pipeline.Observer's. It runs for each batch of replies, so it
// writes shared memory only after a failure.
func (s *server) Succeeded() {
	if s.failures.Load() != 0 {
		s.failures.Store(0)
	}
}

// sameEvent is how close together the failures of several connections may be to
// count as one: a server that closes all its connections at once has failed
// once, however many loops notice it. It is shorter than the least time after
// which a connection is tried again.
const sameEvent = 20 * time.Millisecond

// Failed is pipeline.Observer's. What several loops notice of one event counts
// once, and so does what they notice of one stall.
func (s *server) Failed(err error) (leaving bool) {
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
		apart = max(apart, p.conf.Timeout)
	}
	now, last := int64(time.Since(started)), s.counted.Load()
	if last != 0 && now-last < int64(apart) || !s.counted.CompareAndSwap(last, now) {
		p.log.Debug("server failed, counted already", "server", s.name, "addr", s.addr, "err", err)
		return s.leaving.Load()
	}
	n := s.failures.Add(1)
	p.log.Debug("server failed", "server", s.name, "addr", s.addr, "err", err, "failures", n)
	if int(n) >= p.conf.ServerFailureLimit {
		p.takeDown(s, err)
	}
	return s.leaving.Load()
}

// refusesMarkers says what it means that the proxy's user may not ECHO.
func (s *server) refusesMarkers(m *pipeline.MarkerError) {
	if m.Instead != "" {
		s.pool.log.Info("server refuses "+m.Command+": "+m.Instead+" is used instead to see that its replies are in order; permit it (ACL: +echo) if you can",
			"server", s.name, "addr", s.addr, "reply", m.Reply)
		return
	}
	s.pool.log.Warn("server refuses ECHO and PING: it can't be seen whether its replies are in order, and a connection is made anew after each script; permit one of them (ACL: +echo)",
		"server", s.name, "addr", s.addr, "reply", m.Reply)
}

// miscounted warns, once, of a server whose replies can't be relied on. It is no
// failure: a client's script must not be able to have a server ejected.
func (s *server) miscounted(err error) {
	if s.warned.Swap(true) {
		s.pool.log.Debug("server gave replies too many or too few again", "addr", s.addr, "err", err)
		return
	}
	s.pool.log.Warn("connection to server closed: it gave replies too many or too few; a script may add replies of its own on servers without the fix "+
		"for CVE-2025-67733: update the server. No client was given them; requests in flight have failed. This is logged once",
		"server", s.name, "addr", s.addr, "err", err)
}

// takeDown marks a server as down: its requests fail at once, and with
// auto_eject_hosts its keys move to the servers that are left.
func (p *Pool) takeDown(s *server, err error) {
	p.mu.Lock()
	if p.down[s.index] {
		p.mu.Unlock()
		return
	}
	now := time.Now()
	p.down[s.index] = true
	s.leaving.Store(p.conf.AutoEjectHosts)
	s.downAt, s.outage = now, &pipeline.Outage{Why: err, Since: now}
	if s.restoredAt.IsZero() || now.Sub(s.restoredAt) > steadyAfter {
		s.relapses = 0
	} else {
		s.relapses++
	}
	relapses := s.relapses
	p.swapRing(func(live int) { p.tookDown(s, err, live, relapses) })
}

// steadyAfter is for how long a server that was restored must be well to be taken
// for a sound one: what fails before that has relapsed.
const steadyAfter = 10 * time.Second

// flapsAfter is how many relapses in a row make a server one that flaps.
const flapsAfter = 3

// tookDown is called when the ring is in that lacks the server, and tells everybody.
func (p *Pool) tookDown(s *server, err error, live, relapses int) {
	s.leaving.Store(false)
	if p.conf.AutoEjectHosts {
		p.log.Warn("server ejected: its keys move to the others until it answers again",
			"server", s.name, "addr", s.addr, "err", err, "live", live, "retry_after", p.conf.ServerRetryTimeout)
	} else {
		p.log.Warn("server down: requests for its keys fail until it answers again",
			"server", s.name, "addr", s.addr, "err", err, "live", live)
	}
	if relapses == flapsAfter {
		p.log.Warn("server flaps: it answers probes, and fails again as soon as it has its keys back; it is tried again less and less often, every half minute in the end",
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

// Eject takes a static pool's server down, as its failures would: it is for a
// Watcher that has found it unfit. It does nothing to one that is down.
func (p *Pool) Eject(server int, err error) { p.takeDown(p.servers[server], err) }

// outage returns why a server's requests fail.
func (p *Pool) outage(server int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.servers[server].outage; o != nil {
		return o
	}
	return pipeline.ErrSuspended
}

// IsDown reports whether a server has failed and not been restored. It takes no
// lock.
func (p *Pool) IsDown(server int) bool {
	down := p.m.Load().down
	return server < len(down) && down[server]
}

// Restore puts a server that was down back to work. It is for a Watcher, once
// the server has answered a probe. It returns at once; the server is up when
// every loop's connections are open to requests again. Only then the ring has
// it: the other way round, requests would meet connections that refuse them.
func (p *Pool) Restore(server int) {
	p.mu.Lock()
	if !p.down[server] || p.servers[server].restoring {
		p.mu.Unlock()
		return
	}
	p.servers[server].restoring = true
	p.servers[server].attempts.Reset()
	p.servers[server].markers.Forget() // it may have been restarted with other rules
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

// restored gives a server its keys again.
func (p *Pool) restored(server int) {
	s := p.servers[server]
	p.mu.Lock()
	p.down[server], s.restoring = false, false
	s.failures.Store(0)
	s.counted.Store(0)
	s.restoredAt = time.Now()
	after := s.restoredAt.Sub(s.downAt)
	p.swapRing(func(live int) {
		p.eachLocal(func(l *Local) { l.changes.MapChanged() })
		p.log.Info("server restored", "server", s.name, "addr", s.addr, "live", live, "down_for", after.Round(time.Millisecond))
	})
}

// swapRing installs a Map that knows which servers are down, and with
// auto_eject_hosts the ring of those that are left. The caller holds p.mu, which
// is given up here. Then done is called with how many are left.
//
// A ring takes some milliseconds to make, 20 for a large one, and its caller may be
// an event loop. So it is made on a goroutine of its own, which ends when there is
// nothing left to make; what changes meanwhile becomes one ring. Until that is in,
// requests go where they went, and those that a failed server was not sent wait.
func (p *Pool) swapRing(done func(live int)) {
	if !p.conf.AutoEjectHosts {
		live := p.installMap(p.full)
		p.mu.Unlock()
		done(live)
		return
	}
	p.changes = append(p.changes, done)
	if !p.making {
		p.making = true
		go p.makeRings()
	}
	p.mu.Unlock()
}

// makeRings makes rings until the newest one is installed.
func (p *Pool) makeRings() {
	for {
		p.mu.Lock()
		if len(p.changes) == 0 {
			p.making = false
			p.mu.Unlock()
			return
		}
		down, changes := slices.Clone(p.down), p.changes
		p.changes = nil
		p.mu.Unlock()

		ring := p.full.Without(down)

		p.mu.Lock()
		if !slices.Equal(down, p.down) { // the next one is on its way to be made
			p.changes = append(changes, p.changes...)
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

// installMap installs a Map of the servers that are down now and a ring that goes
// with them. It returns how many are left. The caller holds p.mu.
func (p *Pool) installMap(ring *hashring.Ring) (live int) {
	m := &Map{ring: ring, down: slices.Clone(p.down)}
	p.m.Store(m)
	return len(m.down) - m.countDown()
}

// CountDown is how many servers have failed and not been restored. It takes no
// lock.
func (p *Pool) CountDown() int { return p.m.Load().countDown() }

func (m *Map) countDown() (n int) {
	for _, down := range m.down {
		if down {
			n++
		}
	}
	return n
}
