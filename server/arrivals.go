package server

import (
	"net/netip"
	"sync"
	"time"

	"ringway/audit"
	"ringway/eventloop"
	"ringway/limit"
	"ringway/session"
)

// How many clients come in a second is bounded for a pool and for each network (new_connections). Those of a pool stay in the
// kernel's backlog. The network of a client is known only when it is accepted: one that comes too early is counted, but
// nothing of it is read for a while, and one that would have to wait for long is refused.

const (
	// longestArrival is how long a client of a network may have to wait before it is served.
	longestArrival = 3 * time.Second
	// maxDelayed is how many clients of a process may wait for that.
	maxDelayed = 4096
)

// tooMany is the answer to a client too many.
const tooMany = "-" + session.TooMany + "\r\n"

// awaitArrival waits until the socket's pool may have one more client. The goroutine that accepts calls it.
func (s *socket) awaitArrival() {
	ln := s.to.Load()
	all := ln.pool.Limits().All()
	for wait := all.UntilArrival(); wait > 0; wait = all.UntilArrival() {
		all.Delayed(limit.NewConnections)
		select {
		case <-time.After(wait):
		case <-ln.srv.stopping:
			return
		}
	}
}

// takeInFrom takes in a client at an address if its network may have one more, at once or later.
func (ln *listener) takeInFrom(fd int, c arrived, at netip.AddrPort) {
	network, ok := ln.pool.Limits().JoinNetwork(at.Addr(), false)
	if !ok {
		network.Refused(limit.Connections)
		ln.srv.Left(ln.index)
		ln.auditRefusal(at, audit.TooManyClients)
		ln.turnAway(fd, tooMany)
		return
	}
	if c.network = network; network == nil {
		ln.takeIn(fd, c)
		return
	}
	switch wait := network.Arrive(); {
	case wait == 0:
		ln.takeIn(fd, c)
	case network.Settings().Refuse || wait > longestArrival || !ln.srv.delayed.wait(wait, fd, func() { ln.takeIn(fd, c) }, func() { ln.gone(c) }):
		network.Unarrive()
		network.Refused(limit.NewConnections)
		ln.gone(c)
		ln.auditRefusal(at, audit.TooManyClients)
		ln.turnAway(fd, tooMany)
	default:
		network.Delayed(limit.NewConnections)
	}
}

// gone says that a client which was taken in has gone before it was placed.
func (ln *listener) gone(c arrived) {
	if c.network != nil {
		c.network.Leave()
	}
	ln.srv.Left(ln.index)
}

// delayedClients are those that wait before they are served.
type delayedClients struct {
	mu      sync.Mutex // guards what follows; nothing is called under it
	ended   bool
	waiting map[int]*time.Timer // by their sockets
	drop    map[int]func()
}

// wait has fn called after a while. Until then stop may close the socket fd instead, and call drop. It reports false
// if too many wait, or at the process's end.
func (d *delayedClients) wait(within time.Duration, fd int, fn, drop func()) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended || len(d.waiting) >= maxDelayed {
		return false
	}
	if d.waiting == nil {
		d.waiting, d.drop = map[int]*time.Timer{}, map[int]func(){}
	}
	d.drop[fd] = drop
	d.waiting[fd] = time.AfterFunc(within, func() {
		if d.take(fd) {
			fn()
		}
	})
	return true
}

// take reports whether a client still waits, which it does no more.
func (d *delayedClients) take(fd int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, there := d.waiting[fd]
	delete(d.waiting, fd)
	delete(d.drop, fd)
	return there
}

// stop closes all who wait.
func (d *delayedClients) stop() {
	d.mu.Lock()
	d.ended = true
	waiting, drop := d.waiting, d.drop
	d.waiting, d.drop = nil, nil
	d.mu.Unlock()
	for fd, timer := range waiting {
		timer.Stop()
		eventloop.CloseFD(fd)
		drop[fd]()
	}
}
