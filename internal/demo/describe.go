package demo

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strings"
	"text/tabwriter"

	"ringway/conf"
	"ringway/hashring"
)

// Describe writes a description to w: the nodes, how the ring divides the keys among
// them, and three things to try. Cfg is the result of Config, and listen the address
// that clients connect to.
func (n *Nodes) Describe(w io.Writer, cfg *conf.Config, listen string) error {
	p := &cfg.Pools[0]
	ring, err := hashring.New(p.Ring())
	if err != nil {
		return fmt.Errorf("ring: %w", err)
	}
	d := description{pool: p, ring: ring, listen: listen}
	fmt.Fprintf(&d.text, "Ringway listens on %s; behind it is a ring of %d embedded Redis nodes.\n\n", listen, len(p.Servers))
	d.shares()
	d.toTry()
	d.text.WriteString("\nInterrupt (Ctrl-C) ends the demo; nothing is kept.\n")
	if _, err = w.Write(d.text.Bytes()); err != nil {
		return fmt.Errorf("description: %w", err)
	}
	return nil
}

type description struct {
	pool   *conf.Pool
	ring   *hashring.Ring
	listen string
	text   bytes.Buffer
}

// shares lists the nodes with their parts of the ring.
func (d *description) shares() {
	t := tabwriter.NewWriter(&d.text, 0, 0, 3, ' ', 0)
	fmt.Fprintf(t, "  node\taddress\tpoints\tshare of the keys\n")
	for i, p := range d.ring.Points() {
		s := d.pool.Servers[i]
		bar := strings.Repeat("#", int(math.Round(p.Share*60)))
		fmt.Fprintf(t, "  %s\t%s\t%d\t%4.1f %% %s\n", s.Name, s.Addr, p.Points, 100*p.Share, bar)
	}
	t.Flush()
}

// toTry lists commands and what they show. Which node holds a key depends only on the
// names of the nodes, so it is known beforehand.
func (d *description) toTry() {
	const greeting = "greeting"
	home := d.owner(greeting)
	proxy := cli(d.listen)
	d.text.WriteString("\nThree things to try:\n\n")
	fmt.Fprintf(&d.text, "  A key lives on one node: set it through the proxy, then ask %s itself.\n", home.Name)
	fmt.Fprintf(&d.text, "    %s set %s hello\n    %s get %s\n\n", proxy, greeting, cli(home.Addr), greeting)
	fmt.Fprintf(&d.text, "  One command reaches several nodes (here %s), and its replies come back in order.\n", d.owners("apple", "fig", "kiwi", "pear"))
	fmt.Fprintf(&d.text, "    %s mset apple 1 fig 2 kiwi 3 pear 4\n    %s mget pear kiwi fig apple\n\n", proxy, proxy)
	fmt.Fprintf(&d.text, "  Keys with the same tag in braces share a node (here %s), as commands that can't be split need.\n", d.owner("{user:7}").Name)
	fmt.Fprintf(&d.text, "    %s sadd '{user:7}:likes' tea chess\n    %s sunionstore '{user:7}:all' '{user:7}:likes' '{user:7}:owns'\n", proxy, proxy)
}

func (d *description) owner(key string) *conf.Server {
	return &d.pool.Servers[d.ring.Index([]byte(key))]
}

// owners lists the nodes that own the keys, each once, in the order of the nodes.
func (d *description) owners(keys ...string) string {
	var names []string
	for i := range d.pool.Servers {
		s := &d.pool.Servers[i]
		if slices.ContainsFunc(keys, func(key string) bool { return d.owner(key) == s }) {
			names = append(names, s.Name)
		}
	}
	return strings.Join(names, ", ")
}

// cli returns the redis-cli command that talks to an address.
func cli(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "redis-cli -s " + shellWord(addr)
	}
	if ip := net.ParseIP(host); host == "" || ip.IsUnspecified() || host == "127.0.0.1" {
		return "redis-cli -p " + port // which connects to 127.0.0.1
	}
	return "redis-cli -h " + host + " -p " + port
}

// shellWord quotes a path for a shell, if necessary.
func shellWord(s string) string {
	if strings.ContainsAny(s, " '\"\\$`!*?[](){}<>|&;#~\t") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}
