package admin

import (
	"fmt"
	"net/http"
	"time"

	"ringway/conf"
	"ringway/server"
)

// stuckAfter is how long a loop may not answer before the process counts as stuck.
const stuckAfter = time.Second

// livez answers 200 as long as every event loop turns, else 503. A supervisor may restart the process
// then.
func (a *Admin) livez(w http.ResponseWriter, _ *http.Request) {
	f := a.srv.Figures()
	for i, l := range f.Loops {
		if l.At.Before(f.At.Add(-stuckAfter)) {
			http.Error(w, fmt.Sprintf("event loop %d has not answered for a second", i), http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ok")
}

// readyz answers 200 if clients are to be sent here, else 503: not while the process drains, and not
// while a pool has fewer servers than ready asks for.
func (a *Admin) readyz(w http.ResponseWriter, _ *http.Request) {
	if a.srv.Draining() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	for _, p := range a.srv.Figures().Pools {
		up, all := reachable(&p)
		if !enough(a.srv.Conf().Admin.Ready, up, all) {
			http.Error(w, fmt.Sprintf("pool %s: %d of %d servers are up", p.Name, up, all), http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ok")
}

// reachable counts the primaries of a pool, and those that are up.
func reachable(p *server.PoolFigures) (up, all int) {
	for _, s := range p.Servers {
		if s.Role == "primary" {
			all++
			if s.Up {
				up++
			}
		}
	}
	return up, all
}

func enough(ready string, up, all int) bool {
	switch ready {
	case conf.ReadyAll:
		return up == all
	case conf.ReadyQuorum:
		return up > all/2
	}
	return up > 0
}
