package hatest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// secure returns a setting of TLS to servers or Sentinels.
func secure(setting string, a *redistest.Authority) string {
	return fmt.Sprintf("%s = { ca = %q }", setting, a.File)
}

// secureServers is Servers with the TLS ports.
func secureServers(servers ...*redistest.Server) string {
	var quoted []string
	for _, s := range servers {
		quoted = append(quoted, fmt.Sprintf("%q", s.TLSAddr()))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// With TLS everywhere, clients see no errors in a planned failover.
func TestSentinelFailoverOverTLS(t *testing.T) {
	t.Parallel()
	a := redistest.NewAuthority(t)
	g := redistest.StartGroup(t, 1, redistest.TLSThroughout(a))
	sentinels := redistest.StartSentinels(t, 3, map[string]*redistest.Group{"s1": g})
	p := Serve(t, `topology = "sentinel"`, `masters = ["s1"]`, "sentinels = "+secureServers(sentinels...), secure("server_tls", a), secure("sentinel_tls", a))
	load := Load{Clients: 8, Depth: 4, Pause: time.Millisecond}.Start(t, p.Addr)
	load.Progress(50, time.Minute)
	if got := sentinels[0].Do("SENTINEL", "FAILOVER", "s1"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	redistest.Eventually(t, time.Minute, "the replica is primary", g.Replicas[0].IsPrimary)
	load.Progress(50, time.Minute)
	if report := load.Finish(); len(report.Errors) > 0 {
		t.Errorf("clients got %v", report.Errors)
	}
}

// A Cluster whose servers are reached only by TLS announces its TLS ports, and the proxy
// uses them.
func TestClusterOverTLS(t *testing.T) {
	t.Parallel()
	a := redistest.NewAuthority(t)
	groups := redistest.StartCluster(t, 3, 0, redistest.TLSThroughout(a))
	p := Serve(t, `topology = "cluster"`, "servers = "+secureServers(groups[0].Primary), secure("server_tls", a))
	load := Load{Clients: 8, Depth: 4, Pause: time.Millisecond}.Start(t, p.Addr)
	load.Progress(200, time.Minute)
	if report := load.Finish(); len(report.Errors) > 0 {
		t.Errorf("clients got %v", report.Errors)
	}
}
