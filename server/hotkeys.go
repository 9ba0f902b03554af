package server

import (
	"slices"

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

// poolIndex returns the index by which sessions know a pool, or -1.
func (srv *Server) poolIndex(name string) int {
	if ln := srv.now().named(name); ln != nil {
		return ln.index
	}
	return -1
}

// SlowRequests returns the n slowest requests of a pool in the last ten to twenty minutes, the slowest
// first, and the n newest that took as long as slow_request. Like HotKeys, it has the loops copy what they
// have kept.
func (srv *Server) SlowRequests(pool string, n int) (slowest, newest []stats.SlowRequest) {
	index := srv.poolIndex(pool)
	if index < 0 {
		return nil, nil
	}
	all := slices.Concat(eachLoop(srv, func(l *loop) []stats.SlowRequest { return l.sessions.SlowRequests(index) })...)
	return stats.MergeSlow(all, srv.now().listeners[index].pool.Conf().SlowRequest, n)
}

// BigValues returns the n largest requests and replies of a pool in the last ten to twenty minutes, the
// largest first, one for each key and command. Like HotKeys, it has the loops copy what they have kept.
func (srv *Server) BigValues(pool string, n int) (requests, replies []stats.BigValue) {
	index := srv.poolIndex(pool)
	if index < 0 {
		return nil, nil
	}
	type both struct{ requests, replies []stats.BigValue }
	for _, told := range eachLoop(srv, func(l *loop) (b both) { b.requests, b.replies = l.sessions.BigValues(index); return b }) {
		requests, replies = append(requests, told.requests...), append(replies, told.replies...)
	}
	return stats.MergeBigValues(requests, n), stats.MergeBigValues(replies, n)
}
