package conf

import (
	"strings"
	"testing"
)

// poolOf returns a pool with these lines instead of servers.
func poolOf(lines ...string) string {
	return "[pools.alpha]\nlisten = \"127.0.0.1:22121\"\n" + strings.Join(lines, "\n") + "\n"
}

// A faulty line gets one message at its place, with the line as it should be.
func TestFaultyLinesAreRepaired(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, want string }{
		{minimal(`auto_eject_hosts = True`), `x:4:20: pool "alpha": syntax: want true or false: auto_eject_hosts = true`},
		{minimal(`auto_eject_hosts = yes # sic`), `x:4:20: pool "alpha": syntax: want true or false: auto_eject_hosts = true # sic`},
		{minimal(`auto_eject_hosts = OFF`), `want true or false: auto_eject_hosts = false`},
		{minimal(`auto_eject_hosts = 1`), `x:4:20: pool "alpha": auto_eject_hosts 1: want true, without quotes`},
		{minimal(`auto_eject_hosts = "true"`), `auto_eject_hosts "true": want true, without quotes`},
		{minimal(`auto_eject_hosts = "No"`), `auto_eject_hosts "No": want false, without quotes`},
		{minimal(`preconnect = 2`), `preconnect 2: want true or false, without quotes`},
		{minimal(`hash = True`), `want quotes around the value: hash = "True"`},
		{minimal(`redis_auth = "x",`), `x:4:17: pool "alpha": syntax: want no comma or semicolon at the end`},
		{minimal(`redis_auth = “x”`), `x:4:14: pool "alpha": syntax: want plain quotes`},
		{minimal(`timeout = "1s",`), `x:4:15: pool "alpha": syntax: want no comma or semicolon at the end: timeout = "1s"`},
		{minimal(`timeout = "1s"; # so`), `want no comma or semicolon at the end: timeout = "1s" # so`},
		{minimal(`hash = “fnv1a_64”,`), `x:4:8: pool "alpha": syntax: want plain quotes and no comma or semicolon at the end: hash = "fnv1a_64"`},
		{minimal(`hash = ‘fnv1a_64’`), `want plain quotes: hash = 'fnv1a_64'`},
		{minimal("hash = `fnv1a_64`"), `want quotes around the value: hash = "fnv1a_64"`},
		{minimal(`hash = "fnv1a_64`), `x:4:17: pool "alpha": syntax: want a closing quote: hash = "fnv1a_64"`},
		{minimal(`hash: "fnv1a_64"`), `x:4:5: pool "alpha": syntax: want = between key and value: hash = "fnv1a_64"`},
		{minimal(`hash: fnv1a_64`), `want = between key and value and quotes around the value: hash = "fnv1a_64"`},
		{minimal(`hash == "fnv1a_64"`), `want = between key and value: hash = "fnv1a_64"`},
		{minimal(`hash "fnv1a_64"`), `want = between key and value: hash = "fnv1a_64"`},
		{minimal(`// says who`), `x:4:1: pool "alpha": syntax: want # before a comment`},
		{minimal(`; says who`), `x:4:1: pool "alpha": syntax: want # before a comment`},

		{poolOf(`servers = [127.0.0.1:6379:1 a, "h:1:1 b"]`), `x:3:12: pool "alpha": syntax: want a list in brackets, with quotes and commas: servers = ["127.0.0.1:6379:1 a", "h:1:1 b"]`},
		{poolOf(`servers = "h:1:1 a", "h:2:1 b"`), `want a list in brackets, with quotes and commas: servers = ["h:1:1 a", "h:2:1 b"]`},
		{poolOf(`servers = ["h:1:1 a" "h:2:1 b"]`), `want a list in brackets, with quotes and commas: servers = ["h:1:1 a", "h:2:1 b"]`},
		{poolOf("servers = [", `  "h:1:1 a"`, `  "h:2:1 b"`, "]"), `x:5:3: pool "alpha": syntax: want a comma before this, or ] at the end of the list, which begins in line 3`},
		{poolOf("servers = [", `  "h:1:1 a"`, `hash = "md5"`), `x:5:1: pool "alpha": syntax: want a comma before this, or ] at the end of the list, which begins in line 3`},
		{poolOf("servers = [", ` - redis1:1:1 a`, "]"), `x:4:2: pool "alpha": syntax: want quotes around the value, and a comma: "redis1:1:1 a",`},
		{poolOf("servers = [", ` redis1:1:1 a,`, "]"), `x:4:2: pool "alpha": syntax: want quotes around the value, and a comma: "redis1:1:1 a",`},
		{poolOf("servers = [", ` “redis1:1:1 a”,`, "]"), `x:4:2: pool "alpha": syntax: want plain quotes: "redis1:1:1 a",`},

		{poolOf("servers = [", `  "h:1:1 a",`), `x:4:13: pool "alpha": syntax: want ] at the end of the list, which begins in line 3`},
		{poolOf(`servers = ["h:1:1 a",`), `want ] at the end of the list`},
		{poolOf(`servers = ("h:1:1 a"; "h:2:1 b")`), `want a list in brackets, with quotes and commas: servers = ["h:1:1 a", "h:2:1 b"]`},
		{poolOf(`servers = h:1:1 a, h:2:1 b`), `want a list in brackets, with quotes and commas: servers = ["h:1:1 a", "h:2:1 b"]`},
		{poolOf(`servers = "h:1:1 a, h:2:1 b"`), `servers "h:1:1 a, h:2:1 b": want a list of quoted strings: ["h:1:1 a", "h:2:1 b"]`},
		{poolOf(`servers = ["h:1:1 a, h:2:1 b"]`), `want each server in quotes of its own`},
		{poolOf(`servers = ["h:1:1:a"]`), `want a space before the name: "h:1:1 a"`},
		{poolOf(`servers = ["a h:1:1"]`), `want the name behind the address: "h:1:1 a"`},
		{minimal(`allow_commands = keys`), `want a list in brackets, with quotes and commas: allow_commands = ["keys"]`},
		{minimal(`server_tls = { ca: "ca.pem", cert: "c.pem" }`), `want = between key and value within braces: server_tls = { ca = "ca.pem", cert = "c.pem" }`},
		{minimal(`client_connections = 10,000 # or so`), `x:4:24: pool "alpha": syntax: want a whole number, of digits alone: client_connections = 10000 # or so`},
		{minimal(`client_connections = 10k`), `want a whole number, of digits alone: client_connections = 10000`},
		{minimal(`backlog = auto`), `x:4:11: pool "alpha": syntax: want a whole number, of digits alone`},
		{minimal(`[proxy]`, `max_memory = "2G"`), `proxy: max_memory "2G": want "2GB"; the units are B, KB, MB and GB`},
		{minimal(`[proxy]`, `max_memory = 65536`), `proxy: max_memory 65536: want "64KB"; the units are B, KB, MB and GB`},
		{minimal(`[proxy]`, `max_memory = true`), `proxy: max_memory true: want a quoted size with a unit`},
		{minimal(`timeout = "1s" backlog = 3`), `x:4:15: pool "alpha": syntax: want the end of the line here: one setting a line`},
		{minimal(`timeout =`), `syntax: want a value here`},
		{minimal(`hash = 'md5`), `want a closing quote: hash = 'md5'`},
		{minimal(`servers += ["h:2"]`), `want = after the name of the setting`},
		{"[proxy]\nthreads = 4\n" + minimal("[proxy]"), `x:6:2: syntax: Key 'proxy' has already been defined; want it once, it is in line 1 already`},

		{"[pools.alpha\nlisten = \"h:1\"", `x:1:13: syntax: want the header in brackets: [pools.alpha]`},
		{"[pools.alpha # mine\nlisten = \"h:1\"", `want the header in brackets: [pools.alpha] # mine`},
		{"[pools.alpha]]\nlisten = \"h:1\"", `want the header in brackets: [pools.alpha]`},
		{"[pools.alpha]:\nlisten = \"h:1\"", `want the header in brackets: [pools.alpha]`},
		{"[pools alpha]\nlisten = \"h:1\"", `x:1:7: syntax: want the header in brackets: [pools.alpha]`},
		{"[pool \"alpha\"]\nlisten = \"h:1\"", `want the header in brackets: [pools.alpha]`},
		{"[pools.my cache]\nlisten = \"h:1\"", `want the header in brackets: [pools."my cache"]`},

		{minimal(`timeout = "1s"`, `timeout = "2s"`), `x:5:1: pool "alpha": syntax: Key 'pools.alpha.timeout' has already been defined; want it once, it is in line 4 already`},
		{minimal(`[pools.alpha]`), `x:4:2: syntax: Key 'pools.alpha' has already been defined; want it once, it is in line 1 already`},
		{minimal(`[pools."b.c"]`, `listen = "h:1"`, `servers = ["h:1"]`, `listen = "h:2"`), `x:7:1: pool "b.c": syntax: Key 'pools."b.c".listen' has already been defined; want it once, it is in line 5 already`},

		{"{\n  \"pools\": {}\n}", `x:1:1: syntax: this looks like JSON; want TOML: a [pools.NAME] header`},
		{"# mine\n---\nalpha:\n  listen: 127.0.0.1:22121\n", `x:2:1: syntax: this looks like YAML; want TOML`},
		{"\n# alpha:\nalpha:\n  listen: 127.0.0.1:22121\n  redis_auth: swordfish\n", `x:3:1: syntax: this looks like YAML; want TOML: a [pools.NAME] header, then lines such as hash = "fnv1a_64". docs/migration.md shows how a nutcracker.yml is written here; one without hash means hash = "fnv1a_64"`},
		{"port 6379\nrequirepass swordfish\n", `x:1:1: syntax: this does not look like TOML; want TOML`},
		{"global\n  maxconn 10\n", `x:1:1: syntax: this does not look like TOML; want TOML`},
		{strings.ReplaceAll(minimal(), "\n", "\r"), `a carriage return within a line; want lines that end in a line feed`},
		{"\xff\xfe[\x00p\x00", `UTF-16`},

		{poolOf(`servers = ["redis://u:sword@fish@10.0.0.1/2"]`), `x:3:12: pool "alpha": servers entry "redis://...@10.0.0.1/2": is a URL; want "10.0.0.1:6379", and the user in redis_user, the password in redis_auth and redis_db = 2`},
		{poolOf(`servers = ["rediss://[::1]:7000"]`), `is a URL; want "[::1]:7000", and server_tls = {}`},
		{poolOf(`servers = ["redis://:sword fish@%zz:1"]`), `is a URL; want "host:port", and user, password and database in redis_user, redis_auth and redis_db`},
		{poolOf(`servers = ["unix:/run/redis.sock"]`), `want the path alone: "/run/redis.sock"`},
		{poolOf(`servers = ["unix:///run/redis.sock"]`), `want the path alone: "/run/redis.sock"`},
		{"[pools.alpha]\nlisten = \"tcp://0.0.0.0:6379\"\nservers = [\"h:1\"]", `x:2:10: pool "alpha": listen "tcp://0.0.0.0:6379": is a URL; want "0.0.0.0:6379"`},
		{poolOf(`servers = [redis://:swordfish@h:1]`), `want a list in brackets, with quotes and commas: servers = ["redis://...@h:1"]`},
		{poolOf(`servers = "redis://:` + strings.Repeat("swordfish", 20) + `@h:1"`), `servers "redis://...@h:1": want a list`},
		{poolOf(`topology = "sentinel"`, `masters = ["m"]`, `sentinels = ["redis://:swordfish@h:1"]`), `sentinels entry "redis://...@h:1": is a URL; want "h:1", and the password in redis_auth`},
	} {
		c, _, err := Parse([]byte(test.text), "x")
		if err == nil {
			t.Errorf("%q: no mistake, %+v", test.text, c)
			continue
		}
		got := err.Error()
		if first, _, _ := strings.Cut(got, "\n"); !strings.Contains(first, test.want) || strings.Contains(got, "fish") {
			t.Errorf("%q:\ngot  %s\nwant %s", test.text, got, test.want)
		}
	}
}

// One faulty line does not hide the next mistake.
func TestMistakesAfterFaultyLinesAreReported(t *testing.T) {
	t.Parallel()
	_, _, err := Parse([]byte(poolOf(
		`// three servers`,
		`hash = “md5”`,
		`servers = [`,
		` “h:1:1 a”,`,
		` h:2:1 b,`,
		`]`,
		`timeout = 400`,
	)), "x")
	for i, want := range []string{"x:3:1: ", "x:4:8: ", "x:6:2: ", "x:7:2: ", "x:9:11: "} {
		if lines := strings.Split(err.Error(), "\n"); len(lines) != 5 || !strings.HasPrefix(lines[min(i, len(lines)-1)], want) {
			t.Errorf("%s\nwant %s in line %d of five", err, want, i+1)
		}
	}
}

// A password of several lines is in no message.
func TestPasswordsOfSeveralLinesAreNotReported(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		minimal("redis_auth = \"jelly", "fish = x\""),
		minimal("redis_auth = 'jelly", "fish: x'"),
		minimal("redis_auth = “jelly", "fish = x”"),
		minimal("redis_auth: \"jelly", "fish = x\""),
	} {
		if _, _, err := Parse([]byte(text), "x"); err == nil || strings.Contains(err.Error(), "fish") || strings.Contains(err.Error(), "jelly") {
			t.Errorf("%q: reported as %v", text, err)
		}
	}
}
