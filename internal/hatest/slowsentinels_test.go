package hatest

import (
	"log/slog"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// With Sentinel's default for down-after-milliseconds a failover takes longer than
// failover_wait.
func TestSlowSentinelsAreWarnedOf(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 0)
	sentinels := redistest.StartSentinels(t, 1, map[string]*redistest.Group{"s1": g}, "sentinel down-after-milliseconds s1 30000")
	const warning = "down_after=30s failover_wait="
	for wait, warned := range map[string]bool{"30s": true, "31s": false} {
		log := &logText{}
		p := ServeLog(t, slog.New(slog.NewTextHandler(log, nil)), `topology = "sentinel"`, `masters = ["s1"]`, `probe_interval = "50ms"`,
			"failover_wait = \""+wait+"\"", "sentinels"+strings.TrimPrefix(Servers(sentinels...), "servers"))
		if got := p.Dial().Do("SET", "key", "value"); got != "+OK\r\n" {
			t.Fatal(got)
		}
		if warned {
			log.await(t, warning)
		}
		if n := strings.Count(log.String(), warning); n > 1 || n == 1 && !warned {
			t.Errorf("failover_wait %s: warned %d times", wait, n)
		}
	}
}
