package server

import (
	"fmt"
	"sync/atomic"
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
	for _, p := range srv.pools {
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

// Kill closes the connection of the client with the given id, of whichever pool. It reports whether
// there is such a client. It waits for the loops, for figuresTimeout at most; any goroutine may call
// it but a loop's.
func (srv *Server) Kill(id uint64) bool {
	var found atomic.Bool
	srv.onEachLoop(func(l *loop) {
		if l.sessions.Kill(id) {
			found.Store(true)
		}
	})
	return found.Load()
}

// ClientLines returns a line for each client, at most limit for each loop, in the form of CLIENT LIST
// with the pool's name before it. Any goroutine may call it but a loop's.
func (srv *Server) ClientLines(limit int) (lines []string) {
	told := make([]atomic.Pointer[[]string], len(srv.loops))
	srv.onEachLoop(func(l *loop) {
		own := l.sessions.ClientLines(limit)
		told[l.number].Store(&own)
	})
	for i := range told {
		if own := told[i].Load(); own != nil {
			lines = append(lines, *own...)
		}
	}
	return lines
}

// onEachLoop calls f on every loop, and waits until all have, for figuresTimeout at most.
func (srv *Server) onEachLoop(f func(l *loop)) {
	done := make(chan struct{})
	var left atomic.Int32
	left.Store(int32(len(srv.loops)))
	for _, l := range srv.loops {
		l.Post(func() {
			f(l)
			if left.Add(-1) == 0 {
				close(done)
			}
		})
	}
	select {
	case <-done:
	case <-time.After(figuresTimeout):
	}
}
