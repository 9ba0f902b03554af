package topology

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/conf"
	"ringway/hashring"
	"ringway/internal/redistest"
	"ringway/pool"
)

// names answers lookups as a test says.
type names struct {
	mu      sync.Mutex
	answers map[string][]netip.Addr // nil: the name can't be resolved
	asked   map[string]int
}

func (n *names) lookUp(_ context.Context, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked[host]++
	if ips := n.answers[host]; ips != nil {
		return ips, nil
	}
	return nil, errors.New("no such host")
}

// resolving returns a resolver of a pool of servers, and what it logs.
func resolving(t *testing.T, n *names, addrs ...string) (*resolver, *strings.Builder) {
	t.Helper()
	c := conf.DefaultPool("alpha")
	for _, addr := range addrs {
		network := "tcp"
		if addr[0] == '/' {
			network = "unix"
		}
		c.Servers = append(c.Servers, conf.Server{Name: addr, Network: network, Addr: addr, Weight: 1})
	}
	slices.SortFunc(c.Servers, func(a, b conf.Server) int { return hashring.Compare(a.Name, b.Name) })
	var text strings.Builder
	pr := NewProber(slog.New(slog.NewTextHandler(&text, nil)))
	t.Cleanup(pr.Stop)
	p, err := pool.New(&c, &conf.Default().Proxy, pr, pr.log)
	if err != nil {
		t.Fatal(err)
	}
	n.asked = map[string]int{}
	r := pr.newResolver(p)
	r.lookUp = n.lookUp
	return r, &text
}

func ip(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestEachNameIsResolvedOnce(t *testing.T) {
	n := &names{answers: map[string][]netip.Addr{"one": {ip("10.0.0.1")}, "two": {ip("10.0.0.2")}}}
	r, _ := resolving(t, n, "/run/redis.sock", "one:6379", "one:6380", "two:6379", "10.0.0.9:6379", "[::1]:63790")
	r.resolve()
	if len(n.asked) != 2 || n.asked["one"] != 1 || n.asked["two"] != 1 {
		t.Errorf("asked for %v", n.asked)
	}
}

// A failure of the resolver, or an answer of nothing, changes nothing and is
// logged once.
func TestNamesThatCannotBeResolvedKeepTheirAddresses(t *testing.T) {
	n := &names{answers: map[string][]netip.Addr{"one": {ip("10.0.0.1")}}}
	r, text := resolving(t, n, "one:6379")
	ask := func(want ...netip.Addr) {
		t.Helper()
		got := r.lookUpHost("one")
		if len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
			t.Errorf("resolved to %v, want %v", got, want)
		}
	}
	ask(ip("10.0.0.1"))
	n.answers["one"] = nil
	ask()
	ask()
	n.answers["one"] = []netip.Addr{}
	ask()
	if c := strings.Count(text.String(), "can't be resolved"); c != 1 {
		t.Errorf("logged %d times: %s", c, text)
	}
	n.answers["one"] = []netip.Addr{ip("::ffff:10.0.0.1")}
	ask(ip("10.0.0.1"))
	if strings.Contains(text.String(), "other addresses") {
		t.Errorf("the same address is taken for another: %s", text)
	}
	n.answers["one"] = []netip.Addr{ip("10.0.0.2")}
	ask(ip("10.0.0.2"))
	if !strings.Contains(text.String(), `was=[10.0.0.1]`) {
		t.Errorf("a change was not logged: %s", text)
	}
}

// The control plane asks a server at the current address of its name, and not over a connection
// to an earlier one.
func TestControlPlaneFollowsNames(t *testing.T) {
	s := redistest.Start(t)
	c := conf.DefaultPool("alpha")
	c.ResolveInterval = 10 * time.Millisecond
	for _, test := range []struct {
		host string
		many bool
	}{{"localhost", true}, {"127.0.0.1", false}} {
		client := NewClient(t.Context(), &c, &conf.Server{Network: "tcp", Addr: net.JoinHostPort(test.host, fmt.Sprint(s.Port()))})
		defer client.Close()
		id := func() int64 { return client.ClientID(t.Context()).Val() }
		first := id()
		if test.many {
			redistest.Eventually(t, 10*time.Second, "another connection", func() bool { return id() != first })
			continue
		}
		for end := time.Now().Add(5 * c.ResolveInterval); time.Now().Before(end); {
			if id() != first {
				t.Error("the connection to an address was given up")
			}
		}
	}
}
