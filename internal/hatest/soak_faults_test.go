package hatest

import (
	"time"

	"ringway/internal/faultyconn"
)

// soakFault is something that goes wrong for a while, at one pool or, if that is "", at
// the proxy.
type soakFault struct {
	name  string
	pool  string
	often int                                // in each round of the long form; once if it is 0
	play  func(s *soak, p *soakPool, w *way) // w is one of the pool's, by chance
}

// soakFaults are all there are.
var soakFaults = []soakFault{
	{"a server is killed and comes back", "static", 3, func(_ *soak, _ *soakPool, w *way) { w.server.Restart() }},
	{"a server hangs", "static", 0, hang},
	{"connections are cut", "static", 0, func(_ *soak, _ *soakPool, w *way) { w.Cut() }},
	{"bytes come one by one and are cut", "static", 0, func(s *soak, p *soakPool, w *way) {
		w.Set(faultyconn.Faults{Chunk: 1 + s.rnd.IntN(50), Cut: 0.0001})
		s.hold(p)
		w.Set(faultyconn.Faults{})
	}},
	{"a server hangs, and no timeout is set", "hung", 0, hang},
	{"the network is dark", "static", 0, dark},
	{"the network is dark", "replicated", 0, dark},
	{"the network is dark", "sentinel", 0, dark},
	{"the network is dark", "cluster", 0, dark},
	{"the proxy is stopped", "", 0, func(s *soak, _ *soakPool, _ *way) {
		s.process.Stop()
		time.Sleep(s.holdFor(calmTimeout + calmTimeout/10)) // nothing can be waited for
		s.process.Cont()
	}},
}

// hang has a server stand still for longer than the timeout, if there is one.
func hang(s *soak, p *soakPool, w *way) {
	w.server.Stop()
	s.hold(p)
	w.server.Cont()
}

// dark has everything vanish that is sent to a server or by it.
func dark(s *soak, p *soakPool, w *way) {
	w.dark()
	s.hold(p)
	w.light()
}
