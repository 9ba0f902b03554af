package server

import (
	"fmt"
	"slices"

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
