package pool

import (
	"errors"
	"sync/atomic"
	"time"

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
func (s *server) Failed(err error) {
	p := s.pool
	if errors.Is(err, pipeline.ErrFence) {
		s.miscounted(err)
		return
	}
	if p.follows {
		p.log.Debug("server failed", "addr", s.addr, "err", err)
		if p.watcher != nil {
			p.watcher.Suspect(p, s.index, s.addr, LostPrimary)
		}
		return
	}
	apart := sameEvent
	if errors.Is(err, pipeline.ErrTimeout) {
		apart = max(apart, p.conf.Timeout)
	}
	now, last := int64(time.Since(started)), s.counted.Load()
	if last != 0 && now-last < int64(apart) || !s.counted.CompareAndSwap(last, now) {
		p.log.Debug("server failed, counted already", "server", s.name, "addr", s.addr, "err", err)
		return
	}
	n := s.failures.Add(1)
	p.log.Debug("server failed", "server", s.name, "addr", s.addr, "err", err, "failures", n)
	if int(n) >= p.conf.ServerFailureLimit {
		p.takeDown(s, err)
	}
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
	p.down[s.index] = true
	s.downAt = time.Now()
	live := p.swapRing()
	locals := p.locals
	p.mu.Unlock()

	if p.conf.AutoEjectHosts {
		p.log.Warn("server ejected: its keys move to the others until it answers again",
			"server", s.name, "addr", s.addr, "err", err, "live", live, "retry_after", p.conf.ServerRetryTimeout)
	} else {
		p.log.Warn("server down: requests for its keys fail until it answers again",
			"server", s.name, "addr", s.addr, "err", err, "live", live)
	}
	for _, l := range locals {
		l.loop.Post(func() {
			if p.IsDown(s.index) {
				l.suspend(s.index)
			}
			l.rehome()
		})
	}
	if p.watcher != nil {
		p.watcher.ServerDown(p, s.index)
	}
}

// IsDown tells whether a server has failed and not been restored.
func (p *Pool) IsDown(server int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return server < len(p.down) && p.down[server]
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
	live := p.swapRing()
	after := time.Since(s.downAt)
	locals := p.locals
	p.mu.Unlock()
	for _, l := range locals {
		l.loop.Post(l.rehome)
	}
	p.log.Info("server restored", "server", s.name, "addr", s.addr, "live", live, "down_for", after.Round(time.Millisecond))
}

// swapRing installs the ring of the servers that are left, and returns how many
// they are. The caller holds p.mu.
func (p *Pool) swapRing() (live int) {
	for _, down := range p.down {
		if !down {
			live++
		}
	}
	if p.conf.AutoEjectHosts {
		p.m.Store(&Map{ring: p.full.Without(p.down)})
	}
	return live
}

// CountDown is how many servers have failed and not been restored.
func (p *Pool) CountDown() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, down := range p.down {
		if down {
			n++
		}
	}
	return n
}
