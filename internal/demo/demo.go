// Package demo runs Redis nodes inside this process and describes their ring, for
// people who want to try Ringway without servers:
//
//	nodes, err := demo.Start(4)
//	cfg, err := nodes.Config("127.0.0.1:22121")
//	// ... run a proxy with cfg ...
//	err = nodes.Describe(os.Stdout, cfg, "127.0.0.1:22121")
//	nodes.Close()
//
// The nodes are miniredis: in memory, on loopback, with most of Redis's commands.
// They are slow, keep nothing, and are no part of the proxy.
package demo

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/alicebob/miniredis/v2"

	"ringway/conf"
)

// MaxNodes is the largest number of nodes that Start accepts. More would not fit a screen.
const MaxNodes = 64

// PoolName is the name of the pool that Config describes.
const PoolName = "demo"

// Nodes are running Redis nodes. Close them when done.
type Nodes struct {
	running []*miniredis.Miniredis
}

// Start starts n nodes, from 1 to MaxNodes, each on a port of 127.0.0.1 that
// the system chooses. If one can't start, Start stops the others and returns an error.
// keys expire as time passes; miniredis leaves that to tests=>// keys expire as time passes; by default miniredis leaves that to tests
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

// Text returns the text of a configuration file for a proxy in front of the nodes. The
// address to listen on has the form of the setting listen, and is not checked.
func (n *Nodes) Text(listen string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[pools.%s]\nlisten = %q\nhash_tag = \"{}\"\nservers = [\n", PoolName, strings.ToValidUTF8(listen, "?"))
	for i, addr := range n.Addrs() {
		fmt.Fprintf(&b, "  %q,\n", addr+":1 "+nodeName(i))
	}
	b.WriteString("]\n")
	return b.String()
}

// Config returns the configuration that Text describes. The error is that of
// conf.Parse: it says what is wrong with the address to listen on.
func (n *Nodes) Config(listen string) (*conf.Config, error) {
	cfg, _, err := conf.Parse([]byte(n.Text(listen)), "demo.toml")
	return cfg, err
}
