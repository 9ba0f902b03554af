package session_test

import (
	"fmt"
	"testing"
	"time"

	"ringway/eventloop"
	"ringway/internal/redistest"
)

// Long turns are counted and shown in INFO. The first is logged, with the client whose work was
// the largest; further ones within a minute are not.
func TestLongTurnsAreCountedAndLogged(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	cfg := config(t, s.Addr())
	cfg.Proxy.Threads = 1
	log := &lockedBuffer{}
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
		p.busy(2 * eventloop.LongTurn) // repeated, since the machine may run something else
		return counted() >= 3
	})
	var longest int64
	fmt.Sscan(fieldsOf(c.Do("INFO", "ringway"))["longest_turn_usec"], &longest)
	if longest < eventloop.LongTurn.Microseconds() {
		t.Errorf("the longest turn took %d us", longest)
	}
	if got := log.count("event loop held up"); got != 1 {
		t.Errorf("%d lines in the log", got)
	}
	if log.count("command=info bytes=1048576") != 1 {
		t.Errorf("the log does not say whose work it was: %s", log.b.String())
	}
}
