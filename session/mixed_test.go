package session_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// mixedClient does things of every kind, all with names of its own, and knows what
// each reply must be.
type mixedClient struct {
	*raw
	name  string
	seq   int
	count *atomic.Int64
}

// ask sends requests in one write and checks all replies.
func (c *mixedClient) ask(pairs ...string) bool {
	var requests strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		requests.WriteString(pairs[i])
	}
	c.Send(requests.String())
	for i := 1; i < len(pairs); i += 2 {
		if got := c.Reply(); got != pairs[i] {
			c.t.Errorf("%s, request %d: %.200q, want %.200q", c.name, i/2, got, pairs[i])
			return false
		}
		c.count.Add(1)
	}
	return true
}

// key returns a name that nobody else uses, and which goes to any shard.
func (c *mixedClient) key() string {
	c.seq++
	return fmt.Sprintf("%s:%d", c.name, c.seq)
}

func (c *mixedClient) pipeline() bool {
	var pairs []string
	for range 1 + rand.IntN(30) {
		k := c.key()
		size := []int{0, 0, 0, 100, 20000}[rand.IntN(5)]
		value := k + strings.Repeat("v", size)
		pairs = append(pairs, encode("SET", k, value), "+OK\r\n", encode("GET", k), bulk(value), encode("DEL", k), ":1\r\n")
	}
	return c.ask(pairs...)
}

func (c *mixedClient) acrossShards() bool {
	a, b, d := c.key(), c.key(), c.key()
	return c.ask(encode("MSET", a, a, b, b, d, d), "+OK\r\n", encode("MGET", d, a, b, "none"), "*4\r\n"+bulk(d)+bulk(a)+bulk(b)+"$-1\r\n",
		encode("DEL", a, b, d), ":3\r\n",
		encode("SADD", a, "m", a), ":2\r\n", encode("SADD", b, "m", b), ":2\r\n", encode("SINTER", a, b), "*1\r\n$1\r\nm\r\n",
		encode("SINTERCARD", "2", b, a), ":1\r\n", encode("UNLINK", a, b), ":2\r\n")
}

func (c *mixedClient) transaction() bool {
	k := c.key()
	return c.ask(encode("MULTI"), "+OK\r\n", encode("SET", k, "7"), "+QUEUED\r\n", encode("INCR", k), "+QUEUED\r\n", encode("ECHO", k), "+QUEUED\r\n",
		encode("EXEC"), "*3\r\n+OK\r\n:8\r\n"+bulk(k), encode("GET", k), "$1\r\n8\r\n",
		encode("WATCH", k), "+OK\r\n", encode("MULTI"), "+OK\r\n", encode("GETDEL", k), "+QUEUED\r\n", encode("EXEC"), "*1\r\n$1\r\n8\r\n", encode("GET", k), "$-1\r\n")
}

func (c *mixedClient) script() bool {
	k := c.key()
	const body = "return {KEYS[1], ARGV[1]}"
	want := "*2\r\n" + bulk(k) + bulk(c.name)
	return c.ask(encode("EVAL", body, "1", k, c.name), want, encode("EVALSHA", hashOf(body), "1", k, c.name), want, encode("ECHO", k), bulk(k))
}

func (c *mixedClient) blocking() bool {
	k, missing := c.key(), c.key()
	return c.ask(encode("RPUSH", k, k, "b"), ":2\r\n", encode("BLPOP", k, "10"), "*2\r\n"+bulk(k)+bulk(k), encode("BLPOP", missing, "0.01"), "*-1\r\n",
		encode("BRPOP", k, "10"), "*2\r\n"+bulk(k)+"$1\r\nb\r\n", encode("ECHO", k), bulk(k))
}

func (c *mixedClient) subscription() bool {
	ch := c.key()
	other := &mixedClient{raw: c.raw, name: c.name, count: c.count}
	head := func(word string, n int) string { return fmt.Sprintf("*3\r\n%s%s:%d\r\n", bulk(word), bulk(ch), n) }
	if !other.ask(encode("SUBSCRIBE", ch), head("subscribe", 1)) {
		return false
	}
	// Only this client's own messages may come.
	return other.ask(encode("PING"), "*2\r\n$4\r\npong\r\n$0\r\n\r\n", encode("UNSUBSCRIBE", ch), head("unsubscribe", 0), encode("ECHO", ch), bulk(ch))
}

func (c *mixedClient) publishing(subscriber *raw, channel string) bool {
	message := c.key()
	if !c.ask(encode("PUBLISH", channel, message), ":1\r\n") {
		return false
	}
	want := "*3\r\n$7\r\nmessage\r\n" + bulk(channel) + bulk(message)
	if got := subscriber.Reply(); got != want {
		c.t.Errorf("%s: message %q, want %q", c.name, got, want)
		return false
	}
	c.count.Add(1)
	return true
}

// Many clients that do everything at once, over connections that they share, get
// each reply that is theirs and none that is another's.
func TestManyClientsOfAllKindsGetTheirOwnReplies(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, _ := serveShards(t, 4)
	const clients = 200
	var count atomic.Int64
	var work sync.WaitGroup
	end := time.Now().Add(time.Duration(rounds(1)) * 1500 * time.Millisecond)
	for i := range clients {
		c := &mixedClient{raw: p.dial(), name: fmt.Sprint("client:", i), count: &count}
		var subscriber *raw
		channel := "channel of " + c.name
		if i%4 == 0 {
			subscriber = p.dial()
			subscriber.Do("SUBSCRIBE", channel)
		}
		work.Go(func() {
			for ok := true; ok && time.Now().Before(end); {
				switch kind := rand.IntN(8); {
				case kind < 2:
					ok = c.pipeline()
				case kind == 2:
					ok = c.acrossShards()
				case kind == 3:
					ok = c.transaction()
				case kind == 4:
					ok = c.script()
				case kind == 5:
					ok = c.blocking()
				case kind == 6:
					ok = c.subscription()
				case subscriber != nil:
					ok = c.publishing(subscriber, channel)
				}
			}
		})
	}
	work.Wait()
	t.Logf("%d replies and messages, all of them right", count.Load())
}
