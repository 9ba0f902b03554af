package admin_test

import (
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// A paused pool is seen on the console and in the metrics; its requests are answered after RESUME.
func TestConsolePausesAndResumes(t *testing.T) {
	t.Parallel()
	w := start(t, "", redistest.Start(t))
	console := redistest.Dial(t, "tcp", w.admin)
	do := func(request, want string) {
		t.Helper()
		if got := console.Do(strings.Fields(request)...); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
	}
	for request, want := range map[string]string{
		"PAUSE alpha": "-ERR wrong arguments; want PAUSE POOL pool [timeout]", "PAUSE POOL": "-ERR wrong arguments", "PAUSE POOL beta": `-ERR there is no pool "beta"`,
		"PAUSE POOL alpha 0s": `-ERR timeout "0s": want a time such as 30s, 1h at most`, "PAUSE POOL alpha 2h": "-ERR timeout", "PAUSE POOL alpha 30": "-ERR timeout",
		"RESUME POOL alpha": "-ERR pool alpha is not paused", "RESUME alpha": "-ERR wrong arguments", "RESUME POOL beta": "-ERR there is no pool",
		"DRAIN": "-ERR this process can't be drained by the console",
	} {
		do(request, want)
	}
	metric := func(want string) {
		t.Helper()
		redistest.Eventually(t, 10*time.Second, "the metric to be "+want, func() bool { // figures are kept for a moment
			_, body := w.get("/metrics", "")
			return strings.Contains(body, "\nringway_pool_paused{pool=\"alpha\"} "+want+"\n")
		})
	}
	metric("0")
	client := redistest.Dial(t, "tcp", w.pool)
	do("pause pool alpha 1h", "+OK")
	client.Send(redistest.Request("SET", "k", "v"))
	metric("1")
	if got := console.Do("SHOW", "pools"); !strings.Contains(got, "PAUSED FOR") || strings.HasSuffix(got, "  0\r\n") {
		t.Errorf("SHOW POOLS: %q", got)
	}
	do("resume pool alpha", "+OK")
	if got := client.Reply(); got != "+OK\r\n" {
		t.Errorf("SET: %q", got)
	}
	do("PAUSE POOL alpha", "+OK")
	do("RESUME POOL alpha", "+OK")
	metric("0")
}
