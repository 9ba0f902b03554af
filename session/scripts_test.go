package session_test

import (
	"crypto/sha1"
	"fmt"
	"strings"
	"testing"
)

func hashOf(body string) string { return fmt.Sprintf("%x", sha1.Sum([]byte(body))) }

func TestScriptsAreSentAgainToServersWithoutThem(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 4)
	keys := keysOnEach(t, p, servers)
	c := p.dial()
	const loaded, seen, large = "return {KEYS[1], ARGV[1]}", "return redis.call('INCR', KEYS[1])", "return string.rep('x', 100000)"
	c.Do("SCRIPT", "LOAD", loaded)
	c.Do("SCRIPT", "LOAD", large)
	if got := c.Do("EVAL", seen, "1", "n"); got != ":1\r\n" {
		t.Fatal(got)
	}
	forget := func() {
		for _, s := range servers {
			s.Do("SCRIPT", "FLUSH")
		}
	}
	for _, key := range keys {
		forget()
		want := fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$1\r\nv\r\n", len(key), key)
		for _, hash := range []string{hashOf(loaded), strings.ToUpper(hashOf(loaded))} {
			if got := c.Do("EVALSHA", hash, "1", key, "v"); got != want {
				t.Errorf("EVALSHA: %q", got)
			}
		}
		forget()
		if got := c.Do("evalsha_ro", hashOf(loaded), "1", key, "v"); got != want {
			t.Errorf("EVALSHA_RO: %q", got)
		}
	}
	// The replies keep their order, and nothing is executed twice.
	forget()
	c.Send(encode("PING") + encode("EVALSHA", hashOf(seen), "1", "n") + encode("ECHO", "a") + encode("EVALSHA", hashOf(seen), "1", "n") +
		encode("EVALSHA", hashOf(large), "0") + encode("ECHO", "b"))
	c.expect("+PONG\r\n", ":2\r\n", "$1\r\na\r\n", ":3\r\n", "$100000\r\n"+strings.Repeat("x", 100000)+"\r\n", "$1\r\nb\r\n")
}

func TestUnknownScriptsStayUnknown(t *testing.T) {
	t.Parallel()
	p, _ := serveShards(t, 2)
	c := p.dial()
	const noScript = "-NOSCRIPT No matching script. Please use EVAL.\r\n"
	for _, hash := range []string{hashOf("never seen"), "short", ""} {
		if got := c.Do("EVALSHA", hash, "1", "k"); got != noScript {
			t.Errorf("EVALSHA %s: %q", hash, got)
		}
	}
	const body = "return 7"
	c.Do("EVAL", body, "1", "k")
	if got := c.Do("EVALSHA", hashOf(body), "1", "k"); got != ":7\r\n" {
		t.Error(got)
	}
	c.Send(encode("SCRIPT", "FLUSH") + encode("EVALSHA", hashOf(body), "1", "k"))
	c.expect("+OK\r\n", noScript)
}

func TestScriptsOfOnePoolAreNotAnothers(t *testing.T) {
	t.Parallel()
	_, servers := serveShards(t, 2)
	cfg := config(t, servers[0].Addr())
	other := cfg.Pools[0]
	other.Name, other.Servers = "beta", config(t, servers[1].Addr()).Pools[0].Servers
	cfg.Pools = append(cfg.Pools, other)
	p := serve(t, cfg)
	const body = "return 'private'"
	p.dial().Do("EVAL", body, "0")
	p.addr = p.server.Addrs()["beta"]
	if got := p.dial().Do("EVALSHA", hashOf(body), "0"); !strings.HasPrefix(got, "-NOSCRIPT") {
		t.Errorf("the other pool knows the script: %q", got)
	}
}
