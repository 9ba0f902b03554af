package session_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// servePausable is serveShards for a pool that allows CLIENT PAUSE.
func servePausable(t *testing.T, n int) (*proxy, []*redistest.Server) {
	t.Helper()
	servers := redistest.StartN(t, n)
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].AllowCommands = []string{"client|pause", "client|unpause"}
	return serve(t, cfg), servers
}

func awaitBlocked(t *testing.T, s *redistest.Server, n int) {
	t.Helper()
	want := fmt.Sprintf("blocked_clients:%d\r\n", n)
	redistest.Eventually(t, 10*time.Second, want, func() bool { return strings.Contains(s.Do("INFO", "clients"), want) })
}

func TestPausedWritesHoldUpNobodyElse(t *testing.T) {
	t.Parallel()
	p, servers := servePausable(t, 1)
	c := p.dial()
	c.Send(encode("CLIENT", "PAUSE", "60000", "WRITE"))
	c.expect("+OK\r\n")
	held := map[string]*raw{}
	for request, reply := range map[string]string{
		encode("SET", "a", "1"):                                "+OK\r\n",
		encode("PFCOUNT", "none"):                              ":0\r\n",
		encode("EVAL", "return 1", "0"):                        ":1\r\n",
		encode("MULTI") + encode("INCR", "b") + encode("EXEC"): "*1\r\n:1\r\n",
		encode("BLPOP", "none", "0.01"):                        "*-1\r\n",
	} {
		w := p.dial()
		w.Send(request)
		if strings.HasPrefix(request, encode("MULTI")) {
			w.expect("+OK\r\n", "+QUEUED\r\n")
		}
		held[reply+request] = w
		awaitBlocked(t, servers[0], len(held))
		defer func() { w.expect(reply) }()
	}
	for range 10 {
		c.Send(encode("GET", "a") + encode("SET", "a") + encode("MULTI") + encode("GET", "a") + encode("EXEC") + encode("EVAL_RO", "return 2", "0"))
		c.expect("$-1\r\n", "-ERR wrong number of arguments for 'set' command\r\n", "+OK\r\n", "+QUEUED\r\n", "*1\r\n$-1\r\n", ":2\r\n")
	}
	c.Send(encode("CLIENT", "UNPAUSE"))
	c.expect("+OK\r\n")
}

func TestPauseInsideTransactionBeginsAfterIt(t *testing.T) {
	t.Parallel()
	p, servers := servePausable(t, 1)
	c, w := p.dial(), p.dial()
	c.Send(encode("MULTI") + encode("SET", "a", "1") + encode("CLIENT", "PAUSE", "60000", "WRITE") + encode("SET", "b", "1") + encode("EXEC"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*3\r\n+OK\r\n+OK\r\n+OK\r\n")
	w.Send(encode("SET", "c", "1"))
	awaitBlocked(t, servers[0], 1)
	c.Send(encode("MGET", "a", "b", "c") + encode("CLIENT", "UNPAUSE"))
	c.expect("*3\r\n$1\r\n1\r\n$1\r\n1\r\n$-1\r\n", "+OK\r\n")
	w.expect("+OK\r\n")
}

func TestPauseHoldsBackWhatConcernsSeveralShards(t *testing.T) {
	t.Parallel()
	p, servers := servePausable(t, 2)
	keys := keysOnEach(t, p, servers)
	c, w := p.dial(), p.dial()
	c.Send(encode("CLIENT", "PAUSE", "60000", "WRITE"))
	c.expect("+OK\r\n")
	w.Send(encode("MSET", keys[0], "1", keys[1], "1"))
	w.NetConn().SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := w.NetConn().Read(make([]byte, 1)); err == nil {
		t.Fatal("MSET was answered during the pause")
	}
	w.NetConn().SetReadDeadline(time.Time{})
	c.Send(encode("MGET", keys[0], keys[1]) + encode("CLIENT", "UNPAUSE"))
	c.expect("*2\r\n$-1\r\n$-1\r\n", "+OK\r\n")
	w.expect("+OK\r\n")
}

func TestPauseEndsByItself(t *testing.T) {
	t.Parallel()
	p, _ := servePausable(t, 2)
	c, w := p.dial(), p.dial()
	c.Send(encode("CLIENT", "PAUSE", "300", "WRITE"))
	c.expect("+OK\r\n")
	w.Send(encode("FUNCTION", "FLUSH") + encode("SET", "a", "1"))
	w.expect("+OK\r\n", "+OK\r\n")
}
