package server

import "ringway/audit"

// How many clients there may be is bounded by max_clients for the process and by
// client_connections for a pool. One pool's clients can't take all of max_clients, as when
// its server hangs and they reconnect again and again: a tenth of max_clients is divided
// between the pools, and each pool is guaranteed its part (docs/adr/0024-clients-that-leave.md).

// guaranteedTo returns how many clients the pool of ln may have, however many the others
// have. It is 0 if max_clients is less than twice the number of pools.
func (srv *Server) guaranteedTo(ln *listener) int {
	pools, most := len(srv.now().all()), int(srv.maxClients.Load())
	if most < 2*pools {
		return 0
	}
	kept := max(1, most/(10*pools))
	if limit := ln.pool.Conf().MaxClients; limit > 0 {
		kept = min(kept, limit)
	}
	return kept
}

// tryAdmit counts one more client of the pool of ln if the bounds allow it, and reports
// whether they do. A refused client is not counted even for a moment, so it keeps no other
// client out. Any goroutine may call it.
func (srv *Server) tryAdmit(ln *listener) bool {
	srv.admission.Lock()
	defer srv.admission.Unlock()
	if limit := ln.pool.Conf().MaxClients; limit > 0 && int(ln.clients.Load()) >= limit {
		return false
	}
	free := int(srv.maxClients.Load())
	for _, other := range srv.now().all() {
		if other != ln {
			free -= max(0, srv.guaranteedTo(other)-int(other.clients.Load()))
		}
	}
	if int(srv.clients.Load()) >= free {
		return false
	}
	srv.clients.Add(1)
	ln.clients.Add(1)
	return true
}

// Audit is session.Host's: the process's audit log, which is off until it is given a handler. Any goroutine may call it.
func (srv *Server) Audit() *audit.Log { return &srv.audit }

// Left is session.Host's: a counted client is gone.
func (srv *Server) Left(pool int) {
	srv.clients.Add(-1)
	srv.now().listeners[pool].clients.Add(-1)
}

// Uncount is session.Host's: a half-closed client is not counted in max_clients any more.
func (srv *Server) Uncount(pool int) {
	srv.uncounted.Add(1)
	srv.Left(pool)
}

// UncountedLeft is session.Host's: a client that was not counted any more is gone.
func (srv *Server) UncountedLeft() { srv.uncounted.Add(-1) }

// DescriptorsShort is session.Host's: counted and uncounted clients together are more than
// max_clients.
func (srv *Server) DescriptorsShort() bool {
	return int(srv.clients.Load()+srv.uncounted.Load()) > int(srv.maxClients.Load())
}
