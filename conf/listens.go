package conf

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// checkListen reports an address that another pool listens on already, be it as one
// of all of the machine's: the second would not start.
func (b *builder) checkListen(p *Pool, n *node) {
	for i := range b.conf.Pools {
		other := &b.conf.Pools[i]
		same := p.Listen.Network == other.Listen.Network && p.Listen.Addr == other.Listen.Addr
		shared := p.ReusePort && other.ReusePort // the system permits an exact address beside all
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

// checkCircles reports pools whose requests would come back to them: what a pool sends
// to a server that is a pool of the same file goes round for ever.
func (b *builder) checkCircles(pools *node) {
	for i := range b.conf.Pools {
		p := &b.conf.Pools[i]
		if s, through := b.circle(p, p, map[string]bool{}); s != nil {
			b.report.mistake(placesNode(pools.table[p.Name]).start, poolTable(p.Name), fmt.Sprintf("servers entry %q: pool %q listens there, so that requests come back to pool %q and go round; want the address of a Redis", s.Addr, through, p.Name))
		}
	}
}

// circle returns the server of a pool over which requests get to a listener, and the
// pool that is there; nil if they get nowhere near it.
func (b *builder) circle(from, to *Pool, seen map[string]bool) (s *Server, through string) {
	seen[from.Name] = true
	for i := range from.Servers {
		for j := range b.conf.Pools {
			next := &b.conf.Pools[j]
			if !next.Listen.isReached(from.Servers[i]) {
				continue
			}
			if next == to {
				return &from.Servers[i], next.Name
			}
			if !seen[next.Name] {
				if found, _ := b.circle(next, to, seen); found != nil {
					return &from.Servers[i], next.Name
				}
			}
		}
	}
	return nil, ""
}

// overlaps reports whether two addresses can't be listened on at once, though they are
// not equal.
func (l Listen) overlaps(other Listen) bool {
	return l.includes(other.Network, other.Addr) || other.includes(l.Network, l.Addr)
}

// includes reports whether l is all addresses of a family, and the other is one of
// them with the same port. Names of hosts are not looked up.
func (l Listen) includes(network, addr string) bool {
	if network != "tcp" || !l.isEverywhere() {
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

// isReached reports whether a server's address leads to the listener, for certain:
// names of hosts are not looked up, but for localhost.
func (l Listen) isReached(s Server) bool {
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
