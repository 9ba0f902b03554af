package topology

import (
	"context"
	"strings"
	"time"

	"ringway/conf"
	"ringway/pool"
)

// LearnVersions asks the servers of p for their version of Redis, on a goroutine of its own,
// until one has answered. Clients are told that version. After that it keeps asking for the
// servers' commands.
func (pr *Prober) LearnVersions(p *pool.Pool) {
	pr.learnVersion(p, func() []conf.Server { return p.Conf().Servers })
}

// learnVersion is LearnVersions for the servers that a function returns, which is called
// before each attempt.
func (pr *Prober) learnVersion(p *pool.Pool, servers func() []conf.Server) {
	pr.start(func() {
		pr.supervise(p, "learning a pool's version", func() {
			if pr.findVersion(p, servers) {
				pr.learnCommands(p, servers)
			}
		})
	})
}

// findVersion asks until a server has told its version. It reports false if the Prober was
// stopped before that.
func (pr *Prober) findVersion(p *pool.Pool, servers func() []conf.Server) bool {
	wait := probeMin
	for {
		for _, s := range servers() {
			if v, valkey := pr.version(p.Conf(), &s); v != "" {
				p.SetVersion(v)
				p.SetValkey(valkey)
				return true
			}
		}
		if !pr.sleep(wait) {
			return false
		}
		wait = min(2*wait, 10*time.Second)
	}
}

// version asks one server for the version of Redis that it is or is like, "" if it does not tell, and
// whether it is Valkey.
func (pr *Prober) version(c *conf.Pool, s *conf.Server) (version string, valkey bool) {
	client := NewClient(pr.ctx, c, s)
	defer client.Close()
	ctx, cancel := context.WithTimeout(pr.ctx, c.ConnectTimeout)
	defer cancel()
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "redis_version:"); ok {
			version = v
		}
		valkey = valkey || strings.HasPrefix(line, "server_name:valkey") || strings.HasPrefix(line, "valkey_version:")
	}
	return version, valkey
}
