package hatest

import (
	"time"

	"ringway/internal/faultyconn"
)

// soakFault is a fault that lasts for a while, of one pool or, if pool is "", of the
// proxy.
type soakFault struct {
	name  string
	pool  string
	often int                                // in each round of the long form; once if it is 0
	play  func(s *soak, p *soakPool, w *way) // w is one of the pool's, by chance
}

// soakFaults are all faults.
var soakFaults = []soakFault{
	{"a server is killed and comes back", "static", 3, func(_ *soak, _ *soakPool, w *way) { w.server.Restart() }},
	{"a server hangs", "static", 0, hang},
	{"connections are cut", "static", 0, func(_ *soak, _ *soakPool, w *way) { w.Cut() }},
	{"bytes come one by one and are cut", "static", 0, func(s *soak, p *soakPool, w *way) {
		w.Set(faultyconn.Faults{Chunk: 1 + s.rnd.IntN(50), Cut: 0.0001})
		s.sustain(p)
		w.Set(faultyconn.Faults{})
	}},
	{"a server hangs, and no timeout is set", "hung", 0, hang},
	{"packets vanish", "static", 0, dropPackets},
	{"packets vanish", "replicated", 0, dropPackets},
	{"packets vanish", "sentinel", 0, dropPackets},
	{"packets vanish", "cluster", 0, dropPackets},
	{"the proxy is stopped", "", 0, func(s *soak, _ *soakPool, _ *way) {
		s.process.Stop()
		time.Sleep(s.faultTime(healthyTimeout + healthyTimeout/10)) // nothing can be waited for
		s.process.Cont()
	}},
}

// hang stops a server for longer than the timeout, if there is one.
func hang(s *soak, p *soakPool, w *way) {
	w.server.Stop()
	s.sustain(p)
	w.server.Cont()
}

// dropPackets drops everything that a server or the proxy sends to the other.
func dropPackets(s *soak, p *soakPool, w *way) {
	w.dropPackets()
	s.sustain(p)
	w.passPackets()
}
