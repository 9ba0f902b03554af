// Package demo runs Redis nodes inside this process and describes the ring that
// they make, for people who want to see Ringway work before they have servers.
//
// The nodes are miniredis: in memory, on loopback, with most of Redis's
// commands. They are neither fast nor lasting, and no part of the proxy.
package demo

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/alicebob/miniredis/v2"

	"ringway/conf"
)

// MaxNodes is the most nodes that Start accepts; more would not fit a screen.
const MaxNodes = 64

// PoolName is the name of the pool that Config describes.
const PoolName = "demo"

// Nodes are running Redis nodes. Close them when done.
type Nodes struct {
	running []*miniredis.Miniredis
}

// Start starts n nodes, from 1 to MaxNodes, each on a port of 127.0.0.1 that
// the system chooses. If one can't start, none is left running.
func Start(n int) (*Nodes, error) {
	if n < 1 || n > MaxNodes {
		return nil, fmt.Errorf("%d nodes: want 1 to %d", n, MaxNodes)
	}
	nodes := new(Nodes)
	for i := range n {
		m := miniredis.NewMiniRedis()
		m.ClockTTL(true) // keys expire as time passes; miniredis leaves that to tests
		if err := m.StartAddr("127.0.0.1:0"); err != nil {
			nodes.Close()
			return nil, fmt.Errorf("start of %s: %w", nodeName(i), err)
		}
		nodes.running = append(nodes.running, m)
	}
	return nodes, nil
}

// Close stops the nodes and forgets what they hold.
func (n *Nodes) Close() {
	for _, m := range n.running {
		m.Close()
	}
}

// Addrs returns the nodes' addresses, "127.0.0.1:port" each, in the order of
// their names.
func (n *Nodes) Addrs() []string {
	addrs := make([]string, len(n.running))
	for i, m := range n.running {
		addrs[i] = m.Addr()
	}
	return addrs
}

func nodeName(i int) string { return "node" + strconv.Itoa(i+1) }

// Text returns the configuration file of a proxy in front of the nodes. The
// address to listen on is in the configuration's form and not checked.
func (n *Nodes) Text(listen string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[pools.%s]\nlisten = %q\nhash_tag = \"{}\"\nservers = [\n", PoolName, strings.ToValidUTF8(listen, "?"))
	for i, addr := range n.Addrs() {
		fmt.Fprintf(&b, "  %q,\n", addr+":1 "+nodeName(i))
	}
	b.WriteString("]\n")
	return b.String()
}

// Config returns the configuration that Text describes. The error says what is
// wrong with the address to listen on, and is that of conf.Parse.
func (n *Nodes) Config(listen string) (*conf.Config, error) {
	cfg, _, err := conf.Parse([]byte(n.Text(listen)), "demo.toml")
	return cfg, err
}
