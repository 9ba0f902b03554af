package session_test

import (
	"fmt"
	"testing"

	"ringway/internal/redistest"
)

// A session is handed over to another loop between two requests. Its client does not notice,
// even under load.
func TestSessionsMoveBetweenLoopsUnderLoad(t *testing.T) {
	t.Parallel()
	const clients = 16
	for _, depth := range []int{1, 32} {
		t.Run(fmt.Sprint("pipeline ", depth), func(t *testing.T) {
			cfg := config(t, addrs(redistest.StartN(t, 4))...)
			cfg.Proxy.Threads = 3
			p := serve(t, cfg)
			l := startLoad(t, p, clients, depth)
			for i := range 4 {
				l.progress(i)
			}
			for round := range rounds(12) {
				target := (round + 1) % 3
				p.moveAll(target)
				eventually(t, fmt.Sprint("all sessions are on loop ", target), func() bool { return p.sessions()[target] == clients })
				l.progress(round % 4)
			}
			if errs := l.finish(); len(errs) > 0 {
				t.Errorf("%d errors, the first: %q", len(errs), errs[0].text)
			}
			if n := p.server.Clients(); n > clients {
				t.Errorf("%d clients counted", n)
			}
		})
	}
}

// A session does not move inside MULTI: its loop knows the scripts that it has queued.
func TestSessionDoesNotMoveInsideMULTI(t *testing.T) {
	t.Parallel()
	cfg := config(t, addrs(redistest.StartN(t, 2))...)
	cfg.Proxy.Threads = 2
	p := serve(t, cfg)
	c, other := p.dial(), p.dial()
	for i := range rounds(10) {
		eval := encode("EVAL", fmt.Sprint("return ", i), "1", "k")
		other.Do("PING")
		c.Send(encode("MULTI") + eval)
		c.expect("+OK\r\n", "+QUEUED\r\n")
		target := (i + 1) % 2
		p.moveAll(target)
		eventually(t, "the other has moved", func() bool { return p.sessions()[target] >= 1 })
		other.Send(encode("MULTI") + eval + encode("EXEC"))
		other.expect("+OK\r\n", "+QUEUED\r\n", fmt.Sprintf("*1\r\n:%d\r\n", i))
		if n := p.sessions()[target]; n != 1 {
			t.Fatalf("%d sessions have moved, want one", n)
		}
		c.Send(encode("EXEC"))
		c.expect(fmt.Sprintf("*1\r\n:%d\r\n", i))
		eventually(t, "both have moved", func() bool { return p.sessions()[target] == 2 })
	}
}
