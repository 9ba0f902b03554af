package conf

import (
	"slices"
	"strings"
	"testing"
)

// Suggested settings exist, and no key that a message calls missing exists.
func TestForeignKeysSuggestSettingsThatExist(t *testing.T) {
	t.Parallel()
	all := slices.Concat(poolNames, proxyNames)
	for name, f := range foreignKeys {
		if i := slices.IndexFunc(all, func(s string) bool { return normalized(s) == name }); i >= 0 {
			t.Errorf("%s is a setting, %s", name, all[i])
		}
		for _, to := range f.to {
			if !slices.Contains(all, to) {
				t.Errorf("%s comes to %s, which is no setting", name, to)
			}
		}
		if len(f.to) == 0 && f.note == "" {
			t.Errorf("nothing is said of %s", name)
		}
	}
}

// Keys of other proxies and of redis.conf, tables without [pools.], and missing features
// each get one short line with what would be right.
func TestForeignKeysAreExplained(t *testing.T) {
	t.Parallel()
	inProxy := func(line string) string { return minimal("[proxy]", line) }
	for _, test := range []struct{ text, want string }{
		{minimal(`bind = "h:1"`), `x:4:1: pool "alpha": key "bind" is unknown; want listen: such as`},
		{minimal(`WorkerThreads = 4`), `x:4:1: pool "alpha": key "WorkerThreads" is unknown; want threads in the [proxy] table`},
		{minimal(`MaxMemory = 4`), `x:4:1: pool "alpha": key "MaxMemory" belongs in the [proxy] table, as max_memory`},
		{minimal(`ServerRetryTimeout = 1`), `x:4:1: pool "alpha": key "ServerRetryTimeout" is unknown; the nearest is server_retry_timeout`},
		{minimal(`maxconn = 4`), `x:4:1: pool "alpha": key "maxconn" is unknown; want client_connections`},
		{inProxy(`maxconn = 4`), `x:5:1: proxy: key "maxconn" is unknown; want max_clients`},
		{inProxy(`requirepass = "swordfish"`), `x:5:1: proxy: key "requirepass" is unknown; want redis_auth in a [pools.NAME] table`},
		{minimal(`enable_hashtagging = true`), `want hash_tag: such as hash_tag = "{}"`},
		{minimal(`ssl = true`), `x:4:1: pool "alpha": key "ssl" is unknown; want server_tls: such as`},
		{minimal(`client_tls = true`), `key "client_tls" is unknown; want tls: such as`},
		{minimal(`stats = 1`), `key "stats" is unknown; want stats_listen in the [proxy] table`},
		{minimal(`stats-port = 1`), `key "stats-port" is unknown; want stats_listen in the [proxy] table`},
		{minimal(`max_conns = 1`), `key "max_conns" is unknown; `},
		{minimal(`log_file = 1`), `key "log_file" is not there: the log goes to standard error`},
		{minimal("[metrics]", `listen = "h:9121"`), `x:4:2: table [metrics] is unknown; want [pools.metrics] for a pool`},
		{minimal("[metrics]", `path = "h:9121"`), `x:4:2: key "metrics" is not there: want an [admin] table`},
		{`bind = "h:1"` + "\n" + minimal(), `x:1:1: key "bind" is unknown; want listen in a [pools.NAME] table`},
		{"[alpha]\nlisten = \"h:1\"\nservers = [\"h:2\"]", `x:1:2: table [alpha] is unknown; want [pools.alpha] for a pool`},
		{"[alpha.x]\n", `x:1:2: table [alpha] is unknown; want [pools.alpha] for a pool, or [proxy]`},
		{"[cluster]\nlisten = \"h:1\"\nservers = [\"h:2\"]", `x:1:2: table [cluster] is unknown; want [pools.cluster] for a pool`},
		{"[\"a b\"]\nlisten = \"h:1\"\nservers = [\"h:2\"]", `x:1:2: table [a b] is unknown; want [pools."a b"] for a pool`},
		{"[global]\nthreads = 4\n" + minimal(), `x:1:2: table [global] is unknown; want [proxy]`},
		{"[pool.alpha]\nlisten = \"h:1\"\nservers = [\"h:2\"]", `x:1:2: key "pool" is unknown; the nearest is pools`},
	} {
		_, _, err := Parse([]byte(test.text), "x")
		if err == nil {
			t.Errorf("%q: no mistake", test.text)
			continue
		}
		if got := err.Error(); !strings.Contains(got, test.want) || strings.Contains(got, "\n") || len(got) > 300 || strings.Contains(got, "fish") {
			t.Errorf("%q:\n%s\nwant one line, with\n%s", test.text, got, test.want)
		}
	}
}
