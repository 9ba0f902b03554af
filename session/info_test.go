package session_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
	"ringway/pool"
)

// fieldsOf returns the fields of a reply to INFO.
func fieldsOf(reply string) map[string]string {
	fields := map[string]string{}
	for _, line := range strings.Split(reply, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

func TestInfoIsThatOfAllShards(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 3)
	c := p.dial()
	for i := range 100 {
		c.Do("SET", fmt.Sprint("k", i), "v")
	}
	for i := range 20 {
		c.Do("EXPIRE", fmt.Sprint("k", i), "1000")
	}
	var memory, calls, keys int
	for _, s := range servers {
		f := fieldsOf(s.Do("INFO", "everything"))
		n := make([]int, 3)
		fmt.Sscan(f["used_memory"], &n[0])
		fmt.Sscanf(f["cmdstat_set"], "calls=%d", &n[1])
		fmt.Sscanf(f["db0"], "keys=%d", &n[2])
		memory, calls, keys = memory+n[0], calls+n[1], keys+n[2]
	}
	for _, protocol := range []string{"2", "3"} {
		c.Do("HELLO", protocol)
		f := fieldsOf(c.Do("INFO", "everything"))
		var n int
		if fmt.Sscan(f["used_memory"], &n); n < memory*9/10 || n > memory*11/10 {
			t.Errorf("used_memory %s, want about %d", f["used_memory"], memory)
		}
		if !strings.HasPrefix(f["cmdstat_set"], fmt.Sprintf("calls=%d,usec=", calls)) || !strings.HasPrefix(f["db0"], "keys=100,expires=20,avg_ttl=") || keys != 100 {
			t.Errorf("cmdstat_set:%s db0:%s", f["cmdstat_set"], f["db0"])
		}
		for name, want := range map[string]string{
			"redis_mode": "standalone", "role": "master", "loading": "0", "cluster_enabled": "0", "connected_clients": "1", "proxy": "ringway", "servers_answered": "3",
			"rdb_last_bgsave_status": "ok", "maxmemory": "0", "maxmemory_human": "0B", "aof_enabled": "0", "connected_slaves": "0",
		} {
			if f[name] != want {
				t.Errorf("%s:%s, want %s", name, f[name], want)
			}
		}
		if v := f["redis_version"]; !strings.Contains(servers[0].Do("INFO", "server"), "redis_version:"+v+"\r\n") {
			t.Errorf("redis_version:%s", v)
		}
		if _, ok := f["run_id"]; ok {
			t.Error("a server's run_id is shown")
		}
	}
	c.Do("HELLO", "2")
	if got := c.Do("INFO", "keyspace"); !strings.HasPrefix(strings.SplitN(got, "\r\n", 2)[1], "# Keyspace\r\ndb0:keys=100,") || strings.Count(got, "#") != 1 {
		t.Errorf("INFO keyspace: %q", got)
	}
	if got := c.Do("INFO", "nosuch"); got != "$0\r\n\r\n" {
		t.Errorf("INFO of no section: %q", got)
	}
}

// Client libraries read these fields before they do anything else. Without servers they learn
// that they must try again later, as from PING.
func TestInfoNeedsOneServer(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	p := serve(t, config(t, addrs(servers)...))
	servers[0].Kill()
	c := p.dial()
	if f := fieldsOf(c.Do("INFO")); f["loading"] != "0" || f["role"] != "master" || f["redis_mode"] != "standalone" || f["redis_version"] == "" || f["servers_answered"] != "1" {
		t.Errorf("%v", f)
	}
	servers[1].Kill()
	nobody := "-ERR no server of the pool can be reached\r\n"
	for range 2 { // when it is not known yet, and when it is
		c.Send(encode("INFO") + encode("INFO", "server", "ringway") + encode("INFO", "everything") + encode("MULTI") + encode("INFO", "server") + encode("EXEC"))
		c.expect(nobody, nobody, nobody, "+OK\r\n", "+QUEUED\r\n", "*1\r\n"+nobody)
	}
	if f := fieldsOf(c.Do("INFO", "ringway")); f["servers_answered"] != "0" || f["servers"] != "2" {
		t.Errorf("%v", f)
	}
	if got := c.Do("HELLO", "2"); !strings.HasPrefix(got, "*14\r\n") {
		t.Errorf("HELLO 2: %q", got)
	}
	servers[1].Restart()
	redistest.Eventually(t, time.Minute, "INFO is answered again", func() bool { return fieldsOf(c.Do("INFO"))["servers_answered"] == "1" })
}

// While requests wait for a new primary, INFO does not report that there is none.
func TestInfoDuringAFailover(t *testing.T) {
	t.Parallel()
	g := redistest.StartGroup(t, 0)
	p, pl := serveGroup(t, g, nil)
	pl.SetView(0, view(g.Primary))
	c := p.dial()
	c.Send(encode("SET", "a", "1"))
	c.expect("+OK\r\n")
	if states := p.server.ShardStates("alpha"); len(states) != 1 || states[0].Phase != pool.Serving || states[0].Primary != g.Primary.Addr() || states[0].Since.IsZero() {
		t.Errorf("before: %+v", states)
	}
	pl.Hold(0)
	p.sessions() // every loop has heard of it
	if states := p.server.ShardStates("alpha"); len(states) != 1 || states[0].Phase != pool.WritesHeld {
		t.Errorf("during: %+v", states)
	}
	if f := fieldsOf(c.Do("INFO")); f["role"] != "master" || f["servers_answered"] != "0" {
		t.Errorf("%v", f)
	}
}

// LATENCY HISTOGRAM is that of all shards.
func TestLatencyHistogramIsThatOfAllShards(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	if strings.HasPrefix(servers[0].Do("LATENCY", "HISTOGRAM"), "-") {
		t.Skip("this server has no LATENCY HISTOGRAM, which is of Redis 7")
	}
	cfg := config(t, addrs(servers)...)
	cfg.Pools[0].Hash, cfg.Pools[0].AllowCommands = "md5", []string{"latency"}
	c := serve(t, cfg).dial()
	for i := range 100 {
		c.Do("SET", fmt.Sprint("key:", i), "v")
	}
	for version, want := range map[string]string{"2": "*2\r\n$3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:100\r\n$14\r\nhistogram_usec\r\n*", "3": "%1\r\n$3\r\nset\r\n%2\r\n$5\r\ncalls\r\n:100\r\n$14\r\nhistogram_usec\r\n%"} {
		c.Do("HELLO", version)
		if got := c.Do("LATENCY", "HISTOGRAM", "set"); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, ":100\r\n") {
			t.Errorf("RESP%s: %q", version, got)
		}
	}
}
