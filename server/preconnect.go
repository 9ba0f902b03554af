package server

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"ringway/handover"
	"ringway/pool"
)

// The clients that a new process takes over need connections to servers at once, all in one moment. So the old process
// says which kinds of connections are in use, and the new one makes these before it says that it is ready.

// kindsInUse returns which kinds of connections to servers clients use, on any loop.
func (srv *Server) kindsInUse() (kinds []handover.ConnectionKind) {
	for _, ofLoop := range eachLoop(srv, func(l *loop) (kinds []handover.ConnectionKind) {
		for _, ln := range srv.now().served() {
			for _, k := range l.sessions.KindsInUse(ln.index) {
				kinds = append(kinds, handover.ConnectionKind{Pool: ln.pool.Conf().Name, RESP3: k.RESP3, DB: k.DB})
			}
		}
		return kinds
	}) {
		for _, k := range ofLoop {
			if !slices.Contains(kinds, k) {
				kinds = append(kinds, k)
			}
		}
	}
	return kinds
}

// preconnect makes connections of the given kinds on all loops, and returns when they are there or have failed, or after connectWithin.
func (srv *Server) preconnect(ctx context.Context, kinds []handover.ConnectionKind) {
	ctx, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	look := time.NewTicker(checkEvery / 5)
	defer look.Stop()
	for {
		var pending atomic.Int64
		all := srv.awaitLoops(ctx, func(_ int, l *loop) {
			for _, k := range kinds {
				ln := srv.now().named(k.Pool)
				if ln == nil {
					continue
				}
				pending.Add(int64(l.sessions.Preconnect(ln.index, pool.Kind{RESP3: k.RESP3, DB: k.DB})))
			}
		})
		if !all || pending.Load() == 0 {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}
