package server_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/eventloop"
	"ringway/internal/redistest"
)

// notes is a log that a test looks into while it is written.
type notes struct {
	mu   sync.Mutex
	text strings.Builder
}

func (n *notes) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(b)
}

func (n *notes) count(what string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return strings.Count(n.text.String(), what)
}

// Turns that hold up a loop are counted and shown; the first is logged, with who was at
// work, and further ones within a minute are not.
func TestLongTurnsAreCountedAndLogged(t *testing.T) {
	s := redistest.Start(t)
	cfg := config(t, s.Addr())
	cfg.Proxy.Threads = 1
	log := &notes{}
	p := serveLog(t, cfg, log)
	c := p.dial()
	if f := fieldsOf(c.Do("INFO", "ringway")); f["long_turns"] == "" || f["longest_turn_usec"] == "" {
		t.Fatalf("INFO: %v", f)
	}
	counted := func() (n int) {
		fmt.Sscan(fieldsOf(c.Do("INFO", "ringway"))["long_turns"], &n)
		return n
	}
	redistest.Eventually(t, 30*time.Second, "long turns are not counted", func() bool {
		p.server.Hold(2 * eventloop.LongTurn) // the machine may have other things to do
		return counted() >= 3
	})
	var longest int64
	fmt.Sscan(fieldsOf(c.Do("INFO", "ringway"))["longest_turn_usec"], &longest)
	if longest < eventloop.LongTurn.Microseconds() {
		t.Errorf("the longest turn took %d us", longest)
	}
	if got := log.count("an event loop was held up"); got != 1 {
		t.Errorf("%d lines in the log", got)
	}
	if log.count("command=info bytes=1048576") != 1 {
		t.Errorf("the log does not say whose work it was: %s", log.text.String())
	}
}
