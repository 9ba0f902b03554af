package server_test

import (
	"fmt"
	"testing"

	"ringway/internal/redistest"
)

// A session is handed over between two requests; its client sees nothing of it,
// however busy it is.
func TestSessionsMoveBetweenLoopsUnderLoad(t *testing.T) {
	redistest.CheckLeaks(t)
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
				p.server.Herd(target)
				eventually(t, fmt.Sprint("all sessions are on loop ", target), func() bool { return p.server.Sessions()[target] == clients })
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
