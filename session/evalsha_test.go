package session_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
)

const noScriptReply = "-NOSCRIPT No matching script. Please use EVAL.\r\n"

// warm has a script become known, and quick, at every server.
func warm(c *raw, keys []string, body string) {
	for range 3 {
		for _, key := range keys {
			c.Do("EVAL", body, "1", key, "warm")
		}
	}
}

// setThenGet pipelines EVALSHA of a script that sets its key, and GET of the key, over and over. A
// GET must show what the EVALSHA before it has set, if that has succeeded. It returns how many have
// not.
func setThenGet(t *testing.T, c *raw, keys []string, body string) (missing int) {
	t.Helper()
	const pairs = 40
	var pipeline strings.Builder
	for i := range pairs {
		key := keys[i%len(keys)]
		pipeline.WriteString(encode("EVALSHA", hashOf(body), "1", key, fmt.Sprint(i)) + encode("GET", key))
	}
	c.Send(pipeline.String())
	for i := range pairs {
		set, get := c.Reply(), c.Reply()
		switch {
		case set == noScriptReply:
			missing++
		case set != bulk(fmt.Sprint(i)) || get != set:
			t.Errorf("pair %d: EVALSHA: %q, GET behind it: %q", i, set, get)
		}
	}
	return missing
}

const setScript = "redis.call('SET', KEYS[1], ARGV[1]) return ARGV[1]"

var longSetScript = setScript + "\n--" + strings.Repeat("x", 4000)

func TestNothingOvertakesAnEvalshaThatIsSentAgain(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	keys := keysOnEach(t, p, servers)
	c := p.dial()
	for _, body := range []string{setScript, longSetScript} {
		warm(c, keys, body)
		for round := range 3 {
			for _, s := range servers {
				s.Do("SCRIPT", "FLUSH")
			}
			missing := setThenGet(t, c, keys, body)
			if body == setScript && missing > 0 {
				t.Errorf("round %d: -NOSCRIPT for %d EVALSHA of a short script", round, missing)
			}
			if missing = setThenGet(t, c, keys, body); missing > 0 {
				t.Errorf("round %d: -NOSCRIPT for %d EVALSHA after the loss was known", round, missing)
			}
		}
	}
}

func TestEvalshasInARowAreSentAgainInOrder(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 2)
	keys := keysOnEach(t, p, servers)
	c := p.dial()
	body := "return redis.call('RPUSH', KEYS[1], ARGV[1])\n--" + strings.Repeat("x", 4000)
	for _, key := range keys {
		warm(c, []string{key}, body)
		c.Do("DEL", key)
	}
	for _, s := range servers {
		s.Do("SCRIPT", "FLUSH")
	}
	const n = 30
	for i := range n {
		c.Send(encode("EVALSHA", hashOf(body), "1", keys[i%len(keys)], fmt.Sprint(i)))
	}
	for i := range n {
		if got := c.Reply(); got != fmt.Sprintf(":%d\r\n", i/len(keys)+1) {
			t.Errorf("EVALSHA %d: %q", i, got)
		}
	}
	for k, key := range keys {
		var want strings.Builder
		for i := k; i < n; i += len(keys) {
			want.WriteString(bulk(fmt.Sprint(i)))
		}
		if got := c.Do("LRANGE", key, "0", "-1"); got != fmt.Sprintf("*%d\r\n%s", n/len(keys), want.String()) {
			t.Errorf("%s: %q", key, got)
		}
	}
}

func TestScriptsAreBroughtToARestartedServer(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, servers := serveShards(t, 2)
	keys := keysOnEach(t, p, servers)
	c := p.dial()
	warm(c, keys, longSetScript)
	restart := func() {
		for _, s := range servers {
			s.Restart()
		}
		for _, key := range keys {
			redistest.Eventually(t, 20*time.Second, "the server is back", func() bool { return c.Do("GET", key) == "$-1\r\n" })
		}
	}
	restart()
	if missing := setThenGet(t, c, keys, longSetScript); missing > 0 {
		t.Errorf("-NOSCRIPT for %d EVALSHA", missing)
	}
	restart()
	for _, key := range keys {
		c.Send(encode("MULTI") + encode("EVALSHA", hashOf(longSetScript), "1", key, "1") + encode("GET", key) + encode("EVALSHA", hashOf(longSetScript), "1", key, "2") + encode("EXEC"))
		c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*3\r\n"+bulk("1")+bulk("1")+bulk("2"))
	}
}

// In a transaction the server's -NOSCRIPT is a reply among others, once: the next one brings the
// script.
func TestATransactionBringsScriptsThatTheServerHasLost(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 1)
	c := p.dial()
	warm(c, []string{"k"}, setScript)
	exec := func() string {
		c.Send(encode("MULTI") + encode("EVALSHA", hashOf(setScript), "1", "k", "1") + encode("EXEC"))
		c.expect("+OK\r\n", "+QUEUED\r\n")
		return c.Reply()
	}
	const good = "*1\r\n$1\r\n1\r\n"
	if got := exec(); got != good {
		t.Errorf("EXEC: %q", got)
	}
	servers[0].Do("SCRIPT", "FLUSH")
	if got := exec(); got != "*1\r\n"+noScriptReply {
		t.Errorf("EXEC after SCRIPT FLUSH at the server: %q", got)
	}
	for range 2 {
		if got := exec(); got != good {
			t.Errorf("EXEC after that: %q", got)
		}
	}
}

// A transaction that another server gets brings its scripts.
func TestATransactionBringsScriptsToAnotherPrimary(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	g := redistest.StartGroup(t, 1)
	p, pl := serveGroup(t, g, func(*conf.Pool) {})
	pl.SetView(0, view(g.Primary))
	c := p.dial()
	warm(c, []string{"k"}, longSetScript)
	next := g.Replicas[0]
	next.Do("REPLICAOF", "NO", "ONE")
	g.Primary.Do("REPLICAOF", "127.0.0.1", "1")
	c.Send(encode("MULTI") + encode("EVALSHA", hashOf(longSetScript), "1", "k", "1") + encode("SET", "k", "x") + encode("EXEC") +
		encode("EVALSHA", hashOf(longSetScript), "1", "k", "2") + encode("GET", "k") + encode("PING"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n")
	pl.SetView(0, view(next))
	c.expect("*2\r\n"+bulk("1")+"+OK\r\n", bulk("2"), bulk("2"), "+PONG\r\n")
}

// An ACL user may lack EVAL, and gets what its own EVALSHA gets.
func TestEvalshaOfAUserWhoMayNotEval(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Do("ACL", "SETUSER", "u", "on", ">p", "~*", "+evalsha", "+set", "+get", "+echo")
	cfg := config(t, s.Addr())
	cfg.Pools[0].ACLUsers = 4
	p := serve(t, cfg)
	c := p.dial()
	warm(c, []string{"k"}, setScript)
	u := p.dial()
	if got := u.Do("AUTH", "u", "p"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	if missing := setThenGet(t, u, []string{"k"}, setScript); missing > 0 {
		t.Errorf("-NOSCRIPT for %d EVALSHA", missing)
	}
}
