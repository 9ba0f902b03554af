package session_test

import (
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// An operator's list of clients is written in portions; it is whole, and bounded for each loop.
func TestClientLinesAreOfAllClients(t *testing.T) {
	t.Parallel()
	cfg := config(t, redistest.Start(t).Addr())
	cfg.Proxy.Threads = 1
	p := serve(t, cfg)
	const n = 300 // more than two portions
	for range n {
		if got := p.dial().Do("PING"); got != "+PONG\r\n" {
			t.Fatalf("PING: %q", got)
		}
	}
	lines := p.server.ClientLines(1000)
	ids := map[string]bool{}
	for _, line := range lines {
		fields := strings.Fields(line)
		if fields[0] != "pool=alpha" || !strings.HasPrefix(fields[1], "id=") || strings.Count(line, "\n") != 1 {
			t.Fatalf("%q", line)
		}
		ids[fields[1]] = true
	}
	if len(lines) != n || len(ids) != n {
		t.Errorf("%d lines of %d clients, want %d", len(lines), len(ids), n)
	}
	if got := len(p.server.ClientLines(200)); got != 200 {
		t.Errorf("%d lines, want the 200 that are the bound", got)
	}
}
