package topology

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"ringway/conf"
	"ringway/pool"
)

// The intervals between probes of a server that is down: probeMin at first, doubled up to
// probeMax. They do not depend on server_retry_timeout, which is only the wait before the
// first probe where servers are ejected: a pool that does not eject gains nothing by waiting,
// since no key moves when the server is back.
const (
	probeMin = 100 * time.Millisecond
	probeMax = 500 * time.Millisecond
)

// relapseWaitMax bounds the wait before the first probe of a server that fails again and again
// soon after it was restored; a longer server_retry_timeout goes beyond it.
const relapseWaitMax = 30 * time.Second

// ServerDown implements pool.Watcher: it begins to probe the server with that index. Relapses
// is how often in a row it has failed soon after it was restored. After Stop it does nothing.
func (pr *Prober) ServerDown(p *pool.Pool, server, relapses int) {
	pr.start(func() { pr.supervise(p, "probing a server", func() { pr.probe(p, server, relapses) }) })
}

// firstWait returns how long to wait before the first probe. From the third relapse on it
// doubles each time: two may be chance, and a server that answers PING but nothing else would
// otherwise take requests in every round.
func firstWait(c *conf.Pool, relapses int) time.Duration {
	wait := probeMin
	if c.AutoEjectHosts {
		wait = c.ServerRetryTimeout
	}
	longest := max(wait, relapseWaitMax)
	for range relapses - 2 {
		wait = min(2*max(wait, probeMin), longest)
	}
	return wait
}

// probe asks the server again and again until it is fit to serve, and restores it.
func (pr *Prober) probe(p *pool.Pool, server, relapses int) {
	s := p.ServerOf(server)
	wait, warned := firstWait(p.Conf(), relapses), false
	for pr.sleep(wait) {
		if p.Removed(server) {
			return
		}
		c := p.Conf()
		err := pr.checkRecovered(c, &s)
		if err == nil {
			p.Restore(server)
			return
		}
		if errors.Is(err, errFlushAll) && !warned {
			warned = true
			pr.log.Warn("server can't be emptied and stays off the ring: allow FLUSHALL, or set restore = \"keep\"", "pool", c.Name, "server", s.Name, "err", err)
		}
		pr.log.Debug("server still down", "pool", c.Name, "server", s.Name, "err", err)
		wait = min(max(2*wait, probeMin), probeMax)
		wait -= rand.N(wait/8 + 1)
	}
}

var errFlushAll = errors.New("FLUSHALL")

// flushTimeout is how long a server may take for FLUSHALL.
const flushTimeout = 30 * time.Second

// checkRecovered asks a server that was down whether it can serve, with PING, and empties it
// with FLUSHALL if the pool's setting restore is "flush".
func (pr *Prober) checkRecovered(c *conf.Pool, s *conf.Server) error {
	conn, err := dialRaw(pr.ctx, c, c.ServerAuth(), s)
	if err != nil {
		return err
	}
	defer conn.nc.Close()
	if err := conn.do("PING"); err != nil || c.Restore != conf.RestoreFlush {
		return err
	}
	conn.nc.SetDeadline(time.Now().Add(flushTimeout))
	if err := conn.do("FLUSHALL"); err != nil {
		return fmt.Errorf("%w: %w", errFlushAll, err)
	}
	return nil
}

// ping sends one PING over a new connection.
func (pr *Prober) ping(c *conf.Pool, auth []string, s *conf.Server) error {
	conn, err := dialRaw(pr.ctx, c, auth, s)
	if err != nil {
		return err
	}
	defer conn.nc.Close()
	return conn.do("PING")
}

// Suspect implements pool.Watcher. For a static pool it is called when a server has answered
// -LOADING to a client. The server is asked by the Prober, too, and ejected until it has
// loaded; a client's word alone would not do, since a script can return that error.
func (pr *Prober) Suspect(p *pool.Pool, server int, _ string, why pool.Suspicion) {
	at := poolServer{p, server}
	pr.mu.Lock()
	defer pr.mu.Unlock()
	if why != pool.LoadingServer || pr.ctx.Err() != nil || pr.loadChecks[at] {
		return
	}
	pr.loadChecks[at] = true
	pr.wg.Go(func() {
		catchPanic(pr.log, "checking a server that is loading", func() { pr.ejectIfLoading(p, server) })
		pr.mu.Lock()
		delete(pr.loadChecks, at)
		pr.mu.Unlock()
	})
}

func (pr *Prober) ejectIfLoading(p *pool.Pool, server int) {
	c := p.Conf()
	s := p.ServerOf(server)
	err := pr.ping(c, c.ServerAuth(), &s)
	if r, ok := err.(refusal); ok && strings.HasPrefix(string(r), "LOADING") {
		p.Eject(server, err)
	}
}
