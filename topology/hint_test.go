package topology_test

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"ringway/conf"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/pool"
	"ringway/topology"
)

// If the answer of a server or Sentinel shows that a setting is wrong, the log names the
// setting, once for each server.
func TestLogNamesTheSettingThatIsWrong(t *testing.T) {
	const noAuth = "-NOAUTH Authentication required.\r\n"
	answers := func(reply string) string {
		return fakeredis.StartHandler(t, func(c *fakeredis.Conn, _ []string) { c.Reply(reply) }).Addr()
	}
	plain := redistest.Start(t).Addr()
	for _, test := range []struct{ name, lines, want string }{
		{"a Cluster that is none", `topology = "cluster"` + "\n" + `servers = ["` + plain + `"]`,
			"Cluster server can't be asked: it does not belong to a Redis Cluster"},
		{"a Cluster's password", `topology = "cluster"` + "\n" + `servers = ["` + answers(noAuth) + `"]`,
			"Cluster server can't be asked: it requires a password: set redis_auth"},
		{"a Sentinel that is none", `topology = "sentinel"` + "\n" + `masters = ["s1"]` + "\n" + `sentinels = ["` + plain + `"]`,
			"Sentinel can't be asked: it is a Redis server, not a Sentinel"},
		{"a Sentinel's password", `topology = "sentinel"` + "\n" + `masters = ["s1"]` + "\n" + `sentinels = ["` + answers(noAuth) + `"]`,
			"Sentinel can't be asked: it requires a password: set sentinel_auth"},
		{"a wrong password", `topology = "replicated"` + "\n" + `redis_auth = "x"` + "\n[[pools.a.shards]]\nname = \"s\"\n" + `servers = ["` + answers("-WRONGPASS invalid username-password pair or user is disabled.\r\n") + `"]`,
			"server can't be asked: it refuses the password: check redis_auth"},
		{"a server's password", `topology = "replicated"` + "\n[[pools.a.shards]]\nname = \"s\"\n" + `servers = ["` + answers(noAuth) + `"]`,
			"server can't be asked: it requires a password: set redis_auth"},
	} {
		t.Run(test.name, func(t *testing.T) {
			redistest.CheckLeaks(t)
			cfg, _, err := conf.Parse(fmt.Appendf(nil, "[pools.a]\nlisten = \"127.0.0.1:1\"\nprobe_interval = \"50ms\"\n%s\n", test.lines), "t.toml")
			if err != nil {
				t.Fatal(err)
			}
			var told atomic.Int32
			log := slog.New(onMessage(test.want, &told))
			w := topology.New(log)
			defer w.Stop()
			p, err := pool.New(&cfg.Pools[0], &cfg.Proxy, w, log)
			if err != nil {
				t.Fatal(err)
			}
			w.Watch(p)
			redistest.Eventually(t, patience, "the log says "+test.want, func() bool { return told.Load() > 0 })
			if n := told.Load(); n > 1 {
				t.Errorf("%d lines", n)
			}
		})
	}
}
