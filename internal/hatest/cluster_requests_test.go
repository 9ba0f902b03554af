package hatest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"ringway/hashring"
	"ringway/internal/redistest"
)

// conversation is a client that compares replies.
type conversation struct {
	*redistest.Conn
	t *testing.T
}

func (p *Proxy) talk(t *testing.T) conversation { return conversation{p.Dial(), t} }

// do sends a request, given as words, and compares its reply.
func (c conversation) do(request, want string) {
	c.t.Helper()
	if got := c.Do(strings.Fields(request)...); got != want {
		c.t.Errorf("%s: %q, want %q", request, got, want)
	}
}

// crossSlot is how the refusal of keys in several slots begins.
const crossSlot = "-CROSSSLOT Keys in request don't hash to the same slot"

// Requests of all kinds through a Cluster of three primaries with a replica each get
// replies as from one server.
func TestRequestsOfAllKindsThroughACluster(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 3, 1)
	p, _ := serveCluster(t, c, `allow_commands = ["keys", "flushall"]`)
	t.Run("keys and values", func(t *testing.T) {
		s := p.talk(t)
		s.do("SET a 1", "+OK\r\n")
		s.do("MSET b 2 c 3 d 4 e 5", "+OK\r\n")
		s.do("MGET a b none c d e", "*6\r\n$1\r\n1\r\n$1\r\n2\r\n$-1\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\n5\r\n")
		s.do("EXISTS a b none c a", ":4\r\n")
		s.do("TOUCH a b none", ":2\r\n")
		s.do("DEL a b none", ":2\r\n")
		s.do("UNLINK c d e", ":3\r\n")
		s.do("DBSIZE", ":0\r\n")
		s.do("SELECT 0", "+OK\r\n")
		if got := s.Do("SELECT", "1"); got[0] != '-' {
			t.Errorf("SELECT 1: %q", got)
		}
	})
	t.Run("keys in several slots", func(t *testing.T) {
		s := p.talk(t)
		for _, request := range []string{"MSETNX a 1 b 2", "SINTERSTORE x y z", "RENAME a b", "EVAL return{KEYS[1],KEYS[2]} 2 a b", "BRPOPLPUSH a b 1"} {
			if got := s.Do(strings.Fields(request)...); !strings.HasPrefix(got, crossSlot) {
				t.Errorf("%s: %q", request, got)
			}
		}
		s.do("BLPOP a b 0.1", "*-1\r\n")
		s.do("RPUSH b x", ":1\r\n")
		s.do("BLPOP a b 1", "*2\r\n$1\r\nb\r\n$1\r\nx\r\n")
		s.do("MSETNX {t}a 1 {t}b 2", ":1\r\n")
		s.do("RENAME {t}a {t}c", "+OK\r\n")
		s.do("EXISTS a b {t}a", ":0\r\n")
		s.do("DEL {t}b {t}c", ":2\r\n")
	})
	t.Run("transactions", func(t *testing.T) {
		s, other := p.talk(t), p.talk(t)
		s.do("MULTI", "+OK\r\n")
		s.do("SET {t}1 x", "+QUEUED\r\n")
		s.do("GET {t}1", "+QUEUED\r\n")
		s.do("EXEC", "*2\r\n+OK\r\n$1\r\nx\r\n")
		s.do("WATCH {t}1", "+OK\r\n")
		s.do("MULTI", "+OK\r\n")
		s.do("SET {t}1 y", "+QUEUED\r\n")
		other.do("SET {t}1 z", "+OK\r\n")
		s.do("EXEC", "*-1\r\n")
		s.do("WATCH {t}1", "+OK\r\n")
		s.do("MULTI", "+OK\r\n")
		s.do("SET {t}1 y", "+QUEUED\r\n")
		s.do("EXEC", "*1\r\n+OK\r\n")
		s.do("MULTI", "+OK\r\n")
		s.do("SET a 1", "+QUEUED\r\n")
		if got := s.Do("SET", "b", "1") + s.Do("EXEC"); !strings.Contains(got, "-EXECABORT") && !strings.Contains(got, "-CROSSSLOT") {
			t.Errorf("a transaction over two slots: %q", got)
		}
		s.do("EXISTS a b", ":0\r\n")
		s.do("DEL {t}1", ":1\r\n")
	})
	t.Run("scripts", func(t *testing.T) {
		s := p.talk(t)
		s.do("EVAL return{KEYS[1],ARGV[1]} 1 {t}k v", "*2\r\n$4\r\n{t}k\r\n$1\r\nv\r\n")
		sha := strings.Split(s.Do("SCRIPT", "LOAD", "return KEYS[1]"), "\r\n")[1]
		for _, key := range []string{"a", "b", "c", "d"} { // on several servers
			s.do("EVALSHA "+sha+" 1 "+key, fmt.Sprintf("$1\r\n%s\r\n", key))
		}
	})
	t.Run("blocking", func(t *testing.T) {
		s, other := p.talk(t), p.talk(t)
		s.Send(redistest.Request("BLPOP", "queue", "20"))
		redistest.Eventually(t, waitLimit, "somebody waits", func() bool {
			return strings.Contains(c.Owner(int(hashring.Slot([]byte("queue")))).Do("INFO", "clients"), "blocked_clients:1\r\n")
		})
		other.do("RPUSH queue x", ":1\r\n")
		if got := s.Reply(); got != "*2\r\n$5\r\nqueue\r\n$1\r\nx\r\n" {
			t.Errorf("BLPOP: %q", got)
		}
	})
	t.Run("publish and subscribe", func(t *testing.T) {
		s, other := p.talk(t), p.talk(t)
		for _, channel := range []string{"a", "b", "c"} {
			s.do("SUBSCRIBE "+channel, fmt.Sprintf("*3\r\n$9\r\nsubscribe\r\n$1\r\n%s\r\n:%d\r\n", channel, 1+channel[0]-'a'))
		}
		for _, channel := range []string{"a", "b", "c"} {
			if got := other.Do("PUBLISH", channel, "x"); got[0] != ':' {
				t.Errorf("PUBLISH: %q", got)
			}
			if got, want := s.Reply(), fmt.Sprintf("*3\r\n$7\r\nmessage\r\n$1\r\n%s\r\n$1\r\nx\r\n", channel); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
	t.Run("all keys", func(t *testing.T) {
		ctx := context.Background()
		client := redistest.NewClient(t, p.Addr, "")
		want := map[string]bool{}
		for i := range 500 {
			key := fmt.Sprint("scanned:", i)
			want[key] = true
			if err := client.Set(ctx, key, "v", 0).Err(); err != nil {
				t.Fatal(err)
			}
		}
		got := map[string]bool{}
		for it := client.Scan(ctx, 0, "scanned:*", 50).Iterator(); it.Next(ctx); {
			got[it.Val()] = true
		}
		if !maps.Equal(got, want) {
			t.Errorf("SCAN found %d of %d keys", len(got), len(want))
		}
		keys, err := client.Keys(ctx, "scanned:*").Result()
		if slices.Sort(keys); err != nil || !slices.Equal(keys, slices.Sorted(maps.Keys(want))) {
			t.Errorf("KEYS found %d of %d keys: %v", len(keys), len(want), err)
		}
		if err := client.FlushAll(ctx).Err(); err != nil {
			t.Error(err)
		}
		if n, err := client.DBSize(ctx).Result(); n != 0 || err != nil {
			t.Errorf("%d keys after FLUSHALL, %v", n, err)
		}
	})
}

// halfMoved is a slot of which the keys {t}1 and {t}2 are on their new server and
// {t}3 and {t}4 are not.
type halfMoved struct {
	cluster  *redistest.Cluster
	slot     int
	from, to *redistest.Server
}

func startHalfMoved(t *testing.T, c *redistest.Cluster) halfMoved {
	t.Helper()
	h := halfMoved{cluster: c, slot: int(hashring.Slot([]byte("t")))}
	h.from = c.Owner(h.slot)
	for _, s := range c.Primaries() {
		if s != h.from {
			h.to = s
		}
	}
	for _, key := range []string{"1", "2", "3", "4"} {
		h.from.Do("SET", "{t}"+key, key)
	}
	if err := c.StartMove(h.slot, h.from, h.to); err != nil {
		t.Fatal(err)
	}
	if err := c.MoveKeys(h.from, h.to, "{t}1", "{t}2"); err != nil {
		t.Fatal(err)
	}
	return h
}

// end moves the remaining keys.
func (h halfMoved) end(t *testing.T) {
	t.Helper()
	if err := h.cluster.MoveAllKeys(h.slot, h.from, h.to); err != nil {
		t.Fatal(err)
	}
	if err := h.cluster.EndMove(h.slot, h.from, h.to); err != nil {
		t.Fatal(err)
	}
}

func TestHalfMovedSlotIsInvisibleToClients(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 0)
	p, _ := serveCluster(t, c)
	h := startHalfMoved(t, c)
	s := p.talk(t)
	s.do("GET {t}3", "$1\r\n3\r\n")
	s.do("MGET {t}3 {t}4", "*2\r\n$1\r\n3\r\n$1\r\n4\r\n")
	s.do("GET {t}1", "$1\r\n1\r\n")
	s.do("GET {t}never", "$-1\r\n")
	s.do("MGET {t}1 {t}2", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n")
	s.do("INCR {t}1", ":2\r\n")
	s.do("SET {t}new x", "+OK\r\n")
	s.do("EVAL return(redis.call('GET',KEYS[1])) 1 {t}2", "$1\r\n2\r\n")
	s.do("MULTI", "+OK\r\n")
	s.do("INCR {t}1", "+QUEUED\r\n")
	s.do("INCR {t}2", "+QUEUED\r\n")
	s.do("EXEC", "*2\r\n:3\r\n:3\r\n")
	s.do("MULTI", "+OK\r\n")
	s.do("INCR {t}3", "+QUEUED\r\n")
	s.do("EXEC", "*1\r\n:4\r\n")
	s.do("RPUSH {t}list x", ":1\r\n")
	s.do("BLPOP {t}list 1", "*2\r\n$7\r\n{t}list\r\n$1\r\nx\r\n")
	s.do("GET elsewhere", "$-1\r\n")

	// With keys on both sides, or new ones, the reply comes when the slot has arrived.
	get, exec, set := p.talk(t), p.talk(t), p.talk(t)
	get.Send(redistest.Request("MGET", "{t}2", "{t}4"))
	exec.Send(redistest.Request("MULTI") + redistest.Request("INCR", "{t}1") + redistest.Request("INCR", "{t}3") + redistest.Request("EXEC"))
	set.Send(redistest.Request("MSET", "{t}5", "5", "{t}6", "6"))
	s.do("PING", "+PONG\r\n")
	h.end(t)
	for _, w := range []struct {
		conversation
		want string
	}{
		{get, "*2\r\n$1\r\n3\r\n$1\r\n4\r\n"},
		{exec, "+OK\r\n"}, {exec, "+QUEUED\r\n"}, {exec, "+QUEUED\r\n"}, {exec, "*2\r\n:4\r\n:5\r\n"},
		{set, "+OK\r\n"},
	} {
		if got := w.Reply(); got != w.want {
			t.Errorf("a request that had to wait: %q, want %q", got, w.want)
		}
	}
	s.do("MGET {t}3 {t}5 {t}new", "*3\r\n$1\r\n5\r\n$1\r\n5\r\n$1\r\nx\r\n")
}

// A client that is blocked when its slot moves goes on waiting at the new server. A
// transaction with WATCH fails then, as if the key had changed.
func TestBlockedClientFollowsItsSlot(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 0)
	p, _ := serveCluster(t, c)
	slot := int(hashring.Slot([]byte("t")))
	from := c.Owner(slot)
	to := c.Servers[0]
	if to == from {
		to = c.Servers[1]
	}
	blocked, watching, s := p.talk(t), p.talk(t), p.talk(t)
	watchingMore := []conversation{p.talk(t), p.talk(t)}
	for _, w := range watchingMore {
		w.do("WATCH {t}watched", "+OK\r\n")
	}
	watching.do("WATCH {t}watched", "+OK\r\n")
	watching.do("MULTI", "+OK\r\n")
	watching.do("SET {t}watched x", "+QUEUED\r\n")
	blocked.Send(redistest.Request("BLPOP", "{t}queue", "20"))
	blocks := func(s *redistest.Server) func() bool {
		return func() bool { return strings.Contains(s.Do("INFO", "clients"), "blocked_clients:1\r\n") }
	}
	redistest.Eventually(t, waitLimit, "the client is blocked", blocks(from))
	if err := c.Move(from, to, slot); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, waitLimit, "the client is blocked at the other server", blocks(to))
	watching.do("EXEC", "*-1\r\n")
	s.do("GET {t}watched", "$-1\r\n") // now the proxy knows where the slot is
	watchingMore[1].do("WATCH {t}another", "+OK\r\n")
	for _, w := range watchingMore {
		w.do("MULTI", "+OK\r\n")
		w.do("SET {t}watched x", "+QUEUED\r\n")
		w.do("EXEC", "*-1\r\n")
		w.do("GET {t}watched", "$-1\r\n")
	}
	s.do("RPUSH {t}queue x", ":1\r\n")
	if got := blocked.Reply(); got != "*2\r\n$8\r\n{t}queue\r\n$1\r\nx\r\n" {
		t.Errorf("BLPOP: %q", got)
	}
}

// A blocking request for a key that does not exist waits at the server that the slot moves
// to. It may take longer than timeout.
func TestClientBlocksOnAKeyOfAHalfMovedSlot(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 2, 0)
	p, _ := serveCluster(t, c, `timeout = "400ms"`)
	h := startHalfMoved(t, c)
	blocked, s := p.talk(t), p.talk(t)
	blocked.do("CLIENT SETNAME waits", "+OK\r\n")
	id := strings.TrimSpace(strings.TrimPrefix(blocked.Do("CLIENT", "ID"), ":"))
	blocked.do("BLPOP {t}queue 1", "*-1\r\n") // asked for with more time than timeout
	blocked.Send(redistest.Request("BLPOP", "{t}queue", "20"))
	redistest.Eventually(t, waitLimit, "the client is blocked at the new server", func() bool {
		return strings.Contains(h.to.Do("INFO", "clients"), "blocked_clients:1\r\n")
	})
	redistest.Eventually(t, waitLimit, "it can be unblocked", func() bool { return s.Do("CLIENT", "UNBLOCK", id) == ":1\r\n" })
	if got := blocked.Reply(); got != "*-1\r\n" {
		t.Errorf("BLPOP of a client that was unblocked: %q", got)
	}
	blocked.Send(redistest.Request("BLPOP", "{t}queue", "20"))
	s.do("RPUSH {t}queue x", ":1\r\n")
	if got := blocked.Reply(); got != "*2\r\n$8\r\n{t}queue\r\n$1\r\nx\r\n" {
		t.Errorf("BLPOP: %q", got)
	}
}
