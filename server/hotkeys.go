package server

import (
	"slices"
	"time"

	"ringway/pool"
	"ringway/stats"
)

// HotKeys returns the n keys of a pool with most requests, and the n with most bytes, in the last one
// or two seconds. It returns none if there is no such pool, or nothing is counted (statistics =
// false). Each loop copies its tables between two turns; a loop that is stuck is left out after a
// second. Any goroutine may call it while Run runs, but a loop's.
func (srv *Server) HotKeys(pool string, n int) stats.TopHotKeys {
	index := srv.poolIndex(pool)
	if index < 0 {
		return stats.TopHotKeys{}
	}
	return stats.MergeHotKeys(eachLoop(srv, func(l *loop) *stats.KeyCounts { return l.sessions.HotKeys(index) }), n)
}

// poolIndex returns the index of a pool in the configuration, or -1.
func (srv *Server) poolIndex(name string) int {
	return slices.IndexFunc(srv.pools, func(p *pool.Pool) bool { return p.Conf().Name == name })
}

// eachLoop returns what ask returns for each loop, in no order. It is called on that loop, between
// two turns. Loops that have not answered after figuresTimeout are left out.
func eachLoop[T any](srv *Server, ask func(l *loop) T) (told []T) {
	answers := make(chan T, len(srv.loops))
	for _, l := range srv.loops {
		l.Post(func() { answers <- ask(l) })
	}
	timeout := time.After(figuresTimeout)
	for range srv.loops {
		select {
		case answer := <-answers:
			told = append(told, answer)
		case <-timeout:
			return told
		}
	}
	return told
}
