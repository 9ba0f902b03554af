package session_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/pool"
)

// serveDemoted runs a proxy in front of a fake primary that refuses writes: for ever, or until
// the first GET, before which it answers no EXEC.
func serveDemoted(t *testing.T, forEver bool, failoverWait time.Duration) *proxy {
	t.Helper()
	var mu sync.Mutex
	demoted, unsent := true, ""
	fake := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		mu.Lock()
		defer mu.Unlock()
		switch command := strings.ToUpper(args[0]); {
		case command == "ECHO":
			unsent += bulk(args[1])
		case command == "PING":
			unsent += "+PONG\r\n"
		case command == "SET" && demoted:
			unsent += readonly
		case command == "SET":
			unsent += "+QUEUED\r\n"
		case command == "EXEC" && demoted:
			unsent += "-EXECABORT Transaction discarded because of previous errors.\r\n"
			if !forEver {
				return
			}
		case command == "EXEC":
			unsent += "*1\r\n+OK\r\n"
		case command == "GET" && demoted:
			unsent += bulk("old")
			demoted = false
		case command == "GET":
			unsent += bulk("new")
		default:
			unsent += "+OK\r\n"
		}
		c.Reply(unsent)
		unsent = ""
	})
	cfg := replicatedConfig(t, fake.Addr())
	cfg.Pools[0].FailoverWait = failoverWait
	p := serve(t, cfg)
	p.server.Pools()[0].SetView(0, pool.View{Primary: pool.Member{Addr: fake.Addr()}})
	return p
}

// A read behind a transaction that a demoted server has refused shows what that wrote.
func TestReadBehindARefusedTransactionShowsIt(t *testing.T) {
	redistest.CheckLeaks(t)
	c := serveDemoted(t, false, 20*time.Second).dial()
	c.Send(encode("MULTI") + encode("SET", "k", "new") + encode("EXEC") + encode("GET", "k"))
	for _, reply := range []string{"+OK\r\n", "+QUEUED\r\n", "*1\r\n+OK\r\n", bulk("new")} {
		c.expect(reply)
	}
}

// A transaction that no server will execute is answered in the end.
func TestTransactionThatWaitsInVainIsAnswered(t *testing.T) {
	redistest.CheckLeaks(t)
	c := serveDemoted(t, true, 200*time.Millisecond).dial()
	c.Send(encode("MULTI") + encode("SET", "k", "new") + encode("EXEC"))
	for _, reply := range []string{"+OK\r\n", "+QUEUED\r\n"} {
		c.expect(reply)
	}
	if reply := c.Reply(); reply[0] != '-' {
		t.Errorf("%q", reply)
	}
	c.Send(encode("PING"))
	c.expect("+PONG\r\n")
}
