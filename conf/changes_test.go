package conf

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ringway/hashring"
	"ringway/limit"
)

// changed returns the changes between two texts, one a line.
func changed(t *testing.T, was, now string) string {
	t.Helper()
	var lines []string
	for _, c := range Changes(mustParseQuietly(t, was), mustParseQuietly(t, now)) {
		lines = append(lines, c.String())
	}
	return strings.Join(lines, "\n")
}

func mustParseQuietly(t *testing.T, text string) *Config {
	t.Helper()
	c, _, err := Parse([]byte(text), "x")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChangesAreNamedWithTheirLines(t *testing.T) {
	t.Parallel()
	const head = "[pools.alpha]\nlisten = \"h:1\"\n"
	const two = head + "servers = [\"h:2 a\",\n\"h:3 b\"]\n"
	const shards = head + "topology = \"replicated\"\n[[pools.alpha.shards]]\nname = \"a\"\nservers = [\"h:2\", \"h:3\"]\n"
	const masters = head + "topology = \"sentinel\"\nsentinels = [\"h:9\"]\n"
	for _, test := range []struct{ name, was, now, want string }{
		{"nothing", two, two, ""},
		{"comments and order", two, "# x\n[pools.alpha]\nservers = [\"h:3 b\", \"h:2 a\"]\nlisten = \"h:1\"\ntimeout = \"0s\"", ""},
		{"a setting", two + `timeout = "400ms"`, two + `timeout = "1s"`, `pools.alpha: timeout "400ms" -> "1s" (line 5)`},
		{"a setting that goes", two + `timeout = "400ms"`, two, `pools.alpha: timeout "400ms" -> "0s" (the default)`},
		{"a foreign name", two, two + `client_connections = 3`, `pools.alpha: client_connections 0 -> 3 (line 5)`},
		{"two keys of one field", two, two + `eject = "eject"`, `pools.alpha: eject false -> true (line 5)`},
		{"a password", two + `redis_auth = "one"`, two + `redis_auth = "two"`, `pools.alpha: redis_auth "…" -> "…" (line 5)`},
		{"a password that comes", two, two + `redis_auth = "two"`, `pools.alpha: redis_auth none -> "…" (line 5)`},
		{"the process", two, "[proxy]\nmax_memory = \"2GB\"\nlog_level = \"warn\"\nclient_keepalive = \"2m\"\npubsub_output_soft_limit = \"1MB\"\n" + two,
			"proxy: log_level \"info\" -> \"warn\" (line 3)\nproxy: client_keepalive \"5m\" -> \"2m\" (line 4)\nproxy: max_memory \"0B\" -> \"2GB\" (line 2)\nproxy: pubsub_output_soft_limit \"8MB\" -> \"1MB\" (line 5)"},
		{"operators", two, "[admin]\nlisten = \"h:7\"\npassword = \"x\"\n" + two, "admin: listen none -> \"h:7\" (line 2)\nadmin: password none -> \"…\" (line 3)"},
		{"a table", two, two + `server_tls = { server_name = "r", insecure_skip_verify = true }`, `pools.alpha: server_tls none -> { server_name = "r", insecure_skip_verify = true } (line 5)`},
		{"a list", two + `allow_commands = ["keys"]`, two + `allow_commands = ["keys", "config|get"]`, `pools.alpha: allow_commands ["keys"] -> ["keys", "config|get"] (line 5)`},
		{"patterns", two, two + `together = ["a:(*):*", "b:*", { name = "n", keys = ["c:*"] }]`, `pools.alpha: together [] -> ["a:(*):*", { name = "b:*", keys = ["b:*"] }, { name = "n", keys = ["c:*"] }] (line 5)`},
		{"pools", two, "[pools.\"b c\"]\nlisten = \"h:5\"\nservers = [\"h:6\"]\n", "pools.\"b c\": pool added (line 1)\npools.alpha: pool removed"},
		{"servers", two, head + "servers = [\n\"h:2:2 a\",\n\"h:8:1 c\"]", "pools.alpha: server a weight 1 -> 2 (line 4)\npools.alpha: server c added \"h:8\" (line 5)\npools.alpha: server b removed \"h:3\""},
		{"a server elsewhere", two, head + "servers = [\"h:2 a\", \"h:4 b\"]", `pools.alpha: server b "h:3" -> "h:4" (line 3)`},
		{"a shard", shards, strings.Replace(shards, `"h:3"`, `"h:4"`, 1) + "weight = 2", "pools.alpha: shard a [\"h:2\", \"h:3\"] -> [\"h:2\", \"h:4\"] (line 4)\npools.alpha: shard a weight 1 -> 2 (line 4)"},
		{"masters", masters + `masters = ["m"]`, masters + "masters = [\"m:2\",\n\"n:2\"]", "pools.alpha: master m weight 1 -> 2 (line 5)\npools.alpha: master n added weight 2 (line 6)"},
		{"another topology", head + "servers = [\"h:2 a\"]", shards, "pools.alpha: topology \"static\" -> \"replicated\" (line 3)\npools.alpha: shard a \"h:2\" -> [\"h:2\", \"h:3\"] (line 4)"},
		{"another order", head + "topology = \"cluster\"\nservers = [\"h:2\", \"h:3\"]", head + "topology = \"cluster\"\nservers = [\"h:3\", \"h:2\"]", "pools.alpha: servers in another order (line 4)"},
	} {
		if got := changed(t, test.was, test.now); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", test.name, got, test.want)
		}
	}
}

// A field without a key, or a key without a field, would be a change that nobody is told of.
func TestEveryFieldHasItsKey(t *testing.T) {
	t.Parallel()
	check := func(table string, of reflect.Type, names []string, keys fieldKeys) {
		var found []string
		for i := range of.NumField() {
			field := of.Field(i).Name
			if keys[field] == nil && (table != "pools" || field != "Name") {
				t.Errorf("%s: field %s has no key: give it the key's name without underscores, or a line in foreignFields", table, field)
			}
			found = append(found, keys[field]...)
		}
		for _, name := range names {
			if to, foreign := foreignFields[table+"."+name]; !slices.Contains(found, name) && (!foreign || to != "") {
				t.Errorf("%s: key %s has no field: give it a line in foreignFields, with %q if it sets none", table, name, "")
			}
		}
	}
	check("proxy", reflect.TypeFor[Proxy](), proxyNames, proxyFields)
	check("admin", reflect.TypeFor[Admin](), namesOf(adminSettings), adminFields)
	check("pools", reflect.TypeFor[Pool](), poolNames, poolFields)
}

// Every field of every struct in a configuration makes a change, and one that can be seen unless it is
// a password.
func TestEveryFieldIsCompared(t *testing.T) {
	t.Parallel()
	check := func(root string, change func(c *Config, set func(v reflect.Value))) {
		for _, path := range leaves(t, change) {
			was, now := full(), full()
			change(now, func(v reflect.Value) { alter(t, v.FieldByIndex(path)) })
			all := Changes(was, now)
			if len(all) == 0 {
				t.Errorf("%s: another value of field %v is no change", root, path)
			}
			for _, c := range all {
				if c.Was == c.Now && c.Was != `"…"` {
					t.Errorf("%s: %v does not show what has changed", root, c)
				}
			}
		}
	}
	check("Proxy", func(c *Config, set func(reflect.Value)) { set(reflect.ValueOf(&c.Proxy).Elem()) })
	check("Admin", func(c *Config, set func(reflect.Value)) { set(reflect.ValueOf(&c.Admin).Elem()) })
	check("Pool", func(c *Config, set func(reflect.Value)) { set(reflect.ValueOf(&c.Pools[0]).Elem()) })
	check("TLS", func(c *Config, set func(reflect.Value)) { set(reflect.ValueOf(c.Pools[0].ServerTLS).Elem()) })
	check("Zone", func(c *Config, set func(reflect.Value)) { set(reflect.ValueOf(&c.Pools[0].Zones[0]).Elem()) })
	check("Together", func(c *Config, set func(reflect.Value)) { set(reflect.ValueOf(&c.Pools[0].Together[0]).Elem()) })
	check("Shard", func(c *Config, set func(reflect.Value)) { set(reflect.ValueOf(&c.Pools[0].Shards[0]).Elem()) })
	check("Listen", func(c *Config, set func(reflect.Value)) { set(reflect.ValueOf(&c.Pools[0].Listen).Elem()) })
}

// full returns a configuration with something in every list.
func full() *Config {
	c := Default()
	p := DefaultPool("alpha")
	p.Topology = Replicated
	p.Listen = Listen{Network: "tcp", Addr: "h:1", Mode: 0o600}
	p.ServerTLS = &TLS{CA: "ca"}
	p.Zones = []Zone{{Name: "z", Nets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Hosts: []string{"h"}}}
	p.Together = []hashring.Together{{Name: "n", Patterns: []string{"a:*"}}}
	p.Shards = []Shard{{Name: "s", Weight: 1, Servers: []Server{{Name: "h:2", Network: "tcp", Addr: "h:2", Weight: 1}}}}
	c.Pools = []Pool{p}
	return c
}

// leaves returns the indices of a struct's fields.
func leaves(t *testing.T, of func(*Config, func(reflect.Value))) (paths [][]int) {
	t.Helper()
	of(full(), func(v reflect.Value) {
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; name != "Network" && (v.Type() != reflect.TypeFor[Pool]() || name != "Name") {
				paths = append(paths, []int{i})
			}
		}
	})
	return paths
}

// alter gives a field another value.
func alter(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 4)
	case reflect.Uint32:
		v.SetUint(v.Uint() ^ 0o20)
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
	case reflect.Map:
		if v.Type().Elem().Kind() == reflect.Struct { // limits of users
			v.Set(reflect.ValueOf(map[string]limit.Settings{"u": {Connections: 1}}))
			return
		}
		v.Set(reflect.ValueOf(map[string]string{"h:1": "h:2"}))
	case reflect.Slice:
		e := reflect.New(v.Type().Elem()).Elem()
		switch p, isPrefix := e.Addr().Interface().(*netip.Prefix); {
		case isPrefix:
			*p = netip.MustParsePrefix("10.0.0.0/16")
		case e.Kind() == reflect.Struct:
			alter(t, e.Field(0))
		default:
			alter(t, e)
		}
		v.Set(reflect.Append(v, e))
	case reflect.Struct:
		if f := v.FieldByName("Connections"); f.IsValid() { // limits
			alter(t, f)
			return
		}
		alter(t, v.FieldByName("Addr"))
	default:
		t.Fatalf("a %s", v.Type())
	}
}

func TestChangesThatNeedARestart(t *testing.T) {
	t.Parallel()
	for _, key := range startKeys {
		table, name, _ := strings.Cut(key, ".")
		known := map[string][]string{"proxy": proxyNames, "admin": namesOf(adminSettings), "pools": poolNames}
		if !slices.Contains(known[table], name) {
			t.Errorf("there is no key %s", key)
		}
	}
	for text, want := range map[string]bool{"threads = 2": true, `max_request = "2GB"`: false, `log_level = "warn"`: false, `io_uring = false`: true} {
		all := Changes(mustParseQuietly(t, minimal()), mustParseQuietly(t, "[proxy]\n"+text+"\n"+minimal()))
		if len(all) != 1 || all[0].NeedsRestart() != want {
			t.Errorf("%s: %v, want one that needs a restart: %t", text, all, want)
		}
	}
}
