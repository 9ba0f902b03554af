package conf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// setNetworks reads a list of networks and single addresses.
func setNetworks(v *value, into *[]netip.Prefix) {
	var networks []netip.Prefix
	v.list("10.0.0.0/8", func(_ *node, s string) error {
		n, err := parseNetwork(s)
		if err == nil && slices.Contains(networks, n) {
			err = errors.New("is there twice; want it once")
		}
		networks = append(networks, n)
		return err
	})
	*into = networks
}

// parseNetwork reads "10.0.0.0/8", or a single address.
func parseNetwork(s string) (netip.Prefix, error) {
	wrong := errors.New(`want a network such as "10.0.0.0/8" or "2001:db8::/32", or an address`)
	if !strings.Contains(s, "/") {
		addr, err := netip.ParseAddr(s)
		if err != nil || addr.Zone() != "" {
			return netip.Prefix{}, wrong
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	n, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return n, wrong
	case n != n.Masked():
		return n, fmt.Errorf("is an address in a network; want %q for the network", n.Masked())
	}
	return n, nil
}

// checkProxyProtocol sees to it that proxy_protocol_from alone turns proxy_protocol on, and warns of headers
// that anybody may send.
func (b *builder) checkProxyProtocol(p *Pool, n *node) {
	off := n.table["proxy_protocol"] != nil && !p.ProxyProtocol
	switch {
	case p.ProxyProtocolFrom != nil && off && !b.partial:
		b.report.mistake(n.table["proxy_protocol"].start, poolTable(p.Name), "proxy_protocol false with proxy_protocol_from; want true, or remove one of them")
	case p.ProxyProtocolFrom != nil:
		p.ProxyProtocol = true
	case p.ProxyProtocol && p.Listen.Addr != "" && !p.Listen.isLocal():
		b.report.warn(n.table["proxy_protocol"].start, poolTable(p.Name), `proxy_protocol: whoever reaches this pool can claim any address, since no network is trusted in particular; want proxy_protocol_from = ["10.0.0.0/8"] with the networks of the load balancers`)
	}
}
