package conf

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// checkListen reports an address that another pool listens on already, also as part of
// a wildcard address: the second listener could not be opened.
func (b *builder) checkListen(p *Pool, n *node) {
	for i := range b.conf.Pools {
		other := &b.conf.Pools[i]
		same := p.Listen.Network == other.Listen.Network && p.Listen.Addr == other.Listen.Addr
		shared := p.ReusePort && other.ReusePort // the system permits an exact address beside a wildcard
		if strings.HasSuffix(p.Listen.Addr, ":0") || !same && (shared || !p.Listen.overlaps(other.Listen)) {
			continue
		}
		there := "there"
		if !same {
			there = fmt.Sprintf("on %q, which includes it or is part of it,", other.Listen.Addr)
		}
		b.report.mistake(n.start, poolTable(p.Name), fmt.Sprintf("listen %q: pool %q listens %s already; want an address of its own", p.Listen.Addr, other.Name, there))
		return
	}
}

// checkCycles reports pools whose servers are pools of the same file, if requests would
// come back to where they started.
func (b *builder) checkCycles(pools *node) {
	for i := range b.conf.Pools {
		p := &b.conf.Pools[i]
		if s, through := b.cycle(p, p, map[string]bool{}); s != nil {
			b.report.mistake(serversNode(pools.table[p.Name]).start, poolTable(p.Name), fmt.Sprintf("servers entry %q: pool %q listens there, so requests would come back to pool %q endlessly; want the address of a Redis", s.Addr, through, p.Name))
		}
	}
}

// cycle returns the server of pool from through which requests reach pool to, and the
// name of the pool that listens there; nil if there is none. Names of pools already
// visited are in seen.
func (b *builder) cycle(from, to *Pool, seen map[string]bool) (s *Server, through string) {
	seen[from.Name] = true
	for i := range from.Servers {
		for j := range b.conf.Pools {
			next := &b.conf.Pools[j]
			if !next.Listen.isAddressOf(from.Servers[i]) {
				continue
			}
			if next == to {
				return &from.Servers[i], next.Name
			}
			if !seen[next.Name] {
				if found, _ := b.cycle(next, to, seen); found != nil {
					return &from.Servers[i], next.Name
				}
			}
		}
	}
	return nil, ""
}

// overlaps reports whether one of two addresses is part of the other, so that the
// system refuses to listen on both.
func (l Listen) overlaps(other Listen) bool {
	return l.includes(other.Network, other.Addr) || other.includes(l.Network, l.Addr)
}

// includes reports whether l is a wildcard address and the other is one of its
// addresses, with the same port. Host names are not resolved.
func (l Listen) includes(network, addr string) bool {
	if network != "tcp" || !l.isWildcard() {
		return false
	}
	all, port, _ := net.SplitHostPort(l.Addr)
	host, otherPort, err := net.SplitHostPort(addr)
	if err != nil || port != otherPort {
		return false
	}
	ip, err := netip.ParseAddr(host)
	if all == "" || host == "" {
		return host == "" || err == nil
	}
	return err == nil && ip.Is4() == netip.MustParseAddr(all).Is4()
}

// isAddressOf reports whether connections to the server certainly reach the listener.
// Host names other than localhost are not resolved.
func (l Listen) isAddressOf(s Server) bool {
	if s.Network != "tcp" {
		return l.Network == s.Network && l.Addr == s.Addr
	}
	host, port, err := net.SplitHostPort(s.Addr)
	if err != nil || l.Network != "tcp" {
		return false
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	addr := net.JoinHostPort(host, port)
	return err == nil && (l.Addr == addr || l.Addr == "localhost:"+port && ip.IsLoopback() || ip.IsLoopback() && l.includes("tcp", addr))
}
