package hatest_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/hashring"
	"ringway/internal/hatest"
	"ringway/internal/redistest"
)

// move moves a slot and its keys to another server of a Cluster, step by step. It calls
// between when half of the keys have moved.
func move(t *testing.T, slot int, from, to *redistest.Server, others []*redistest.Server, between func()) {
	t.Helper()
	id := func(s *redistest.Server) string { return bulk(t, s.Do("CLUSTER", "MYID")) }
	n := strconv.Itoa(slot)
	ok(t, to, "CLUSTER", "SETSLOT", n, "IMPORTING", id(from))
	ok(t, from, "CLUSTER", "SETSLOT", n, "MIGRATING", id(to))
	between()
	for _, s := range append([]*redistest.Server{to, from}, others...) {
		ok(t, s, "CLUSTER", "SETSLOT", n, "NODE", id(to))
	}
}

func ok(t *testing.T, s *redistest.Server, request ...string) {
	t.Helper()
	if reply := s.Do(request...); reply != "+OK\r\n" {
		t.Fatalf("%q: %q", request, reply)
	}
}

func bulk(t *testing.T, reply string) string {
	t.Helper()
	var n int
	var s string
	if _, err := fmt.Sscanf(reply, "$%d\r\n%s\r\n", &n, &s); err != nil {
		t.Fatalf("%q is no bulk string", reply)
	}
	return s
}

// A proxy that knows only one server of a Cluster learns the others from it.
func TestOneSeedIsEnoughForAllSlots(t *testing.T) {
	t.Parallel()
	groups := redistest.StartCluster(t, 3, 0)
	p := hatest.Serve(t, `topology = "cluster"`, fmt.Sprintf(`servers = [%q]`, groups[2].Primary.Addr()))
	c := redistest.Dial(t, "tcp", p.Addr)
	do := func(want string, args ...string) {
		t.Helper()
		c.Send(redistest.Request(args...))
		if got := c.Reply(); got != want {
			t.Fatalf("%q: %q, want %q", args, got, want)
		}
	}
	for i := range 100 {
		do("+OK\r\n", "SET", fmt.Sprint("k", i), "v"+fmt.Sprint(i))
	}
	for i := range 100 {
		do(fmt.Sprintf("$%d\r\nv%d\r\n", len(fmt.Sprint("v", i)), i), "GET", fmt.Sprint("k", i))
	}
	do("*4\r\n$2\r\nv1\r\n$2\r\nv2\r\n$-1\r\n$2\r\nv3\r\n", "MGET", "k1", "k2", "none", "k3")
	do("+OK\r\n", "MSET", "a", "1", "b", "2", "c", "3")
	do(":3\r\n", "DEL", "a", "b", "c", "d")
	if got := c.Do("SINTERSTORE", "k1", "k2", "k3"); !strings.HasPrefix(got, "-CROSSSLOT ") {
		t.Errorf("SINTERSTORE: %q", got)
	}
	do("+OK\r\n", "MULTI")
	do("+QUEUED\r\n", "INCR", "{t}n")
	do("+QUEUED\r\n", "INCR", "{t}n")
	do("*2\r\n:1\r\n:2\r\n", "EXEC")
	do(":101\r\n", "DBSIZE")
}

func TestMovingSlotIsInvisibleToClients(t *testing.T) {
	t.Parallel()
	groups := redistest.StartCluster(t, 2, 0)
	p := hatest.Serve(t, `topology = "cluster"`, fmt.Sprintf(`servers = [%q]`, groups[0].Primary.Addr()))
	load := hatest.Load{Clients: 4, Depth: 4}.Start(t, p.Addr)
	load.Progress(100, time.Minute)
	c := redistest.Dial(t, "tcp", p.Addr)
	do := func(want string, args ...string) {
		t.Helper()
		c.Send(redistest.Request(args...))
		if got := c.Reply(); got != want {
			t.Fatalf("%q: %q, want %q", args, got, want)
		}
	}
	slot := int(hashring.Slot([]byte("t")))
	from, to := groups[0].Primary, groups[1].Primary
	if slot >= hashring.Slots/2 {
		from, to = to, from
	}
	do("+OK\r\n", "SET", "{t}1", "one")
	do("+OK\r\n", "SET", "{t}2", "two")
	do("+OK\r\n", "WATCH", "{t}1")
	move(t, slot, from, to, nil, func() {
		ok(t, from, "MIGRATE", "127.0.0.1", strconv.Itoa(to.Port()), "{t}1", "0", "5000")
		do("$3\r\none\r\n", "GET", "{t}1")
		do("$3\r\ntwo\r\n", "GET", "{t}2")
		do("+OK\r\n", "SET", "{t}3", "three")
		do("+OK\r\n", "MULTI")
		do("+QUEUED\r\n", "GET", "{t}1")
		do("*-1\r\n", "EXEC")
		do("+OK\r\n", "MULTI")
		do("+QUEUED\r\n", "GET", "{t}1")
		do("*1\r\n$3\r\none\r\n", "EXEC")
		do(":1\r\n", "RPUSH", "{t}l", "x")
		c.Send(redistest.Request("MGET", "{t}1", "{t}2")) // waits until both are on one side
		ok(t, from, "MIGRATE", "127.0.0.1", strconv.Itoa(to.Port()), "{t}2", "0", "5000")
		if got := c.Reply(); got != "*2\r\n$3\r\none\r\n$3\r\ntwo\r\n" {
			t.Fatalf("MGET: %q", got)
		}
	})
	do("$5\r\nthree\r\n", "GET", "{t}3")
	do("*2\r\n$4\r\n{t}l\r\n$1\r\nx\r\n", "BLPOP", "{t}l", "1")
	load.Progress(100, time.Minute)
	load.Finish()
}
