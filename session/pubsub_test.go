package session_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"ringway/internal/redistest"
)

const pubsubPatience = 20 * time.Second

// message is how a raw subscriber sees one.
func message(parts ...string) string {
	return encode(parts...)
}

func subscribed(word, name string, count int) string {
	return fmt.Sprintf("*3\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n:%d\r\n", len(word), word, len(name), name, count)
}

// What a single Redis answers to one subscriber is what Ringway answers to one.
func TestSubscriberIsAnsweredAsByRedis(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"2", "3"} {
		t.Run("RESP"+protocol, func(t *testing.T) {
			p, servers := serveShards(t, 1)
			proxied, direct := p.dial(), redistest.Dial(t, "tcp", servers[0].Addr())
			f := func(replies int, args ...string) {
				t.Helper()
				proxied.Send(encode(args...))
				direct.Send(encode(args...))
				for range replies {
					if got, want := proxied.Reply(), direct.Reply(); got != want {
						t.Errorf("%q: %q, want %q", args, got, want)
					}
				}
			}
			if protocol == "3" {
				proxied.Do("HELLO", "3")
				direct.Do("HELLO", "3")
			}
			f(1, "UNSUBSCRIBE")
			f(1, "PUNSUBSCRIBE", "x")
			f(1, "SUBSCRIBE", "a")
			f(4, "SUBSCRIBE", "b", "a", "c", "b")
			f(2, "PSUBSCRIBE", "p*", "q?")
			f(1, "SSUBSCRIBE", "s")
			f(1, "PING")
			f(1, "PING", "hello")
			f(1, "PING", "a", "b")
			f(1, "GET", "k")
			f(1, "CLIENT", "ID", "x")
			f(1, "NOSUCH", "k")
			f(1, "SUBSCRIBE")
			f(2, "UNSUBSCRIBE", "b", "nope")
			f(2, "PUNSUBSCRIBE", "p*", "q?")
			f(1, "SUNSUBSCRIBE")
			f(1, "SUNSUBSCRIBE")
			f(1, "RESET")
			f(1, "SET", "k", "v")
			f(1, "SUBSCRIBE", "a")
			f(1, "UNSUBSCRIBE")
			f(1, "GET", "k")
			f(1, "PUBSUB", "NUMPAT")
			f(1, "PUBSUB", "CHANNELS")
		})
	}
}

func TestMessagesReachChannelsAndPatternsOfAllShards(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 4)
	sub, pub := p.dial(), p.dial()
	ring := p.server.Pools()[0].Map().Ring()
	sub.Send(encode("PSUBSCRIBE", "owned:*"))
	sub.expect(subscribed("psubscribe", "owned:*", 1))
	for i := range servers {
		name := keyOf(ring, i)
		sub.Send(encode("SUBSCRIBE", name))
		sub.expect(subscribed("subscribe", name, i+2))
		pub.Send(encode("PUBLISH", name, "hello"))
		if got := pub.Reply(); got != ":2\r\n" && got != ":1\r\n" {
			t.Errorf("PUBLISH: %q", got)
		}
		want := []string{message("message", name, "hello"), message("pmessage", "owned:*", name, "hello")}
		sub.expect(want...)
		if got := servers[i].Do("PUBSUB", "NUMPAT"); got != ":1\r\n" {
			t.Errorf("server %d: NUMPAT %q", i, got)
		}
	}
	sub.Send(encode("SSUBSCRIBE", "shard"))
	sub.expect(subscribed("ssubscribe", "shard", 1))
	pub.Do("SPUBLISH", "shard", "x")
	sub.expect(message("smessage", "shard", "x"))
	sub.Close()
	for _, s := range servers {
		redistest.Eventually(t, pubsubPatience, "no subscription is left", func() bool {
			return s.Do("PUBSUB", "NUMPAT") == ":0\r\n" && s.Do("PUBSUB", "CHANNELS") == "*0\r\n"
		})
	}
}

func TestManySubscribersGetEveryMessageInOrder(t *testing.T) {
	t.Parallel()
	const clients, channels, each = 12, 8, 60
	p, _ := serveShards(t, 4)
	ctx, cancel := context.WithTimeout(t.Context(), pubsubPatience)
	defer cancel()
	done := make(chan error, clients)
	for i := range clients {
		var names []string
		for c := range channels {
			if (c+i)%2 == 0 {
				names = append(names, fmt.Sprint("news:", c))
			}
		}
		sub := p.client().Subscribe(ctx, names...)
		t.Cleanup(func() { sub.Close() })
		for range names {
			if _, err := sub.Receive(ctx); err != nil {
				t.Fatal(err)
			}
		}
		go func() { done <- receiveInOrder(ctx, sub, len(names)*each) }()
	}
	pub := p.client()
	for n := range each {
		pipe := pub.Pipeline()
		for c := range channels {
			name := fmt.Sprint("news:", c)
			pipe.Publish(ctx, name, fmt.Sprintf("%s %d", name, n))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func receiveInOrder(ctx context.Context, sub *redis.PubSub, count int) error {
	next := map[string]int{}
	for range count {
		m, err := sub.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("%s %d", m.Channel, next[m.Channel]); m.Payload != want {
			return fmt.Errorf("%q, want %q", m.Payload, want)
		}
		next[m.Channel]++
	}
	return nil
}

func TestSubscriptionsResumeAtARestartedServer(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	sub := p.dial()
	name := keyOf(p.server.Pools()[0].Map().Ring(), 1)
	sub.Send(encode("SUBSCRIBE", name) + encode("PSUBSCRIBE", "owned:*"))
	sub.expect(subscribed("subscribe", name, 1), subscribed("psubscribe", "owned:*", 2))
	servers[1].Kill()
	servers[1].Restart()
	redistest.Eventually(t, pubsubPatience, "the server has the subscriptions again", func() bool {
		return servers[1].Do("PUBLISH", name, "x") == ":2\r\n"
	})
	for {
		if got := sub.Reply(); got == message("pmessage", "owned:*", name, "x") {
			break
		}
	}
}

func TestSubscribingAtADeadServerFails(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	name := keyOf(p.server.Pools()[0].Map().Ring(), 1)
	servers[1].Kill()
	sub := p.dial()
	if got := sub.Do("SUBSCRIBE", name); !strings.HasPrefix(got, "-ERR Connection refused") {
		t.Errorf("%q", got)
	}
	if got := sub.Do("PING"); got != "+PONG\r\n" {
		t.Errorf("%q after a subscription that failed", got)
	}
	sub.Send(encode("PSUBSCRIBE", "*"))
	sub.expect(subscribed("psubscribe", "*", 1)) // the other server is there
}

func TestEjectionMovesChannels(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].AutoEjectHosts, cfg.Pools[0].ServerFailureLimit = true, 1
	cfg.Pools[0].ServerRetryTimeout = 50 * time.Millisecond
	p := serve(t, cfg)
	name := keyOf(p.server.Pools()[0].Map().Ring(), 1)
	sub, pub := p.dial(), p.dial()
	sub.Send(encode("SUBSCRIBE", name))
	sub.expect(subscribed("subscribe", name, 1))
	servers[1].Kill()
	redistest.Eventually(t, pubsubPatience, "the channel is at the other server", func() bool {
		return pub.Do("PUBLISH", name, "one") == ":1\r\n"
	})
	sub.expect(message("message", name, "one"))
	servers[1].Restart()
	redistest.Eventually(t, pubsubPatience, "the channel is back", func() bool {
		return servers[1].Do("PUBLISH", name, "two") == ":1\r\n"
	})
	sub.expect(message("message", name, "two"))
}

func TestSlowSubscriberIsClosedAndOthersAreServed(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 1)
	cfg := config(t, addrs(servers)...)
	cfg.Proxy.ClientOutput, cfg.Proxy.ClientOutputLimit = 64<<10, 1<<20
	p := serve(t, cfg)
	slow, fast, pub := p.dial(), p.dial(), p.dial()
	for _, c := range []*raw{slow, fast} {
		c.Send(encode("SUBSCRIBE", "news"))
		c.expect(subscribed("subscribe", "news", 1))
	}
	text := string(bytes.Repeat([]byte("x"), 100<<10))
	for range 100 {
		pub.Do("PUBLISH", "news", text)
		fast.expect(message("message", "news", text))
	}
	redistest.Eventually(t, pubsubPatience, "the slow one is gone", func() bool {
		return strings.Count(pub.Do("CLIENT", "LIST"), " addr=") == 2
	})
}

// In RESP3 messages come among replies, but never inside of one.
func TestPushesStayOutOfLargeReplies(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	c, pub := p.dial(), p.dial()
	large := strings.Repeat("v", 4<<20)
	pub.Do("SET", "large", large)
	c.Do("HELLO", "3")
	c.Send(encode("SUBSCRIBE", "news"))
	c.expect(">" + subscribed("subscribe", "news", 1)[1:])
	for range 5 {
		c.Send(encode("GET", "large") + encode("PING"))
		pub.Do("PUBLISH", "news", "x")
		got := map[string]int{}
		for range 3 {
			got[c.Reply()]++
		}
		if got[">"+message("message", "news", "x")[1:]] != 1 || got["+PONG\r\n"] != 1 {
			t.Fatal("a reply or a message is missing")
		}
	}
}

func TestPublishInsideATransaction(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	sub, c := p.dial(), p.dial()
	sub.Send(encode("SUBSCRIBE", "news"))
	sub.expect(subscribed("subscribe", "news", 1))
	c.Send(encode("MULTI") + encode("SUBSCRIBE", "x") + encode("EXEC"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "*1\r\n"+subscribed("subscribe", "x", 1))
	c.Send(encode("UNSUBSCRIBE", "x"))
	c.expect(subscribed("unsubscribe", "x", 0))
	c.Send(encode("MULTI") + encode("PUBLISH", "news", "x") + encode("EXEC"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "*1\r\n:1\r\n")
	sub.expect(message("message", "news", "x"))
}

func TestPipelinedSubscriptionsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	c := p.dial()
	for range rounds(20) {
		c.Send(encode("SET", "a", "1") + encode("GET", "a") + encode("SUBSCRIBE", "x", "y") + encode("GET", "a") +
			encode("UNSUBSCRIBE", "x", "y") + encode("GET", "a"))
		c.expect("+OK\r\n", "$1\r\n1\r\n", subscribed("subscribe", "x", 1), subscribed("subscribe", "y", 2),
			"-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n",
			subscribed("unsubscribe", "x", 1), subscribed("unsubscribe", "y", 0), "$1\r\n1\r\n")
	}
}

func TestSubscriptionsOfAClientAreBounded(t *testing.T) {
	t.Parallel()
	cfg := config(t, addrs(redistest.StartN(t, 2))...)
	cfg.Proxy.ClientSubscriptions = 3
	p := serve(t, cfg)
	c := p.dial()
	const full = "-ERR this client has as many subscriptions as client_subscriptions allows\r\n"
	c.Send(encode("SUBSCRIBE", "a", "b", "a", "c", "d") + encode("PSUBSCRIBE", "*") + encode("UNSUBSCRIBE", "a") + encode("PSUBSCRIBE", "*"))
	for _, want := range []string{"a\r\n:1", "b\r\n:2", "a\r\n:2", "c\r\n:3", full, full, "a\r\n:2", "*\r\n:3"} {
		if got := c.Reply(); got != want && !strings.HasSuffix(got, "\r\n"+want+"\r\n") {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A message that is published behind a SUBSCRIBE, by whomever, is not lost, though the
// connection for subscriptions is yet to be made.
func TestPublishDoesNotOvertakeSubscribe(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	for _, word := range []string{"SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"} {
		for _, how := range []string{"alone", "inside", "by a script"} {
			p, _ := serveShards(t, 2)
			pub := p.dial()
			for i := range rounds(10) {
				name := fmt.Sprint("channel", i)
				sub, command := p.dial(), map[bool]string{false: "PUBLISH", true: "SPUBLISH"}[word == "SSUBSCRIBE"]
				sub.Do("PING") // it is there
				publish := map[string]string{
					"alone":       encode(command, name, "x"),
					"inside":      encode("MULTI") + encode(command, name, "x") + encode("EXEC"),
					"by a script": encode("EVAL", "return redis.call('"+command+"', KEYS[1], 'x')", "1", name),
				}[how]
				sub.Send(encode(word, name))
				pub.Send(publish)
				if how == "inside" {
					pub.Reply()
					pub.Reply()
				}
				pub.Reply()
				sub.Reply()
				if got := sub.Reply(); !strings.Contains(got, "x") {
					t.Fatalf("%s: %q", word, got)
				}
				sub.Close() // and with it the connection for subscriptions
			}
			p.stop()
		}
	}
}

func TestMessagesOfScriptsArrive(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 4)
	names := manyNames(20)
	for _, kind := range []struct{ subscribe, publish, word, list, count string }{
		{"SUBSCRIBE", "PUBLISH", "message", "CHANNELS", "NUMSUB"}, {"SSUBSCRIBE", "SPUBLISH", "smessage", "SHARDCHANNELS", "SHARDNUMSUB"},
	} {
		sub, c := p.dial(), p.dial()
		sub.subscribeTo(kind.subscribe, names)
		for i, name := range names {
			key := fmt.Sprint("key", i)
			c.Do("EVAL", "return redis.call(ARGV[2], ARGV[1], 'x')", "1", key, name, kind.publish)
			sub.expect(message(kind.word, name, "x"))
			c.Send(encode(kind.publish, name, "y"))
			c.expect(":1\r\n")
			sub.expect(message(kind.word, name, "y"))
			c.Send(encode("MULTI") + encode("INCR", key) + encode("EVAL", "return redis.call(ARGV[2], ARGV[1], 'z')", "1", key, name, kind.publish) + encode("EXEC"))
			c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n:1\r\n:1\r\n")
			sub.expect(message(kind.word, name, "z"))
			c.Do("DEL", key)
		}
		if got := c.Do("PUBSUB", kind.list); !strings.HasPrefix(got, "*20\r\n") {
			t.Errorf("PUBSUB %s: %q", kind.list, got)
		}
		if got := c.Do("PUBSUB", kind.count, names[3]); !strings.HasSuffix(got, ":1\r\n") {
			t.Errorf("PUBSUB %s: %q", kind.count, got)
		}
		servers[0].Do(kind.publish, names[0], "z")
		sub.expect(message(kind.word, names[0], "z"))
	}
}

// A server that hangs does not keep clients from channels of others for long.
func TestSubscribingWhileAnotherServerHangs(t *testing.T) {
	p, servers := serveShards(t, 2)
	sub := p.dial()
	name := keyOf(p.server.Pools()[0].Map().Ring(), 0)
	sub.subscribeTo("SUBSCRIBE", []string{name})
	servers[1].Stop()
	defer servers[1].Cont()
	began := time.Now()
	for i := range 30 {
		name := fmt.Sprint(name, "{", i, "}")
		if p.server.Pools()[0].Map().Ring().Index([]byte(name)) == 0 {
			sub.subscribeTo("SUBSCRIBE", []string{name})
			sub.subscribeTo("UNSUBSCRIBE", []string{name})
		}
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestLostSubscriptionClosesClientsIfConfigured(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	cfg := config(t, addrs(servers)...)
	cfg.Proxy.OnLostSubscription = "close"
	p := serve(t, cfg)
	ring := p.server.Pools()[0].Map().Ring()
	clients := map[string]*raw{"SUBSCRIBE " + keyOf(ring, 0): nil, "SUBSCRIBE " + keyOf(ring, 1): nil, "PSUBSCRIBE *": nil}
	for request := range clients {
		c := p.dial()
		c.subscribeTo(strings.Fields(request)[0], strings.Fields(request)[1:])
		clients[request] = c
	}
	servers[1].Do("CLIENT", "KILL", "TYPE", "pubsub")
	clients["SUBSCRIBE "+keyOf(ring, 1)].expectClosed()
	clients["PSUBSCRIBE *"].expectClosed()
	c := clients["SUBSCRIBE "+keyOf(ring, 0)]
	c.Send(encode("PING"))
	c.expect(message("pong", ""))
	if got := p.dial().Do("INFO", "ringway"); strings.Contains(got, "subscriptions_lost:0\r\n") || !strings.Contains(got, "subscriptions_lost:") {
		t.Errorf("%q", got)
	}
}

// Each of a few clients with a channel of its own gets what a server has for it over
// another connection, within the limit that the server has for each.
func TestBurstsOfMessagesArrive(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	const clients, each, size = 16, 12, 200 << 10
	p, servers := serveShards(t, 1)
	servers[0].Do("CONFIG", "SET", "client-output-buffer-limit", "pubsub 8mb 8mb 60")
	done := make(chan int, clients)
	for i := range clients {
		c := p.dial()
		c.subscribeTo("SUBSCRIBE", []string{fmt.Sprint("burst", i)})
		go func() {
			defer func() { done <- i }() // also when Reply gives up
			for range each {
				c.Reply()
			}
		}()
	}
	text := strings.Repeat("x", size)
	var all strings.Builder
	for range each {
		for i := range clients {
			all.WriteString(encode("PUBLISH", fmt.Sprint("burst", i), text))
		}
	}
	redistest.Dial(t, "tcp", servers[0].Addr()).Send(all.String())
	for range clients {
		<-done
	}
	if got := p.dial().Do("INFO", "ringway"); !strings.Contains(got, "subscriptions_lost:0\r\n") {
		t.Errorf("%q", got)
	}
}

// Since 7.2 Redis gives the reply to a request before the messages to the same client that the
// request causes. The server of this test is an older one, which sends the message first.
func TestTheReplyComesBeforeItsMessage(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	p.server.Pools()[0].SetVersion("7.2.4")
	c := p.dial()
	c.Do("HELLO", "3")
	c.Send(encode("SUBSCRIBE", "ch"))
	c.expect(">3\r\n$9\r\nsubscribe\r\n$2\r\nch\r\n:1\r\n")
	pushed := ">" + message("message", "ch", "x")[1:]
	const script = "redis.call('PUBLISH', 'ch', 'x') return 1"
	for range 20 {
		c.Send(encode("PUBLISH", "ch", "x"))
		c.expect(":1\r\n", pushed)
		c.Send(encode("EVAL", script, "1", "k"))
		c.expect(":1\r\n", pushed)
		c.Send(encode("EVALSHA", hashOf(script), "1", "k"))
		c.expect(":1\r\n", pushed)
		c.Send(encode("MULTI") + encode("PUBLISH", "ch", "x") + encode("ECHO", "e") + encode("EXEC"))
		c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n:1\r\n$1\r\ne\r\n", pushed)
	}
	// Of requests behind each other all replies come, and all messages, in whatever order else.
	c.Send(strings.Repeat(encode("PUBLISH", "ch", "x"), 50))
	replies, pushes := 0, 0
	for range 100 {
		if got := c.Reply(); got == pushed {
			pushes++
		} else if replies++; got != ":1\r\n" {
			t.Fatalf("%q", got)
		}
		if pushes > replies {
			t.Fatalf("message %d before its reply", pushes)
		}
	}
}
