package session_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// The requests of one client that cost the proxy some work are not all answered before other
// clients are served: a neighbour sees that requests of it wait.
func TestNeighboursAreServedBetweenExpensiveRequests(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	cfg := config(t, s.Addr())
	cfg.Proxy.Threads = 1
	p := serve(t, cfg)
	c, neighbour := p.dial(), p.dial()
	id := strings.Trim(c.Do("CLIENT", "ID"), ":\r\n")
	const n = 1500
	requests := strings.Repeat(encode("COMMAND", "LIST", "FILTERBY", "PATTERN", "g*a*a*a*"), n)
	unread := regexp.MustCompile(`qbuf=\d{4,} `) // more than a request that has come in part
	for range 20 {                               // the neighbour may not get a processor in time
		c.Send(requests)
		done, seen := make(chan struct{}), false
		go func() {
			defer close(done)
			for range n {
				c.Reply()
			}
		}()
		for ended := false; !ended; {
			select {
			case <-done:
				ended = true
			default:
				seen = unread.MatchString(neighbour.Do("CLIENT", "LIST", "ID", id)) || seen
			}
		}
		if seen {
			return
		}
	}
	t.Error("all requests were run before the neighbour was served")
}

// Requests that wait because the ones before them were expensive are run, in their order.
func TestRequestsBehindExpensiveOnes(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	c := p.dial()
	var requests, want []string
	for i := range 100 {
		requests = append(requests, encode("COMMAND", "COUNT"), encode("SET", fmt.Sprint("k", i), fmt.Sprint(i)), encode("INFO", "ringway"),
			encode("GET", fmt.Sprint("k", i)), encode("CLIENT", "LIST"), encode("ECHO", strings.Repeat("e", 10<<10)), encode("MULTI"), encode("PING"), encode("EXEC"))
		want = append(want, ":", "+OK\r\n", "$", fmt.Sprintf("$%d\r\n%d\r\n", len(fmt.Sprint(i)), i), "$", "$10240", "+OK\r\n", "+QUEUED\r\n", "*1\r\n+PONG\r\n")
	}
	c.Send(strings.Join(requests, ""))
	for i, w := range want {
		if got := c.Reply(); !strings.HasPrefix(got, w) {
			t.Fatalf("reply %d: %.60q, want %.60q", i, got, w)
		}
	}
}

// CLIENT LIST and KILL see all clients, however many portions they are worked at in.
func TestManyClientsAreListedAndKilled(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	c := p.dial()
	const n = 300
	var crowd []*raw
	for range n {
		other := p.dial()
		other.Do("PING")
		crowd = append(crowd, other)
	}
	list := c.Do("CLIENT", "LIST")
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^id=(\d+) `).FindAllStringSubmatch(list, -1) {
		ids[m[1]] = true
	}
	if len(ids) != n+1 {
		t.Errorf("%d clients, want %d", len(ids), n+1)
	}
	if got := c.Do("CLIENT", "KILL", "TYPE", "normal"); got != fmt.Sprintf(":%d\r\n", n) {
		t.Errorf("CLIENT KILL: %q", got)
	}
	for _, other := range crowd {
		other.expectClosed()
	}
	if got := c.Do("CLIENT", "LIST"); strings.Count(got, "addr=") != 2*1 { // addr= and laddr=
		t.Errorf("clients that are left: %q", got)
	}
}
