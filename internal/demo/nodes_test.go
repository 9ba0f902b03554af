package demo

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"ringway/conf"
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

func dial(t *testing.T, addr string) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { client.Close() })
	return client
}

func TestNodesHaveDataOfTheirOwn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	nodes := start(t, 3)
	for i, addr := range nodes.Addrs() {
		if err := dial(t, addr).Set(ctx, "key", i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for i, addr := range nodes.Addrs() {
		if got, err := dial(t, addr).Get(ctx, "key").Result(); got != fmt.Sprint(i) {
			t.Errorf("node %d has %q, %v", i, got, err)
		}
	}
}

func TestKeysExpire(t *testing.T) {
	t.Parallel()
	client := dial(t, start(t, 1).Addrs()[0])
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := client.Set(ctx, "key", "value", 50*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := client.Exists(ctx, "key").Result()
		if err != nil {
			t.Fatalf("the key is still there: %v", err)
		}
		if n == 0 {
			return
		}
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

func TestConfigIsValid(t *testing.T) {
	t.Parallel()
	text := Config("[::1]:22121", []string{"127.0.0.1:1", "127.0.0.1:2"})
	c, warnings, err := conf.Parse([]byte(text), "demo")
	if err != nil || len(warnings) != 0 {
		t.Fatalf("Parse: %v, %v", warnings, err)
	}
	if p := c.Pools[0]; p.Name != "demo" || p.Listen.Addr != "[::1]:22121" || len(p.Servers) != 2 || p.Servers[1].Name != "node2" {
		t.Errorf("pool %+v", p)
	}
}
