package conf

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// yml returns a pool alpha of nutcracker with more lines in it, separated by "\n".
func yml(lines string) string {
	if lines != "" {
		lines = "  " + strings.ReplaceAll(lines, "\n", "\n  ") + "\n"
	}
	return "alpha:\n  listen: 127.0.0.1:22121\n  redis: true\n" + lines + "  servers:\n   - 127.0.0.1:6379:1 alpha1\n"
}

// What a nutcracker.yml leaves out is as nutcracker has it.
func TestNutcrackersDefaults(t *testing.T) {
	t.Parallel()
	c, warnings, err := Parse([]byte(yml("")), "nutcracker.yml")
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	want := Default()
	want.Path, want.Hash, want.Nutcracker, want.lines = "nutcracker.yml", c.Hash, true, c.lines
	p := DefaultPool("alpha")
	p.Listen = Listen{Network: "tcp", Addr: "127.0.0.1:22121"}
	p.Hash, p.HashTag, p.Distribution = "fnv1a_64", "", "ketama"
	p.Timeout, p.Backlog, p.Preconnect, p.AutoEjectHosts, p.MaxClients = 0, 512, false, false, 0
	p.ServerRetryTimeout, p.ServerFailureLimit, p.ServerConnections = 30*time.Second, 2, 1
	p.Servers = []Server{{Name: "alpha1", Network: "tcp", Addr: "127.0.0.1:6379", Weight: 1}}
	want.Pools = []Pool{p}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("Parse returned\n%+v, want\n%+v", c, want)
	}
}

// Every key of nutcracker is stored, with quotes and without, and servers are in nutcracker's order.
func TestNutcrackersKeysAreStored(t *testing.T) {
	t.Parallel()
	text := `# pools
"beta":
    servers:
    - 10.0.0.2:11211:3
    - /run/redis.sock:2
    - ::1:6379:1
    - 'redis-1:6380:7 one'   # the first
    redis_auth: "p: # ü"
    hash: murmur
    hash_tag: "$$"
    distribution: modula
    timeout: 400
    backlog: 1024
    client_connections: 7
    redis: true
    tcpkeepalive: true
    reuseport: true
    preconnect: true
    auto_eject_hosts: "true"
    server_connections: 3
    server_retry_timeout: 0
    server_failure_limit: 0
    listen: /run/ringway.sock 660
`
	c, warnings, err := Parse([]byte("\uFEFF"+strings.ReplaceAll(text, "\n", "\r\n")), "x.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p := DefaultPool("beta")
	p.Listen = Listen{Network: "unix", Addr: "/run/ringway.sock", Mode: 0o660}
	p.Hash, p.HashTag, p.Distribution, p.RedisAuth = "murmur", "$$", "modula", "p: # ü"
	p.Timeout, p.Backlog, p.TCPKeepAlive, p.ReusePort, p.Preconnect, p.AutoEjectHosts = 400*time.Millisecond, 1024, true, true, true, true
	p.ServerConnections, p.ServerRetryTimeout, p.ServerFailureLimit = 3, time.Millisecond, 1
	p.Servers = []Server{
		{Name: "one", Network: "tcp", Addr: "redis-1:6380", Weight: 7},
		{Name: "10.0.0.2", Network: "tcp", Addr: "10.0.0.2:11211", Weight: 3},
		{Name: "::1:6379", Network: "tcp", Addr: "[::1]:6379", Weight: 1},
		{Name: "/run/redis.sock:", Network: "unix", Addr: "/run/redis.sock", Weight: 2},
	}
	if !reflect.DeepEqual(c.Pools, []Pool{p}) {
		t.Errorf("Parse returned\n%+v, want\n%+v", c.Pools, p)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0].String(), "x.yaml:14:5: warning: pool \"beta\": client_connections 7: nutcracker reads it") {
		t.Errorf("warnings %v", warnings)
	}
}

// Each mistake is one line, with its place and what would be right, and without passwords.
func TestMistakesInANutcrackerYML(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{"", `x.yml:1:1: no pool; want lines such as "alpha:"`},
		{"# nothing\n", `x.yml:1:1: no pool`},
		{"alpha\n", `x.yml:1:1: want a key, a colon and a space before each value`},
		{"- alpha\n", `x.yml:1:1: want a key, a colon`},
		{"alpha:\n", `x.yml:1:1: pool "alpha": the pool is empty`},
		{"alpha: 3\n", `x.yml:1:8: pool "alpha": want a key`},
		{"alpha:\n  redis: true\n", "x.yml:1:1: pool \"alpha\": listen is missing; want the address for clients, such as listen: 127.0.0.1:22121\n" +
			`x.yml:1:1: pool "alpha": servers is missing; want a line for each server under it`},
		{"alpha:\n\tlisten: h:1\n", `x.yml:2:1: syntax: a tab: want spaces`},
		{"alpha:\n  listen: h:1\n redis: true\n", `x.yml:3:2: syntax: the indentation is wrong`},
		{"alpha:\n  listen 127.0.0.1:1\n  hash: md5\n", `x.yml:2:3: syntax: want a colon and a space behind the key, as in listen: VALUE`},
		{"alpha:\n  redis_auth:swordfish\n  redis: true\n", `x.yml:2:3: syntax: want a colon and a space behind the key, as in redis_auth: VALUE`},
		{"alpha:\n  redis_auth = swordfish\n  redis: true\n", `x.yml:2:3: syntax: want a colon and a space behind the key, as in redis_auth: VALUE`},
		{yml("hash_tag: {}"), `x.yml:4:13: syntax: braces: nutcracker has none of these`},
		{yml("hash: [md5]"), `x.yml:4:9: syntax: a list in brackets`},
		{yml("hash: &h md5"), `x.yml:4:9: syntax: an anchor (&)`},
		{yml("hash: *h"), `x.yml:4:9: syntax: an alias (*)`},
		{yml("<<: *h"), `x.yml:4:3: syntax: a merge key (<<)`},
		{yml("hash: !!str md5"), `x.yml:4:9: syntax: a tag (!)`},
		{yml("hash: |\n  md5"), `x.yml:4:9: syntax: text of several lines`},
		{yml("redis_auth: \"swordfish"), `x.yml:4:15: syntax: want a closing quote`},
		{yml("redis_auth: @swordfish"), `x.yml:4:15: syntax: want the value in quotes, since YAML reserves this character`},
		{yml("redis_auth: sword: fish"), `x.yml:4:15: syntax: want one key and one value in a line, and the value in quotes`},
		{yml("") + "---\nbeta: 1\n", `x.yml:6:1: syntax: a second document`},
		{yml("") + "...\n", `x.yml:6:1: syntax: the end of a document`},
		{"%YAML 1.1\n---\n" + yml(""), `x.yml:1:1: syntax: a directive`},
		{yml("timeout: 1\ntimeout: 2"), `x.yml:5:3: pool "alpha": key "timeout" is in line 4 already; want it once`},
		{yml("") + "alpha:\n  redis: true\n", `x.yml:6:1: pool "alpha" is in line 1 already; want each pool once`},
		{yml("timeout: 2s"), `x.yml:4:12: pool "alpha": timeout 2s: want a number of milliseconds: 2000`},
		{yml("timeout: -1"), `x.yml:4:12: pool "alpha": timeout -1: want a number of milliseconds, such as 400`},
		{yml("timeout:"), `x.yml:4:3: pool "alpha": timeout has no value; want one behind the colon, or this key removed`},
		{yml("timeout:\n  a: 1"), `x.yml:5:6: pool "alpha": timeout: want a value in one line, not keys or lists under it`},
		{yml("timeout:\n- 1"), `x.yml:5:3: pool "alpha": timeout - 1: want a number of milliseconds, such as 400`},
		{yml("preconnect: yes"), `x.yml:4:15: pool "alpha": preconnect yes: want true`},
		{yml("preconnect: maybe"), `want true or false`},
		{yml("server_connections: 0"), `x.yml:4:23: pool "alpha": server_connections 0: want 1 or more`},
		{yml("server_connections: 0x2"), `server_connections 0x2: want a whole number`},
		{yml("backlog: 99999999999"), `want a whole number, 0 or more`},
		{yml("hash: FNV1a_64"), `x.yml:4:9: pool "alpha": hash FNV1a_64 is unknown; want fnv1a_64`},
		{yml("hash: xxhash64"), `hash xxhash64 is unknown; `},
		{yml("distribution: bounded"), `distribution bounded is unknown; `},
		{yml("hash_tag: \"{\""), `hash_tag "{": want two characters`},
		{yml("server_failure_limits: 2"), `x.yml:4:3: pool "alpha": key "server_failure_limits" is unknown; the nearest is server_failure_limit`},
		{yml("threads: 2"), `key "threads" belongs in a TOML configuration, which ringway convert writes`},
		{yml("requirepass: swordfish"), `key "requirepass" is unknown; want redis_auth`},
		{yml("sentinels:\n - h:1:1"), `key "sentinels" belongs in a TOML configuration`},
		{yml("redis_db: 1\nredis_auth:"), `x.yml:5:3: pool "alpha": redis_auth has no value`},
		{strings.Replace(yml(""), ":1 alpha1", " alpha1", 1), `x.yml:5:6: pool "alpha": servers entry 127.0.0.1:6379 alpha1: want a weight behind the port, as in "127.0.0.1:6379:1 alpha1"`},
		{strings.Replace(yml(""), ":1 alpha1", ":0 alpha1", 1), `servers entry 127.0.0.1:6379:0 alpha1: weight "0": want 1 or more`},
		{yml("") + "   - 127.0.0.2:6379:1 alpha1\n", `x.yml:6:6: pool "alpha": servers entry 127.0.0.2:6379:1 alpha1: two servers of the name "alpha1", the first in line 5`},
		{yml("") + "    - 127.0.0.2:6379:1 alpha2\n", `x.yml:5:4: pool "alpha": servers: a value that goes on in the next line`},
		{strings.Replace(yml(""), "- ", "-", 1), `servers -127.0.0.1:6379:1 alpha1: want a list under it: a line "- host:port:weight name" for each server, with a space behind the dash`},
		{strings.Replace(yml(""), "- ", "- - ", 1), `x.yml:5:6: syntax: a list in a list`},
		{yml("redis_db: 3") + "   - /run/a:1\n", `redis_db 3 with servers on unix sockets, where nutcracker uses database 0, and others, where it uses database 3; want these in pools of their own`},
		{yml("") + strings.Replace(yml(""), "alpha:", "beta:", 1), `x.yml:7:11: pool "beta": listen "127.0.0.1:22121": pool "alpha" listens there already`},
		{strings.Replace(yml(""), "true", "false", 1), `x.yml:1:1: pool "alpha": no pool remains: those without redis: true are pools of memcached servers`},
		{yml("hash: m\xffd5"), `x.yml:4:10: syntax: a byte that is no UTF-8`},
		{yml("hash: \x00"), `hash`},
		{strings.Repeat("a: ", 100000), `syntax: `},
		{strings.Repeat("- ", 100000), `syntax: a list in a list`},
		{strings.Repeat("#", maxText) + "\n" + yml(""), `more than 1MB of text`},
	} {
		c, _, err := Parse([]byte(test.text), "x.yml")
		shown := test.text[:min(len(test.text), 200)]
		if err == nil || c != nil {
			t.Errorf("%q: no mistake", shown)
			continue
		}
		if got := err.Error(); !strings.Contains(got, test.want) || strings.Count(got, "\n") != strings.Count(test.want, "\n") || strings.Contains(got, "fish") {
			t.Errorf("%q:\n%s\nwant\n%s", shown, got, test.want)
		}
	}
}

// Databases that nutcracker never selects are not selected here either, since the data is in database 0.
func TestDatabaseOfANutcrackerYML(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text string
		db   int
		warn string
	}{
		{yml("redis_db: 2"), 2, ""},
		{yml("redis_db: 2\nredis_auth: a"), 0, `x.yml:4:3: warning: pool "alpha": redis_db 2 with redis_auth: nutcracker never selects the database then`},
		{strings.Replace(yml("redis_db: 2"), "127.0.0.1:6379", "/run/a", 1), 0, "redis_db 2 with servers on unix sockets"},
	} {
		c, warnings, err := Parse([]byte(test.text), "x.yml")
		if err != nil || c.Pools[0].RedisDB != test.db {
			t.Errorf("%q: database %+v, error %v; want %d", test.text, c, err, test.db)
		}
		if (test.warn == "") != (len(warnings) == 0) || test.warn != "" && !strings.Contains(warnings[0].String(), test.warn) {
			t.Errorf("%q: warnings %v, want %s", test.text, warnings, test.warn)
		}
	}
}

// Pools of memcached servers are named and left out; the others are served.
func TestPoolsOfMemcachedAreLeftOut(t *testing.T) {
	t.Parallel()
	text := strings.Replace(yml(""), "  redis: true\n", "", 1) +
		strings.NewReplacer("alpha:", "beta:", "true", "false", "22121", "22122").Replace(yml("")) +
		strings.NewReplacer("alpha:", "gamma:", "22121", "22123").Replace(yml(""))
	c, warnings, err := Parse([]byte(text), "x.yml")
	if err != nil || len(c.Pools) != 1 || c.Pools[0].Name != "gamma" || !slices.Equal(c.LeftOut, []string{"alpha", "beta"}) {
		t.Fatalf("%+v, %v", c, err)
	}
	if len(warnings) != 2 || !strings.Contains(warnings[0].String(), `x.yml:1:1: warning: pool "alpha": there is no redis: true`) ||
		!strings.Contains(warnings[1].String(), `pool "beta": redis: false means a pool of memcached servers, which Ringway does not serve: it is left out`) {
		t.Errorf("warnings %v", warnings)
	}
}

// A file is YAML by its name, or if it begins with a pool and is not named .toml.
func TestNutcrackerYMLIsRecognised(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, want := range map[string]bool{"a.yml": true, "a.YAML": true, "nutcracker.conf": true, "plain": true, "a.toml": false} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("# pools\n\n"+yml("")), 0o600); err != nil {
			t.Fatal(err)
		}
		c, _, err := Load(path)
		if (err == nil && c.Nutcracker) != want {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
}

// FuzzNutcrackerYML holds for YAML what FuzzParse holds for TOML.
func FuzzNutcrackerYML(f *testing.F) {
	f.Add([]byte(yml("timeout: 400\nhash: murmur\nhash_tag: \"{}\"\nredis_auth: 'a''b'")))
	f.Add([]byte(yml("") + "\n---\nb: [1, {c: &d *e}]\n? |\n  x\n"))
	f.Add([]byte("a:\r\n\tb: \"\\u00e4\n'x': ~\n- - !!t >-\n  <<: *y\n%Z 1\n..."))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, warnings, err := Parse(text, "x.yml")
		for _, d := range warnings {
			checkDiagnostic(t, text, d)
		}
		if err == nil {
			checkConfig(t, c)
			return
		}
		mistakes, ok := errors.AsType[Mistakes](err)
		if !ok || len(mistakes) == 0 || c != nil {
			t.Fatalf("Parse(%q) returned %v, error %v of type %T", text, c, err, err)
		}
		for _, d := range mistakes {
			checkDiagnostic(t, text, d)
		}
	})
}
