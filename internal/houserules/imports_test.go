package houserules

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// arrows says which of our packages each package may import; the table in
// docs/architecture.md says the same to readers. All arrows point one way: cmd, server,
// session, pool, pipeline, eventloop. hashring, resp and stats import nothing
// of ours. A package may always import what is internal to itself.
var arrows = map[string][]string{
	"acl":         {"command", "glob"},
	"admin":       {"audit", "server", "pool", "session", "command", "limit", "stats", "resp", "conf", "handover"},
	"audit":       {},
	"bench":       {}, // it measures the data path from outside
	"command":     {"resp"},
	"conf":        {"hashring", "command", "acl", "limit"}, // for the names that a configuration may contain, users and limits
	"eventloop":   {"stats"},
	"glob":        {},
	"handover":    {},
	"hashring":    {},
	"join":        {"resp"},
	"limit":       {},
	"mover":       {"conf", "hashring", "resp"},
	"pipeline":    {"resp", "eventloop", "tlsrelay", "stats"},
	"pubsub":      {"glob", "pipeline", "resp", "eventloop", "conf"},
	"pool":        {"pipeline", "resp", "eventloop", "hashring", "conf", "limit", "stats"},
	"reshard":     {},
	"resp":        {},
	"proxyheader": {},
	"server":      {"audit", "session", "pool", "eventloop", "tlsconn", "proxyheader", "conf", "limit", "stats", "handover"},
	"session":     {"acl", "audit", "limit", "pool", "pubsub", "pipeline", "join", "command", "resp", "eventloop", "conf", "hashring", "stats", "handover"},
	"stats":       {},
	"tlsrelay":    {"eventloop"},
	"tlsconn":     {"eventloop"},
	"topology":    {"pool", "conf", "resp"},

	"internal/fakeredis":  {"internal/redistest"},
	"internal/faultyconn": {"internal/redistest"},
	"internal/hatest":     {"server", "topology", "pool", "conf", "internal/redistest", "internal/faultyconn"},
	"internal/redistest":  {},
}

// testOnly lists the packages that only tests import.
var testOnly = []string{"internal/redistest", "internal/fakeredis", "internal/faultyconn", "internal/hatest"}

// homes lists the packages that may import each dependency. The longest prefix
// of the import path counts. Package main may import all of them, and tests
// whatever the module has; tools and tests need no line here.
var homes = map[string][]string{
	"github.com/BurntSushi/toml":                      {"conf"},
	"github.com/goccy/go-yaml":                        {"conf"},
	"github.com/coreos/go-systemd/v22":                {"cmd"},
	"github.com/HdrHistogram/hdrhistogram-go":         {"bench"},
	"github.com/alicebob/miniredis/v2":                {"internal"},
	"github.com/anishathalye/porcupine":               {"internal"}, // in tests
	"github.com/buraksezer/consistent":                {"hashring"},
	"github.com/cespare/xxhash/v2":                    {"hashring"},
	"github.com/prometheus/client_golang":             {"admin"},
	"github.com/prometheus/client_model":              {"admin"},
	"github.com/redis/go-redis/v9":                    {"topology", "bench", "internal"}, // never on the data path
	"github.com/tidwall/redcon":                       {"bench", "admin"},
	"golang.org/x/sys":                                {"eventloop", "server", "bench", "internal"},
	"github.com/redis/go-redis/v9/maintnotifications": {"topology", "bench", "internal"},
}

// A rule for a package that does not exist misleads its reader.
func TestRulesNamePackagesThatExist(t *testing.T) {
	there := make(map[string]bool)
	for _, s := range sources(t) {
		for dir := s.dir(); dir != "."; dir = path.Dir(dir) {
			there[dir] = true
		}
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	packages := slices.Clone(testOnly)
	for from, to := range arrows {
		packages = append(append(packages, from), to...)
	}
	for dependency, allowed := range homes {
		packages = append(packages, allowed...)
		if !slices.ContainsFunc(strings.Fields(string(mod)), func(m string) bool { return within(dependency, m) }) {
			t.Errorf("homes names %s, which is not in go.mod", dependency)
		}
	}
	slices.Sort(packages)
	for _, name := range slices.Compact(packages) {
		if !there[name] {
			t.Errorf("a rule names package %s, which does not exist", name)
		}
	}
	for name := range sleepers {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Errorf("sleepers: %v", err)
		}
	}
}

func TestPackagesImportOneWay(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		for _, imported := range s.imports() {
			if to, ours := strings.CutPrefix(imported, module+"/"); ours && !mayImport(s.dir(), to) {
				t.Errorf("%s: package %s may not import %s", s.path, s.dir(), to)
			}
		}
	}
}

func TestEveryPackageHasALineInArrows(t *testing.T) {
	for _, s := range sources(t) {
		top, _, _ := strings.Cut(s.dir(), "/")
		if _, known := arrows[top]; !known && top != "cmd" && top != "internal" && top != "." {
			t.Errorf("%s: package %s has no line in arrows; it needs one, and one in docs/architecture.md", s.path, top)
		}
	}
}

// mayImport reports whether package from may import package to. An internal
// package without a line of its own may import anything, and only commands and
// tests may import it.
func mayImport(from, to string) bool {
	if slices.Contains(testOnly, to) {
		return slices.Contains(arrows[from], to)
	}
	if owner, _, internal := strings.Cut(to, "/internal/"); internal {
		return from == owner || strings.HasPrefix(from, owner+"/")
	}
	for dir := from; dir != "."; dir = path.Dir(dir) {
		if allowed, known := arrows[dir]; known {
			return slices.Contains(allowed, to)
		}
	}
	return within(from, "cmd") || within(from, "internal")
}

// within reports whether dir is parent or lies in it.
func within(dir, parent string) bool {
	return dir == parent || strings.HasPrefix(dir, parent+"/")
}

func TestDependenciesStayInTheirHomes(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || within(s.dir(), "cmd") {
			continue
		}
		for _, imported := range s.imports() {
			if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
				continue // the standard library's and ours
			}
			switch allowed := homesOf(imported); {
			case allowed == nil:
				t.Errorf("%s: %s is a new dependency: say why in docs/adr, and where in homes", s.path, imported)
			case !slices.ContainsFunc(allowed, func(p string) bool { return within(s.dir(), p) }):
				t.Errorf("%s: package %s may not import %s, only %v may", s.path, s.dir(), imported, allowed)
			}
		}
	}
}

// homesOf returns the packages that may import a package of a dependency, nil if
// the dependency is unknown.
func homesOf(imported string) []string {
	for p := imported; p != "."; p = path.Dir(p) {
		if allowed, known := homes[p]; known {
			return allowed
		}
	}
	return nil
}

// Pure packages turn bytes into answers and do no I/O. Their tests may talk to a
// real server.
func TestPurePackagesDoNotTouchTheNetwork(t *testing.T) {
	pure := []string{"hashring", "resp", "join", "command", "reshard"}
	for _, s := range sources(t) {
		isPure := slices.ContainsFunc(pure, func(p string) bool { return within(s.dir(), p) })
		if s.isTest() || !isPure || s.file.Name.Name == "main" { // a generator is a command
			continue
		}
		for _, imported := range s.imports() {
			if within(imported, "net") || imported == "syscall" || within(imported, "os") {
				t.Errorf("%s imports %s: package %s is pure", s.path, imported, s.dir())
			}
		}
	}
}

func TestOnlyTestCodeImportsTesting(t *testing.T) {
	for _, s := range sources(t) {
		if !s.isTest() && !slices.Contains(testOnly, s.dir()) && slices.Contains(s.imports(), "testing") {
			t.Errorf("%s imports testing, which adds its flags to every program", s.path)
		}
	}
}

func TestMayImport(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"cmd/ringway", "server", true},
		{"server", "session", true},
		{"session", "server", false},
		{"server", "pool", true},
		{"pool", "server", false},
		{"resp", "eventloop", false},
		{"join", "resp", true},
		{"join", "pipeline", false},
		{"conf", "hashring", true},
		{"command", "command/internal/gen", true},
		{"server", "command/internal/gen", false},
		{"command/internal/gen", "command", false},
		{"internal/demo", "conf", true},
		{"eventloop", "internal/demo", false},
		{"internal/fakeredis", "internal/redistest", true},
		{"internal/demo", "internal/redistest", false},
		{"cmd/ringway", "internal/fakeredis", false},
		{"cmd/ringway", "internal/demo", true},
	} {
		if got := mayImport(c.from, c.to); got != c.want {
			t.Errorf("mayImport(%q, %q): got %v", c.from, c.to, got)
		}
	}
	if got := homesOf("github.com/redis/go-redis/v9/internal/pool"); len(got) == 0 || got[0] != "topology" {
		t.Errorf("homes of a package of go-redis: got %v", got)
	}
	if got := homesOf("github.com/redis/rueidis"); got != nil {
		t.Errorf("homes of an unknown module: got %v", got)
	}
}
