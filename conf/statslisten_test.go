package conf

import (
	"strings"
	"testing"
)

func TestStatsListenConflicts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ proxy, more, want string }{
		{`stats_listen = "127.0.0.1:22121"`, "", `x:2:16: proxy: stats_listen "127.0.0.1:22121": pool "alpha" listens there already`},
		{`stats_listen = "*:22121"`, "", `proxy: stats_listen "*:22121": pool "alpha" listens there already`},
		{`stats_listen = "127.0.0.1:9180"`, "[admin]\nlisten = \"127.0.0.1:9180\"", `[admin] listens there already`},
		{`stats_listen = "22222"`, "", `proxy: stats_listen "22222": want "host:port"`},
		{"statistics = false\nstats_listen = \"127.0.0.1:22222\"", "", "x:3:16: proxy: stats_listen with statistics = false: nothing is counted"},
		{"", "[admin]\nlisten = \"127.0.0.1:22121\"", `pool "alpha" listens there already`},
	} {
		_, _, err := Parse([]byte("[proxy]\n"+test.proxy+"\n"+minimal(test.more)), "x")
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: error %v, want %s", test.proxy, test.more, err, test.want)
		}
	}
	_, warnings, err := Parse([]byte("[proxy]\nstats_listen = \"0.0.0.0:22222\"\n"+minimal()), "x")
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].String(), `stats_listen "0.0.0.0:22222": whoever reaches this address`) {
		t.Errorf("warnings %v, error %v", warnings, err)
	}
}

// nutcracker's flags change what the file says, one part each.
func TestSetStatsListen(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ set, host, port, want string }{
		{"", "", "1234", "0.0.0.0:1234"},
		{"", "127.0.0.1", "", "127.0.0.1:22222"},
		{"", "::1", "0", "[::1]:0"},
		{"127.0.0.1:1", "", "1234", "127.0.0.1:1234"},
		{"127.0.0.1:1", "localhost", "", "localhost:1"},
		{"/s.sock", "", "1234", "0.0.0.0:1234"},
		{"", "", "x", `port "x"`},
		{"", "a b", "", `host "a b"`},
	} {
		p := Proxy{}
		if test.set != "" {
			p.StatsListen, _ = parseListen(test.set)
		}
		err := p.SetStatsListen(test.host, test.port)
		if got := p.StatsListen; err == nil && got != (Listen{Network: "tcp", Addr: test.want}) || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q with -a %q -s %q: %v, %v, want %s", test.set, test.host, test.port, got, err, test.want)
		}
	}
}
