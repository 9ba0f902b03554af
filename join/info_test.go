package join

import (
	"strings"
	"testing"

	"ringway/resp"
)

// infoOf joins texts, as bulks.
func infoOf(t *testing.T, texts ...string) *Info {
	t.Helper()
	info := new(Info)
	for _, text := range texts {
		if !info.Add(resp.AppendBulkString(nil, strings.ReplaceAll(text, "\n", "\r\n"))) {
			t.Fatalf("%q was not taken", text)
		}
	}
	return info
}

func TestFieldsOfInfoAreJoined(t *testing.T) {
	t.Parallel()
	f := func(section, field, one, two, want string) {
		t.Helper()
		info := infoOf(t, "# "+section+"\n"+field+":"+one+"\n", "# "+section+"\n"+field+":"+two+"\n")
		if got := info.Field(section, field); got != want {
			t.Errorf("%s:%s and %s: %s, want %s", field, one, two, got, want)
		}
	}
	f("Stats", "total_commands_processed", "2", "3", "5")
	f("CPU", "used_cpu_sys", "1.25", "2.5", "3.75")
	f("Server", "redis_version", "7.2.4", "7.0.15", "7.0.15")
	f("Server", "uptime_in_seconds", "100", "20", "20")
	f("Server", "hz", "10", "100", "100")
	f("Memory", "mem_fragmentation_ratio", "1.5", "2.25", "2.25")
	f("Persistence", "rdb_last_bgsave_status", "ok", "err", "err")
	f("Persistence", "rdb_last_bgsave_status", "err", "ok", "err")
	f("Memory", "maxmemory_policy", "noeviction", "noeviction", "noeviction")
	f("Keyspace", "db0", "keys=3,expires=1,avg_ttl=100", "keys=1,expires=3,avg_ttl=20", "keys=4,expires=4,avg_ttl=40")
	f("Commandstats", "cmdstat_get", "calls=2,usec=10,usec_per_call=5.00", "calls=3,usec=5,usec_per_call=1.67", "calls=5,usec=15,usec_per_call=3.00")
	f("Latencystats", "latency_percentiles_usec_get", "p50=9.023,p99=10.007,p99.9=10.007", "p50=10.003,p99=9.5", "p50=10.003,p99=10.007,p99.9=10.007")
	f("Keysizes", "db0_distrib_strings_sizes", "1=2,16=1", "1=1,2=5", "1=3,16=1,2=5")
	f("Threads", "io_thread_0", "clients=1,reads=2,writes=3", "clients=0,reads=5,writes=6", "clients=1,reads=7,writes=9")
	f("Commandstats", "cmdstat_get", "calls=2,usec=10,usec_per_call=5.00,rejected_calls=1,failed_calls=0", "calls=0,usec=0,usec_per_call=0.00,rejected_calls=1,failed_calls=2",
		"calls=2,usec=10,usec_per_call=5.00,rejected_calls=2,failed_calls=2")
	f("Errorstats", "errorstat_WRONGTYPE", "count=2", "count=3", "count=5")
	f("Persistence", "loading_start_time", "1700000000", "1700000009", "1700000000")
	f("Stats", "instantaneous_eventloop_duration_usec", "20", "30", "30")
	f("Replication", "min_slaves_good_slaves", "1", "0", "0")
	info := infoOf(t, "# Memory\nused_memory:1536\nused_memory_human:1.50K\n", "# Memory\nused_memory:1536\nused_memory_human:1.50K\n")
	if got := info.Field("Memory", "used_memory_human"); got != "3.00K" {
		t.Errorf("used_memory_human:%s", got)
	}
}

func TestEachModuleHasItsLine(t *testing.T) {
	t.Parallel()
	const search, json = "module:name=search,ver=20811,api=1,filters=0,usedby=[],using=[ReJSON],options=[]", "module:name=ReJSON,ver=20609,api=1,filters=0,usedby=[search],using=[],options=[]"
	info := infoOf(t, "# Modules\n"+search+"\n"+json+"\n", "# Modules\n"+json+"\n"+search+"\n")
	if got, want := info.String(), "# Modules\r\n"+search+"\r\n"+json+"\r\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestInfoIsWrittenInItsOrder(t *testing.T) {
	t.Parallel()
	info := infoOf(t, "# Server\nredis_version:7.0.15\nrun_id:abc\nhz:10\nlistener0:x\n\n# Replication\nrole:slave\nslave0:x\nmaster_repl_offset:1\n",
		"# Server\nhz:10\n\n# Keyspace\ndb0:keys=1,expires=0,avg_ttl=0\n")
	info.Set("Server", [][2]string{{"hz", "100"}, {"proxy", "ringway"}})
	info.Set("Ringway", [][2]string{{"pool", "p"}})
	if info.HasSection("Nothing") || !info.HasSection("Keyspace") || info.Field("Server", "nothing") != "" || info.Field("Nothing", "x") != "" {
		t.Error("there is nothing, and a keyspace")
	}
	info.HideServers(true)
	want := "# Server\nhz:100\nproxy:ringway\nredis_version:7.0.15\n\n# Replication\nrole:slave\n\n# Keyspace\ndb0:keys=1,expires=0,avg_ttl=0\n\n# Ringway\npool:p\n"
	if got := info.String(); got != strings.ReplaceAll(want, "\n", "\r\n") {
		t.Errorf("%q, want %q", got, want)
	}
	single := infoOf(t, "# Replication\nslave0:x\n")
	single.HideServers(false)
	if got := single.String(); got != "# Replication\r\nslave0:x\r\n" {
		t.Errorf("of one server: %q", got)
	}
}

func TestInfoTakesTextsAndWhatIsThereOfThem(t *testing.T) {
	t.Parallel()
	f := func(reply, want string, ok bool) {
		t.Helper()
		var info Info
		if got := info.Add([]byte(reply)); got != ok || info.Field("A", "b") != want {
			t.Errorf("%q: %v, %q", reply, got, info.Field("A", "b"))
		}
	}
	f("$10\r\n# A\r\nb:1\r\n\r\n", "1", true)
	f("=14\r\ntxt:# A\r\nb:1\r\n\r\n", "1", true)
	f("$99\r\n# A\r\nb:1\r\nc:12", "1", true)
	f("=99\r\ntxt:# A\r\nb:1\r\nb", "1", true)
	f("$99\r\n# A\r\nb:1", "", true) // a number may be cut
	f("$0\r\n\r\n", "", true)
	f("$3\r\n# A\r\nb:1\r\n", "", false)
	f("$-1\r\n", "", false)
	f("-ERR no\r\n", "", false)
	f("*1\r\n$1\r\na\r\n", "", false)
	f("", "", false)
}

func TestVersionsAreCompared(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"7.2.4", "7.2", true}, {"7.2", "7.2", true}, {"7.0.15", "7.2", false}, {"7.10.1", "7.2", true}, {"8.0", "7.2", true}, {"7", "7.2", false}, {"", "7.2", false}, {"6.2.14", "7.2", false},
	} {
		if got := AtLeastVersion(c.a, c.b); got != c.want {
			t.Errorf("%s is at least %s: %v", c.a, c.b, got)
		}
	}
}

func FuzzInfo(f *testing.F) {
	addSeeds(f, "$10\r\n# A\r\nb:1\r\n\r\n", "$44\r\n# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=nan\r\n\r\n", "$43\r\n# Memory\r\nused_memory:1\r\nused_memory_human:1\r\n", "=99\r\ntxt:# Server\r\nredis_version:7.\r\n")
	f.Fuzz(func(t *testing.T, one, two []byte, several bool) {
		var info Info
		info.Add(one)
		info.Add(two)
		info.Set("Server", [][2]string{{"proxy", "ringway"}})
		_ = info.Field("Server", "redis_version")
		info.HideServers(several)
		if text := info.String(); len(text) > 4096+64*(len(one)+len(two)) || !strings.Contains(text, "proxy:ringway\r\n") {
			t.Errorf("%q and %q became %d bytes: %.200q", one, two, len(text), text)
		}
	})
}
