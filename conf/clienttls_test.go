package conf

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// clientTLSFiles writes a certificate, a key and an authority's certificate to a directory.
func clientTLSFiles(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	a := redistest.NewAuthority(t)
	cert, key := a.Issue("proxy")
	for name, from := range map[string]string{"c.pem": cert, "c.key": key, "ca.pem": a.File} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, string(text))
	}
	return dir
}

func TestClientTLSIsRead(t *testing.T) {
	t.Parallel()
	dir := clientTLSFiles(t)
	ticket := strings.Repeat("A", 43) + "="
	write(t, dir, "tickets", "# the newest first\n"+ticket+"\n"+strings.Repeat("B", 42)+"A=\n")
	parse := func(table string) *tls.Config {
		t.Helper()
		c, _, err := Parse([]byte(minimal("tls = "+table)), filepath.Join(dir, "ringway.toml"))
		if err != nil {
			t.Fatal(err)
		}
		config, err := c.Pools[0].ClientTLS.Load()
		if err != nil {
			t.Fatal(err)
		}
		return config
	}
	c := parse(`{ cert = "c.pem", key = "c.key" }`)
	if len(c.Certificates) != 1 || c.ClientAuth != tls.NoClientCert || c.MinVersion != tls.VersionTLS12 || c.MaxVersion != tls.VersionTLS13 || len(c.CipherSuites) == 0 || c.CurvePreferences != nil {
		t.Errorf("%+v", c)
	}
	for _, id := range c.CipherSuites {
		if strings.Contains(tls.CipherSuiteName(id), "_CBC_") {
			t.Errorf("%s is offered", tls.CipherSuiteName(id))
		}
	}
	c = parse(`{ cert = "c.pem", key = "c.key", ca = "ca.pem", client_auth = "require", min_version = "1.3", curves = ["P-256"], session_ticket_keys = "tickets" }`)
	if c.ClientAuth != tls.RequireAndVerifyClientCert || c.ClientCAs == nil || c.MinVersion != tls.VersionTLS13 || c.CurvePreferences[0] != tls.CurveP256 {
		t.Errorf("%+v", c)
	}
	c = parse(`{ cert = "c.pem", key = "c.key", ca = "ca.pem", client_auth = "optional", max_version = "1.2", ciphers = ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"] }`)
	if c.ClientAuth != tls.VerifyClientCertIfGiven || c.MaxVersion != tls.VersionTLS12 || c.CipherSuites[0] != tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 {
		t.Errorf("%+v", c)
	}
}

func TestMistakesInClientTLSAreExplained(t *testing.T) {
	t.Parallel()
	dir := clientTLSFiles(t)
	write(t, dir, "few", "c2hvcnQ=\n")
	write(t, dir, "empty", "\n")
	const pair = `cert = "c.pem", key = "c.key"`
	for table, want := range map[string]string{
		`true`:              `want a table, such as { cert = "ringway.pem", key = "ringway.key" }`,
		`{ cert = "c.pem"}`: `tls want cert and key`,
		`{ ` + pair + `, client_auth = "require" }`:                  `whose certificates are valid? want ca too`,
		`{ ` + pair + `, ca = "ca.pem" }`:                            `ca without client_auth`,
		`{ ` + pair + `, min_version = "1.3", max_version = "1.2" }`: `"1.3" is above max_version "1.2"`,
		`{ ` + pair + `, min_version = "1.1" }`:                      `"1.1" is unknown`,
		`{ ` + pair + `, ciphers = ["RC4"] }`:                        `"RC4"`,
		`{ ` + pair + `, curves = ["P-256", "P-256"] }`:              `is listed twice`,
		`{ ` + pair + `, session_ticket_keys = "few" }`:              `want up to 16 lines of 32 bytes in base64`,
		`{ ` + pair + `, session_ticket_keys = "empty" }`:            `holds no key`,
		`{ cert = "c.pem", key = "ca.pem" }`:                         `cert `,
		`{ cert = "c.pem", key = "missing" }`:                        `no such file`,
		`{ ` + pair + `, verify = true }`:                            `key "tls.verify" is unknown`,
	} {
		_, _, err := Parse([]byte(minimal("tls = "+table)), filepath.Join(dir, "ringway.toml"))
		if err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %s", table, err, want)
		}
	}
}

func TestCertificatesThatNameUsersNeedBoth(t *testing.T) {
	t.Parallel()
	dir := clientTLSFiles(t)
	const pair, users = `cert = "c.pem", key = "c.key"`, `users = { alice = { password = "a", rules = "+@all ~*" } }`
	for _, test := range []struct {
		lines []string
		want  string
	}{
		{[]string{`tls_user = "CN"`, users}, `tls_user "CN": clients have no certificates`},
		{[]string{`tls_user = "CN"`, users, `tls = { ` + pair + ` }`}, `tls_user "CN": clients have no certificates`},
		{[]string{`tls_user = "URI"`, `tls = { ` + pair + `, ca = "ca.pem", client_auth = "require" }`}, `and the pool has none; want users or acl_file`},
		{[]string{`tls_user = "IP"`}, `"IP" is unknown`},
		{[]string{`tls_user = "off"`}, ""},
	} {
		_, _, err := Parse([]byte(minimal(test.lines...)), filepath.Join(dir, "ringway.toml"))
		if got := fmt.Sprint(err); test.want == "" && err != nil || !strings.Contains(got, test.want) {
			t.Errorf("%s: %v, want %s", test.lines, err, test.want)
		}
	}
}

func TestPlainAndTLSNeedsTLS(t *testing.T) {
	t.Parallel()
	dir := clientTLSFiles(t)
	const pair = `cert = "c.pem", key = "c.key"`
	for _, test := range []struct {
		lines    []string
		want     string
		warnings int
	}{
		{[]string{`plain_and_tls = true`}, `plain_and_tls true: the pool has no TLS`, 0},
		{[]string{`plain_and_tls = true`, `tls = { ` + pair + ` }`}, "", 0},
		{[]string{`plain_and_tls = false`}, "", 0},
		{[]string{`plain_and_tls = true`, `tls = { ` + pair + `, ca = "ca.pem", client_auth = "require" }`}, "", 1},
	} {
		c, warnings, err := Parse([]byte(minimal(test.lines...)), filepath.Join(dir, "ringway.toml"))
		if got := fmt.Sprint(err); test.want == "" && err != nil || !strings.Contains(got, test.want) || len(warnings) != test.warnings {
			t.Errorf("%s: %v, %v, want %s", test.lines, warnings, err, test.want)
		}
		if err == nil && c.Pools[0].PlainAndTLS != strings.Contains(test.lines[0], "true") {
			t.Errorf("%s: %v", test.lines, c.Pools[0].PlainAndTLS)
		}
	}
}

// Where certificates name users, these need no password, and nobody comes in without either.
func TestUsersOfCertificatesNeedNoPassword(t *testing.T) {
	t.Parallel()
	dir := clientTLSFiles(t)
	users := `users = { alice = { rules = "+get ~*" } }`
	for _, test := range []struct {
		lines []string
		want  int
	}{
		{[]string{users}, 2},
		{[]string{users, `tls_user = "CN"`, `tls = { cert = "c.pem", key = "c.key", ca = "ca.pem", client_auth = "optional" }`}, 0},
	} {
		_, warnings, err := Parse([]byte(minimal(test.lines...)), filepath.Join(dir, "ringway.toml"))
		if err != nil || len(warnings) != test.want {
			t.Errorf("%s: %v, %v", test.lines, warnings, err)
		}
	}
}

func TestClientTLSIsShown(t *testing.T) {
	t.Parallel()
	c := &ClientTLS{Cert: "c", Key: "k", ClientAuth: AuthNone, Ciphers: []string{"a"}, Curves: []string{"P-256"}}
	if got, want := c.text(), `{ cert = "c", key = "k", client_auth = "none", ciphers = ["a"], curves = ["P-256"] }`; got != want {
		t.Errorf("%s", got)
	}
}
