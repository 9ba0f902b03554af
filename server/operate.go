package server

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"ringway/conf"
	"ringway/pool"
)

// EjectByHand takes a server of a static pool down until RestoreByHand. The error is for the operator.
// Any goroutine may call it.
func (srv *Server) EjectByHand(poolName, server string) error {
	return srv.byHand(poolName, server, (*pool.Pool).EjectByHand)
}

// RestoreByHand puts a server back to work that EjectByHand, or its failures, took down. The error is
// for the operator. Any goroutine may call it.
func (srv *Server) RestoreByHand(poolName, server string) error {
	return srv.byHand(poolName, server, (*pool.Pool).RestoreByHand)
}

func (srv *Server) byHand(poolName, server string, do func(p *pool.Pool, server string) bool) error {
	for _, p := range srv.Pools() {
		switch c := p.Conf(); {
		case c.Name != poolName:
		case p.Follows():
			return fmt.Errorf("pool %s follows its primaries (topology %s): its servers are not ejected", poolName, c.Topology)
		case !do(p, server):
			return fmt.Errorf("pool %s has no server %q; its servers are %s", poolName, server, serverNames(c))
		default:
			return nil
		}
	}
	return fmt.Errorf("there is no pool %q", poolName)
}

func serverNames(c *conf.Pool) (names []string) {
	for _, s := range c.Servers {
		names = append(names, s.Name)
	}
	return names
}

// PausePool holds the requests of a pool's clients back until ResumePool, or for some time at most. Nothing
// fails by that but what clients' own timeouts end. Requests that were sent to servers before are answered. If the pool
// is paused already, the time begins anew. The error is for the operator. PausePool waits for the loops as
// HotKeys does; any goroutine may call it but a loop's.
func (srv *Server) PausePool(poolName string, lasts time.Duration) error {
	return srv.onPool(poolName, func(ln *listener, l *loop) { l.sessions.HoldPool(ln.index, lasts) }, func(ln *listener) {
		ln.pausedUntil.Store(time.Now().Add(lasts).UnixNano())
	})
}

// ResumePool ends PausePool, and reports whether the pool was paused. The error is for the operator. Any
// goroutine may call it but a loop's.
func (srv *Server) ResumePool(poolName string) (was bool, err error) {
	err = srv.onPool(poolName, func(ln *listener, l *loop) { l.sessions.ReleasePool(ln.index) }, func(ln *listener) {
		was = ln.pauseLeft() > 0
		ln.pausedUntil.Store(0)
	})
	return was, err
}

// onPool has note run, and then do on each loop, with the listener of a pool. No Reload runs meanwhile.
func (srv *Server) onPool(poolName string, do func(ln *listener, l *loop), note func(ln *listener)) error {
	if !srv.reloading.TryLock() {
		return errors.New("a reload or an upgrade is under way, or the process is about to end")
	}
	defer srv.reloading.Unlock()
	ln := srv.now().named(poolName)
	if ln == nil {
		return fmt.Errorf("there is no pool %q", poolName)
	}
	note(ln)
	answered := eachLoop(srv, func(l *loop) struct{} {
		do(ln, l)
		return struct{}{}
	})
	if len(answered) < len(srv.loops) {
		return errors.New("an event loop does not answer, and has not followed: repeat the command when it does")
	}
	return nil
}

// pauseLeft returns how long PausePool will hold at most; 0 if it does not.
func (ln *listener) pauseLeft() time.Duration {
	return max(0, time.Until(time.Unix(0, ln.pausedUntil.Load())))
}

// Kill closes the connection of the client with the given id, of whichever pool. It reports whether
// there is such a client. It waits for the loops as HotKeys does; any goroutine may call it but a
// loop's.
func (srv *Server) Kill(id uint64) bool {
	return slices.Contains(eachLoop(srv, func(l *loop) bool { return l.sessions.Kill(id) }), true)
}

// ClientLines returns a line for each client, at most limit for each loop, in the form of CLIENT LIST
// with the pool's name before it. It waits for the loops as HotKeys does; any goroutine may call it
// but a loop's.
func (srv *Server) ClientLines(limit int) []string {
	return slices.Concat(eachLoopInTurns(srv, func(l *loop, tell func([]string)) { l.sessions.ClientLines(limit, tell) })...)
}
