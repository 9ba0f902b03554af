package conf

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ringway/hashring"
)

func pool(t *testing.T, lines ...string) *Pool {
	t.Helper()
	return &mustParse(t, "[proxy]\nzone = \"wide\"\n[pools.alpha]\nlisten = \"127.0.0.1:22121\"\n"+strings.Join(lines, "\n")).Pools[0]
}

func basis(topology string) *Pool {
	p := DefaultPool("alpha")
	p.Listen = Listen{Network: "tcp", Addr: "127.0.0.1:22121"}
	p.Topology = topology
	if topology == Cluster {
		p.Databases = 1
	}
	return &p
}

func TestSentinelPool(t *testing.T) {
	t.Parallel()
	got := pool(t, `
hash_tag = "{}"
masters = ["sessions10", "s2:2", "s.1"]
sentinels = ["h2:26379", "[::1]:26379", "h1:26379"]
sentinel_user = "watcher"
sentinel_auth = "secret"
topology = "sentinel"
read_from = "prefer_replica"
max_replica_lag = "0s"
hedge_after = "20ms"
failover_wait = "3s"
probe_interval = "100ms"
replica_acks = "always"
resolve_interval = "0s"
default_server = "s2"`)
	want := basis(Sentinel)
	want.Shards = []Shard{{Name: "s2", Weight: 2}, {Name: "s.1", Weight: 1}, {Name: "sessions10", Weight: 1}}
	want.Sentinels = []Address{{"tcp", "h2:26379"}, {"tcp", "[::1]:26379"}, {"tcp", "h1:26379"}}
	want.SentinelUser, want.SentinelAuth = "watcher", "secret"
	want.ReadFrom, want.MaxReplicaLag, want.HedgeAfter = ReadPreferReplica, 0, 20*time.Millisecond
	want.FailoverWait, want.ProbeInterval, want.ResolveInterval = 3*time.Second, 100*time.Millisecond, 0
	want.DefaultServer, want.ReplicaAcks = "s2", AcksAlways
	if !reflect.DeepEqual(got, want) {
		t.Errorf("pool\n%+v, want\n%+v", got, want)
	}
	ring := got.Ring()
	if places := []hashring.Server{{Name: "s2", Weight: 2}, {Name: "s.1", Weight: 1}, {Name: "sessions10", Weight: 1}}; !reflect.DeepEqual(ring.Servers, places) {
		t.Errorf("places %v, want %v", ring.Servers, places)
	}
}

func TestReplicatedPool(t *testing.T) {
	t.Parallel()
	want := basis(Replicated)
	want.Shards = []Shard{
		{Name: "b", Weight: 3, Servers: []Server{{"h3:6379", "tcp", "h3:6379", 1}}},
		{Name: "aa", Weight: 1, Servers: []Server{{"h2:6379", "tcp", "h2:6379", 1}, {"h1:6379", "tcp", "h1:6379", 1}}},
	}
	for name, text := range map[string]string{
		"tables": `topology = "replicated"
			hash_tag = "{}"
			[[pools.alpha.shards]]
			name = "aa"
			servers = ["h2:6379", "h1:6379"]
			[[pools.alpha.shards]]
			name = "b"
			weight = 3
			servers = ["h3:6379"]`,
		"inline": `shards = [{ name = "aa", servers = ["h2:6379", "h1:6379"] }, { name = "b", weight = 3, servers = ["h3:6379"] }]
			hash_tag = "{}"
			topology = "replicated"`,
	} {
		if got := pool(t, text); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: pool\n%+v, want\n%+v", name, got, want)
		}
	}
}

func TestClusterPool(t *testing.T) {
	t.Parallel()
	got := pool(t, `topology = "cluster"`, `servers = ["h9:7000", "h1:7000", "[::1]:7000"]`, `redis_db = 0`)
	want := basis(Cluster)
	want.Servers = []Server{{"h9:7000", "tcp", "h9:7000", 1}, {"h1:7000", "tcp", "h1:7000", 1}, {"[::1]:7000", "tcp", "[::1]:7000", 1}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("pool\n%+v, want\n%+v", got, want)
	}
	if places := got.RingServers(); places != nil {
		t.Errorf("places %v in a Cluster", places)
	}
}

func TestEjectAndAutoEjectHostsMeanTheSame(t *testing.T) {
	t.Parallel()
	for lines, want := range map[string]bool{
		`eject = "eject"`: true,
		`eject = "fail"`:  false,
		"eject = \"eject\"\nauto_eject_hosts = true": true,
		"auto_eject_hosts = false\neject = \"fail\"": false,
	} {
		if got := mustParse(t, minimal(`timeout = "1s"`, lines)).Pools[0].AutoEjectHosts; got != want {
			t.Errorf("%s: AutoEjectHosts %v", lines, got)
		}
	}
}

func TestAddressesAreMapped(t *testing.T) {
	t.Parallel()
	p := pool(t, `topology = "cluster"`, `servers = ["h:1"]`,
		`address_map = { "10.0.0.5:6379" = "127.0.0.1:7001", "10.0.0.5" = "192.0.2.5", "Inside" = "outside.example.com", "::1" = "::2", "[::3]:1" = "[::4]:2" }`)
	for addr, want := range map[string]string{
		"10.0.0.5:6379": "127.0.0.1:7001",
		"10.0.0.5:6380": "192.0.2.5:6380",
		"10.0.0.6:6379": "10.0.0.6:6379",
		"inside:1":      "outside.example.com:1",
		"INSIDE:1":      "outside.example.com:1",
		"[::1]:6379":    "[::2]:6379",
		"[::3]:1":       "[::4]:2",
		"[::3]:2":       "[::3]:2",
		"nonsense":      "nonsense",
		"":              "",
	} {
		if got := p.MapAddr(addr); got != want {
			t.Errorf("MapAddr(%q) = %q, want %q", addr, got, want)
		}
	}
	if got := (&Pool{}).MapAddr("H:1"); got != "H:1" {
		t.Errorf("without a map: %q", got)
	}
}

func TestZones(t *testing.T) {
	t.Parallel()
	p := pool(t, `topology = "cluster"`, `servers = ["h:1"]`, `read_from = "zone"`, `[pools.alpha.zones]`,
		`wide = ["10.0.0.0/8", "redis7", "fd00::/8"]`,
		`"eu 1a" = ["10.1.0.0/16", "REDIS7:6380", "10.9.9.9"]`)
	want := []Zone{
		{Name: "wide", Nets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}, Hosts: []string{"redis7"}},
		{Name: "eu 1a", Nets: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Hosts: []string{"redis7:6380", "10.9.9.9"}},
	}
	if !reflect.DeepEqual(p.Zones, want) {
		t.Errorf("zones %+v, want %+v", p.Zones, want)
	}
	for addr, want := range map[string]string{
		"10.2.0.1:6379":   "wide",
		"10.1.0.1:6379":   "eu 1a", // the smaller network
		"10.9.9.9:1":      "eu 1a", // the host before the network
		"redis7:6379":     "wide",
		"Redis7:6380":     "eu 1a", // the address before the host
		"[fd00::1]:6379":  "wide",
		"192.0.2.1:6379":  "",
		"redis8:6379":     "",
		"not an address!": "",
	} {
		if got := p.ZoneOf(addr); got != want {
			t.Errorf("ZoneOf(%q) = %q, want %q", addr, got, want)
		}
	}
}

func TestKeysOfOtherTopologiesAreMistakes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"nothing to empty", "servers = [\"h:1\"]\nrestore = \"flush\"",
			`4:11: pool "a": restore "flush": a server keeps its keys while it is down, since none move; want auto_eject_hosts = true, or remove this key`},
		{"a ring's key for Sentinel", "topology = \"sentinel\"\nsentinels = [\"h:1\"]\nmasters = [\"m\"]\nauto_eject_hosts = true",
			`6:1: pool "a": auto_eject_hosts belongs to topology "static"; this pool has topology "sentinel"`},
		{"servers for Sentinel", "topology = \"sentinel\"\nsentinels = [\"h:1\"]\nmasters = [\"m\"]\nservers = [\"h:1\"]",
			`6:1: pool "a": servers belongs to topology "static" or "cluster"; topology "sentinel" wants sentinels and masters instead`},
		{"servers for replication", "servers = [\"h:1\"]\ntopology = \"replicated\"\n[[pools.a.shards]]\nname = \"s\"\nservers = [\"h:1\"]",
			`3:1: pool "a": servers belongs to topology "static" or "cluster"; topology "replicated" wants shards instead`},
		{"no topology", "servers = [\"h:1\"]\nread_from = \"replica\"",
			`4:1: pool "a": read_from belongs to topology "replicated", "sentinel" or "cluster"; this pool has topology "static", as none is given; want topology = "replicated", or remove this key`},
		{"no topology, masters", "servers = [\"h:1\"]\nmasters = [\"m\"]",
			`4:1: pool "a": masters belongs to topology "sentinel"; this pool has topology "static", as none is given; want topology = "sentinel", or remove this key`},
		{"a ring's key in a Cluster", "topology = \"cluster\"\nservers = [\"h:1\"]\nhash_tag = \"{}\"",
			`5:1: pool "a": hash_tag is for a ring; in topology "cluster" keys are in slots by the Cluster's own rule, with {} as hash tag; remove this key`},
		{"ejection in a Cluster", "topology = \"cluster\"\nservers = [\"h:1\"]\neject = \"fail\"",
			`5:1: pool "a": eject belongs to topology "static"; this pool has topology "cluster"`},
		{"default_server in a Cluster", "topology = \"cluster\"\nservers = [\"h:1\"]\ndefault_server = \"h:1\"",
			`5:1: pool "a": default_server belongs to topology "static", "replicated" or "sentinel"; this pool has topology "cluster"`},
		{"a database in a Cluster", "topology = \"cluster\"\nservers = [\"h:1\"]\nredis_db = 3",
			`5:12: pool "a": redis_db 3: want 0, the only database of a Cluster`},
	} {
		_, _, err := Parse([]byte("[pools.a]\nlisten = \"h:22121\"\n"+test.text), "x")
		if err == nil || err.Error() != "x:"+test.want {
			t.Errorf("%s: %v, want x:%s", test.name, err, test.want)
		}
	}
}

func TestTLSFilesAreFoundBesideTheConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, warnings, err := Parse([]byte(minimal("[pools.alpha.server_tls]", `server_name = "redis.example.com"`, "insecure_skip_verify = true")), filepath.Join(dir, "ringway.toml"))
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	if got, want := *c.Pools[0].ServerTLS, (TLS{ServerName: "redis.example.com", Insecure: true}); got != want {
		t.Errorf("server_tls %+v, want %+v", got, want)
	}
	if c := mustParse(t, minimal("server_tls = {}")); c.Pools[0].ServerTLS == nil {
		t.Error("an empty table does not turn TLS on")
	}

	if err := os.WriteFile(filepath.Join(dir, "empty.pem"), []byte("nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		`server_tls = { ca = "empty.pem" }`:                       `:4:21: pool "alpha": server_tls ca: ` + dir + `/empty.pem holds no certificate; want PEM, with lines -----BEGIN CERTIFICATE-----`,
		`server_tls = { ca = "missing.pem" }`:                     `:4:21: pool "alpha": server_tls ca: stat ` + dir + `/missing.pem: no such file or directory`,
		`server_tls = { ca = "/dev/zero" }`:                       `:4:21: pool "alpha": server_tls ca: /dev/zero: want a file`,
		`server_tls = { cert = "empty.pem", key = "missing.pem"}`: `:4:23: pool "alpha": server_tls key: stat ` + dir + `/missing.pem: no such file or directory`,
		`server_tls = { cert = "empty.pem", key = "empty.pem"}`:   `:4:23: pool "alpha": server_tls cert ` + dir + `/empty.pem and key ` + dir + `/empty.pem: tls: failed to find any PEM data in certificate input`,
	} {
		_, _, err := Parse([]byte(minimal(line)), filepath.Join(dir, "ringway.toml"))
		if err == nil || err.Error() != filepath.Join(dir, "ringway.toml")+want {
			t.Errorf("%s: %v, want %s", line, err, want)
		}
	}
}
