package topology

import (
	"cmp"
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"ringway/pool"
)

// lookUp returns the IP addresses of a host.
type lookUp func(ctx context.Context, host string) ([]netip.Addr, error)

// systemLookUp asks the resolver with which connections are made.
func systemLookUp(ctx context.Context, host string) ([]netip.Addr, error) {
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// A resolver resolves the host names of a pool's servers once in a resolve_interval and tells
// the pool their addresses. A name that can't be resolved is left out: its connections stay as
// they are, since an outage of DNS must not become one of Redis.
type resolver struct {
	*Prober
	pool   *pool.Pool
	lookUp lookUp
	known  map[string][]netip.Addr // the last answer for each name
	failed map[string]bool         // names that could not be resolved the last time
}

func (pr *Prober) newResolver(p *pool.Pool) *resolver {
	return &resolver{Prober: pr, pool: p, lookUp: systemLookUp, known: map[string][]netip.Addr{}, failed: map[string]bool{}}
}

// idleResolver is how often a resolver that has nothing to do looks whether resolve_interval has changed.
const idleResolver = 10 * time.Second

// run resolves all names in each resolve_interval until the Prober is stopped.
func (r *resolver) run() {
	for {
		interval := r.pool.Conf().ResolveInterval
		rest := cmp.Or(interval, idleResolver)
		if !r.sleep(rest - rand.N(rest/8+1)) {
			return
		}
		if interval > 0 {
			r.resolve()
		}
	}
}

// resolve resolves each name once, however many servers have it.
func (r *resolver) resolve() {
	at := map[string][]netip.Addr{} // of this round
	for _, addr := range r.pool.Addrs() {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			continue // a unix socket
		}
		if _, err := netip.ParseAddr(host); err == nil {
			continue
		}
		ips, asked := at[host]
		if !asked {
			ips = r.lookUpHost(host)
			at[host] = ips
		}
		if len(ips) > 0 {
			r.pool.Resolved(addr, ips)
		}
	}
}

// lookUpHost resolves one name and logs changes. It returns nil if that fails.
func (r *resolver) lookUpHost(host string) []netip.Addr {
	ctx, cancel := context.WithTimeout(r.ctx, max(r.pool.Conf().ConnectTimeout, time.Second))
	defer cancel()
	ips, err := r.lookUp(ctx, host)
	if r.ctx.Err() != nil {
		return nil
	}
	if err != nil || len(ips) == 0 {
		if !r.failed[host] {
			r.log.Warn("host name can't be resolved: keeping its connections", "pool", r.pool.Conf().Name, "host", host, "err", err)
		}
		r.failed[host] = true
		return nil
	}
	delete(r.failed, host)
	for i := range ips {
		ips[i] = ips[i].Unmap()
	}
	slices.SortFunc(ips, netip.Addr.Compare)
	if was := r.known[host]; was != nil && !slices.Equal(was, ips) {
		r.log.Info("host name has other addresses: reconnecting",
			"pool", r.pool.Conf().Name, "host", host, "addrs", ips, "was", was)
	}
	r.known[host] = ips
	return ips
}
