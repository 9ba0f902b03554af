package conf

import (
	"errors"
	"fmt"
	"net"
)

// Where nutcracker listens for those who collect statistics, if nothing else is said.
const (
	statsHost = "0.0.0.0"
	statsPort = "22222"
)

func setStatsListen(v *value, p *Proxy) {
	s, ok := v.text("127.0.0.1:" + statsPort)
	if !ok {
		return
	}
	listen, err := parseListen(s)
	if err != nil {
		v.fail("%s", err)
		return
	}
	p.StatsListen = listen
}

// SetStatsListen changes StatsListen as nutcracker's flags -a and -s do. A host or port that is ""
// stays as it is, or as nutcracker has it if StatsListen is not set: 0.0.0.0 and 22222. The error
// says which of the two is wrong.
func (p *Proxy) SetStatsListen(host, port string) error {
	oldHost, oldPort, err := net.SplitHostPort(p.StatsListen.Addr)
	if err != nil { // not set, or a unix socket
		oldHost, oldPort = statsHost, statsPort
	}
	if port == "" {
		port = oldPort
	}
	if port, err = parsePort(port, 0); err != nil {
		return err
	}
	if host == "" {
		host = oldHost
	} else if host, err = parseHost(host); err != nil {
		return err
	}
	p.StatsListen = Listen{Network: "tcp", Addr: net.JoinHostPort(host, port)}
	return nil
}

// CheckListens returns an error if two of the addresses that the process listens on are the same, or
// one is part of the other. Load has done that already: it is for addresses changed since.
func (c *Config) CheckListens() error {
	at := c.Proxy.StatsListen
	if at.Addr == "" || hasPortZero(at.Addr) {
		return nil
	}
	if at.collides(c.Admin.Listen) {
		return errors.New("[admin] listens there already; want an address of its own")
	}
	for i := range c.Pools {
		if p := &c.Pools[i]; at.collides(p.Listen) {
			return fmt.Errorf("pool %q listens there already; want an address of its own", p.Name)
		}
	}
	return nil
}

// collides reports whether the system would refuse to listen on both addresses.
func (l Listen) collides(other Listen) bool {
	return other.Addr != "" && (l.Network == other.Network && l.Addr == other.Addr || l.overlaps(other))
}

// checkStatsListen reports what stats_listen does not fit.
func (b *builder) checkStatsListen(root *node) {
	at := b.conf.Proxy.StatsListen
	if at.Addr == "" {
		return
	}
	n := root.table["proxy"].table["stats_listen"]
	if err := b.conf.CheckListens(); err != nil {
		b.report.mistake(n.start, "proxy", fmt.Sprintf("stats_listen %q: %s", at.written(), err))
	}
	if !b.conf.Proxy.Statistics {
		b.report.mistake(n.start, "proxy", "stats_listen with statistics = false: nothing is counted; want statistics = true, or remove this key")
	}
	if !at.isLocal() {
		b.report.warn(n.start, "proxy", fmt.Sprintf("stats_listen %q: whoever reaches this address sees the names of pools and servers, and how much they are used; want 127.0.0.1, unless what collects statistics is on another machine", at.written()))
	}
}
