package conf

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringway/hashring"
)

// FuzzParse holds that no text makes Parse panic, that every mistake has a
// place in the text, and that a Config needs no further checks.
func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	if text, err := os.ReadFile("../examples/ringway.toml"); err == nil {
		f.Add(text)
		f.Add([]byte(strings.ReplaceAll(string(text), "\n#", "\n")))
	}
	files, err := filepath.Glob("testdata/invalid/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, warnings, err := Parse(text, "x")
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

func checkDiagnostic(t *testing.T, text []byte, d Diagnostic) {
	lines := strings.Split(string(text), "\n")
	if d.Line < 1 || d.Line > len(lines) || d.Column < 1 || d.Column > len(lines[d.Line-1])+1 || d.Message == "" {
		t.Errorf("Parse(%q) reports %v, which is not in the text", text, d)
	}
	if strings.ContainsAny(d.String(), "\n\r") {
		t.Errorf("Parse(%q) reports several lines: %q", text, d)
	}
}

func checkConfig(t *testing.T, c *Config) {
	if len(c.Pools) == 0 {
		t.Error("no pool")
	}
	for _, p := range c.Pools {
		if _, err := hashring.New(p.Ring()); err != nil && p.Topology != Cluster {
			t.Errorf("pool %q makes no ring: %v", p.Name, err)
		}
		if p.Listen.Addr == "" || p.Timeout < 0 || p.ConnectTimeout <= 0 || p.ServerFailureLimit < 1 || p.ServerConnections < 1 || p.Backlog < 1 {
			t.Errorf("pool %+v", p)
		}
		if p.Topology != Cluster && !slices.IsSortedFunc(p.Servers, func(a, b Server) int { return hashring.Compare(a.Name, b.Name) }) {
			t.Errorf("servers %v are not in order", p.Servers)
		}
		if !slices.IsSortedFunc(p.Shards, func(a, b Shard) int { return hashring.Compare(a.Name, b.Name) }) {
			t.Errorf("shards %v are not in order", p.Shards)
		}
		if (p.Topology == Static || p.Topology == Cluster) != (p.Shards == nil) || (p.Servers == nil) == (p.Shards == nil) || (p.Topology == Sentinel) != (p.Sentinels != nil) || p.ProbeInterval <= 0 {
			t.Errorf("pool %+v", p)
		}
	}
	if x := c.Proxy; x.MaxClients < 1 || x.MaxRequest < 1 || x.MaxBulk < 1 || x.MaxArgs < 1 || x.ClientPipeline < 1 || x.ClientOutputLimit < x.ClientOutput || x.ServerQueue < 1 || x.DrainTimeout < 0 || x.DrainDelay < 0 {
		t.Errorf("proxy %+v", x)
	}
}

func FuzzAddresses(f *testing.F) {
	for _, s := range []string{"127.0.0.1:6379:1 alpha1", "::1:6379:1", "[::1]:6379", "/tmp/a.sock:1 x", "/tmp/a 660", "h:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if server, err := parseServer(s); err == nil && (server.Name == "" || server.Addr == "" || server.Weight < 1) {
			t.Errorf("parseServer(%q) = %+v", s, server)
		}
		if a, err := parseAddress(s); err == nil {
			if again, err := parseAddress(a.Addr); err != nil || again != a {
				t.Errorf("parseAddress(%q) = %+v, of which Addr gives %+v, %v", s, a, again, err)
			}
		}
		listen, err := parseListen(s)
		if err != nil {
			return
		}
		if listen.Mode > 0o777 || listen.Addr == "" {
			t.Errorf("parseListen(%q) = %+v", s, listen)
		}
		if listen.Mode == 0 {
			if again, err := parseListen(listen.Addr); err != nil || again != listen {
				t.Errorf("parseListen(%q) = %+v, of which Addr gives %+v, %v", s, listen, again, err)
			}
		}
	})
}
