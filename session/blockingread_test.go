package session_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

// pair compares a proxy with a Redis, which get the same requests.
type pair struct {
	t       *testing.T
	proxy   *proxy
	single  *redistest.Server
	keys    []string // on a shard of its own each
	through *raw
	direct  *redistest.Conn
}

// newPair serves four shards. Its connections speak the given protocol.
func newPair(t *testing.T, protocol string) *pair {
	p, servers := serveShards(t, 4)
	c := &pair{t: t, proxy: p, single: redistest.Start(t), keys: keysOnEach(t, p, servers), through: p.dial()}
	c.direct = redistest.Dial(t, "tcp", c.single.Addr())
	_, version, _ := strings.Cut(c.direct.Do("INFO", "server"), "redis_version:")
	version, _, _ = strings.Cut(version, "\r\n")
	p.server.Pools()[0].SetVersion(version)
	c.direct.Do("HELLO", protocol)
	c.through.Do("HELLO", protocol)
	return c
}

// both sends a request to both.
func (c *pair) both(args ...string) {
	c.t.Helper()
	want, got := c.direct.Do(args...), c.through.Do(args...)
	if got != want {
		c.t.Errorf("%q: %q, want %q", args, got, want)
	}
}

// waits has both run a request that blocks. When both wait, another client sends the others.
func (c *pair) waits(request []string, others ...[]string) {
	c.t.Helper()
	single, proxied := redistest.Dial(c.t, "tcp", c.single.Addr()), c.proxy.dial()
	defer single.Close()
	defer proxied.Close()
	c.direct.Send(encode(request...))
	c.through.Send(encode(request...))
	eventually(c.t, "Redis blocks", func() bool { return strings.Contains(single.Do("INFO", "clients"), "blocked_clients:1\r\n") })
	c.proxy.awaitWaiting(1)
	for _, args := range others {
		single.Do(args...)
		proxied.Do(args...)
	}
	want, got := c.direct.Reply(), c.through.Reply()
	if got != want {
		c.t.Errorf("%q, then %q: %q, want %q", request, others, got, want)
	}
}

// words are the words of a line, in which @1 to @4 stand for the keys.
func (c *pair) words(line string) []string {
	words := strings.Fields(line)
	for i, w := range words {
		if len(w) == 2 && w[0] == '@' {
			words[i] = c.keys[w[1]-'1']
		}
	}
	return words
}

// Requests that block on streams of several shards get the same bytes as from one Redis.
func TestBlockingReadsAcrossShardsAreThoseOfOneRedis(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	for _, protocol := range []string{"2", "3"} {
		t.Run("RESP"+protocol, func(t *testing.T) {
			t.Parallel()
			c := newPair(t, protocol)
			for line := range strings.SplitSeq(strings.TrimSpace(blockingReads), "\n") {
				c.both(c.words(line)...)
			}
		})
	}
}

// blockingReads are requests to one Redis, and to shards of which each has one of the keys.
const blockingReads = `
XREAD BLOCK 10 STREAMS @1 @2 0 0
XREAD BLOCK 10 STREAMS @1 @2 $ $
XREADGROUP GROUP g c BLOCK 10 STREAMS @1 @2 > >
XADD @1 1-1 f v
XADD @1 1-2 f v
XADD @3 3-1 f v g w
XREAD BLOCK 10 STREAMS @1 @2 @3 0 0 0
XREAD BLOCK 0 STREAMS @3 @2 @1 0 0 0
XREAD BLOCK 10 COUNT 1 STREAMS @3 @1 0-0 1
XREAD COUNT -1 BLOCK 10 STREAMS @3 @1 4 1-1
XREAD BLOCK 10 STREAMS @3 @1 3-1 1-2
XREAD BLOCK 10 STREAMS @3 @1 $ 1-1
XREAD BLOCK 10 STREAMS @1 @3 @1 1-1 9 0
XREAD BLOCK -1 STREAMS @1 @2 0 0
XREAD BLOCK x STREAMS @1 @2 0 0
XREAD BLOCK 10 STREAMS @1 @2 0
XREAD BLOCK 10 STREAMS @1 @2 0 bad
XREAD BLOCK 10 STREAMS @1 @2 0 1-2-3
XREAD BLOCK 10 STREAMS @1 @2 0 >
XREAD BLOCK 10 STREAMS @1 @2 0 -
XREAD BLOCK 10 STREAMS @1 @2 $ +
XREAD BLOCK 10 COUNT x STREAMS @1 @2 0 0
XREAD BLOCK 10 NOACK STREAMS @1 @2 0 0
XREAD BLOCK 10 STREAMS @1 @2 18446744073709551615-18446744073709551615 18446744073709551616
SET @4 string
XREAD BLOCK 10 STREAMS @1 @4 0 0
XREAD BLOCK 10 STREAMS @1 @4 $ $
XREADGROUP GROUP g c BLOCK 10 STREAMS @1 @3 > >
XGROUP CREATE @1 g 0
XREADGROUP GROUP g c BLOCK 10 STREAMS @1 @3 > >
XREADGROUP GROUP g c BLOCK 10 STREAMS @1 @4 > >
XREADGROUP GROUP g c STREAMS @1 @3 > >
XREADGROUP GROUP g c STREAMS @1 @2 > 0
XPENDING @1 g
XGROUP CREATE @2 g $ MKSTREAM
XGROUP CREATE @3 g 0
XREADGROUP GROUP g c BLOCK 10 COUNT 1 STREAMS @1 @2 @3 > > >
XREADGROUP GROUP g c BLOCK 10 STREAMS @1 @2 @3 > > >
XREADGROUP GROUP g c BLOCK 10 STREAMS @1 @2 @3 > > >
XREADGROUP GROUP g c BLOCK 10 STREAMS @1 @2 @3 0 > 0
XREADGROUP GROUP g other BLOCK 10 STREAMS @1 @2 @3 > 5 0
XREADGROUP GROUP g c BLOCK 10 STREAMS @1 @3 1-1 3-1
XADD @3 3-2 f v
XADD @2 2-1 f v
XREADGROUP GROUP g c NOACK STREAMS @1 @2 @3 > > >
XREADGROUP GROUP g c NOACK STREAMS @1 @2 @3 > > >
XPENDING @1 g
XPENDING @2 g
XPENDING @3 g
XADD @2 2-2 f v
XDEL @2 2-2
XREADGROUP GROUP g c BLOCK 10 STREAMS @1 @2 > >
XREAD BLOCK 10 STREAMS @1 @2 1-2 2-1
XREADGROUP GROUP g c BLOCK 10 STREAMS @1 @2 $ >
XREADGROUP GROUP g c BLOCK 10 STREAMS @1 @2 > +
XREADGROUP GROUP g c BLOCK 10 STREAMS @1 @2 > bad
XREADGROUP BLOCK 10 STREAMS @1 @2 GROUP g c
XREADGROUP GROUP g c BLOCK -2 STREAMS @1 @2 > >
XINFO CONSUMERS @4 g
`

// Streams of several shards can be claimed from, but not waited for with CLAIM. (Servers before
// Redis 8.4 know no CLAIM: each says so.)
func TestClaimingAcrossShardsDoesNotBlock(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	k := keysOnEach(t, p, servers)
	c := p.dial()
	for _, key := range k {
		c.Do("XGROUP", "CREATE", key, "g", "0", "MKSTREAM")
		c.Do("XADD", key, "1-1", "f", "v")
	}
	for _, block := range [][]string{{"BLOCK", "0", "CLAIM", "5"}, {"claim", "5", "count", "1", "block", "10"}} {
		request := append(append([]string{"XREADGROUP", "GROUP", "g", "c"}, block...), "STREAMS", k[0], k[1], ">", ">")
		if got := c.Do(request...); !strings.HasPrefix(got, "-CROSSSLOT Keys in request don't hash to the same slot; XREADGROUP with BLOCK and CLAIM ") {
			t.Errorf("%q: %q", request, got)
		}
	}
	read := "*2\r\n"
	for _, key := range k {
		read += "*2\r\n" + fakeredis.Bulk(key) + "*1\r\n*4\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n:0\r\n:0\r\n"
	}
	if got := c.Do("XREADGROUP", "GROUP", "g", "c", "CLAIM", "5", "STREAMS", k[0], k[1], ">", ">"); got != "-ERR syntax error\r\n" && got != read {
		t.Errorf("%q, want %q", got, read)
	}
}

// What happens while a request waits has the effect that it has in one Redis.
func TestBlockingReadsWaitAsInOneRedis(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	for _, protocol := range []string{"2", "3"} {
		t.Run("RESP"+protocol, func(t *testing.T) {
			t.Parallel()
			c := newPair(t, protocol)
			for _, f := range []struct{ request, others string }{
				{"XREAD BLOCK 0 STREAMS @1 @2 $ $", "XADD @2 1-1 f v"},
				{"XREAD BLOCK 0 STREAMS @2 @1 $ $", "XADD @1 1-1 f v"},
				{"XREAD BLOCK 0 STREAMS @1 @3 5 0", "XADD @1 5-0 f v|XADD @1 5-1 f v"},
				{"XREAD BLOCK 0 COUNT 1 STREAMS @1 @3 $ $", "MULTI|XADD @3 7-0 f v|XADD @3 7-1 f v|EXEC"},
				{"XREAD BLOCK 0 STREAMS @1 @2 $ $", "DEL @1|XADD @1 9-1 f v"},
				{"XREAD BLOCK 0 STREAMS @1 @2 5 5", "DEL @1|SET @1 x|DEL @1|XADD @1 5-1 f v"},
				{"XREADGROUP GROUP g c BLOCK 0 STREAMS @3 @4 > >", "XADD @4 1-1 f v"},
				{"XREADGROUP GROUP g c BLOCK 0 COUNT 1 STREAMS @3 @4 > >", "MULTI|XADD @4 2-1 f v|XADD @4 2-2 f v|EXEC"},
				{"XREADGROUP GROUP g c BLOCK 0 NOACK STREAMS @3 @4 > >", "XADD @3 1-1 f v"},
				{"XREADGROUP GROUP g c BLOCK 0 STREAMS @3 @4 > >", "DEL @3"},
				{"XREADGROUP GROUP g c BLOCK 0 STREAMS @3 @4 > >", "SET @3 x"},
				{"XREADGROUP GROUP g c BLOCK 0 STREAMS @3 @4 > >", "PEXPIRE @4 1"},
			} {
				c.both(append([]string{"DEL"}, c.keys...)...)
				for _, key := range c.keys[2:] {
					c.both("XGROUP", "CREATE", key, "g", "0", "MKSTREAM")
				}
				var others [][]string
				for other := range strings.SplitSeq(f.others, "|") {
					others = append(others, c.words(other))
				}
				c.waits(c.words(f.request), others...)
				c.both("XPENDING", c.keys[2], "g")
				c.both("XPENDING", c.keys[3], "g")
			}
		})
	}
}

// Each entry goes to one consumer of its group, on whatever loop. While clients leave and servers
// close connections, none is lost: what did not arrive is pending for a consumer.
func TestEntriesGoToOneConsumerEach(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	servers := redistest.StartN(t, 4)
	cfg := config(t, addrs(servers)...)
	cfg.Proxy.Threads = 2
	p := serve(t, cfg)
	keys := keysOnEach(t, p, servers)
	adder := p.dial()
	var direct []*redistest.Conn
	for i, key := range keys {
		adder.Do("XGROUP", "CREATE", key, "g", "0", "MKSTREAM")
		direct = append(direct, redistest.Dial(t, "tcp", servers[i].Addr()))
	}
	request := func(consumer string, count string) []string {
		args := append([]string{"XREADGROUP", "GROUP", "g", consumer, "BLOCK", "100", "COUNT", count, "STREAMS"}, keys...)
		return append(args, slices.Repeat([]string{">"}, len(keys))...)
	}
	const consumers, entries = 8, 400
	pending := func() map[string]bool {
		all := map[string]bool{}
		for _, consumer := range append([]string{"left"}, names(consumers)...) {
			read := adder.Do(slices.Concat([]string{"XREADGROUP", "GROUP", "g", consumer, "STREAMS"}, keys, []string{"0", "0", "0", "0"})...)
			for word := range strings.SplitSeq(read, "\r\n") {
				if strings.HasPrefix(word, "entry:") {
					all[word] = true
				}
			}
		}
		return all
	}
	got := make(chan string, 2*entries)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range consumers {
		c := p.dial()
		wg.Go(func() {
			for {
				for word := range strings.SplitSeq(c.Do(request(names(consumers)[i], fmt.Sprint(1+i%3))...), "\r\n") {
					if strings.HasPrefix(word, "entry:") {
						got <- word
					}
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	wg.Go(func() { // clients that leave
		for range 40 {
			c := p.dial()
			c.Send(encode(request("left", "1")...))
			c.Close()
		}
	})
	for i := range entries {
		s := direct[i%4]
		if got := s.Do("XADD", keys[i%4], "*", "f", fmt.Sprint("entry:", i)); got[0] != '$' {
			t.Fatalf("XADD: %q", got)
		}
		if i%50 == 49 {
			s.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		}
	}
	seen := map[string]bool{}
	note := func(entry string) {
		if seen[entry] {
			t.Fatalf("%s came twice", entry)
		}
		seen[entry] = true
	}
	for deadline := time.After(30 * time.Second); len(seen) < entries; {
		select {
		case e := <-got:
			note(e)
		case <-time.After(time.Second):
			for entry := range pending() {
				seen[entry] = true
			}
		case <-deadline:
			t.Fatalf("%d of %d entries came", len(seen), entries)
		}
	}
	close(stop)
	wg.Wait()
}

// names returns n names of consumers.
func names(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprint("c", i))
	}
	return list
}

// XREAD with $ gets what is added while it waits, and nothing from before the request.
func TestNewestEntriesAreThoseAfterTheRequest(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	keys := keysOnEach(t, p, servers)
	c := p.dial()
	for i := range rounds(100) {
		key := keys[i%2]
		c.Send(encode("XADD", key, fmt.Sprint(2*i+1), "f", "before") + encode("XREAD", "BLOCK", "0", "STREAMS", keys[0], keys[1], "$", "$"))
		c.expect(bulk(fmt.Sprint(2*i+1, "-0")))
		p.awaitWaiting(1)
		servers[i%2].Do("XADD", key, fmt.Sprint(2*i+2), "f", "after")
		c.expect("*1\r\n*2\r\n" + bulk(key) + "*1\r\n*2\r\n" + bulk(fmt.Sprint(2*i+2, "-0")) + "*2\r\n" + bulk("f") + bulk("after"))
	}
}
