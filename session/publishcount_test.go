package session_test

import (
	"fmt"
	"testing"
	"time"

	"ringway/internal/redistest"
)

func TestPublishersAreToldOfEveryReceiver(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	one, two, pattern, pub := p.dial(), p.dial(), p.dial(), p.dial()
	for _, c := range []*raw{one, two} {
		c.Send(encode("SUBSCRIBE", "news.a"))
		c.expect("*3\r\n$9\r\nsubscribe\r\n$6\r\nnews.a\r\n:1\r\n")
	}
	for _, name := range []string{"news.*", "[mn]ews.?"} {
		for _, c := range []*raw{pattern, one} {
			c.Send(encode("PSUBSCRIBE", name))
			c.Reply()
		}
	}
	if got := pub.Do("PUBLISH", "news.a", "x"); got != ":6\r\n" {
		t.Errorf("%q receivers", got)
	}
	pub.Send(encode("PUBLISH", "news.b", "x") + encode("PUBSUB", "NUMSUB", "news.a") + encode("PUBLISH", "other", "x"))
	pub.expect(":4\r\n", "*2\r\n$6\r\nnews.a\r\n:2\r\n", ":0\r\n")
	two.Close()
	redistest.Eventually(t, 5*time.Second, "one receiver less", func() bool { return pub.Do("PUBLISH", "news.a", "x") == ":5\r\n" })
}

func TestUnsubscribedClientsAreNotCounted(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	c, pub := p.dial(), p.dial()
	for range 50 {
		c.Send(encode("SUBSCRIBE", "a", "b") + encode("PSUBSCRIBE", "a*"))
		for range 3 {
			c.Reply()
		}
		if got := pub.Do("PUBLISH", "a", "x"); got != ":2\r\n" {
			t.Fatalf("%q receivers", got)
		}
		c.Reply()
		c.Reply()
		c.Send(encode("UNSUBSCRIBE") + encode("PUNSUBSCRIBE") + encode("PUBLISH", "a", "own"))
		for range 3 {
			c.Reply()
		}
		c.expect(":0\r\n")
		if got := pub.Do("PUBLISH", "a", "x") + pub.Do("PUBLISH", "b", "x"); got != ":0\r\n:0\r\n" {
			t.Fatalf("%q receivers after all have left", got)
		}
	}
}

func TestMessagesComeWithClientReplyOff(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	c, pub := p.dial(), p.dial()
	c.Send(encode("HELLO", "3"))
	c.Reply()
	c.Send(encode("CLIENT", "REPLY", "OFF") + encode("PING") + encode("SUBSCRIBE", "a"))
	c.expect(">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
	pub.Do("PUBLISH", "a", "x")
	c.expect(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n")
	c.Send(encode("PING") + encode("UNSUBSCRIBE", "a"))
	c.expect(">3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n")
}

func TestSubscribersOfChannelsOnAllShardsAreCounted(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 3)
	keys := keysOnEach(t, p, servers)
	one, two, c := p.dial(), p.dial(), p.dial()
	for _, key := range keys {
		one.Do("SUBSCRIBE", key)
	}
	two.Do("SUBSCRIBE", keys[1])
	want := "*8\r\n"
	for i, key := range keys {
		want += fmt.Sprintf("$%d\r\n%s\r\n:%d\r\n", len(key), key, []int{1, 2, 1}[i])
	}
	want += "$4\r\nnone\r\n:0\r\n"
	if got := c.Do("PUBSUB", "NUMSUB", keys[0], keys[1], keys[2], "none"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := c.Do("PUBSUB", "NUMSUB"); got != "*0\r\n" {
		t.Errorf("no channels: %q", got)
	}
}
