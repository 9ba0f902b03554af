package session_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

// invalidation returns the push that a client gets that speaks RESP3.
func invalidation(keys ...string) string {
	return ">2\r\n$10\r\ninvalidate\r\n" + encode(keys...)
}

const flushed = ">2\r\n$10\r\ninvalidate\r\n_\r\n"

func TestClientsAreToldOfKeysThatTheyHaveRead(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 4)
	keys := keysOnEach(t, p, servers)
	writer, c := p.dial(), p.dial()
	c.Do("HELLO", "3")
	c.Send(encode("CLIENT", "TRACKING", "ON"))
	c.expect("+OK\r\n")
	for _, key := range keys {
		c.Send(encode("GET", key))
		c.expect("_\r\n")
		writer.Do("SET", key, "1")
		c.expect(invalidation(key))
		writer.Do("SET", key, "2") // it was told of that key
	}
	c.Do("MGET", keys[0], keys[1], keys[2], keys[3])
	servers[2].Do("SET", keys[2], "behind the proxy's back")
	c.expect(invalidation(keys[2]))
	c.Do("HGET", "h", "f")
	c.Send(encode("HSET", "h", "f", "v"))
	c.expect(":1\r\n", invalidation("h")) // its own writes count, and are answered first
	for _, s := range servers {
		s.Do("FLUSHALL")
		c.expect(flushed)
	}
	c.Do("GET", "k")
	c.Send(encode("CLIENT", "TRACKING", "OFF"))
	c.expect("+OK\r\n")
	writer.Do("SET", "k", "1")
	c.Send(encode("PING"))
	c.expect("+PONG\r\n")
}

func TestTrackingOfTransactionsScriptsAndOptions(t *testing.T) {
	t.Parallel()
	cfg := config(t, addrs(redistest.StartN(t, 4))...)
	cfg.Pools[0].HashTag = "{}"
	p := serve(t, cfg)
	writer, c := p.dial(), p.dial()
	f := func(want string, args ...string) {
		t.Helper()
		c.Send(encode(args...))
		c.expect(want)
	}
	change := func(keys ...string) {
		t.Helper()
		for _, key := range keys {
			writer.Do("INCR", key)
			c.expect(invalidation(key))
		}
	}
	c.Do("HELLO", "3")
	f("+OK\r\n", "CLIENT", "TRACKING", "ON", "OPTIN")
	f("_\r\n", "GET", "unasked")
	writer.Do("INCR", "unasked")
	f("+OK\r\n", "CLIENT", "CACHING", "YES")
	f("_\r\n", "GET", "asked")
	change("asked")
	f("+OK\r\n", "CLIENT", "CACHING", "YES")
	f("+OK\r\n", "MULTI")
	f("+QUEUED\r\n", "GET", "{t}a")
	f("+QUEUED\r\n", "GET", "{t}b")
	f("*2\r\n_\r\n_\r\n", "EXEC")
	change("{t}a", "{t}b")
	f("_\r\n", "GET", "not any more")
	writer.Do("INCR", "not any more")
	f("-ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.\r\n",
		"CLIENT", "TRACKING", "ON", "OPTOUT")

	f("+OK\r\n", "CLIENT", "TRACKING", "OFF")
	f("+OK\r\n", "CLIENT", "TRACKING", "ON")
	f("_\r\n", "EVAL", "return redis.call('GET', KEYS[1])", "1", "scripted")
	change("scripted")
	f("+OK\r\n", "WATCH", "{w}b")
	f("+OK\r\n", "MULTI")
	f("+QUEUED\r\n", "GET", "{w}a")
	f("*1\r\n_\r\n", "EXEC")
	change("{w}a")

	f("+OK\r\n", "CLIENT", "TRACKING", "OFF")
	f("+OK\r\n", "CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "a:", "PREFIX", "b:")
	change("a:1", "b:2")
	writer.Do("INCR", "c:3")
	f("%3\r\n$5\r\nflags\r\n~2\r\n$2\r\non\r\n$5\r\nbcast\r\n$8\r\nredirect\r\n:0\r\n$8\r\nprefixes\r\n*2\r\n$2\r\na:\r\n$2\r\nb:\r\n", "CLIENT", "TRACKINGINFO")
	f("+RESET\r\n", "RESET")
	f(":-1\r\n", "CLIENT", "GETREDIR")
}

func TestTrackingRedirectedToASubscriber(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	writer, c, other := p.dial(), p.dial(), p.dial()
	id := strings.TrimSpace(other.Do("CLIENT", "ID")[1:])
	other.Do("SUBSCRIBE", "__redis__:invalidate")
	c.Send(encode("CLIENT", "TRACKING", "ON", "REDIRECT", "999999"))
	c.expect("-ERR The client ID you want redirect to does not exist\r\n")
	c.Send(encode("CLIENT", "TRACKING", "ON", "REDIRECT", id) + encode("GET", "k") + encode("CLIENT", "GETREDIR"))
	c.expect("+OK\r\n", "$-1\r\n", ":"+id+"\r\n")
	writer.Do("SET", "k", "1")
	const head = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"
	other.expect(head + "*1\r\n$1\r\nk\r\n")
	c.Do("HELLO", "3")
	c.Do("GET", "k")
	other.Close()
	redistest.Eventually(t, 30*time.Second, "the client learns that nobody listens", func() bool {
		writer.Do("INCR", "k")
		c.Send(encode("GET", "k") + encode("ECHO", "end"))
		broken := false
		for {
			switch got := c.Reply(); {
			case got == "$3\r\nend\r\n":
				return broken
			case got == ">2\r\n$21\r\ntracking-redir-broken\r\n:"+id+"\r\n":
				broken = true
			}
		}
	})
}

// While the connection to a server is lost, any of its keys may have changed.
func TestEverythingIsInvalidatedWhenAServerIsLost(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 3)
	keys := keysOnEach(t, p, servers)
	c := p.dial()
	c.Do("HELLO", "3")
	c.Do("CLIENT", "TRACKING", "ON")
	c.Do("GET", keys[1])
	servers[1].Do("CLIENT", "KILL", "TYPE", "pubsub")
	c.expect(flushed)
	// Keys that are read meanwhile are invalidated at once.
	servers[1].Kill()
	redistest.Eventually(t, 30*time.Second, "the loss is noticed", func() bool {
		return strings.HasPrefix(c.Do("GET", keys[1]), "-ERR Connection refused")
	})
	c.Send(encode("GET", keys[0]))
	for got := c.Reply(); got != "_\r\n"; got = c.Reply() {
		// Each invalidation that came meanwhile has left a reply unread.
		if !strings.HasPrefix(got, ">2\r\n$10\r\ninvalidate") && !strings.HasPrefix(got, "-ERR ") {
			t.Fatalf("%q", got)
		}
	}
	other := p.dial()
	other.Do("SET", keys[0], "1")
	c.expect(invalidation(keys[0]))
}

func TestReadsFromAShardThatCantBeTrackedAreInvalidatedAtOnce(t *testing.T) {
	t.Parallel()
	refuse := make(chan struct{})
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		switch {
		case args[0] == "CLIENT" && args[1] == "ID":
			<-refuse // never answered before the test is over
		case args[0] == "GET":
			c.Reply("$1\r\nv\r\n")
		default:
			c.Reply("+OK\r\n")
		}
	})
	defer close(refuse)
	cfg := config(t, s.Addr())
	cfg.Pools[0].Timeout = time.Second // in which a busy machine answers a GET
	p := serve(t, cfg)
	c := p.dial()
	c.Send(encode("CLIENT", "TRACKING", "ON") + encode("HELLO", "3"))
	c.expect("+OK\r\n")
	c.Reply()
	c.Send(encode("GET", "k"))
	c.expect("$1\r\nv\r\n", invalidation("k"))
}

func TestServersThatRefuseTrackingSaySo(t *testing.T) {
	t.Parallel()
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		if args[0] == "CLIENT" {
			c.Reply("-NOPERM this user has no permissions to run the 'client|id' command\r\n")
			return
		}
		c.Reply("+OK\r\n")
	})
	c := serve(t, config(t, s.Addr())).dial()
	c.Send(encode("CLIENT", "TRACKING", "ON") + encode("CLIENT", "GETREDIR"))
	c.expect("-NOPERM this user has no permissions to run the 'client|id' command\r\n", ":-1\r\n")
}

func TestNoMoreKeysAreRememberedThanAllowed(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 1)
	cfg := config(t, addrs(servers)...)
	cfg.Proxy.TrackingKeys = 10
	c := serve(t, cfg).dial()
	c.Do("HELLO", "3")
	c.Do("CLIENT", "TRACKING", "ON")
	var requests strings.Builder
	for i := range 100 {
		requests.WriteString(encode("GET", fmt.Sprint(i)))
	}
	c.Send(requests.String() + encode("ECHO", "all"))
	early := 0
	for {
		switch got := c.Reply(); {
		case got == "$3\r\nall\r\n": // before what waits for replies
			c.Send(encode("ECHO", "end"))
		case got == "$3\r\nend\r\n":
			if early != 90 {
				t.Errorf("%d keys were invalidated, want 90", early)
			}
			return
		case got[0] == '>':
			early++
		}
	}
}

// cachingClient keeps what it reads until an invalidation comes.
type cachingClient struct {
	*raw
	cache map[string]string
}

// take reads replies and invalidations until all of keys have been answered.
func (c *cachingClient) take(keys []string) {
	for len(keys) > 0 {
		reply := c.Reply()
		switch {
		case reply == flushed:
			clear(c.cache)
		case reply[0] == '>':
			lines := strings.Split(reply, "\r\n")
			for i := 5; i < len(lines); i += 2 {
				delete(c.cache, lines[i])
			}
		default:
			if reply[0] == '-' {
				delete(c.cache, keys[0])
			} else {
				c.cache[keys[0]] = reply
			}
			keys = keys[1:]
		}
	}
}

// Whatever happens to connections, once nobody writes any more no client holds
// an old value for long.
func TestNoClientKeepsAStaleValue(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	for _, options := range [][]string{nil, {"BCAST"}} {
		p, servers := serveShards(t, 3)
		const keys = 20
		name := func() string { return "key:" + strconv.Itoa(rand.IntN(keys)) }
		stop := make(chan struct{})
		var work sync.WaitGroup
		for range 2 {
			w := p.client()
			work.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
						w.Set(t.Context(), name(), i, 0)
					}
				}
			})
		}
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
					s := servers[rand.IntN(len(servers))].Client()
					s.ClientKillByFilter(t.Context(), "TYPE", []string{"pubsub", "normal"}[rand.IntN(2)])
				}
			}
		})
		var clients []*cachingClient
		for range 6 {
			c := &cachingClient{raw: p.dial(), cache: map[string]string{}}
			c.Do("HELLO", "3")
			c.Send(encode(append([]string{"CLIENT", "TRACKING", "ON"}, options...)...))
			c.expect("+OK\r\n")
			clients = append(clients, c)
			work.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					var asked []string
					var requests strings.Builder
					for range 1 + rand.IntN(10) {
						key := name()
						asked = append(asked, key)
						requests.WriteString(encode("GET", key))
					}
					c.Send(requests.String())
					c.take(asked)
				}
			})
		}
		end := time.After(time.Duration(rounds(1)) * 500 * time.Millisecond)
		<-end
		close(stop)
		work.Wait()
		truth := p.client()
		for i, c := range clients {
			redistest.Eventually(t, 30*time.Second, "the client's cache is right", func() bool {
				c.Send(encode("ECHO", "x"))
				c.take([]string{"none"})
				delete(c.cache, "none")
				for key, have := range c.cache {
					value, err := truth.Get(t.Context(), key).Result()
					if err != nil && err != redis.Nil {
						return false
					}
					if want := fmt.Sprintf("$%d\r\n%s\r\n", len(value), value); err == nil && have != want || err == redis.Nil && have != "_\r\n" {
						t.Logf("client %d keeps %q of %s, which is %q", i, have, key, value)
						return false
					}
				}
				return true
			})
		}
	}
}

// A tick may come between the last reply, which frees the ring of the line of replies, and
// RunDeferred at the turn's end.
func TestTickAfterTheLineOfRepliesWasFreed(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 1)
	cfg := config(t, addrs(servers)...)
	cfg.Proxy.Threads = 1
	p := serve(t, cfg)
	c := p.dial()
	c.Do("HELLO", "3")
	c.Do("CLIENT", "TRACKING", "ON", "BCAST")
	c.Do("WATCH", "w")
	done := make(chan struct{})
	var others sync.WaitGroup
	defer others.Wait()
	defer close(done)
	others.Go(func() {
		for !ended(done) {
			servers[0].Do("SET", "k", "v")
		}
	})
	others.Go(func() {
		for !ended(done) {
			p.tick()
			time.Sleep(50 * time.Microsecond) // so that the loop has turns of its own, too
		}
	})
	gets := strings.Repeat(encode("GET", "k"), 100)
	for range rounds(500) {
		c.Send(gets)
		for replies := 0; replies < 100; {
			if !strings.HasPrefix(c.Reply(), ">") {
				replies++
			}
		}
	}
}

func ended(done chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}
