package conf

import (
	"strings"
	"testing"

	"ringway/limit"
)

func TestLimits(t *testing.T) {
	text := example + `
users = { alice = { password = "a", limits = { connections = 5, at_limit = "refuse" } }, default = { rules = "off" } }
limits = { requests = 1000, new_connections = 7 }
user_limits = { bytes = "1MB", under_way = 3 }
network_limits = { connections = 2, ipv4_prefix = 24 }
`
	p := mustParse(t, text).Pools[0]
	c := p.LimitSettings()
	if c.Pool != (limit.Settings{Requests: 1000, NewConnections: 7}) || c.Users != (limit.Settings{Bytes: 1 << 20, UnderWay: 3}) ||
		len(c.User) != 1 || c.User["alice"] != (limit.Settings{Connections: 5, Refuse: true}) ||
		c.Networks != (limit.Settings{Connections: 2}) || c.Prefix4 != 24 || c.Prefix6 != 64 {
		t.Errorf("%+v", c)
	}
	changes := Changes(mustParse(t, example), mustParse(t, text))
	all := ""
	for _, c := range changes {
		all += c.String() + "\n"
		if c.NeedsRestart() {
			t.Errorf("%s needs a restart", c)
		}
	}
	for _, want := range []string{`limits none -> { new_connections = 7, requests = 1000 }`, `user_limits none -> { under_way = 3, bytes = "1MB" }`,
		`network_limits { ipv4_prefix = 32, ipv6_prefix = 64 } -> { connections = 2, ipv4_prefix = 24, ipv6_prefix = 64 }`, `users {} -> { alice.limits = { connections = 5, at_limit = "refuse" } }`} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is not in %s", want, all)
		}
	}
}

func TestLimitsThatAreWrong(t *testing.T) {
	for text, want := range map[string]string{
		`limits = { connections = 5 }`:          "client_connections",
		`limits = { requests = 0 }`:             "want 1 or more",
		`limits = { request = 5 }`:              "requests",
		`limits = 5`:                            "want a table",
		`limits = { bytes = "10B" }`:            "want 1KB",
		`user_limits = { requests = 5 }`:        "no users",
		`network_limits = { ipv4_prefix = 33 }`: "1 to 32",
		`network_limits = { at_limit = "x" }`:   "delay",
		`users = { alice = { password = "a", limits = { new_connections = 5 } }, default = { rules = "off" } }`: "users.alice.limits.new_connections",
	} {
		_, _, err := Parse([]byte(example+text+"\n"), "test.toml")
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
