package pool

import (
	"net/netip"
	"slices"

	"ringway/pipeline"
)

// Addrs returns the addresses of all servers that the pool uses now, as they were
// configured or found out.
func (p *Pool) Addrs() (addrs []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, sh := range p.shards {
		for _, s := range append([]*server{sh.serving.primary}, sh.serving.readers...) {
			if s != nil && !slices.Contains(addrs, s.addr) {
				addrs = append(addrs, s.addr)
			}
		}
	}
	return addrs
}

// Resolved reports to which IP addresses the name in the server address addr resolves
// now. Connections to others are made anew, without a failed request: see pipeline.Conn's
// Renew.
func (p *Pool) Resolved(addr string, at []netip.Addr) {
	p.eachLocal(func(l *Local) { l.resolved(addr, at) })
}

func (l *Local) resolved(addr string, at []netip.Addr) {
	elsewhere := func(c *pipeline.Conn) bool { return c.Addr() == addr && isElsewhere(c.Peer(), at) }
	for _, cs := range l.connSets {
		for _, c := range cs.all() {
			if elsewhere(c) {
				c.Renew()
			}
		}
	}
	for c := range l.lent {
		if elsewhere(c) {
			c.Renew() // it is closed when its client gives it back
		}
	}
	l.closeSpares(func(_ dedicatedKey, s spare) bool { return elsewhere(s.conn) })
	if c := l.login.conn; c != nil && elsewhere(c) {
		c.Renew()
	}
	l.changes.Resolved(addr, at)
}

// isElsewhere reports whether a peer is none of those addresses.
func isElsewhere(peer netip.Addr, at []netip.Addr) bool {
	return peer.IsValid() && !slices.Contains(at, peer)
}
