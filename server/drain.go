package server

import (
	"fmt"
	"time"
)

// The end of the process has three parts. For drain_delay it is unready, which load balancers
// have to notice, and serves as before (leave). Then nobody listens any more, and clients without requests
// are closed one after the other. What is under way is answered, for drain_timeout at most (drain).

// leave says to all who ask that the process is about to end, and returns when drain_delay is over. No Reload begins any more.
func (srv *Server) leave() {
	srv.reloading.Lock() // a Reload ends first, and no other begins
	srv.draining.Store(true)
	delay := srv.Conf().Proxy.DrainDelay
	if srv.isHandedOver() {
		delay = 0
	}
	srv.delaying.Store(delay > 0)
	srv.reloading.Unlock()
	srv.log.Info("draining", "clients", srv.clients.Load(), "delay", delay, "timeout", srv.Conf().Proxy.DrainTimeout)
	over := srv.spread()
	for _, l := range srv.loops {
		l.Post(func() { l.sessions.Leave(delay, over) })
	}
	if delay == 0 {
		return
	}
	end := time.NewTimer(delay)
	defer end.Stop()
	select {
	case <-end.C:
	case <-srv.skip:
		srv.hurries = true
	}
	srv.delaying.Store(false)
	srv.log.Info("accepting no more clients", "clients", srv.clients.Load())
}

// SkipDelay ends drain_delay. It reports false if that is not running. Any goroutine may call it.
func (srv *Server) SkipDelay() bool {
	if !srv.delaying.Swap(false) {
		return false
	}
	srv.skip <- struct{}{}
	return true
}

// drain ends all sessions and waits until no loop has one left, for drain_timeout at most.
func (srv *Server) drain() error {
	over, within := srv.spread(), srv.Conf().Proxy.DrainTimeout
	most := within / 4 * 3 // the rest is for what is under way then
	if srv.isHandedOver() {
		over, within = 0, restWithin // they had drain_timeout already
	}
	if srv.isHandedOver() || srv.hurries {
		most = 0
	}
	for _, l := range srv.loops {
		l.Post(func() { l.sessions.Drain(over, most) })
	}
	timeout := time.NewTimer(within)
	defer timeout.Stop()
	for range srv.loops {
		select {
		case <-srv.drained:
		case <-timeout.C:
			return fmt.Errorf("drain: %d clients still had requests under way after %s", srv.clients.Load(), within)
		}
	}
	return nil
}

// spread returns the time over which clients without requests are closed.
func (srv *Server) spread() time.Duration {
	proxy := &srv.Conf().Proxy
	return min(proxy.DrainDelay, proxy.DrainTimeout/2)
}

// isHandedOver reports whether another process has taken this one's place.
func (srv *Server) isHandedOver() bool {
	select {
	case <-srv.handedOver:
		return true
	default:
		return false
	}
}

// Draining reports whether the process is about to end: Run's context is done. Any goroutine may
// call it.
func (srv *Server) Draining() bool { return srv.draining.Load() }
