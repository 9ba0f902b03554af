package conf

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// twemproxys returns a pool that comes from twemproxy.
func twemproxys(lines ...string) string {
	return poolOf(append([]string{`servers = ["h:6379:1 a", "h:6380:1 b"]`}, lines...)...)
}

// Settings that work and are probably a mistake get a warning; plausible ones do not.
func TestProbableMistakesAreWarnedOf(t *testing.T) {
	t.Parallel()
	const noHash, open, hangs = "hash is missing and the pool looks like one of twemproxy's", "whoever can reach this machine", "a server that hangs is never ejected"
	const noTag = `hash_tag is missing: keys such as {user1}:name are placed by what is in the braces, unlike by twemproxy, and by Ringway before that became the default; want hash_tag = "" for a pool that was filled by these, else hash_tag = "{}"`
	const bothMissing = `want hash = "fnv1a_64" if nutcracker.yml has no hash, or the one that it has, and hash_tag = "" if it has no hash_tag; for a new pool hash = "xxhash64" and hash_tag = "{}"`
	const literally, placeholder, twice = "only ${NAME} and ${NAME:-default} are replaced", `is "..." as it is written`, "has quotes within its quotes"
	listen := func(listen string, lines ...string) string {
		return "[pools.alpha]\nlisten = \"" + listen + "\"\nservers = [\"h:1\"]\n" + strings.Join(lines, "\n")
	}
	zones := func(zone string) string {
		return "[proxy]\nzone = \"" + zone + "\"\n" + poolOf(`topology = "cluster"`, `servers = ["h:1"]`, `read_from = "zone"`, `zones = { "eu-1a" = ["10.1.0.0/16"], "eu-1b" = ["10.2.0.0/16"] }`)
	}
	for _, test := range []struct{ text, at, want string }{
		{twemproxys(), "x:3:1: ", noHash},
		{poolOf(`servers = ["h:6379:1", "/run/redis.sock:2 b", "[::1]:6379:1 c", "::1:6380:1 d"]`), "x:3:1: ", noHash},
		{poolOf(`redis = true`, `servers = ["h:6379", "h:6380"]`), "x:4:1: ", noHash},
		{twemproxys(), "x:3:1: ", bothMissing},
		{twemproxys(`hash_tag = ""`), "x:3:1: ", `or the one that it has; for a new pool hash = "xxhash64"`},
		{twemproxys(`hash = "fnv1a_64"`), "x:3:1: ", noTag},
		{twemproxys(`hash = "xxhash64"`), "x:3:1: ", noTag},
		{twemproxys(`hash = "fnv1a_64"`, `hash_tag = ""`), "", ""},
		{twemproxys(`hash = "fnv1a_64"`, `hash_tag = "{}"`), "", ""},
		{twemproxys(`hash = "fnv1a_64"`, `distribution = "random"`), "", ""},
		{poolOf(`servers = ["h:6379 a", "h:6380:1 b"]`), "x:3:1: ", noTag},
		{poolOf(`hash_tag = ""`, `servers = ["[::1]:6379", "/run/redis.sock", "h:1 a"]`), "", ""},
		{poolOf(`topology = "sentinel"`, `sentinels = ["h:1"]`, `masters = ["a", "b"]`), "x:5:1: ", noTag},
		{poolOf(`topology = "sentinel"`, `sentinels = ["h:1"]`, `masters = ["a"]`), "", ""},
		{poolOf(`topology = "cluster"`, `servers = ["h:1", "h:2"]`), "", ""},
		{poolOf(`servers = ["h:6379:1 a"]`), "", ""},

		{listen("0.0.0.0:22121"), "x:2:10: ", open},
		{listen("[::]:22121"), "x:2:10: ", open},
		{listen("*:22121"), "x:2:10: ", open},
		{listen("0.0.0.0:22121", `redis_auth = "x"`), "", ""},
		{listen("0.0.0.0:22121", `acl_users = 3`), "", ""},
		{listen("10.0.0.1:22121"), "x:2:10: ", open},
		{listen("[2001:db8::1]:22121"), "x:2:10: ", open},
		{listen("10.0.0.1:22121", `allow_networks = ["10.0.0.0/8"]`), "", ""},
		{listen("127.0.0.2:22121"), "", ""},
		{listen("[::1]:22121"), "", ""},
		{listen("redis.internal:22121"), "", ""},
		{listen("/run/ringway.sock"), "", ""},

		{minimal(`auto_eject_hosts = true`), "x:4:20: ", hangs},
		{minimal(`eject = "eject"`), "x:4:9: ", hangs},
		{minimal(`auto_eject_hosts = true`, `timeout = "400ms"`), "", ""},
		{minimal(`auto_eject_hosts = true`, `timeout = "0s"`), "", ""},
		{minimal(`auto_eject_hosts = false`), "", ""},

		{minimal(`redis_auth = "${REDIS_PASSWORD:?fish}"`), "x:4:14: ", literally},
		{minimal(`redis_auth = "fish$${REDIS_PASSWORD}"`), "", ""},
		{minimal(`redis_auth = "$REDIS_PASSWORD"`), "x:4:14: ", literally},
		{minimal(`redis_auth = "{{ .Values.fish }}"`), "x:4:14: ", literally},
		{minimal(`redis_auth = "%REDIS_PASSWORD%"`), "x:4:14: ", literally},
		{minimal(`redis_auth = "file:/run/secrets/redis"`), "x:4:14: ", literally},
		{minimal(`redis_auth = "..."`), "x:4:14: ", placeholder},
		{minimal(`redis_auth = "“x”"`), "x:4:14: ", twice},
		{minimal(`redis_auth = "$fish"`), "", ""},
		{minimal(`redis_auth = "fi$h{}"`), "", ""},
		{minimal(`hash_tag = "$$"`), "", ""},
		{minimal(`hash_tag = "''"`), "", ""},
		{poolOf(`servers = [`, `"h:6379 ${NAME+1}"]`), "x:4:1: ", literally},
		{poolOf(`hash_tag = "{}"`, `servers = ["env:6379", "vault:6379"]`), "", ""},

		{zones("eu-1c"), `x:2:8: warning: proxy: zone "eu-1c": pool "alpha" has no such entry in zones, only eu-1a and eu-1b`, "all of its reads go to the primaries"},
		{zones("eu-1b"), "", ""},
	} {
		_, warnings, err := Parse([]byte(test.text), "x")
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		got := ""
		for _, w := range warnings {
			got += w.String()
		}
		if !strings.HasPrefix(got, test.at) || !strings.Contains(got, test.want) || len(warnings) > 1 || test.want == "" && got != "" || strings.Contains(got, "fish") {
			t.Errorf("%q: warnings %q, want %q at %q", test.text, got, test.want, test.at)
		}
	}
}

func TestWorldReadableFilesAreWarnedOf(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ringway.toml")
	load := func(text string, mode os.FileMode) []Diagnostic {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, warnings, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		return warnings
	}
	secret := minimal(`redis_auth = "swordfish"`)
	for _, mode := range []os.FileMode{0o644, 0o604} {
		if got := load(secret, mode); len(got) != 1 || got[0].Line != 4 || !strings.Contains(got[0].String(), "everybody on this machine may read the file with this password") || strings.Contains(got[0].String(), "fish") {
			t.Errorf("mode %o: warnings %v", mode, got)
		}
	}
	if got := load(secret, 0o640); len(got) != 0 {
		t.Errorf("mode 640: warnings %v", got)
	}
	if got := load(minimal(), 0o644); len(got) != 0 {
		t.Errorf("no password: warnings %v", got)
	}
}
