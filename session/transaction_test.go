package session_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"ringway/internal/redistest"
)

func TestTransactionIsExecutedAsOneUnit(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	c := p.dial()
	c.Send(encode("MULTI") + encode("SET", "{t}a", "1") + encode("INCR", "{t}a") + encode("PING") + encode("GET", "{t}a") + encode("EXEC") + encode("GET", "{t}a"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*4\r\n+OK\r\n:2\r\n+PONG\r\n$1\r\n2\r\n", "$1\r\n2\r\n")
}

func TestTransactionErrorsAreRedissOwn(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	keys := keysOnEach(t, p, servers)
	abort := "-EXECABORT Transaction discarded because of previous errors.\r\n"
	f := func(request string, want ...string) {
		t.Helper()
		c := p.dial()
		c.Send(request)
		c.expect(want...)
		c.Close()
	}
	f(encode("EXEC"), "-ERR EXEC without MULTI\r\n")
	f(encode("DISCARD"), "-ERR DISCARD without MULTI\r\n")
	f(encode("MULTI")+encode("MULTI")+encode("EXEC"), "+OK\r\n", "-ERR MULTI calls can not be nested\r\n", "*0\r\n")
	f(encode("MULTI")+encode("WATCH", "a")+encode("EXEC"), "+OK\r\n", "-ERR WATCH inside MULTI is not allowed\r\n", "*0\r\n")
	f(encode("MULTI")+encode("FOO")+encode("EXEC"), "+OK\r\n", "-ERR unknown command 'FOO', with args beginning with: \r\n", abort)
	f(encode("MULTI")+encode("GET")+encode("EXEC"), "+OK\r\n", "-ERR wrong number of arguments for 'get' command\r\n", abort)
	f(encode("MULTI")+encode("SET", "x", "1")+encode("DISCARD")+encode("EXISTS", "x"), "+OK\r\n", "+QUEUED\r\n", "+OK\r\n", ":0\r\n")
	f(encode("MULTI")+encode("SET", keys[0], "1")+encode("SET", keys[1], "1")+encode("EXEC")+encode("EXISTS", keys[0]),
		"+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "-EXECABORT Transaction discarded because of: "+strings.TrimSuffix(withoutTags(keys[0], keys[1])[1:], "\r\n")+"; or want transactions = \"per_shard\" in the pool's configuration\r\n", ":0\r\n")
	f(encode("MULTI")+encode("SET", keys[0], "x")+encode("INCR", keys[0])+encode("GET", keys[0])+encode("EXEC"),
		"+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*3\r\n+OK\r\n-ERR value is not an integer or out of range\r\n$1\r\nx\r\n")
}

func TestServerErrorWhileQueueingAbortsExec(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 1)
	servers[0].Do("CONFIG", "SET", "maxmemory", "1")
	c := p.dial()
	c.Send(encode("MULTI") + encode("SET", "a", "1") + encode("EXEC") + encode("PING"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "-EXECABORT Transaction discarded because of previous errors.\r\n", "+PONG\r\n")
}

func TestWatchAbortsWhenAKeyHasChanged(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	c, other := p.dial(), p.dial()
	c.Send(encode("SET", "k", "1") + encode("WATCH", "k") + encode("GET", "k"))
	c.expect("+OK\r\n", "+OK\r\n", "$1\r\n1\r\n")
	if got := other.Do("SET", "k", "2"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	c.Send(encode("MULTI") + encode("SET", "k", "3") + encode("EXEC") + encode("GET", "k"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "*-1\r\n", "$1\r\n2\r\n")

	c.Send(encode("WATCH", "k") + encode("MULTI") + encode("SET", "k", "4") + encode("EXEC") + encode("GET", "k"))
	c.expect("+OK\r\n", "+OK\r\n", "+QUEUED\r\n", "*1\r\n+OK\r\n", "$1\r\n4\r\n")

	c.Send(encode("WATCH", "k") + encode("UNWATCH") + encode("PING"))
	c.expect("+OK\r\n", "+OK\r\n", "+PONG\r\n")
	other.Do("SET", "k", "5")
	c.Send(encode("MULTI") + encode("GET", "k") + encode("EXEC"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "*1\r\n$1\r\n5\r\n")
}

func TestWatchThatLostItsServerAborts(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 1)
	c := p.dial()
	c.Send(encode("SET", "k", "1") + encode("WATCH", "k"))
	c.expect("+OK\r\n", "+OK\r\n")
	servers[0].Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	c.Send(encode("MULTI") + encode("SET", "k", "2"))
	c.expect("+OK\r\n", "+QUEUED\r\n")
	c.Send(encode("EXEC"))
	if got := c.Reply(); got != "*-1\r\n" && !strings.HasPrefix(got, "-ERR Connection") {
		t.Errorf("EXEC: %q", got)
	}
	if got := c.Do("GET", "k"); got != "$1\r\n1\r\n" {
		t.Errorf("the transaction was executed: %q", got)
	}
}

// TestCountersByOptimisticLocking has clients increment by WATCH, GET, MULTI,
// SET and EXEC: no update may be lost.
func TestCountersByOptimisticLocking(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	const clients, increments = 4, 25
	var wg sync.WaitGroup
	for range clients {
		c := p.client()
		wg.Go(func() {
			for range increments {
				for {
					err := c.Watch(t.Context(), func(tx *redis.Tx) error {
						n, err := tx.Get(t.Context(), "n").Int()
						if err != nil && err != redis.Nil {
							return err
						}
						_, err = tx.TxPipelined(t.Context(), func(pipe redis.Pipeliner) error {
							pipe.Set(t.Context(), "n", n+1, 0)
							return nil
						})
						return err
					}, "n")
					if err == nil {
						break
					}
					if err != redis.TxFailedErr {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if n, _ := p.client().Get(t.Context(), "n").Int(); n != clients*increments {
		t.Errorf("%d increments counted, want %d", n, clients*increments)
	}
}

func TestBlockingCommandDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 1)
	blocked, other := p.dial(), p.dial()
	blocked.Send(encode("SET", "before", "1") + encode("BLPOP", "list", "0") + encode("GET", "before"))
	blocked.expect("+OK\r\n")
	for range 100 {
		if got := other.Do("GET", "before"); got != "$1\r\n1\r\n" {
			t.Fatal(got)
		}
	}
	other.Do("RPUSH", "list", "x", "y")
	blocked.expect("*2\r\n$4\r\nlist\r\n$1\r\nx\r\n", "$1\r\n1\r\n")
	// The next one gets the same connection, and nothing else.
	blocked.Send(encode("BLPOP", "list", "0") + encode("BLPOP", "list", "0.05") + encode("PING"))
	blocked.expect("*2\r\n$4\r\nlist\r\n$1\r\ny\r\n", "*-1\r\n", "+PONG\r\n")
}

func TestBlockedReadOfAStream(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 4)
	c, other := p.dial(), p.dial()
	c.Send(encode("XREAD", "BLOCK", "0", "STREAMS", "s", "$"))
	got := make(chan string)
	go func() { got <- c.Reply() }()
	var reply string
	redistest.Eventually(t, 10*time.Second, "XREAD sees an entry", func() bool {
		other.Do("XADD", "s", "*", "f", "v")
		select {
		case reply = <-got:
			return true
		default:
			return false
		}
	})
	if got := reply; !strings.HasPrefix(got, "*1\r\n*2\r\n$1\r\ns\r\n") {
		t.Errorf("XREAD: %q", got)
	}
}

func TestBlockedClientThatLeavesPopsNothing(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 1)
	blocked := p.dial()
	blocked.Send(encode("BLPOP", "list", "0"))
	waitBlocked := func(n int) {
		redistest.Eventually(t, 10*time.Second, fmt.Sprint(n, " blocked clients"), func() bool {
			return strings.Contains(servers[0].Client().Info(t.Context(), "clients").Val(), fmt.Sprintf("blocked_clients:%d\r\n", n))
		})
	}
	waitBlocked(1)
	blocked.Close()
	waitBlocked(0)
	c := p.dial()
	c.Send(encode("RPUSH", "list", "x") + encode("LLEN", "list"))
	c.expect(":1\r\n", ":1\r\n")
}

func TestDedicatedConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 1)
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].PinnedConnections = 1
	p := serve(t, cfg)
	first, second := p.dial(), p.dial()
	first.Send(encode("BLPOP", "list", "0"))
	redistest.Eventually(t, 10*time.Second, "a blocked client", func() bool {
		return strings.Contains(servers[0].Client().Info(t.Context(), "clients").Val(), "blocked_clients:1\r\n")
	})
	if got := second.Do("BLPOP", "list", "0"); !strings.HasPrefix(got, "-ERR no connection is left for blocking commands") {
		t.Errorf("BLPOP over the bound: %q", got)
	}
	second.Do("RPUSH", "list", "x")
	first.expect("*2\r\n$4\r\nlist\r\n$1\r\nx\r\n")
	second.Send(encode("BLPOP", "list", "0.01"))
	second.expect("*-1\r\n")
}
