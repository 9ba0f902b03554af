package session_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
	"ringway/stats"
)

// hotLoad is requests of which a known share has each key: key:0 has 20 %, key:1 10 %, key:2 5 % and
// key:3 1 %; all others are different. MGETs name three keys.
func hotLoad(round int) (requests string, replies int) {
	var b strings.Builder
	for i := range 100 {
		key := fmt.Sprintf("cold:%d:%d", round, i)
		switch {
		case i%5 == 0:
			key = "key:0"
		case i%10 == 1:
			key = "key:1"
		case i%20 == 2:
			key = "key:2"
		case i == 3:
			key = "key:3"
		}
		b.WriteString(encode("GET", key))
	}
	return b.String(), 100
}

// keepLoading sends rounds of a load, each after the replies to the one before, until the test ends.
func keepLoading(t *testing.T, addr string, load func(round int) (string, int)) {
	client := dialAt(t, addr)
	stop, stopped := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-stopped })
	go func() {
		defer close(stopped)
		for round := 0; ; round++ {
			select {
			case <-stop:
				return
			default:
			}
			requests, replies := load(round)
			client.Send(requests)
			for range replies {
				client.Reply()
			}
		}
	}()
}

func TestHotKeysHaveTheirShareOfTheTraffic(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	cfg := config(t, redistest.Start(t).Addr(), redistest.Start(t).Addr())
	cfg.Proxy.Threads = 2
	p := serve(t, cfg)
	for range 3 {
		keepLoading(t, p.addr, hotLoad)
	}
	var top stats.TopHotKeys
	redistest.Eventually(t, 20*time.Second, "hot keys", func() bool {
		top = p.server.HotKeys("alpha", 4)
		return len(top.ByRequests) == 4 && top.ByRequests[3].Key == "key:3" && top.ByRequests[3].Requests > 200
	})
	for i, want := range []float64{0.20, 0.10, 0.05, 0.01} {
		k := top.ByRequests[i]
		wrong := math.Abs(k.Requests/top.Requests - want)
		if k.Key != fmt.Sprint("key:", i) || wrong > 0.1*want && wrong*top.Requests > 2*k.RequestsError {
			t.Errorf("%s: %.2f %% of the requests, want %.2f; ± %.0f of %.0f", k.Key, 100*k.Requests/top.Requests, 100*want, k.RequestsError, k.Requests)
		}
	}
}

func TestEveryKeyOfARequestIsCounted(t *testing.T) {
	t.Parallel()
	cfg := config(t, redistest.Start(t).Addr(), redistest.Start(t).Addr())
	p := serve(t, cfg)
	client := p.dial()
	value := strings.Repeat("v", 1000)
	do := func(args ...string) {
		t.Helper()
		if reply := client.Do(args...); strings.HasPrefix(reply, "-") {
			t.Fatalf("%q: %q", args, reply)
		}
	}
	long := strings.Repeat("long", 100)
	redistest.Eventually(t, 10*time.Second, "the keys and their bytes", func() bool {
		do("MSET", "a", value, "b", "x", "c", "y")
		do("MGET", "a", "b", "c", "d")
		do("EVAL", "return redis.call('GET', KEYS[1])", "1", "a")
		do("MULTI")
		do("GET", "intx")
		do("EXEC")
		do("GET", long)
		do("OBJECT", "ENCODING", "b")
		counts := map[string]stats.HotKey{}
		top := p.server.HotKeys("alpha", 100)
		for _, k := range top.ByBytes {
			counts[k.Key] = k
		}
		all := top.Sampled == 1 && len(top.ByRequests) == len(top.ByBytes)
		for _, key := range []string{"a", "b", "c", "d", "intx", long[:96]} {
			all = all && counts[key].Requests > 0 && counts[key].RequestsError == 0
		}
		return all && top.ByBytes[0].Key == "a" && counts[long[:96]].Length == len(long) && counts["a"].Bytes > 1000*counts["a"].Requests/3
	})
}

func TestNoHotKeysWithoutStatistics(t *testing.T) {
	t.Parallel()
	cfg := config(t, redistest.Start(t).Addr())
	cfg.Proxy.Statistics = false
	p := serve(t, cfg)
	p.dial().Do("SET", "a", "1")
	if top := p.server.HotKeys("alpha", 5); len(top.ByRequests) != 0 || len(p.server.HotKeys("none", 5).ByBytes) != 0 {
		t.Errorf("%+v", top)
	}
}
