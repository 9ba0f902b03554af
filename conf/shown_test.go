package conf

import (
	"strings"
	"testing"
)

func TestTextHidesPasswordsAndComments(t *testing.T) {
	t.Parallel()
	text := "# redis_auth = \"old\"\n[admin]\nlisten = \"h:9\" # was: \"secret\"\npassword = '''se\ncret''' # secret\n" +
		minimal("redis_auth = \"secret\"", `log_keys = "none" # "secret"`, "redis_user = \"#u\" # secret") +
		"\n[pools.b]\nlisten = \"h:2\" \ntopology = \"sentinel\"\nsentinels = [\n# secret\n\"h:3\"]\nmasters = [\"m\"]\nsentinel_auth = \"secret\""
	c := mustParseQuietly(t, text)
	got := c.Text()
	if strings.Contains(got, "cret") || strings.Contains(got, "old") || strings.Count(got, `"…"`) != 3 {
		t.Errorf("text is %s", got)
	}
	if strings.Count(got, "\n") != strings.Count(text, "\n") {
		t.Errorf("%d lines, want %d", strings.Count(got, "\n"), strings.Count(text, "\n"))
	}
	for _, change := range Changes(c, mustParseQuietly(t, got)) {
		if !change.HasSecret() {
			t.Errorf("the text shown says something else: %v", change)
		}
	}
}

func TestMovesOfAPool(t *testing.T) {
	t.Parallel()
	pool := func(lines string) *Pool {
		return &mustParseQuietly(t, "[pools.a]\nlisten = \"h:1\"\n"+lines).Pools[0]
	}
	static, elsewhere := pool(`servers = ["h:2 a", "h:3 b"]`), pool(`servers = ["h:2 a", "h:4 b"]`)
	shards := pool("topology = \"sentinel\"\nsentinels = [\"h:9\"]\nmasters = [\"a\", \"b\"]")
	cluster, other := pool("topology = \"cluster\"\nservers = [\"h:2\"]"), pool("topology = \"cluster\"\nservers = [\"h:3\"]")
	for _, test := range []struct {
		was, now *Pool
		want     string
	}{
		{static, elsewhere, "no keys"},
		{static, shards, "no keys"},
		{cluster, other, "no keys"},
		{static, cluster, "all keys (a Cluster has them in its own slots)"},
		{cluster, static, "all keys (they leave the slots of a Cluster)"},
		{static, pool(`servers = ["h:2 a"]`), "47.0 % of keys (b -> a: 47.0 %)"},
	} {
		if m, err := test.was.Moves(test.now); err != nil || m.String() != test.want {
			t.Errorf("%s to %s: %v, %v, want %s", test.was.Topology, test.now.Topology, m, err, test.want)
		}
	}
}
