package conf

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// Zone is one entry of `zones`: the servers of a zone, by their addresses.
type Zone struct {
	Name  string
	Nets  []netip.Prefix // networks
	Hosts []string       // "host" or "host:port", in lower case, IPv6 hosts with brackets only before a port
}

// MapAddr translates the address, "host:port", that servers and Sentinels announce
// for a server or Sentinel to the one at which the proxy reaches it: by the entry of
// `address_map` for the whole address, else by the one for its host, else addr
// itself. Any goroutine may call it.
func (p *Pool) MapAddr(addr string) string {
	if len(p.AddressMap) == 0 {
		return addr
	}
	lower := strings.ToLower(addr)
	if to, ok := p.AddressMap[lower]; ok {
		return to
	}
	host, port, err := net.SplitHostPort(lower)
	if err != nil {
		return addr
	}
	if to, ok := p.AddressMap[host]; ok {
		return net.JoinHostPort(to, port)
	}
	return addr
}

// ZoneOf returns the zone of the server at addr, "host:port", as the proxy reaches
// it, or "" if `zones` does not have it. An entry with a port has precedence over
// one of a host, and that over networks, of which the smallest counts. Host names
// are in no network: nothing is resolved. Any goroutine may call it.
func (p *Pool) ZoneOf(addr string) string {
	addr = strings.ToLower(addr)
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	ip, errIP := netip.ParseAddr(host)
	zone, best := "", -1
	for _, z := range p.Zones {
		if slices.Contains(z.Hosts, addr) {
			return z.Name
		}
		if slices.Contains(z.Hosts, host) {
			zone, best = z.Name, 1<<10
		}
		for _, n := range z.Nets {
			if errIP == nil && n.Contains(ip) && n.Bits() > best {
				zone, best = z.Name, n.Bits()
			}
		}
	}
	return zone
}

// parseHostOrAddress reads "host" or "host:port", an IPv6 address with brackets
// if a port follows, and returns it in the form of the keys of Pool.AddressMap.
func parseHostOrAddress(s string) (addr string, hasPort bool, err error) {
	_, errIP := netip.ParseAddr(s)
	if errIP == nil || !strings.Contains(s, ":") {
		addr, err = parseHost(s)
		return strings.ToLower(addr), false, err
	}
	a, err := parseAddress(s)
	return strings.ToLower(a.Addr), true, err
}

const addressMapExample = `{ "10.0.0.5:6379" = "127.0.0.1:7001", "10.0.0.6" = "192.0.2.6" }`

// setAddressMap reads pairs of an announced address and the one to connect to.
func setAddressMap(v *value, p *Pool) {
	p.AddressMap = map[string]string{}
	v.entries(addressMapExample, func(at *node, key string, entry any) {
		s, ok := entry.(string)
		from, fromPort, errFrom := parseHostOrAddress(key)
		to, toPort, errTo := parseHostOrAddress(s)
		switch err := cmp.Or(errFrom, errTo); {
		case !ok:
			err = errors.New("want an address in quotes")
			fallthrough
		case err != nil:
			v.failAt(at, fmt.Sprintf("entry %q: %s", key, err))
		case fromPort != toPort:
			v.failAt(at, fmt.Sprintf(`entry %q: want both with a port, or neither, as in %s`, key, addressMapExample))
		case p.AddressMap[from] != "":
			v.failAt(at, fmt.Sprintf("entry %q: the address has two entries; want one", key))
		default:
			p.AddressMap[from] = to
		}
	})
}

const zonesExample = `{ "eu-1a" = ["10.1.0.0/16"], "eu-1b" = ["10.2.0.0/16", "redis7:6379"] }`

// setZones reads the networks, hosts and addresses of each zone.
func setZones(v *value, p *Pool) {
	seen := map[string]*node{}
	v.entries(zonesExample, func(at *node, name string, entry any) {
		zone := Zone{Name: name}
		if !isZone(name) {
			v.failAt(at, fmt.Sprintf("entry %q: want the name of a zone", name))
			return
		}
		in := value{report: v.report, table: v.table, name: v.name + "." + name, node: at, v: entry}
		in.list("10.1.0.0/16", func(at *node, s string) error {
			if strings.Contains(s, "/") {
				prefix, err := netip.ParsePrefix(s)
				if err != nil {
					return errors.New(`want a network such as "10.1.0.0/16"`)
				}
				if prefix != prefix.Masked() {
					return fmt.Errorf("is an address in a network; want %q for the network", prefix.Masked())
				}
				zone.Nets = append(zone.Nets, prefix)
				return v.checkOnce(seen, s, at)
			}
			host, _, err := parseHostOrAddress(s)
			if err != nil {
				return fmt.Errorf(`%w; want a network, a host, or "host:port"`, err)
			}
			zone.Hosts = append(zone.Hosts, host)
			return v.checkOnce(seen, host, at)
		})
		p.Zones = append(p.Zones, zone)
	})
}

func isZone(name string) bool { return name != "" && !hasControl(name) }

func setZone(v *value, p *Proxy) {
	s, ok := v.text("eu-1a")
	switch {
	case !ok:
	case !isZone(s):
		v.fail("want the name of a zone, or remove this key")
	default:
		p.Zone = s
	}
}

// checkZones reports pools that read by zone although the proxy's own zone is not set.
func (b *builder) checkZones(root *node) {
	proxy := root.table["proxy"]
	if b.partial || b.conf.Proxy.Zone != "" || proxy != nil && proxy.table["zone"] != nil {
		return
	}
	for _, p := range b.conf.Pools {
		if p.ReadFrom == ReadZone {
			at := root.table["pools"].table[p.Name].table["read_from"]
			b.report.mistake(at.start, poolTable(p.Name), fmt.Sprintf(`read_from %q: the proxy's own zone is missing; want zone = "eu-1a" in the [proxy] table`, ReadZone))
		}
	}
}
