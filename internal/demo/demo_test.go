package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
)

func start(t *testing.T, n int) *Nodes {
	t.Helper()
	nodes, err := Start(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nodes.Close)
	return nodes
}

func TestNodesHaveDataOfTheirOwn(t *testing.T) {
	t.Parallel()
	nodes := start(t, 3)
	for i, addr := range nodes.Addrs() {
		if err := redistest.NewClient(t, addr, "").Set(t.Context(), "key", i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for i, addr := range nodes.Addrs() {
		if got, err := redistest.NewClient(t, addr, "").Get(t.Context(), "key").Result(); got != fmt.Sprint(i) {
			t.Errorf("node %d has %q, %v", i, got, err)
		}
	}
}

func TestKeysExpire(t *testing.T) {
	t.Parallel()
	client := redistest.NewClient(t, start(t, 1).Addrs()[0], "")
	if err := client.Set(t.Context(), "key", "value", 50*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 30*time.Second, "the key to expire", func() bool {
		n, err := client.Exists(t.Context(), "key").Result()
		return err == nil && n == 0
	})
}

func TestCloseStopsAllNodes(t *testing.T) {
	redistest.CheckLeaks(t)
	client := redistest.NewClient(t, start(t, MaxNodes).Addrs()[0], "")
	if err := client.Ping(context.Background()).Err(); err != nil {
		t.Error(err)
	}
}

func TestNumberOfNodesIsBounded(t *testing.T) {
	t.Parallel()
	for _, n := range []int{-1, 0, MaxNodes + 1} {
		if nodes, err := Start(n); err == nil {
			nodes.Close()
			t.Errorf("Start(%d) started", n)
		}
	}
}

func TestConfigHasEveryNode(t *testing.T) {
	t.Parallel()
	nodes := start(t, 12) // so that the order of names is not that of strings
	cfg, err := nodes.Config("[::1]:22121")
	if err != nil {
		t.Fatal(err)
	}
	p := cfg.Pools[0]
	if p.Name != PoolName || p.Listen.Addr != "[::1]:22121" {
		t.Errorf("pool %q listens on %q", p.Name, p.Listen.Addr)
	}
	for i, addr := range nodes.Addrs() {
		if want := (conf.Server{Name: fmt.Sprintf("node%d", i+1), Network: "tcp", Addr: addr, Weight: 1}); p.Servers[i] != want {
			t.Errorf("server %+v, want %+v", p.Servers[i], want)
		}
	}
}

func TestAnyAddressIsAcceptedOrAMistake(t *testing.T) {
	t.Parallel()
	nodes := start(t, 1)
	for _, listen := range []string{"", "nowhere", "a\"b:1", "a\nb:1", "\x00:1", "\xff:1", "\u2028:1", `\:1`, "'''"} {
		_, err := nodes.Config(listen)
		var mistakes conf.Mistakes
		if !errors.As(err, &mistakes) {
			t.Errorf("listen %q: %v, want mistakes", listen, err)
		}
	}
}

func TestDescriptionNamesEveryNodeAndItsShare(t *testing.T) {
	t.Parallel()
	nodes := start(t, 5)
	cfg, err := nodes.Config("127.0.0.1:22121")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := nodes.Describe(&out, cfg, "127.0.0.1:22121"); err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^  (node\d) +(\S+) +160 +(\d+\.\d) % #+$`).FindAllStringSubmatch(out.String(), -1)
	if len(lines) != 5 {
		t.Fatalf("%d nodes in\n%s", len(lines), &out)
	}
	sum := 0.0
	for i, m := range lines {
		var share float64
		fmt.Sscan(m[3], &share)
		sum += share
		if m[1] != nodeName(i) || m[2] != nodes.Addrs()[i] {
			t.Errorf("line %q, want %s at %s", m[0], nodeName(i), nodes.Addrs()[i])
		}
	}
	if sum < 99.5 || sum > 100.5 {
		t.Errorf("shares sum to %.1f %%", sum)
	}
	if n := strings.Count(out.String(), "redis-cli -p 22121 "); n != 5 {
		t.Errorf("%d commands for the proxy, want 5", n)
	}
}

func TestCommandsForEveryKindOfAddress(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"127.0.0.1:22121": "redis-cli -p 22121",
		"0.0.0.0:22121":   "redis-cli -p 22121",
		"[::]:22121":      "redis-cli -p 22121",
		"10.1.2.3:22121":  "redis-cli -h 10.1.2.3 -p 22121",
		"[::1]:22121":     "redis-cli -h ::1 -p 22121",
		"/run/demo.sock":  "redis-cli -s /run/demo.sock",
		"/run/it's.sock":  `redis-cli -s '/run/it'\''s.sock'`,
	} {
		if got := cli(addr); got != want {
			t.Errorf("cli(%q) is %s, want %s", addr, got, want)
		}
	}
}
