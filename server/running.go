package server

import (
	"time"

	"ringway/conf"
	"ringway/pool"
)

// running is what the process serves now: its configuration, and a listener for each pool. It is
// immutable; Reload replaces it whole. A pool's index is that of its listener. Sessions know
// pools by it, so it is given to another pool only when the first one is gone.
type running struct {
	conf      *conf.Config
	listeners []*listener // nil for a pool that is gone
	loaded    time.Time   // when conf was
}

// now returns what is served now. Any goroutine may call it.
func (srv *Server) now() *running { return srv.running.Load() }

// Conf returns the configuration in force. Any goroutine may call it.
func (srv *Server) Conf() *conf.Config { return srv.now().conf }

// Pools returns the pools, in the order of the configuration. Any goroutine may call it.
func (srv *Server) Pools() (pools []*pool.Pool) {
	for _, ln := range srv.now().served() {
		pools = append(pools, ln.pool)
	}
	return pools
}

// served returns the listeners of the pools that are configured, in the order of the configuration.
// Others have clients that are about to leave.
func (r *running) served() (all []*listener) {
	for i := range r.conf.Pools {
		if ln := r.named(r.conf.Pools[i].Name); ln != nil {
			all = append(all, ln)
		}
	}
	return all
}

// named returns the listener of a configured pool, or nil.
func (r *running) named(name string) *listener {
	for _, ln := range r.listeners {
		if ln != nil && !ln.leaving.Load() && ln.pool.Conf().Name == name {
			return ln
		}
	}
	return nil
}

// close closes all listening sockets, which ends the goroutines that accept.
func (r *running) close() {
	for _, ln := range r.all() {
		ln.socket.Load().Close()
	}
}

// all returns the listeners of all pools, also of those whose clients are about to leave.
func (r *running) all() (all []*listener) {
	for _, ln := range r.listeners {
		if ln != nil {
			all = append(all, ln)
		}
	}
	return all
}
