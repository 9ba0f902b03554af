package redistest

import (
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Cluster is a Redis Cluster whose slots and servers a test moves. Its methods belong to
// one goroutine, which need not be the test's: methods that fail return an error.
type Cluster struct {
	t       testing.TB
	opts    []Option
	Servers []*Server // all that have been part of it, primaries first
}

// NewCluster starts a Cluster as StartCluster does.
func NewCluster(t testing.TB, primaries, replicasEach int, opts ...Option) *Cluster {
	t.Helper()
	c := &Cluster{t: t, opts: opts}
	groups := StartCluster(t, primaries, replicasEach, opts...)
	for _, g := range groups {
		c.Servers = append(c.Servers, g.Primary)
	}
	for _, g := range groups {
		c.Servers = append(c.Servers, g.Replicas...)
	}
	return c
}

// ask sends one request to a server on a connection of its own. An error reply is
// returned as an error.
func (c *Cluster) ask(s *Server, request ...string) (string, error) {
	conn, err := dial("tcp", s.Addr(), startTimeout)
	if err != nil {
		return "", err
	}
	defer conn.conn.Close()
	if s.password != "" {
		if _, err := conn.exchange("AUTH", s.password); err != nil {
			return "", err
		}
	}
	reply, err := conn.exchange(request...)
	if err == nil && strings.HasPrefix(reply, "-") {
		err = fmt.Errorf("%s: reply to %.200q: %s", s.Addr(), request, strings.TrimSpace(reply))
	}
	return reply, err
}

// alive reports whether a server is running.
func alive(s *Server) bool {
	select {
	case <-s.Exited():
		return false
	default:
		return true
	}
}

// ID returns a server's node ID.
func (c *Cluster) ID(s *Server) (string, error) {
	reply, err := c.ask(s, "CLUSTER", "MYID")
	_, id, _ := strings.Cut(reply, "\r\n")
	return strings.TrimSpace(id), err
}

// node is a line of CLUSTER NODES.
type node struct {
	id, addr, primary string
	flags             []string
	slots             []string // such as "0-99", without slots that are being moved
}

// nodes returns what a server knows of all servers, by their addresses.
func (c *Cluster) nodes(s *Server) (map[string]node, error) {
	reply, err := c.ask(s, "CLUSTER", "NODES")
	found := map[string]node{}
	for line := range strings.Lines(reply) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		addr, _, _ := strings.Cut(f[1], "@")
		n := node{id: f[0], addr: addr, primary: f[3], flags: strings.Split(f[2], ",")}
		for _, slots := range f[8:] {
			if slots[0] != '[' {
				n.slots = append(n.slots, slots)
			}
		}
		found[addr] = n
	}
	return found, err
}

// Slots returns the slots that a server serves, by its own word.
func (c *Cluster) Slots(s *Server) (slots []int, err error) {
	nodes, err := c.nodes(s)
	for _, r := range nodes[s.Addr()].slots {
		first, last, found := strings.Cut(r, "-")
		from, _ := strconv.Atoi(first)
		to := from
		if found {
			to, _ = strconv.Atoi(last)
		}
		for slot := from; slot <= to; slot++ {
			slots = append(slots, slot)
		}
	}
	return slots, err
}

// Primaries returns the running servers that serve slots, by their own word.
func (c *Cluster) Primaries() (primaries []*Server) {
	for _, s := range c.Servers {
		if !alive(s) {
			continue
		}
		if slots, err := c.Slots(s); err == nil && len(slots) > 0 {
			primaries = append(primaries, s)
		}
	}
	return primaries
}

// Serves reports whether the remaining primaries, of which there must be that many, all
// say that all slots are served.
func (c *Cluster) Serves(primaries int) bool {
	serving := c.Primaries()
	for _, s := range serving {
		if reply, err := c.ask(s, "CLUSTER", "INFO"); err != nil || !strings.Contains(reply, "cluster_state:ok") {
			return false
		}
	}
	return len(serving) == primaries
}

// Owner returns the server that serves a slot, by its own word; nil if there is none.
func (c *Cluster) Owner(slot int) *Server {
	for _, s := range c.Primaries() {
		if slots, err := c.Slots(s); err == nil && slices.Contains(slots, slot) {
			return s
		}
	}
	return nil
}

// StartMove begins to move a slot: from now on the old server redirects requests for
// keys that it no longer has to the new one.
func (c *Cluster) StartMove(slot int, from, to *Server) error {
	source, err := c.ID(from)
	if err != nil {
		return err
	}
	target, err := c.ID(to)
	if err != nil {
		return err
	}
	n := strconv.Itoa(slot)
	if _, err := c.ask(to, "CLUSTER", "SETSLOT", n, "IMPORTING", source); err != nil {
		return err
	}
	_, err = c.ask(from, "CLUSTER", "SETSLOT", n, "MIGRATING", target)
	return err
}

// MoveKeys moves keys of one slot.
func (c *Cluster) MoveKeys(from, to *Server, keys ...string) error {
	request := []string{"MIGRATE", "127.0.0.1", strconv.Itoa(to.port), "", "0", "10000"}
	if to.password != "" {
		request = append(request, "AUTH", to.password)
	}
	_, err := c.ask(from, append(append(request, "KEYS"), keys...)...)
	return err
}

// MoveAllKeys moves a slot's keys, a few at a time, until there are none.
func (c *Cluster) MoveAllKeys(slot int, from, to *Server) error {
	for {
		reply, err := c.ask(from, "CLUSTER", "GETKEYSINSLOT", strconv.Itoa(slot), "4")
		if err != nil {
			return err
		}
		var keys []string
		for i, line := range strings.Split(reply, "\r\n") {
			if i > 0 && i%2 == 0 && line != "" {
				keys = append(keys, line)
			}
		}
		if len(keys) == 0 {
			return nil
		}
		if err := c.MoveKeys(from, to, keys...); err != nil {
			return err
		}
	}
}

// EndMove announces the move to the new owner, then to the former one, then to the other
// primaries, and returns when all of them agree. A further move before that could leave
// two servers that redirect clients to each other, because one does not know the other's
// epoch yet.
func (c *Cluster) EndMove(slot int, from, to *Server) error {
	target, err := c.ID(to)
	if err != nil {
		return err
	}
	servers := []*Server{to, from}
	for _, s := range c.Primaries() {
		if s != to && s != from {
			servers = append(servers, s)
		}
	}
	for _, s := range servers {
		_, err := c.ask(s, "CLUSTER", "SETSLOT", strconv.Itoa(slot), "NODE", target)
		// A server without slots may have become a replica already.
		if err != nil && !(s != to && strings.Contains(err.Error(), "only with masters")) {
			return err
		}
	}
	if !poll(startTimeout, nil, c.agrees) {
		return fmt.Errorf("the Cluster does not agree about its slots %s after slot %d was moved", startTimeout, slot)
	}
	return nil
}

// agrees reports whether all primaries see the same owners and epochs.
func (c *Cluster) agrees() bool {
	var first []string
	for _, s := range c.Primaries() {
		reply, err := c.ask(s, "CLUSTER", "NODES")
		if err != nil {
			return false
		}
		var seen []string
		for line := range strings.Lines(reply) {
			if f := strings.Fields(line); len(f) > 8 && f[8][0] != '[' {
				seen = append(seen, fmt.Sprint(f[0], f[6], f[8:]))
			}
		}
		slices.Sort(seen)
		if first == nil {
			first = seen
		}
		if !slices.Equal(first, seen) {
			return false
		}
	}
	return true
}

// Move moves slots with their keys from one server to another.
func (c *Cluster) Move(from, to *Server, slots ...int) error {
	for _, slot := range slots {
		if err := c.StartMove(slot, from, to); err != nil {
			return err
		}
		if err := c.MoveAllKeys(slot, from, to); err != nil {
			return err
		}
		if err := c.EndMove(slot, from, to); err != nil {
			return err
		}
	}
	return nil
}

// Reshard moves n slots from one server to another with redis-cli.
func (c *Cluster) Reshard(from, to *Server, n int) error {
	source, err := c.ID(from)
	if err != nil {
		return err
	}
	target, err := c.ID(to)
	if err != nil {
		return err
	}
	output, err := exec.Command(RequireTool(c.t, "redis-cli"), "--cluster", "reshard", from.Addr(),
		"--cluster-from", source, "--cluster-to", target, "--cluster-slots", strconv.Itoa(n), "--cluster-yes").CombinedOutput()
	if err != nil {
		return fmt.Errorf("redis-cli: %w\n%s", err, lastLines(string(output), 5))
	}
	return nil
}

// Add starts one more server, without slots, and returns when all others know it. It
// belongs to the test's goroutine.
func (c *Cluster) Add() *Server {
	c.t.Helper()
	opts := append([]Option{Args("--cluster-enabled", "yes", "--cluster-node-timeout", "2000")}, c.opts...)
	s := Start(c.t, opts...)
	known := c.Primaries()[0]
	known.must(c.t, "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(s.port))
	c.Servers = append(c.Servers, s)
	for _, other := range c.Servers {
		if alive(other) {
			other.eventuallySees(c.t, s)
		}
	}
	s.eventuallySays(c.t, "cluster_state:ok\r\n", "CLUSTER", "INFO")
	return s
}

// eventuallySees waits until a server has completed its handshake with another.
func (s *Server) eventuallySees(t testing.TB, other *Server) {
	t.Helper()
	s.eventually(t, "knows "+other.Addr(), func() bool {
		for line := range strings.Lines(s.Do("CLUSTER", "NODES")) {
			if strings.Contains(line, " "+other.Addr()+"@") {
				return !strings.Contains(line, "handshake") && strings.Contains(line, " connected")
			}
		}
		return false
	})
}

func (s *Server) eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	if !poll(startTimeout, s.Exited(), cond) {
		t.Fatalf("waiting until %s %s", s.Addr(), what)
	}
}

// Remove removes a server without slots from the Cluster as redis-cli does: all others
// forget it, and it forgets them.
func (c *Cluster) Remove(s *Server) {
	c.t.Helper()
	id, err := c.ID(s)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, other := range c.Servers {
		if other != s && alive(other) {
			other.Do("CLUSTER", "FORGET", id) // an error means that it does not know the server
		}
	}
	s.must(c.t, "CLUSTER", "RESET", "SOFT")
}

// Failover makes a replica the primary and returns when the replica says that it is. The
// mode is "" for an orderly failover, which loses nothing, "FORCE" or "TAKEOVER".
func (c *Cluster) Failover(replica *Server, mode string) {
	c.t.Helper()
	request := []string{"CLUSTER", "FAILOVER"}
	if mode != "" {
		request = append(request, mode)
	}
	replica.must(c.t, request...)
	replica.eventuallySays(c.t, "role:master\r\n", "INFO", "replication")
}

// ReplicaOf waits until a running replica of a primary has its copy of the data, and
// returns it.
func (c *Cluster) ReplicaOf(primary *Server) (replica *Server) {
	c.t.Helper()
	primary.eventually(c.t, "has a replica", func() bool {
		nodes, err := c.nodes(primary)
		for _, s := range c.Servers {
			if n := nodes[s.Addr()]; err != nil || n.primary != nodes[primary.Addr()].id || !alive(s) {
				continue
			}
			if info, err := c.ask(s, "INFO", "replication"); err == nil && strings.Contains(info, "master_link_status:up") {
				replica = s
				return true
			}
		}
		return false
	})
	return replica
}

// AwaitReplicas waits until n replicas have their copies, and the others know that.
func (c *Cluster) AwaitReplicas(n int) {
	c.t.Helper()
	if !poll(startTimeout, nil, func() bool {
		up := 0
		for _, s := range c.Servers {
			if !alive(s) {
				continue
			}
			if reply, err := c.ask(s, "INFO", "replication"); err == nil && strings.Contains(reply, "master_link_status:up") {
				up++
			}
		}
		return up >= n
	}) {
		c.t.Fatalf("waiting for %d replicas", n)
	}
}
