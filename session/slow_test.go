package session_test

import (
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
	"ringway/stats"
)

func TestSlowRequestsSayWhereTheTimeWent(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t, redistest.Debug())
	cfg := config(t, redis.Addr())
	cfg.Pools[0].SlowRequest, cfg.Pools[0].AllowCommands = 150*time.Millisecond, []string{"debug"}
	p := serve(t, cfg)
	client, other := p.dial(), p.dial()
	client.Do("SET", "a", "1")
	client.Send(encode("DEBUG", "SLEEP", "0.5") + encode("GET", "a"))
	client.Reply()
	client.Reply()
	other.Do("BLPOP", "none", "0.2")
	other.Do("MGET", "b", "c")
	slowest, newest := p.server.SlowRequests("alpha", 10)
	if len(newest) == 0 || len(slowest) < 3 {
		t.Fatalf("%+v, %+v", newest, slowest)
	}
	var r stats.SlowRequest
	for _, r = range newest {
		if r.Command == "get" {
			break
		}
	}
	if r.Command != "get" || r.Key != "a" || r.Server != redis.Addr() || r.Served < 400*time.Millisecond || r.Waited > r.Served/2 ||
		r.Read != 0 || r.RequestSize != len(encode("GET", "a")) || r.ReplySize != len("$1\r\n1\r\n") || r.Failed || r.Client == "" {
		t.Errorf("%+v", r)
	}
	for _, r := range slowest {
		if r.Command == "blpop" {
			t.Errorf("a blocking command is slow: %+v", r)
		}
	}
	if f := p.server.Figures(); f.Pools[0].Counts.Requests.Slow == 0 {
		t.Error("it is not counted")
	}
}

// A client that does not read its reply is slow itself: neither the proxy nor the server is.
func TestTimeThatAClientTakesToReadIsItsOwn(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, _ := serveShards(t, 1)
	client, other := p.dial(), p.dial()
	other.Do("SET", "a", strings.Repeat("v", 16<<20)) // more than sockets take
	get := func() (r stats.SlowRequest) {
		slowest, _ := p.server.SlowRequests("alpha", 10)
		for _, r := range slowest {
			if r.Command == "get" {
				return r
			}
		}
		return stats.SlowRequest{}
	}
	sent := time.Now()
	client.Send(encode("GET", "a"))
	redistest.Eventually(t, time.Minute, "the whole reply at the proxy", func() bool { return get().ReplySize > 16<<20 })
	came := time.Now()
	if r := get(); r.Read != 0 {
		t.Errorf("it was read before the client did: %+v", r)
	}
	for range 200 {
		other.Do("PING") // others are served meanwhile
	}
	reads := time.Now()
	client.Reply()
	redistest.Eventually(t, time.Minute, "that it was read", func() bool { return get().Read > 0 })
	r := get()
	if atLeast, atMost := reads.Sub(came), time.Since(sent); r.Read < atLeast || r.Read > atMost || r.Waited+r.Served > came.Sub(sent)+stats.Unit {
		t.Errorf("%+v: want reading from %v to %v, and all before it in less than %v", r, atLeast, atMost, came.Sub(sent))
	}
}

func TestRequestsWithoutReplyInTimeAreSlow(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	cfg := config(t, redis.Addr())
	cfg.Pools[0].Timeout, cfg.Pools[0].LogKeys = 200*time.Millisecond, "hash"
	p := serve(t, cfg)
	client := p.dial()
	client.Do("SET", "a", "1")
	redis.Stop()
	if reply := client.Do("GET", "a"); !strings.HasPrefix(reply, "-") {
		t.Fatalf("%q", reply)
	}
	redis.Kill()
	slowest, _ := p.server.SlowRequests("alpha", 1)
	const hash = "ca978112ca1bbdca" // printf a | sha256sum
	if r := slowest[0]; r.Command != "get" || !r.Failed || r.Served < 150*time.Millisecond || r.Key != hash || r.Server != redis.Addr() {
		t.Errorf("%+v", r)
	}
}

func TestBigValuesAreFoundByKey(t *testing.T) {
	t.Parallel()
	cfg := config(t, redistest.Start(t).Addr(), redistest.Start(t).Addr())
	cfg.Pools[0].BigValue = 100 << 10
	p := serve(t, cfg)
	client := p.dial()
	client.Do("SET", "first", strings.Repeat("v", 200<<10))
	client.Do("SET", "second", strings.Repeat("v", 20<<10))
	for range 3 {
		client.Do("GET", "first")
	}
	client.Do("GET", "second")
	requests, replies := p.server.BigValues("alpha", 10)
	for name, values := range map[string][]stats.BigValue{"set": requests, "get": replies} {
		if len(values) != 2 || values[0].Key != "first" || values[0].Command != name || values[0].Size < 200<<10 || values[0].Size > 201<<10 ||
			values[1].Key != "second" || values[0].Client == "" {
			t.Errorf("%s: %+v", name, values)
		}
	}
	if r := p.server.Figures().Pools[0].Counts.Requests; r.BigRequests != 1 || r.BigReplies != 3 {
		t.Errorf("%d big requests, %d big replies", r.BigRequests, r.BigReplies)
	}
}

func TestBigRequestsAreRefused(t *testing.T) {
	t.Parallel()
	for _, counted := range []bool{true, false} {
		redis := redistest.Start(t)
		cfg := config(t, redis.Addr())
		cfg.Proxy.Statistics = counted
		cfg.Pools[0].BigValue, cfg.Pools[0].BigValueAction = 2000, "refuse"
		p := serve(t, cfg)
		client := p.dial()
		big := encode("SET", "a", strings.Repeat("v", 2000))
		client.Send(encode("SET", "a", "1") + big + encode("GET", "a") + encode("MULTI") + big + encode("EXEC"))
		client.expect("+OK\r\n")
		for _, want := range []string{"-ERR request of ", "$1\r\n1", "+OK", "-ERR request of ", "-EXECABORT"} {
			if reply := client.Reply(); !strings.HasPrefix(reply, want) {
				t.Errorf("%q, want %q", reply, want)
			}
		}
		if n := p.server.Figures().Pools[0].Counts.Requests.BigRequests; counted && n != 2 {
			t.Errorf("%d big requests", n)
		}
	}
}
