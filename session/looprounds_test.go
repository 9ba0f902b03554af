package session_test

import (
	"fmt"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// twoLoops is a proxy with a client on each of its two loops, one of which can be stopped.
type twoLoops struct {
	*proxy
	sub, pub *raw // on loop 0 and loop 1
}

func startTwoLoops(t *testing.T, shards int) *twoLoops {
	cfg := config(t, addrs(redistest.StartN(t, shards))...)
	cfg.Proxy.Threads = 2
	p := &twoLoops{proxy: serve(t, cfg)}
	p.pub = p.dial()
	p.pub.Do("PING")
	p.moveAll(1)
	eventually(t, "a client is on loop 1", func() bool { return p.sessions()[1] == 1 })
	p.sub = p.dial()
	p.sub.Do("PING")
	for _, w := range p.server.Workers() {
		w.MoveClient(p.sub.NetConn().LocalAddr().String(), p.server.Workers()[0])
	}
	eventually(t, "the other is on loop 0", func() bool { return p.sessions()[0] == 1 })
	return p
}

// delay stops loop 0 in the middle of a turn, until the function that it returns is called.
func (p *twoLoops) delay() (release func()) {
	stopped, until := make(chan struct{}), make(chan struct{})
	p.server.Workers()[0].Post(func() { close(stopped); <-until })
	<-stopped
	return func() { close(until) }
}

// publisherWaits waits until loop 1 has a client that waits to publish.
func (p *twoLoops) publisherWaits() {
	p.t.Helper()
	eventually(p.t, "the publisher waits", func() bool { return p.server.Workers()[1].WaitingToPublish() == 1 })
}

// A SUBSCRIBE that was sent before a PUBLISH comes first, though the subscriber's loop is late and
// the publisher's is not.
func TestPublishWaitsForALoopThatIsLate(t *testing.T) {
	t.Parallel()
	p := startTwoLoops(t, 2)
	for _, c := range []struct {
		name, subscribe, before, publish string
		replies                          []string // behind before
	}{
		{"alone", encode("SUBSCRIBE", "a"), "", encode("PUBLISH", "a", "x"), []string{":1\r\n"}},
		{"by pattern", encode("PSUBSCRIBE", "b*"), "", encode("PUBLISH", "b1", "x"), []string{":1\r\n"}},
		{"to a shard", encode("SSUBSCRIBE", "c"), "", encode("SPUBLISH", "c", "x"), []string{":1\r\n"}},
		{"in a transaction", encode("SUBSCRIBE", "d"), encode("MULTI"), encode("PUBLISH", "d", "x") + encode("EXEC"),
			[]string{"+QUEUED\r\n", "*1\r\n:1\r\n"}},
		{"after WATCH", encode("SUBSCRIBE", "e"), encode("WATCH", "e"), encode("MULTI") + encode("PUBLISH", "e", "x") + encode("EXEC"),
			[]string{"+OK\r\n", "+QUEUED\r\n", "*1\r\n:1\r\n"}},
		{"behind others", encode("SUBSCRIBE", "f"), "", encode("SET", "k", "v") + encode("PUBLISH", "f", "x") + encode("GET", "k"),
			[]string{"+OK\r\n", ":1\r\n", "$1\r\nv\r\n"}},
		{"by a script", encode("SUBSCRIBE", "g"), "", encode("EVAL", "return redis.call('PUBLISH', ARGV[1], 'x')", "1", "key1", "g"), []string{":1\r\n"}},
		{"by a script at another shard", encode("SUBSCRIBE", "g"), "", encode("EVAL", "return redis.call('PUBLISH', ARGV[1], 'x')", "1", "key2", "g"), []string{":1\r\n"}},
		{"by a script that is known", encode("SUBSCRIBE", "g"), "", encode("EVALSHA", hashOf("return redis.call('PUBLISH', ARGV[1], 'x')"), "1", "key1", "g"), []string{":1\r\n"}},
		{"by a script in a transaction", encode("SUBSCRIBE", "h"), encode("MULTI"), encode("EVAL", "return redis.call('publish', ARGV[1], 'x')", "1", "key3", "h") + encode("EXEC"),
			[]string{"+QUEUED\r\n", "*1\r\n:1\r\n"}},
		{"to a shard, by a script", encode("SSUBSCRIBE", "i"), "", encode("EVAL", "return redis.call('SPUBLISH', ARGV[1], 'x')", "1", "i", "i"), []string{":1\r\n"}},
	} {
		if p.pub.Send(c.before); c.before != "" {
			p.pub.expect("+OK\r\n")
		}
		release := p.delay()
		p.sub.Send(c.subscribe)
		p.pub.Send(c.publish)
		p.publisherWaits()
		release()
		p.pub.expect(c.replies...)
		p.sub.Reply()
		if got := p.sub.Reply(); got[len(got)-3:] != "x\r\n" {
			t.Errorf("%s: %q", c.name, got)
		}
		p.sub.Send(encode("UNSUBSCRIBE") + encode("PUNSUBSCRIBE") + encode("SUNSUBSCRIBE"))
		for range 3 {
			p.sub.Reply()
		}
	}
}

// Clients such as Celery's send one SUBSCRIBE after the other without waiting.
func TestPublishWaitsForASubscribeBehindAnother(t *testing.T) {
	t.Parallel()
	p := startTwoLoops(t, 2)
	for i := range rounds(20) {
		first, second := fmt.Sprint("first", i), fmt.Sprint("second", i)
		release := p.delay()
		p.sub.Send(encode("SUBSCRIBE", first))
		if i%2 == 0 {
			release() // they may come by one read, or by two
			release = func() {}
		}
		p.sub.Send(encode("SUBSCRIBE", second))
		p.pub.Send(encode("PUBLISH", second, "x"))
		release()
		p.pub.expect(":1\r\n")
		p.sub.Reply()
		p.sub.Reply()
		p.sub.expect(message("message", second, "x"))
	}
	// Nothing is left that PUBLISH would wait for.
	eventually(t, "nothing is unconfirmed", func() bool { return !p.server.Workers()[0].Subscribing() })
}

// The publisher gets its replies though it has ended its side, and has sent more while it waited.
func TestHalfClosedPublisherWaits(t *testing.T) {
	t.Parallel()
	p := startTwoLoops(t, 1)
	release := p.delay()
	p.sub.Send(encode("SUBSCRIBE", "a"))
	p.pub.Send(encode("PUBLISH", "a", "x"))
	p.publisherWaits()
	p.pub.Send(encode("PUBLISH", "a", "y"))
	if err := p.pub.tcp().CloseWrite(); err != nil {
		t.Fatal(err)
	}
	release()
	p.pub.expect(":1\r\n", ":1\r\n")
	p.pub.expectClosed()
	p.sub.expect(subscribed("subscribe", "a", 1), message("message", "a", "x"), message("message", "a", "y"))
}

// A loop that hangs is waited for once, for a second. Afterwards it is asked again.
func TestPublishDoesNotHangWithALoop(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p := startTwoLoops(t, 1)
	release := p.delay()
	began := time.Now()
	p.pub.Send(encode("PUBLISH", "a", "x"))
	p.pub.expect(":0\r\n")
	if took := time.Since(began); took < time.Second/2 {
		t.Errorf("waited %v", took)
	}
	// The next ones would make this test last for minutes.
	for range 100 {
		p.pub.Send(encode("PUBLISH", "a", "x"))
		p.pub.expect(":0\r\n")
	}
	release()
	p.sessions()
	p.sessions() // the late answer has come
	release = p.delay()
	p.sub.Send(encode("SUBSCRIBE", "a"))
	p.pub.Send(encode("PUBLISH", "a", "x"))
	p.publisherWaits()
	release()
	p.pub.expect(":1\r\n")
}

// A publisher that leaves while it waits, and a proxy that stops, are not kept by it.
func TestPublisherLeavesWhileItWaits(t *testing.T) {
	t.Parallel()
	p := startTwoLoops(t, 1)
	release := p.delay()
	p.pub.Send(encode("PUBLISH", "a", "x"))
	p.publisherWaits()
	p.pub.Close()
	eventually(t, "it is gone", func() bool {
		n := 0
		p.server.Workers()[1].Do(func() { n = p.server.Workers()[1].Len() })
		return n == 0
	})
	release()
	p.sub.Do("PING")
	p.moveAll(1)
	eventually(t, "the other client has moved", func() bool { return p.sessions()[1] == 1 })
	if got := p.sub.Do("PUBLISH", "a", "x"); got != ":0\r\n" {
		t.Errorf("%q", got)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
}

// A function may publish, on any channel: it waits for what is unconfirmed at its shard when it
// comes, and for nothing that comes later or is unconfirmed elsewhere.
func TestFunctionWaitsForSubscriptionsAtItsShard(t *testing.T) {
	redistest.SkipShort(t) // a stopped server
	t.Parallel()
	p, servers := serveShards(t, 2)
	for _, s := range servers {
		s.Do("FUNCTION", "LOAD", "#!lua name=pub\nredis.register_function('pub', function(k, a) return redis.call('PUBLISH', a[1], 'x') end)")
	}
	ring := p.server.Pools()[0].Map().Ring()
	keys, channel := []string{keyOf(ring, 0), keyOf(ring, 1)}, keyOf(ring, 0)
	sub, c := p.dial(), p.dial()
	for _, key := range keys {
		c.Do("FCALL", "pub", "1", key, "nobody")
	}
	sub.subscribeTo("SUBSCRIBE", []string{"first"}) // the connections for subscriptions are there
	anyLoop := p.server.Workers()[0]

	servers[0].Stop()
	defer servers[0].Cont()
	sub.Send(encode("SUBSCRIBE", channel))
	eventually(t, "the subscription is unconfirmed", anyLoop.Subscribing)
	c.Send(encode("FCALL", "pub", "1", keys[1], channel))
	c.expect(":1\r\n")
	c.Send(encode("FCALL", "pub", "1", keys[0], channel))
	eventually(t, "the function waits", func() bool {
		waiting := 0
		for _, w := range p.server.Workers() {
			waiting += w.WaitingToPublish()
		}
		return waiting == 1
	})
	servers[0].Cont()
	c.expect(":1\r\n")
	sub.Reply()
	sub.expect(message("message", channel, "x"), message("message", channel, "x"))
}
