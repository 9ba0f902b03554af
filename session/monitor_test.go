package session_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

func TestMonitorShowsWhatClientsAskForAndScriptsCall(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].AllowCommands = []string{"monitor"}
	p := serve(t, cfg)
	m, c := p.dial(), p.dial()
	if got := m.Do("MONITOR"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	c.Send(encode("SET", "a b", "\"\\\n\x00\xff") + encode("GET") + encode("AUTH", "default", "secret") + encode("CLIENT", "LIST") +
		encode("MULTI") + encode("GET", "x") + encode("NOPE") + encode("EXEC") +
		encode("MULTI") + encode("GET", "y") + encode("DISCARD") +
		encode("MULTI") + encode("GET", "z") + encode("EXEC") +
		encode("EVAL", "return redis.call('SET', KEYS[1], 1)", "1", "s"))
	from := `\[0 ` + regexp.QuoteMeta(c.NetConn().LocalAddr().String()) + `\] `
	for _, want := range []string{
		from + `"SET" "a b" "\\"\\\\\\n\\x00\\xff"`,
		from + `"AUTH" "\(redacted\)" "\(redacted\)"`,
		from + `"MULTI"`, from + `"EXEC"`,
		from + `"MULTI"`, from + `"DISCARD"`,
		from + `"MULTI"`, from + `"GET" "z"`, from + `"EXEC"`,
		from + `"EVAL" "return redis.call\('SET', KEYS\[1\], 1\)" "1" "s"`,
		`\[0 lua\] "SET" "s" "1"`, // comes by another way than the next line
		from + `"HELLO" "3" "AUTH" "\(redacted\)" "\(redacted\)"`,
	} {
		if strings.Contains(want, "HELLO") {
			c.Send(encode("HELLO", "3", "AUTH", "default", "x"))
		}
		if got := m.Reply(); !regexp.MustCompile(`^\+\d+\.\d{6} ` + want + "\r\n$").MatchString(got) {
			t.Errorf("%q, want %s", got, want)
		}
	}
	if list := p.dial().Do("CLIENT", "LIST"); !strings.Contains(list, " flags=O ") {
		t.Errorf("no monitor in %s", list)
	}
	m.Send(encode("RESET"))
	for m.Reply() != "+RESET\r\n" {
		// what came before
	}
	c.Send(encode("GET", "unseen"))
	m.Send(encode("PING"))
	m.expect("+PONG\r\n")
	redistest.Eventually(t, 5*time.Second, "no server is monitored", func() bool {
		return !strings.Contains(servers[0].Do("CLIENT", "LIST")+servers[1].Do("CLIENT", "LIST"), "cmd=monitor")
	})
}
