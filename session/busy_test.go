package session_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

const (
	endless   = "while true do end"
	replyBusy = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n"
)

// eventuallyReplies repeats a request until it gets a reply.
func (c *raw) eventuallyReplies(want string, request ...string) {
	c.t.Helper()
	redistest.Eventually(c.t, 10*time.Second, strings.Join(request, " "), func() bool { return c.Do(request...) == want })
}

// busy starts an endless script on a server, through the proxy, and returns its client.
func busy(t *testing.T, p *proxy, s *redistest.Server, key string) *raw {
	t.Helper()
	s.Do("CONFIG", "SET", "busy-reply-threshold", "10")
	c := p.dial()
	c.Send(encode("EVAL", endless, "1", key))
	return c
}

func TestBusyServerRefusesOthersAtOnce(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 1)
	inside := p.dial() // begins a transaction before the server is busy
	inside.Send(encode("MULTI") + encode("INCR", "k"))
	inside.expect("+OK\r\n", "+QUEUED\r\n")
	runs, c := busy(t, p, servers[0], "k"), p.dial()
	c.eventuallyReplies(replyBusy, "PING")

	begins := p.dial()
	redistest.Eventually(t, 10*time.Second, "a request in a transaction is refused", func() bool {
		begins.Do("MULTI")
		refused := begins.Do("INCR", "k") == replyBusy
		begins.Do("DISCARD")
		return refused
	})

	refused := "-EXECABORT Transaction discarded because of: " + replyBusy[1:]
	inside.Send(encode("EXEC") + encode("MULTI") + encode("INCR", "k") + encode("EXEC"))
	inside.expect(refused, "+OK\r\n", replyBusy, "-EXECABORT Transaction discarded because of previous errors.\r\n")
	c.Send(encode("GET", "k") + encode("MGET", "k", "l") + encode("DBSIZE") + encode("CLIENT", "GETNAME"))
	c.expect(replyBusy, replyBusy, replyBusy, "$-1\r\n")

	c.Send(encode("SCRIPT", "KILL"))
	c.expect("+OK\r\n")
	if reply := runs.Reply(); !strings.Contains(reply, "Script killed by user") {
		t.Errorf("the script's client got %q", reply)
	}
	c.eventuallyReplies("+PONG\r\n", "PING")
	c.Send(encode("INCR", "k"))
	c.expect(":1\r\n") // none of the transactions was executed
}

func TestBusyServerStopsOnlyItsOwnKeys(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	keys := keysOnEach(t, p, servers)
	runs, c := busy(t, p, servers[0], keys[0]), p.dial()
	c.eventuallyReplies(replyBusy, "GET", keys[0])
	c.Send(encode("GET", keys[1]) + encode("MGET", keys[0], keys[1]) + encode("PING") + encode("DBSIZE"))
	c.expect("$-1\r\n", replyBusy, "+PONG\r\n", replyBusy)
	c.Send(encode("SCRIPT", "KILL"))
	c.expect("+OK\r\n")
	runs.Reply()
	c.eventuallyReplies("$-1\r\n", "GET", keys[0])
}

func TestNewScriptDoesNotDelayOtherClients(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, servers := serveShards(t, 1)
	const slow = "local n = 0 while redis.call('TIME')[1] + 0 < ARGV[1] + 0 do n = n + 1 end return 'done'"
	runs, c := p.dial(), p.dial()
	servers[0].Do("CONFIG", "SET", "busy-reply-threshold", "1")
	for _, script := range [][]string{{"EVAL", slow, "0"}, {"EVALSHA", hashOf(slow), "0"}} {
		until := fmt.Sprint(time.Now().Unix() + 2)
		runs.Send(encode(append(script, until)...))
		// Another client's first request is not queued behind the script, and gets -BUSY.
		redistest.Eventually(t, 10*time.Second, "the server is busy", func() bool { return p.dial().Do("GET", "k") == replyBusy })
		runs.expect("$4\r\ndone\r\n")
		c.eventuallyReplies("$-1\r\n", "GET", "k")
	}
	// A script that has been quick shares the connection from then on.
	servers[0].Do("CONFIG", "RESETSTAT")
	for range 200 {
		runs.Send(strings.Repeat(encode("EVAL", "return 7", "0"), 10))
		for range 10 {
			runs.expect(":7\r\n")
		}
	}
	if info := servers[0].Do("INFO", "stats"); !strings.Contains(info, "total_connections_received:0\r\n") && !strings.Contains(info, "total_connections_received:1\r\n") {
		t.Errorf("more connections than one for scripts: %s", info)
	}
}

func TestServerIsNotCalledBusyAfterItsScript(t *testing.T) {
	t.Parallel()
	for range 3 {
		p, servers := serveShards(t, 1) // new, because loops learn one after the other that a script has ended
		runs, c := busy(t, p, servers[0], "k"), p.dial()
		runs.Send(encode("PING")) // waits in the same pipeline
		c.eventuallyReplies(replyBusy, "PING")
		c.Do("SCRIPT", "KILL")
		runs.Reply()
		runs.expect("+PONG\r\n")
	}
}
