package conf

import (
	"strings"
	"testing"
)

// Messages end up in terminals, logs and tickets, so they show no passwords.
func TestPasswordsAreNotReported(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		`redis_auth = swordfish`,
		`redis_auth = 'swordfish`,
		`redis_auth = "x" swordfish`,
		`redis_auth = "\u12swordfish"`,
		`redis_auth = truswordfish[`,
		`redis_auth = 12345swordfish{`,
		`redis_auth = { swordfish }`,
		`redis_auth = ["swordfish"]`,
		`redis_auth: swordfish`,
		`redis_auth swordfish`,
		`  "redis_auth" = swordfish`,
		`Redis-Auth = swordfish`,
		`redis_auth2 = "swordfish"`,
		`password = swordfish`,
		`requirepass = swordfish`,
		`sentinel_auth = swordfish`,
		`sentinel_auth = ["swordfish"]`,
	} {
		_, _, err := Parse([]byte(minimal(line)), "x")
		if err == nil {
			t.Errorf("%s: no mistake", line)
		} else if strings.Contains(err.Error(), "fish") {
			t.Errorf("%s: reported as %v", line, err)
		}
	}
	// Nor a number that was to be one, which the library quotes.
	_, _, err := Parse([]byte(minimal(`redis_auth = 98765432109876543210[`)), "x")
	if err == nil || strings.Contains(err.Error(), "987") {
		t.Errorf("a number: reported as %v", err)
	}
}

// Messages show names of pools with dots and line feeds in full.
func TestOddPoolNamesAreReportedWhole(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"[pools.\"a.b\"]\nlisten = 1\nlisten = 2": `x:3:1: pool "a.b": syntax: `,
		"[pools]\n\"a b\" = 1":                    `x:2:1: pools."a b" is not a table; want [pools."a b"]`,
		"[pools]\n\"a\\nb\" = 1":                  `x:2:1: pool name "a\nb": want a name`,
	} {
		_, _, err := Parse([]byte(text), "x")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want %s", text, err, want)
		}
	}
}

func TestEqualIPv6AddressesAreFound(t *testing.T) {
	t.Parallel()
	const server = "\nservers = [\"h:1\"]\n"
	_, _, err := Parse([]byte("[pools.a]\nlisten = \"[::1]:1\""+server+"[pools.b]\nlisten = \"[0:0::1]:1\""+server), "x")
	if err == nil || !strings.HasPrefix(err.Error(), `x:5:10: pool "b": listen "[::1]:1": pool "a" listens there already`) {
		t.Errorf("error %v", err)
	}
	c, warnings, err := Parse([]byte("[pools.a]\nlisten = \"h:1\"\nhash_tag = \"{}\"\nservers = [\"[::1]:2\", \"[0::1]:2\"]"), "x")
	if err != nil || len(warnings) != 1 {
		t.Fatalf("warnings %v, error %v, want one warning", warnings, err)
	}
	// The ring's names stay as they were written, as twemproxy's do.
	if s := c.Pools[0].Servers; s[0].Name != "::1:2" || s[1].Name != "0::1:2" || s[1].Addr != "[::1]:2" {
		t.Errorf("servers %+v", s)
	}
}

func TestDatabaseThatNutcrackerNeverSelectsIsWarnedOf(t *testing.T) {
	t.Parallel()
	text := "[pools.a]\nlisten = \"h:1\"\nredis_db = 3\nservers = [\"/run/a.sock:1 a\"]"
	_, warnings, err := Parse([]byte(text), "x")
	if err != nil || len(warnings) != 1 || !strings.HasPrefix(warnings[0].String(), `x:3:12: warning: pool "a": redis_db 3 with servers on unix sockets: `) {
		t.Errorf("warnings %v, error %v", warnings, err)
	}
}
