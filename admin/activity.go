package admin

import (
	"ringway/server"
	"ringway/stats"
)

// activity is what happened to a server, or to a command, in the last two seconds.
type activity struct {
	requests rate
	p50, p99 duration
}

// recent has the activity of one pool.
type recent struct {
	before, now *server.PoolFigures // nil without two samples
	seconds     float64
}

// recent returns the activity of a pool between the last two samples.
func (a *Admin) recent(pool string) recent {
	before, now := a.history.figures()
	if before == nil {
		return recent{}
	}
	return recent{poolNamed(before, pool), poolNamed(now, pool), max(now.At.Sub(before.At).Seconds(), 1e-3)}
}

func poolNamed(f *server.Figures, name string) *server.PoolFigures {
	for i := range f.Pools {
		if f.Pools[i].Name == name {
			return &f.Pools[i]
		}
	}
	return nil
}

// server returns the activity of the server at an address.
func (r *recent) server(addr string) activity {
	if r.before == nil || r.now == nil {
		return activity{}
	}
	now, before := serverAt(r.now, addr), serverAt(r.before, addr)
	if now == nil {
		return activity{}
	}
	window := now.Counts.Latency
	if before != nil {
		window.Subtract(&before.Counts.Latency)
	}
	return r.activity(&window)
}

func serverAt(p *server.PoolFigures, addr string) *server.ServerFigures {
	for i := range p.Servers {
		if p.Servers[i].Addr == addr {
			return &p.Servers[i]
		}
	}
	return nil
}

// command returns the activity of the command with an index in stats.Pool.Commands.
func (r *recent) command(i int) activity {
	if r.before == nil || r.now == nil || i >= len(r.now.Counts.Commands) || r.now.Counts.Commands[i] == nil {
		return activity{}
	}
	window := r.now.Counts.Commands[i].Latency
	if i < len(r.before.Counts.Commands) && r.before.Counts.Commands[i] != nil {
		window.Subtract(&r.before.Counts.Commands[i].Latency)
	}
	return r.activity(&window)
}

func (r *recent) activity(window *stats.Histogram) activity {
	return activity{rate(float64(window.Count()) / r.seconds), duration(window.Quantile(0.5)), duration(window.Quantile(0.99))}
}
