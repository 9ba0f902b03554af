package conf

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what is reported for testdata/invalid into the files beside it")

// example is a pool as users write it.
const example = `
[pools.alpha]
listen = "127.0.0.1:22121"
hash = "fnv1a_64"
distribution = "ketama"
hash_tag = "{}"
auto_eject_hosts = true
server_retry_timeout = "2s"
server_failure_limit = 3
timeout = "400ms"
servers = ["127.0.0.1:6379:1 alpha1", "127.0.0.1:6380:1 alpha2"]
`

// minimal returns a pool of defaults with more lines in it.
func minimal(lines ...string) string {
	return "[pools.alpha]\nlisten = \"127.0.0.1:22121\"\nservers = [\"127.0.0.1:6379\"]\n" + strings.Join(lines, "\n")
}

func mustParse(t *testing.T, text string) *Config {
	t.Helper()
	c, warnings, err := Parse([]byte(text), "ringway.toml")
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	for _, w := range warnings {
		t.Errorf("Parse warns: %v", w)
	}
	return c
}

// Every mistake is reported at its place, with what would be right.
func TestMistakesAreReportedAtTheirPlaces(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/invalid/*.toml")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files of mistakes, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		conf, _, err := Parse(text, filepath.Base(file))
		if err == nil || conf != nil {
			t.Errorf("%s: Parse returned %v and error %v, want nothing and an error", file, conf, err)
			continue
		}
		got, wanted := err.Error()+"\n", strings.TrimSuffix(file, ".toml")+".txt"
		if *update {
			if err := os.WriteFile(wanted, []byte(got), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(wanted)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s:\ngot  %swant %s", file, got, want)
		}
	}
}

func TestExampleConfiguration(t *testing.T) {
	t.Parallel()
	got := mustParse(t, example)
	want := Default()
	want.Path, want.Hash, want.lines, want.shown = "ringway.toml", got.Hash, got.lines, got.shown
	p := DefaultPool("alpha")
	p.Listen = Listen{Network: "tcp", Addr: "127.0.0.1:22121"}
	p.Hash, p.Distribution, p.HashTag = "fnv1a_64", "ketama", "{}"
	p.AutoEjectHosts = true
	p.ServerRetryTimeout = 2 * time.Second
	p.ServerFailureLimit = 3
	p.Timeout = 400 * time.Millisecond
	p.Servers = []Server{
		{Name: "alpha1", Network: "tcp", Addr: "127.0.0.1:6379", Weight: 1},
		{Name: "alpha2", Network: "tcp", Addr: "127.0.0.1:6380", Weight: 1},
	}
	want.Pools = []Pool{p}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Parse returned\n%+v, want\n%+v", got, want)
	}
}

func TestUnsetSettingsHaveTheirDefaults(t *testing.T) {
	t.Parallel()
	got := mustParse(t, minimal())
	if got.Proxy != Default().Proxy {
		t.Errorf("[proxy] is %+v, want %+v", got.Proxy, Default().Proxy)
	}
	want := DefaultPool("alpha")
	want.Listen, want.Servers = got.Pools[0].Listen, got.Pools[0].Servers
	if !reflect.DeepEqual(got.Pools[0], want) {
		t.Errorf("pool is %+v, want %+v", got.Pools[0], want)
	}
}

// Every setting is stored in its own field.
func TestEverySettingIsStored(t *testing.T) {
	t.Parallel()
	got := mustParse(t, `
[proxy]
watch_config = true
threads = 3
io_uring = false
statistics = false
log_level = "error"
log_format = "json"
audit_log = "/var/log/audit.log"
instance = "i:1"
zone = "z"
max_clients = 5
client_idle_timeout = "1m"
client_keepalive = "24s"
drain_delay = "5s"
drain_timeout = "2m"
max_memory = "6GB"
max_request = "7 KB"
max_bulk = "8KiB"
max_args = 9
client_pipeline = 10
tracking_keys = 21
client_subscriptions = 23
gather_limit = "22KiB"
client_output = "11mb"
client_output_limit = "12GiB"
pubsub_output_limit = "24mb"
pubsub_output_soft_limit = "25mb"
pubsub_output_soft_time = "26s"
subscriber_connections = 27
on_lost_subscription = "close"
server_queue = 13
server_queue_bytes = "14336b"
server_reply_bytes = "15KB"

[admin]
listen = "127.0.0.1:9180"
password = "p"
ready = "all"

[pools.alpha]
listen = "/run/ringway.sock 660"
hash = "md5"
hash_tag = "$$"
hash_signed_char = false
distribution = "modula"
timeout = "15ms"
connect_timeout = "16ms"
backlog = 17
client_connections = 18
tcpkeepalive = true
reply_check = "3s"
reuseport = true
redis = true
redis_auth = "secret"
redis_user = "u"
resolve_interval = "23s"
redis_db = 0
databases = 29
transactions = "per_shard"
merge_sets = true
client_setname = false
slow_request = "23ms"
log_keys = "hash"
big_value = "2MB"
big_value_action = "refuse"
preconnect = true
auto_eject_hosts = true
server_connections = 19
pinned_connections = 22
default_server = "localhost:6379"
allow_commands = ["KEYS", "config|get", "keys"]
deny_commands = ["Script"]
restore = "flush"
server_retry_timeout = "20ms"
server_failure_limit = 21
servers = ["localhost:6379"]
`)
	want := &Config{
		Path: "ringway.toml", Hash: got.Hash, lines: got.lines, shown: got.shown,
		Proxy: Proxy{
			WatchConfig: true, Threads: 3, LogLevel: slog.LevelError, LogFormat: "json", AuditLog: "/var/log/audit.log", Instance: "i:1", Zone: "z", MaxClients: 5,
			ClientIdleTimeout: time.Minute, ClientKeepAlive: 24 * time.Second, DrainDelay: 5 * time.Second, DrainTimeout: 2 * time.Minute,
			MaxMemory: 6 << 30, MaxRequest: 7 << 10, MaxBulk: 8 << 10, MaxArgs: 9,
			ClientPipeline: 10, TrackingKeys: 21, ClientSubscriptions: 23, GatherLimit: 22 << 10, ClientOutput: 11 << 20, ClientOutputLimit: 12 << 30,
			PubSubOutputLimit: 24 << 20, PubSubOutputSoft: 25 << 20, PubSubOutputTime: 26 * time.Second, SubscriberConnections: 27, OnLostSubscription: "close",
			ServerQueue: 13, ServerQueueBytes: 14 << 10, ServerReplyBytes: 15 << 10,
		},
		Admin: Admin{Listen: Listen{Network: "tcp", Addr: "127.0.0.1:9180"}, Password: "p", Ready: ReadyAll},
		Pools: []Pool{{
			Topology: Static, ReadFrom: ReadPrimary, MaxReplicaLag: 10 * time.Second, FailoverWait: 5 * time.Second, ReplicaAcks: AcksAuto, ProbeInterval: time.Second,
			ResolveInterval: 23 * time.Second, RedisUser: "u",
			Name: "alpha", Listen: Listen{Network: "unix", Addr: "/run/ringway.sock", Mode: 0o660},
			Backlog: 17, ReusePort: true, MaxClients: 18,
			Hash: "md5", Distribution: "modula", HashTag: "$$", HashSignedChar: false,
			Timeout: 15 * time.Millisecond, ConnectTimeout: 16 * time.Millisecond,
			ReplyCheck: 3 * time.Second, TCPKeepAlive: true, RedisAuth: "secret", Transactions: PerShard, MergeSets: true, SlowRequest: 23 * time.Millisecond, LogKeys: "hash", BigValue: 2 << 20, BigValueAction: "refuse", Preconnect: true, AutoEjectHosts: true,
			ServerConnections: 19, PinnedConnections: 22, Databases: 29, Restore: RestoreFlush, TLSUser: UserOff, NetworkLimits: NetworkLimits{Prefix4: 32, Prefix6: 64}, ServerRetryTimeout: 20 * time.Millisecond, ServerFailureLimit: 21,
			DefaultServer: "localhost:6379", AllowCommands: []string{"keys", "config|get"}, DenyCommands: []string{"script"},
			Servers: []Server{{Name: "localhost:6379", Network: "tcp", Addr: "localhost:6379", Weight: 1}},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Parse returned\n%+v, want\n%+v", got, want)
	}
	stats := Listen{Network: "tcp", Addr: "127.0.0.1:22222"} // which statistics = false contradicts
	if got := mustParse(t, "[proxy]\nstats_listen = \"127.0.0.1:22222\"\n"+minimal()).Proxy.StatsListen; got != stats {
		t.Errorf("stats_listen is %v, want %v", got, stats)
	}
	if got := mustParse(t, minimal("redis_db = 7")).Pools[0].RedisDB; got != 7 {
		t.Errorf("redis_db is %d, want 7", got)
	}
}

// A pool has the databases of a Redis, unless its clients are meant to have one.
func TestHowManyDatabasesAPoolHas(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		lines []string
		want  int
	}{
		{nil, 16},
		{[]string{"databases = 1"}, 1},
		{[]string{"databases = 40"}, 40},
		{[]string{"redis_db = 0"}, 16},
		{[]string{"redis_db = 3"}, 1},
		{[]string{"redis_db = 30"}, 1},
		{[]string{"redis_db = 3", "databases = 16"}, 16},
		{[]string{`topology = "cluster"`}, 1},
		{[]string{`topology = "cluster"`, "databases = 1"}, 1},
	} {
		if got := mustParse(t, minimal(test.lines...)).Pools[0].Databases; got != test.want {
			t.Errorf("%q: %d databases, want %d", test.lines, got, test.want)
		}
	}
}

func TestPoolsKeepTheOrderOfTheText(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `
[pools]
zeta.listen = "127.0.0.1:1"
zeta.servers = ["a:1"]
beta = { listen = "127.0.0.1:2", servers = ["a:1"] }
"al.pha" = { listen = "127.0.0.1:3", servers = ["a:1"] }
`)
	var names []string
	for _, p := range c.Pools {
		names = append(names, p.Name)
	}
	if got := strings.Join(names, " "); got != "zeta beta al.pha" {
		t.Errorf("pools %s, want zeta beta al.pha", got)
	}
}

// Index order decides placement under modula, so it must be twemproxy's.
func TestServersAreInTwemproxysOrder(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `
[pools.alpha]
listen = "127.0.0.1:22121"
hash = "md5"
hash_tag = ""
servers = ["h:1:1 server10", "h:2:1 server9", "h:3:1 z", "h:4:1 B", "h:5:1 server1"]
`)
	var names []string
	for _, s := range c.Pools[0].Servers {
		names = append(names, s.Name)
	}
	if got, want := strings.Join(names, " "), "B z server1 server9 server10"; got != want {
		t.Errorf("servers %s, want %s", got, want)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		want       string // a part of the only warning; "" for none
	}{
		{"fnv1a_64 with ketama", minimal(`hash = "fnv1a_64"`), ""},
		{"crc32 with modula", minimal(`hash = "crc32"`, `distribution = "modula"`), ""},
		{"crc32 with ketama", minimal(`hash = "crc32"`), `x.toml:4:8: warning: pool "alpha": hash crc32 has 15 bits`},
		{"crc16 with ketama", minimal(`hash = "crc16"`), `x.toml:4:8: warning: pool "alpha": hash crc16 `},
		{
			"two names for one address",
			"[pools.alpha]\nlisten = \"127.0.0.1:1\"\nhash_tag = \"{}\"\nservers = [\"h:1 a\",\n  \"h:1 b\"]",
			`x.toml:5:3: warning: pool "alpha": servers entry "h:1 b": two names for one address, "a" and "b"`,
		},
		{"commands that scripts may run", minimal(`deny_commands = ["flushall"]`), `x.toml:4:17: warning: pool "alpha": deny_commands does not hold in scripts`},
		{"commands that the servers deny", minimal(`deny_commands = ["flushall"]`, `redis_user = "u"`, `redis_auth = "p"`), ""},
		{"scripts are denied, too", minimal(`deny_commands = ["flushall", "eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro"]`), ""},
		{"scripts alone are denied", minimal(`deny_commands = ["eval"]`), ""},
		{"a command of a module", minimal(`allow_commands = ["commandlog"]`), `x.toml:4:19: warning: pool "alpha": allow_commands entry "commandlog": Ringway does not know this command`},
		{"database behind a password", minimal(`redis_auth = "x"`, `redis_db = 2`), `x.toml:5:12: warning: pool "alpha": redis_db 2 with redis_auth`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c, warnings, err := Parse([]byte(test.text), "x.toml")
			if err != nil || c == nil {
				t.Fatalf("Parse: %v", err)
			}
			var got string
			for _, w := range warnings {
				got += w.String()
			}
			if !strings.HasPrefix(got, test.want) || test.want == "" && got != "" {
				t.Errorf("warnings %q, want %q", got, test.want)
			}
		})
	}
}

func TestWarningsAreReportedBesideMistakes(t *testing.T) {
	t.Parallel()
	_, warnings, err := Parse([]byte(minimal(`hash = "crc32"`, `timeout = 1`)), "")
	if err == nil || len(warnings) != 1 {
		t.Fatalf("warnings %v, error %v, want one of each", warnings, err)
	}
	if got, want := err.Error(), `configuration:5:11: pool "alpha": timeout 1: `; !strings.HasPrefix(got, want) {
		t.Errorf("error %q, want %q", got, want)
	}
	if _, ok := errors.AsType[Mistakes](err); !ok {
		t.Errorf("error of type %T, want Mistakes", err)
	}
}

// Editors put a byte order mark and carriage returns into files.
func TestByteOrderMarkAndCarriageReturnsAreIgnored(t *testing.T) {
	t.Parallel()
	text := "\uFEFF" + strings.ReplaceAll(minimal(`timeout = 1`), "\n", "\r\n")
	_, _, err := Parse([]byte(text), "x")
	if err == nil || !strings.HasPrefix(err.Error(), `x:4:11: pool "alpha": timeout 1: `) {
		t.Errorf("error %v", err)
	}
	if c := mustParse(t, strings.ReplaceAll(text, "timeout = 1", "")); len(c.Pools) != 1 {
		t.Errorf("%d pools", len(c.Pools))
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ringway.toml")
	if err := os.WriteFile(path, []byte(example), 0o666); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := Load(path)
	if err != nil || len(warnings) != 0 || c.Path != path || len(c.Pools) != 1 {
		t.Errorf("Load returned %+v, %v, %v", c, warnings, err)
	}
	if _, _, err := Load(path + ".not"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load of a missing file: %v", err)
	}
}

func TestEndlessTextIsRefused(t *testing.T) {
	t.Parallel()
	_, _, err := Load("/dev/zero")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("no /dev/zero")
	}
	if err == nil || !strings.Contains(err.Error(), "more than 1MB") {
		t.Errorf("error %v", err)
	}
}

// examples/ringway.toml loads without warnings and shows every setting.
func TestExampleFileLoads(t *testing.T) {
	t.Parallel()
	const path = "../examples/ringway.toml"
	if _, warnings, err := Load(path); err != nil || len(warnings) != 0 {
		t.Errorf("Load: %v, %v", warnings, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(namesOf(proxySettings), namesOf(poolSettings)...) {
		if name != "redis" && name != "shards" && !strings.Contains(string(text), "\n"+name+" = ") && !strings.Contains(string(text), "\n#"+name+" = ") {
			t.Errorf("%s says nothing of %s", path, name)
		}
	}
}

// The commented-out pools of examples/ringway.toml load, too.
func TestHighAvailabilityPartOfExampleFileLoads(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../examples/ringway.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, part, ok := strings.Cut(string(text), "\n# High availability")
	if !ok {
		t.Fatal("the example has no such part")
	}
	var b strings.Builder
	b.WriteString("[proxy]\nzone = \"eu-1a\"\n")
	for line := range strings.Lines(part) {
		if setting, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(setting, " ") && !strings.Contains(setting, "tls") && !strings.Contains(setting, "_file") {
			b.WriteString(strings.ReplaceAll(setting, `"..."`, `"secret"`))
		}
	}
	c := mustParse(t, b.String())
	if len(c.Pools) != 3 || c.Pools[0].Topology != Sentinel || c.Pools[1].Topology != Replicated || c.Pools[2].Topology != Cluster {
		t.Errorf("pools %+v", c.Pools)
	}
}

// Each block of pools that a document shows loads without warnings.
func TestConfigurationsInDocumentsLoad(t *testing.T) {
	t.Parallel()
	blocks := 0
	for _, name := range []string{"../README.md", "../docs/ha.md", "../docs/migration.md", "../docs/operations.md", "../docs/users.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(text), "```toml\n")[1:] {
			block, _, _ = strings.Cut(block, "```")
			if !strings.Contains(block, "[pools.") {
				continue
			}
			blocks++
			if _, warnings, err := Parse([]byte(block), name); err != nil || len(warnings) > 0 {
				t.Errorf("block %d: %v %v", i, warnings, err)
			}
		}
	}
	if blocks < 4 {
		t.Errorf("%d blocks", blocks)
	}
}

func TestPoolsHaveAtMostMaxShards(t *testing.T) {
	text := func(n int) []byte {
		b := []byte("[pools.alpha]\nlisten = \"127.0.0.1:22121\"\ndistribution = \"modula\"\nservers = [\n")
		for i := range n {
			b = fmt.Appendf(b, "%q,\n", fmt.Sprintf("10.0.%d.%d:6379", i>>8, i&255))
		}
		return append(b, "]\n"...)
	}
	if _, _, err := Parse(text(16384), "ringway.toml"); err != nil {
		t.Error(err)
	}
	if _, _, err := Parse(text(16385), "ringway.toml"); err == nil || !strings.Contains(err.Error(), "16385 shards; want at most 16384") {
		t.Errorf("error %v", err)
	}
}
