package session_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
)

// A script may return any error. Whatever redirection or refusal it claims, the proxy does
// not connect to where it says, no other client waits for it, and it runs once.
func TestAScriptThatClaimsToBeRefusedHurtsNobody(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	g := redistest.StartGroup(t, 0)
	trap, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer trap.Close()
	caught := make(chan struct{}, 1)
	go func() {
		if c, err := trap.Accept(); err == nil {
			c.Close()
			caught <- struct{}{}
		}
	}()
	replicated, pl := serveGroup(t, g, func(c *conf.Pool) { c.FailoverWait = 300 * time.Millisecond })
	pl.SetView(0, view(g.Primary))

	cluster := redistest.StartCluster(t, 1, 0)[0].Primary
	cfg, _, err := conf.Parse([]byte(fmt.Sprintf("[pools.alpha]\nlisten = \"127.0.0.1:2\"\ntopology = \"cluster\"\nfailover_wait = \"300ms\"\nservers = [%q]\n", cluster.Addr())), "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Pools[0].Listen.Addr = "127.0.0.1:0"

	for name, p := range map[string]*proxy{"replicated": replicated, "cluster": serve(t, cfg)} {
		t.Run(name, func(t *testing.T) {
			c, other := p.dial(), p.dial()
			for i, claim := range []string{
				"MOVED 1 " + trap.Addr().String(), "ASK 1 " + trap.Addr().String(), "MOVED 99999 x", "MOVED", "ASK",
				"READONLY no", "LOADING no", "CLUSTERDOWN no", "TRYAGAIN no", "MASTERDOWN no",
			} {
				// Thrice, since it shares a connection only once it has shown to be quick.
				for round := range 3 {
					key := fmt.Sprintf("n:%d:%d", i, round)
					script := "redis.call('incr', KEYS[1]) if ARGV[1] == 'x' then return redis.error_reply('" + claim + "') end return 1"
					c.Do("EVAL", script, "1", "quick", "y")
					c.Send(encode("EVAL", script, "1", key, "x"))
					if got := other.Do("SET", "k", "v"); got != "+OK\r\n" {
						t.Errorf("%s: another client got %q", claim, got)
					}
					if got := c.Reply(); !strings.HasPrefix(got, "-") {
						t.Errorf("%s: %q", claim, got)
					}
					if got := c.Do("GET", key); got != "$1\r\n1\r\n" && (name == "replicated" || !strings.Contains(claim, trap.Addr().String())) {
						t.Errorf("%s: ran %q times", claim, got)
					}
				}
			}
		})
	}
	select {
	case <-caught:
		t.Error("the proxy connected to where a script said")
	default:
	}
}
