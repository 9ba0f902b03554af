package session_test

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestRESP3ClientGetsRedissShapes(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	c := p.dial()
	if got := c.Do("HELLO", "3"); !strings.HasPrefix(got, "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n") || !strings.Contains(got, "$5\r\nproto\r\n:3\r\n") {
		t.Fatalf("HELLO 3: %q", got)
	}
	f := func(want string, args ...string) {
		t.Helper()
		if got := c.Do(args...); got != want {
			t.Errorf("%v: %q, want %q", args, got, want)
		}
	}
	f("_\r\n", "GET", "none")
	f("*2\r\n_\r\n_\r\n", "MGET", "none", "other")
	f(":2\r\n", "HSET", "h", "a", "1", "b", "2")
	f("%2\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n", "HGETALL", "h")
	f(":1\r\n", "ZADD", "z", "1.5", "m")
	f(",1.5\r\n", "ZSCORE", "z", "m")
	f(":1\r\n", "SADD", "s", "m")
	f("~1\r\n$1\r\nm\r\n", "SMEMBERS", "s")
	f("_\r\n", "CLIENT", "GETNAME")
	f("%0\r\n", "COMMAND", "DOCS", "nosuch")
	if got := c.Do("INFO", "cluster"); !strings.HasPrefix(got, "=") || !strings.Contains(got, "txt:# Cluster\r\n") {
		t.Errorf("INFO: %q", got)
	}
	f("+OK\r\n", "WATCH", "k")
	p.dial().Do("SET", "k", "1")
	f("+OK\r\n", "MULTI")
	f("+QUEUED\r\n", "GET", "k")
	f("_\r\n", "EXEC")
	f("_\r\n", "BLPOP", "l", "0.01")
	f("+RESET\r\n", "RESET")
	f("$-1\r\n", "GET", "none")
}

func TestProtocolCanChangeInTheMiddleOfAPipeline(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	c := p.dial()
	const n = 50
	c.Send(strings.Repeat(encode("SET", "k", "1")+encode("HELLO", "3")+encode("GET", "k")+encode("DEL", "k")+encode("HELLO", "2")+encode("GET", "k"), n))
	for range n {
		c.expect("+OK\r\n")
		c.Reply()
		c.expect("$1\r\n1\r\n", ":1\r\n")
		c.Reply()
		c.expect("$-1\r\n")
	}
}

func TestGoRedisWithItsDefaultsSpeaksRESP3(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	c := redis.NewClient(&redis.Options{Addr: p.addr, TLSConfig: p.tls})
	defer c.Close()
	ctx := t.Context()
	if err := c.HSet(ctx, "h", "a", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if got, err := c.HGetAll(ctx, "h").Result(); err != nil || got["a"] != "1" {
		t.Errorf("HGETALL: %v, %v", got, err)
	}
	got, err := c.Do(ctx, "HELLO").Result()
	if m, ok := got.(map[any]any); err != nil || !ok || m["proto"] != int64(3) {
		t.Errorf("HELLO: %v, %v", got, err)
	}
}
