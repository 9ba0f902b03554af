// Package demo runs the embedded Redis nodes of "ringway demo": miniredis
// servers inside the process, whose data lives in memory and ends with it.
package demo

import (
	"fmt"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// MaxNodes is the largest number of nodes that Start takes.
const MaxNodes = 64

// tick is how often the nodes' clocks are put on.
const tick = 100 * time.Millisecond

// Nodes are running servers on ports of the loopback interface that were free.
type Nodes struct {
	servers []*miniredis.Miniredis
	stop    chan struct{} // closed by Close
	stopped chan struct{} // closed when the clock has stopped
}

// Start starts n nodes, 1 to MaxNodes. The caller must Close them.
func Start(n int) (*Nodes, error) {
	if n < 1 || n > MaxNodes {
		return nil, fmt.Errorf("%d nodes: want 1 to %d", n, MaxNodes)
	}
	nodes := &Nodes{stop: make(chan struct{}), stopped: make(chan struct{})}
	for range n {
		m := miniredis.NewMiniRedis()
		if err := m.StartAddr("127.0.0.1:0"); err != nil {
			for _, m := range nodes.servers {
				m.Close()
			}
			return nil, fmt.Errorf("embedded node: %w", err)
		}
		nodes.servers = append(nodes.servers, m)
	}
	go nodes.keepTime()
	return nodes, nil
}

// keepTime lets keys expire until Close: in miniredis, which is made for tests,
// no time passes by itself.
func (n *Nodes) keepTime() {
	defer close(n.stopped)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	before := time.Now()
	for {
		select {
		case <-n.stop:
			return
		case <-ticker.C:
		}
		now := time.Now()
		for _, m := range n.servers {
			m.FastForward(now.Sub(before))
		}
		before = now
	}
}

// Addrs returns the nodes' addresses as host:port, in the order of their names
// node1, node2 and so on.
func (n *Nodes) Addrs() []string {
	addrs := make([]string, len(n.servers))
	for i, m := range n.servers {
		addrs[i] = m.Addr()
	}
	return addrs
}

// Close ends the nodes and their connections. It must be called once.
func (n *Nodes) Close() {
	close(n.stop)
	<-n.stopped
	for _, m := range n.servers {
		m.Close()
	}
}

// Config returns the text of a configuration for package conf: one pool,
// "demo", that listens on an address and shards over servers node1, node2 and
// so on at those addresses.
func Config(listen string, addrs []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[proxy]\nlog_level = \"warn\"\n\n[pools.demo]\nlisten = %q\nhash_tag = \"{}\"\nservers = [\n", listen)
	for i, addr := range addrs {
		fmt.Fprintf(&b, "  \"%s:1 node%d\",\n", addr, i+1)
	}
	b.WriteString("]\n")
	return b.String()
}
