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

// left is called when a client of a pool is gone. Any goroutine may call it.
func (srv *Server) left(name string) {
	srv.clients.Add(-1)
	for _, ln := range srv.listeners {
		if ln.pool.Conf().Name == name {
			ln.clients.Add(-1)
		}
	}
}

// giveSeat counts a client out that is at its end and waits for a server. It goes on
// to have a descriptor, until unseated is called.
func (srv *Server) giveSeat(name string) {
	srv.seatless.Add(1)
	srv.left(name)
}

// unseated is called instead of left for a client that gave its seat.
func (srv *Server) unseated() { srv.seatless.Add(-1) }

// crowded reports whether clients without a seat have descriptors that others could
// need. Any goroutine may call it.
func (srv *Server) crowded() bool { return int(srv.clients.Load()+srv.seatless.Load()) > srv.most }
