package conf

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const everySecret = `
[admin]
listen = "127.0.0.1:9180"
PASSWORD
[pools.a]
listen = "127.0.0.1:1"
topology = "sentinel"
sentinels = ["h:2"]
masters = ["m"]
REDIS_AUTH
SENTINEL_AUTH
`

// write writes a file of a directory and returns its name.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPasswordsComeFromFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"admin": "adm1n\n", "redis": "re dis\n\n", "sentinel": "\rs\r\n"} {
		write(t, dir, name, text)
	}
	text := strings.NewReplacer("PASSWORD", `password_file = "admin"`, "REDIS_AUTH", `redis_auth_file = "redis"`,
		"SENTINEL_AUTH", `sentinel_auth_file = '`+filepath.Join(dir, "sentinel")+"'").Replace(everySecret)
	path := write(t, dir, "ringway.toml", text)
	c, warnings, err := Load(path)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	if c.Admin.Password != "adm1n" || c.Pools[0].RedisAuth != "re dis\n" || c.Pools[0].SentinelAuth != "\rs" {
		t.Errorf("passwords %q, %q, %q", c.Admin.Password, c.Pools[0].RedisAuth, c.Pools[0].SentinelAuth)
	}
	if want := []string{filepath.Join(dir, "admin"), filepath.Join(dir, "redis"), filepath.Join(dir, "sentinel")}; !reflect.DeepEqual(c.SecretFiles, want) {
		t.Errorf("read %q, want %q", c.SecretFiles, want)
	}
	shown := c.Text()
	if strings.Contains(shown, "_file") || strings.Count(shown, `= "…"`) != 3 || strings.Count(shown, "\n") != strings.Count(text, "\n") {
		t.Errorf("shown as %s", shown)
	}
	for _, change := range Changes(c, mustParseQuietly(t, shown)) {
		if !change.HasSecret() {
			t.Errorf("the text shown says something else: %v", change)
		}
	}
	write(t, dir, "redis", "other")
	again, _, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if changes := Changes(c, again); len(changes) != 1 || changes[0].String() != `pools.a: redis_auth_file "…" -> "…" (line 10)` || again.Hash != c.Hash {
		t.Errorf("after another password: %v, hash %s was %s", changes, again.Hash, c.Hash)
	}
}

// What is wrong with a file of a password is said with its place, without what is in it.
func TestFilesOfPasswordsAreChecked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "empty", "\r\n")
	write(t, dir, "large", strings.Repeat("fish", maxSecret/4)+"f")
	write(t, dir, "good", "swordfish")
	for line, want := range map[string]string{
		`redis_auth_file = "none"`:                           `4:19: pool "alpha": redis_auth_file stat ` + filepath.Join(dir, "none") + ": no such file or directory",
		`redis_auth_file = "."`:                              dir + ": want a file",
		`redis_auth_file = "empty"`:                          filepath.Join(dir, "empty") + ": is empty; want a file with the password",
		`redis_auth_file = "large"`:                          filepath.Join(dir, "large") + ": more than 64KB; want a file with the password alone",
		`redis_auth_file = ""`:                               "want the name of a file, or remove this key",
		`redis_auth_file = 3`:                                "want a quoted string",
		"redis_auth = \"fish\"\nredis_auth_file = \"good\"":  `5:19: pool "alpha": redis_auth_file and redis_auth are both there; want one of them`,
		"redis_auth_file = \"good\"\nredis_auth = \"fish\"":  `5:14: pool "alpha": redis_auth and redis_auth_file are both`,
		"redis_user = \"u\"\nredis_auth_file = \"good\"":     "",
		"redis_auth_file = \"good\"\nsentinel_auth_file = 1": "sentinel_auth_file belongs to topology",
	} {
		_, _, err := Load(write(t, dir, "ringway.toml", minimal(line)))
		if want == "" && err == nil {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || want == "" || strings.Contains(err.Error(), "fish") {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}

func TestAFileThatEverybodyMayReadIsWarnedOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Chmod(write(t, dir, "redis", "swordfish"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, warnings, err := Load(write(t, dir, "ringway.toml", minimal(`redis_auth_file = "redis"`)))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].String(), `4:19: warning: pool "alpha": redis_auth_file: everybody on this machine may read `+filepath.Join(dir, "redis")+" (mode 0644)") {
		t.Errorf("warnings %v, error %v", warnings, err)
	}
}

// All strings may refer to the environment. Only the exact forms do.
func TestVariablesOfTheEnvironment(t *testing.T) {
	for name, value := range map[string]string{"RW_PASS": "sword$fish", "RW_HOST": "h", "RW_PORT": "6390", "RW_EMPTY": "", "RW_CLASH": "a-b\"\\"} {
		t.Setenv(name, value)
	}
	for written, want := range map[string]string{
		"${RW_PASS}":                "sword$fish",
		"a${RW_HOST}b${RW_PORT}":    "ahb6390",
		"${RW_NONE:-default}":       "default",
		"${RW_EMPTY:-default}":      "default",
		"${RW_HOST:-default}":       "h",
		"x${RW_NONE:-}y":            "xy",
		"x${RW_EMPTY}":              "x",
		"$${RW_PASS}":               "${RW_PASS}",
		"$$${RW_PASS}":              "$${RW_PASS}",
		"$${":                       "${",
		"$RW_PASS $$ ${ $} ${} $":   "$RW_PASS $$ ${ $} ${} $",
		"${1} ${a b} ${RW_HOST:?x}": "${1} ${a b} ${RW_HOST:?x}",
	} {
		c, _, err := Parse([]byte(minimal(`redis_auth = '`+written+`'`)), "x")
		if err != nil || c.Pools[0].RedisAuth != want {
			t.Errorf("%s: %v, %v, want %q", written, c, err, want)
		}
	}
	text := "[proxy]\nzone = \"${RW_CLASH}\"\n[pools.alpha]\nlisten = \"127.0.0.1:${RW_PORT}\"\nredis_auth = \"${RW_PASS}\"\nservers = [\n \"${RW_HOST}:1:1 a\", # ${RW_NONE}\n \"${RW_HOST}:2:1 b$${\"]\nserver_tls = { server_name = \"${RW_HOST}.example\" }\n"
	c := mustParseQuietly(t, text)
	p := c.Pools[0]
	if p.Listen.Addr != "127.0.0.1:6390" || p.Servers[1].Addr != "h:2" || p.Servers[1].Name != "b${" || p.ServerTLS.ServerName != "h.example" {
		t.Errorf("pool %+v", p)
	}
	// What is shown has the values, but for passwords, and means the same.
	shown := c.Text()
	if strings.Contains(shown, "fish") || !strings.Contains(shown, "127.0.0.1:6390") || strings.Contains(shown, "RW_") {
		t.Errorf("shown as %s", shown)
	}
	if changes := Changes(c, mustParseQuietly(t, shown)); len(changes) != 1 || !changes[0].HasSecret() {
		t.Errorf("the text shown says something else: %v", changes)
	}
}

// A variable that is not set is a mistake at its place, and brings no other ones.
func TestVariablesThatAreNotSet(t *testing.T) {
	for text, want := range map[string]string{
		minimal(`redis_auth = "x${RW_NONE}"`):                                         `x:4:14: pool "alpha": redis_auth ${RW_NONE}: the environment has no such variable; want it set, ${RW_NONE:-default} for a default, or $${RW_NONE} for the text itself`,
		poolOf(`servers = ["${RW_NONE}:6379", "h:1"]`):                                `x:3:12: pool "alpha": servers ${RW_NONE}: the`,
		poolOf(`listen = "${RW_NONE}"`, `servers = ["h:1"]`):                          "",
		minimal(`server_tls = { ca = "${RW_NONE}" }`):                                 `pool "alpha": server_tls.ca ${RW_NONE}: the`,
		minimal(`redis_auth_file = "${RW_NONE}/redis"`):                               `pool "alpha": redis_auth_file ${RW_NONE}: the`,
		"[admin]\nlisten = \"h:1\"\npassword = \"${RW_NONE}\"\n" + minimal(`a = "x"`): "",
	} {
		_, _, err := Parse([]byte(text), "x")
		var mistakes Mistakes
		if !errors.As(err, &mistakes) || !strings.Contains(err.Error(), want) || want != "" && len(mistakes) != 1 {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// A variable keeps its value to itself even where the text has a password by mistake.
func TestValuesOfVariablesAreNotReported(t *testing.T) {
	t.Setenv("RW_PASS", "sword\"fish")
	for _, line := range []string{
		`hash = "${RW_PASS}"`, `redis_user = "${RW_PASS} x"`, `default_server = "${RW_PASS}"`, `timeout = "${RW_PASS}"`, `log_keys = "${RW_PASS}"`,
		`address_map = { "a" = "${RW_PASS}" }`, `server_tls = { ca = "${RW_PASS}" }`, `redis_auth_file = "${RW_PASS}"`, `deny_commands = ["${RW_PASS}"]`,
	} {
		_, warnings, err := Parse([]byte(minimal(line)), "x")
		if err == nil || strings.Contains(err.Error(), "fish") {
			t.Errorf("%s: %v, %v", line, warnings, err)
		}
	}
}

// The hash of a text does not tell which password is in it.
func TestHashLeavesPasswordsOut(t *testing.T) {
	t.Parallel()
	hash := func(line string) string { return mustParseQuietly(t, minimal(line)).Hash }
	if hash(`redis_auth = "a"`) != hash(`redis_auth = "other"`) || hash(`redis_auth = "a"`) == hash(`redis_db = 0`) {
		t.Error("a password is in the hash, or nothing is")
	}
}

// What nutcracker takes literally is still literal in the TOML that is made of it.
func TestConvertKeepsDollars(t *testing.T) {
	t.Parallel()
	const yaml = "alpha:\n  listen: 127.0.0.1:1\n  redis: true\n  redis_auth: a${HOME}$$\n  servers:\n   - h:1:1 n${HOME}\n"
	was, _, err := Parse([]byte(yaml), "nutcracker.yml")
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := Convert([]byte(yaml), "nutcracker.yml")
	if err != nil {
		t.Fatal(err)
	}
	now := mustParseQuietly(t, string(out))
	if was.Pools[0].RedisAuth != "a${HOME}$$" || now.Pools[0].RedisAuth != was.Pools[0].RedisAuth || now.Pools[0].Servers[0].Name != "n${HOME}" {
		t.Errorf("%q and %q, %v", was.Pools[0].RedisAuth, now.Pools[0].RedisAuth, now.Pools[0].Servers)
	}
}
