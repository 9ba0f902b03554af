package server

// Seats are what clients take: max_clients of the process, and client_connections of
// a pool. When one pool's clients have taken all that they can get, as when its server
// hangs and they come again and again, other pools still have some: a tenth of the
// seats is kept for pools that have fewer clients than their part of it.

// keptFor is how many seats are kept for a pool while it has fewer clients.
func (srv *Server) keptFor(ln *listener) int {
	pools := len(srv.listeners)
	if srv.most < 2*pools {
		return 0
	}
	kept := max(1, srv.most/(10*pools))
	if limit := ln.pool.Conf().MaxClients; limit > 0 {
		kept = min(kept, limit)
	}
	return kept
}

// takeSeat counts a client in if there is a seat for it, and reports whether there is.
// One that is refused is never counted, so that it keeps nobody else out. Any goroutine
// may call it.
func (srv *Server) takeSeat(ln *listener) bool {
	srv.seating.Lock()
	defer srv.seating.Unlock()
	if limit := ln.pool.Conf().MaxClients; limit > 0 && int(ln.clients.Load()) >= limit {
		return false
	}
	free := srv.most
	for _, other := range srv.listeners {
		if other != ln {
			free -= max(0, srv.keptFor(other)-int(other.clients.Load()))
		}
	}
	if int(srv.clients.Load()) >= free {
		return false
	}
	srv.clients.Add(1)
	ln.clients.Add(1)
	return true
}

// Left is session.Host's.
func (srv *Server) Left(pool int) {
	srv.clients.Add(-1)
	srv.listeners[pool].clients.Add(-1)
}

// Uncount is session.Host's.
func (srv *Server) Uncount(pool int) {
	srv.seatless.Add(1)
	srv.Left(pool)
}

// UncountedLeft is session.Host's.
func (srv *Server) UncountedLeft() { srv.seatless.Add(-1) }

// DescriptorsShort is session.Host's.
func (srv *Server) DescriptorsShort() bool {
	return int(srv.clients.Load()+srv.seatless.Load()) > srv.most
}
