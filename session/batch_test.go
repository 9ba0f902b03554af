package session_test

import (
	"fmt"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// TestBatchesStopAtTheClientsPipelineLimit sends several plain requests and a part of one more,
// of which client_pipeline lets only the first few through at a time.
func TestBatchesStopAtTheClientsPipelineLimit(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	servers := redistest.StartN(t, 4)
	for bound := 1; bound <= 4; bound++ {
		cfg := config(t, addrs(servers)...)
		cfg.Proxy.ClientPipeline = bound
		p := serve(t, cfg)
		head := ""
		var want []string
		for i := range 6 {
			key, value := fmt.Sprint("k", i), strings.Repeat("v", i)
			head += encode("SET", key, value) + encode("GET", key)
			want = append(want, "+OK\r\n", fmt.Sprintf("$%d\r\n%s\r\n", i, value))
		}
		last := encode("APPEND", "k5", "0123456789")
		for cut := range len(last) {
			c := p.dial()
			c.Send(head + last[:cut])
			c.expect(want...)
			c.Send(last[cut:] + encode("GET", "k5"))
			c.expect(":15\r\n", "$15\r\nvvvvv0123456789\r\n")
			c.Close()
		}
	}
}

// TestBatchesEndWhereARequestIsNotPlain puts one request of each kind at each position of a
// batch, and compares the replies with those of one Redis.
func TestBatchesEndWhereARequestIsNotPlain(t *testing.T) {
	t.Parallel()
	p := serve(t, merging(t, addrs(redistest.StartN(t, 4))...))
	direct := redistest.Start(t)
	for _, other := range []string{
		encode("MULTI") + encode("SET", "a", "m") + encode("GET", "a") + encode("EXEC"),
		encode("CLIENT", "REPLY", "SKIP"), encode("CLIENT", "SETNAME", "n") + encode("CLIENT", "REPLY", "OFF") + encode("GET", "a") + encode("CLIENT", "REPLY", "ON"),
		encode("OBJECT", "ENCODING", "a"), "GET a\r\n", "\r\n", "*0\r\n", encode("GET"), encode("GET", "a", "b"), encode("nosuch", "a"),
		encode("get", "a"), encode("STRLEN", "a"), encode("MGET", "a", "b"), encode("SELECT", "0"), encode("PING"), encode("LPUSH", "a", "x"),
	} {
		for at := range 20 {
			sent := ""
			for i := range 20 {
				if i == at {
					sent += other
				}
				sent += encode("SET", fmt.Sprint("k", i), fmt.Sprint(at)) + encode("GET", fmt.Sprint("k", i))
			}
			sent += encode("SET", "a", "1") + encode("ECHO", "end")
			got, want := repliesUntilEnd(t, p.addr, sent), repliesUntilEnd(t, direct.Addr(), sent)
			if got != want {
				t.Fatalf("%q at %d:\n%q\nRedis:\n%q", other, at, got, want)
			}
		}
	}
}

// repliesUntilEnd returns all replies to requests, of which the last is ECHO end.
func repliesUntilEnd(t *testing.T, addr, requests string) string {
	t.Helper()
	c := dialAt(t, addr)
	defer c.Close()
	c.Send(requests)
	var said strings.Builder
	for !strings.HasSuffix(said.String(), "$3\r\nend\r\n") {
		said.WriteString(c.Reply())
	}
	return said.String()
}
