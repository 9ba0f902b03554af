package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Group is a primary with its replicas as they were at the start. A failover does not
// change the fields.
type Group struct {
	Primary  *Server
	Replicas []*Server
}

// StartGroup runs a primary and replicas, all with the same options, and returns when
// every replica has its first copy and follows the primary.
// and so override that. A Sentinel's Restart keeps what it has learnt. Passwords of
func StartGroup(t testing.TB, replicas int, opts ...Option) *Group {
	t.Helper()
	if replicas > 0 {
		SkipShort(t)
	}
	g := &Group{Primary: Start(t, opts...)}
	g.Replicas = StartN(t, replicas, append(opts[:len(opts):len(opts)], ReplicaOf(g.Primary))...)
	for _, r := range g.Replicas {
		r.eventuallySays(t, "master_link_status:up", "INFO", "replication")
	}
	return g
}

// eventuallySays waits until the reply to a request contains text.
func (s *Server) eventuallySays(t testing.TB, text string, request ...string) {
	t.Helper()
	var last string
	if !poll(startTimeout, s.Exited(), func() bool {
		last = s.Do(request...)
		return strings.Contains(last, text)
	}) {
		t.Fatalf("waiting for %q from %s in reply to %q: last was %q", text, s.Addr(), request, last)
	}
}

// StartSentinels runs n Sentinels that watch the groups by their names, with a
// majority as quorum, and returns when each of them knows all the others and
// all replicas. A primary counts as down after one second; lines such as
// "sentinel down-after-milliseconds s1 300" come last in the configuration and
// so override that. A Sentinel's Restart keeps what it has learnt. Passwords of
// and so override that. A Sentinel keeps what it has learnt over a Restart. The Sentinels
// know the passwords of the groups, and have none themselves.
func StartSentinels(t testing.TB, n int, groups map[string]*Group, lines ...string) []*Server {
	t.Helper()
	SkipShort(t)
	path := RequireTool(t, "redis-server")
	var text strings.Builder
	var secure *Authority
	for name, g := range groups {
		secure = g.Primary.throughout
		fmt.Fprintf(&text, "sentinel monitor %s 127.0.0.1 %d %d\n", name, g.Primary.peerPort(), n/2+1)
		fmt.Fprintf(&text, "sentinel down-after-milliseconds %s 1000\n", name)
		fmt.Fprintf(&text, "sentinel failover-timeout %s 10000\n", name)
		if pw := g.Primary.password; pw != "" {
			fmt.Fprintf(&text, "sentinel auth-pass %s %s\n", name, pw)
		}
	}
	fmt.Fprintln(&text, strings.Join(lines, "\n"))
	sentinels := make([]*Server, n)
	for i := range sentinels {
		sentinels[i] = startSentinel(t, path, text.String(), secure)
	}
	for _, s := range sentinels {
		for name, g := range groups {
			s.eventuallySays(t, field("num-other-sentinels", n-1), "SENTINEL", "MASTER", name)
			s.eventuallyKnows(t, name, g)
		}
	}
	return sentinels
}

// field returns a field with a number as a Sentinel's reply contains it.
func field(name string, value int) string {
	text := strconv.Itoa(value)
	return fmt.Sprintf("%s\r\n$%d\r\n%s\r\n", name, len(text), text)
}

// eventuallyKnows waits until the Sentinel has learnt from every replica of the group
// that it follows the primary. Before that the Sentinel would not promote it.
func (s *Server) eventuallyKnows(t testing.TB, name string, g *Group) {
	t.Helper()
	var last string
	if !poll(startTimeout, s.Exited(), func() bool {
		last = s.Do("SENTINEL", "REPLICAS", name)
		return strings.Count(last, "master-link-status\r\n$2\r\nok\r\n") == len(g.Replicas)
	}) {
		t.Fatalf("waiting for the Sentinel at %s to know the replicas of %s: last was %q", s.Addr(), name, last)
	}
}

// startSentinel starts one Sentinel with a configuration file of its own, in which it
// keeps what it learns.
func startSentinel(t testing.TB, path, text string, secure *Authority) *Server {
	t.Helper()
	s := &Server{port: FreePort(t)}
	dir := tempDir(t)
	file := filepath.Join(dir, "sentinel.conf")
	if secure != nil {
		text = s.sentinelTLS(secure) + text
	}
	text = fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\n%s", s.port, dir, text)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatalf("configuration of a Sentinel: %v", err)
	}
	s.Process = startProcess(t, dir, path, []string{file, "--sentinel"})
	if !s.untilReady() {
		t.Fatalf("a Sentinel does not answer PING:\n%s", lastLines(s.Output(), 20))
	}
	return s
}
