package conf

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestNetworksOfClients(t *testing.T) {
	t.Parallel()
	p := mustParseQuietly(t, minimal(`allow_networks = ["10.0.0.0/8", "192.168.7.1", "2001:db8::/32"]`, `deny_networks = ["::ffff:10.0.66.1"]`)).Pools[0]
	if want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.7.1/32"), netip.MustParsePrefix("2001:db8::/32")}; !reflect.DeepEqual(p.AllowNetworks, want) {
		t.Errorf("allowed %v, want %v", p.AllowNetworks, want)
	}
	if len(p.DenyNetworks) != 1 || p.DenyNetworks[0].String() != "10.0.66.1/32" {
		t.Errorf("denied %v", p.DenyNetworks)
	}
	for list, want := range map[string]string{
		`["10.0.0.1/8"]`:                `want "10.0.0.0/8" for the network`,
		`["host"]`:                      `want a network such as "10.0.0.0/8"`,
		`["fe80::1%eth0"]`:              `want a network such as "10.0.0.0/8"`,
		`["10.0.0.1", "10.0.0.1/32"]`:   `is there twice`,
		`"10.0.0.0/8"`:                  `a list of quoted strings`,
		`[]`:                            `want at least one`,
		`["${RW_NO_SUCH_NETWORK_SET}"]`: `the environment has no such variable`,
	} {
		if _, _, err := Parse([]byte(minimal("allow_networks = "+list)), "x"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", list, err, want)
		}
	}
}

// The networks of load balancers turn the protocol on, and without them anybody may claim any address.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	const from = `proxy_protocol_from = ["10.0.0.0/8"]`
	if p := mustParseQuietly(t, minimal(from)).Pools[0]; !p.ProxyProtocol || len(p.ProxyProtocolFrom) != 1 {
		t.Errorf("%v from %v", p.ProxyProtocol, p.ProxyProtocolFrom)
	}
	if _, _, err := Parse([]byte(minimal(from, "proxy_protocol = false")), "x"); err == nil || !strings.Contains(err.Error(), "x:5:18: pool \"alpha\": proxy_protocol false with proxy_protocol_from") {
		t.Errorf("error %v", err)
	}
	open := "[pools.alpha]\nlisten = \"10.0.0.1:22121\"\nservers = [\"h:1\"]\nredis_auth = \"x\"\nproxy_protocol = true\n"
	for text, warns := range map[string]bool{open: true, open + from: false, minimal("proxy_protocol = true"): false} {
		_, warnings, err := Parse([]byte(text), "x")
		if got := len(warnings) == 1 && strings.Contains(warnings[0].String(), "can claim any address"); err != nil || got != warns {
			t.Errorf("%s: %v, %v", text, warnings, err)
		}
	}
}
