package session_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

const injected = "$5\r\nPWNED\r\n"

// startVulnerable plays a Redis whose scripts can add replies of their own: a script with
// the argument "inject" does.
func startVulnerable(t *testing.T) *fakeredis.Server {
	var mu sync.Mutex
	queued := map[*fakeredis.Conn][]string{} // replies that EXEC gives, since MULTI
	known := map[string]bool{}
	reply := func(args []string) string {
		switch strings.ToUpper(args[0]) {
		case "GET":
			return fakeredis.Bulk(args[1])
		case "ECHO":
			return fakeredis.Bulk(args[1])
		case "EVALSHA":
			if !known[args[1]] {
				return "-NOSCRIPT No matching script. Please use EVAL.\r\n"
			}
		case "EVAL", "EVAL_RO", "FCALL":
			known[hashOf(args[1])] = true
		case "FUNCTION":
			return "-ERR in the code\r\n" + injected
		case "WATCH":
			return "+OK\r\n"
		default:
			return "-ERR unknown command\r\n"
		}
		switch args[len(args)-1] {
		case "inject":
			return "-ERR a\r\n" + injected + injected
		case "large":
			return fakeredis.Bulk(strings.Repeat("x", 200000)) + injected
		}
		return ":1\r\n"
	}
	return fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		mu.Lock()
		defer mu.Unlock()
		replies, inside := queued[c]
		switch {
		case args[0] == "MULTI":
			queued[c] = []string{}
			c.Reply("+OK\r\n")
		case args[0] == "EXEC":
			delete(queued, c)
			c.Reply(fakeredis.Array(replies...))
		case inside:
			queued[c] = append(replies, reply(args))
			c.Reply("+QUEUED\r\n")
		default:
			c.Reply(reply(args))
		}
	})
}

// Whatever a script of one client adds to its reply, no other client reads it, or a reply
// of another client.
func TestNoClientReadsWhatAnothersScriptAdds(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	attacks := map[string]string{
		"EVAL":          encode("EVAL", "body", "1", "k", "inject"),
		"EVAL_RO":       encode("EVAL_RO", "body", "1", "k", "inject"),
		"EVALSHA":       encode("EVALSHA", hashOf("body"), "1", "k", "inject"),
		"FCALL":         encode("FCALL", "f", "1", "k", "inject"),
		"FUNCTION LOAD": encode("FUNCTION", "LOAD", "code"),
		"large reply":   encode("EVAL", "body", "1", "k", "large"),
		"MULTI":         encode("MULTI") + encode("EVAL", "body", "1", "k", "inject") + encode("EXEC"),
		"WATCH": encode("WATCH", "k") + encode("MULTI") + encode("EVAL", "body", "1", "k", "inject") + encode("EXEC") +
			encode("WATCH", "k"),
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			s := startVulnerable(t)
			cfg := config(t, s.Addr())
			cfg.Pools[0].AutoEjectHosts = false
			p := serve(t, cfg)
			attacker := p.dial()
			attacker.Do("EVAL", "body", "1", "k") // quick, so that it shares connections
			attacker.Do("FCALL", "f", "1", "k")

			var right, failed atomic.Int32
			stop := make(chan struct{})
			var victims sync.WaitGroup
			for i := range 4 {
				c := p.dial()
				victims.Go(func() {
					for n := 0; ; n++ {
						select {
						case <-stop:
							return
						default:
						}
						const pipelined = 16
						var requests, want []string
						for j := range pipelined {
							key := fmt.Sprintf("key:%d:%d:%d", i, n, j)
							requests, want = append(requests, encode("GET", key)), append(want, fakeredis.Bulk(key))
						}
						c.Send(strings.Join(requests, ""))
						for j := range pipelined {
							switch got := c.Reply(); {
							case got == want[j]:
								right.Add(1)
							case strings.HasPrefix(got, "-ERR Protocol error: the server lost count"):
								failed.Add(1)
							default:
								t.Errorf("got %.60q, want %q", got, want[j])
								return
							}
						}
					}
				})
			}
			end := time.Now().Add(time.Duration(rounds(1)) * 100 * time.Millisecond)
			for i := 0; time.Now().Before(end) || i < 20; i++ {
				c := p.dial()
				c.Send(attack)
				for range strings.Count(attack, "\r\n*") + 1 {
					c.Reply()
				}
				c.Close()
			}
			close(stop)
			victims.Wait()
			t.Logf("%d right replies, %d honest errors, %d connections to the server", right.Load(), failed.Load(), s.Conns())
			if right.Load() == 0 {
				t.Error("nobody was served")
			}
		})
	}
}

// A marker follows a script that is known to be quick, and no other request.
func TestOnlyScriptsAreMarked(t *testing.T) {
	t.Parallel()
	s := startVulnerable(t)
	cfg := config(t, s.Addr())
	cfg.Pools[0].ReplyCheck = 0 // which sends some of its own
	p := serve(t, cfg)
	c := p.dial()
	for i := range 2 {
		c.Do("EVAL", "body", "1", "k")
		s.WaitRequests(2 * (i + 1)) // the first has a dedicated connection, whose ECHO nobody else waits for
	}
	c.Do("GET", "k")
	c.Do("EVALSHA", hashOf("body"), "1", "k")
	c.Send(encode("MULTI") + encode("GET", "k") + encode("EXEC"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "*1\r\n$1\r\nk\r\n")
	c.Send(encode("MULTI") + encode("EVAL", "body", "1", "k") + encode("EXEC"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "*1\r\n:1\r\n")
	const want = "EVAL ECHO EVAL ECHO GET EVALSHA ECHO MULTI GET EXEC MULTI EVAL EXEC ECHO"
	var got string
	for n := 14; !strings.HasSuffix(got, want); n++ { // what the server permits may have been asked with an ECHO more
		var names []string
		for _, r := range s.WaitRequests(n) {
			names = append(names, r.Args[0])
		}
		if got = strings.Join(names, " "); n > 16 {
			t.Fatalf("the server was sent %s", got)
		}
	}
}

// A script's dedicated connection goes to the next client only when the marker was answered.
func TestConnectionsOfScriptsAreUsedAgain(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 1)
	c := p.dial()
	for i := range 20 {
		c.Do("EVAL", fmt.Sprint("return ", i), "0")
	}
	if n := strings.Count(servers[0].Do("CLIENT", "LIST"), "id="); n > 12 {
		t.Errorf("%d connections to the server", n)
	}
}
