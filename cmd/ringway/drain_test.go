package main

import (
	"net/http"
	"strings"
	"syscall"
	"testing"

	"ringway/internal/redistest"
)

// For drain_delay the process is unready and serves as before; the second signal skips that.
func TestDrainDelayUntilTheSecondSignal(t *testing.T) {
	t.Parallel()
	p, _, console := operated(t, startNodes(t, 1), `drain_delay = "1h"`)
	addr := printed(t, p, `msg=listening .*addr=(\S+)`)[0]
	ready := func() int {
		answer, err := http.Get("http://" + console + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode
	}
	redistest.Eventually(t, patience, "the proxy is ready", func() bool { return ready() == http.StatusOK })
	client := redistest.Dial(t, "tcp", addr)
	client.Do("SET", "k", "v")
	p.Signal(syscall.SIGTERM)
	printed(t, p, "msg=draining .*delay=1h0m0s")
	if got := ready(); got != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d", got)
	}
	for _, c := range []*redistest.Conn{client, redistest.Dial(t, "tcp", addr)} {
		if got := c.Do("GET", "k"); got != "$1\r\nv\r\n" {
			t.Errorf("%q", got)
		}
	}
	p.Signal(syscall.SIGTERM)
	printed(t, p, `msg="accepting no more clients"`)
	if code := exited(t, p); code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
	client.WaitClosed()
}

// DRAIN on the console is SIGTERM.
func TestDrainByTheConsole(t *testing.T) {
	t.Parallel()
	p, _, console := operated(t, startNodes(t, 1))
	printed(t, p, `msg=listening .*addr=(\S+)`)
	c := redistest.Dial(t, "tcp", console)
	c.Do("AUTH", "console")
	if got := c.Do("DRAIN", "now"); !strings.HasPrefix(got, "-ERR wrong arguments; want DRAIN") {
		t.Errorf("%q", got)
	}
	c.Send(redistest.Request("DRAIN")) // the answer may or may not come before the end
	printed(t, p, `msg="drain asked for by the console"`)
	if code := exited(t, p); code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
}
