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
			if told := pr.version(p.Conf(), &s); told.version != "" {
				p.SetVersion(told.version)
				p.SetValkey(told.valkey)
				if told.helloName != "" && told.helloVersion != "" {
					p.SetHello(told.helloName, told.helloVersion)
				}
				return true
			}
		}
		if !pr.sleep(wait) {
			return false
		}
		wait = min(2*wait, 10*time.Second)
	}
}

// software is what one server says of its program.
type software struct {
	version                 string // of Redis that it is or is like; "" if it does not tell
	valkey                  bool
	helloName, helloVersion string // in reply to HELLO; "" from servers that lack it
}

// version asks one server for its program. Valkey may call itself redis in reply to HELLO, by its setting
// extended-redis-compatibility.
func (pr *Prober) version(c *conf.Pool, s *conf.Server) (told software) {
	client := NewClient(pr.ctx, c, s)
	defer client.Close()
	ctx, cancel := context.WithTimeout(pr.ctx, c.ConnectTimeout)
	defer cancel()
	if hello, err := client.Do(ctx, "HELLO").Result(); err == nil {
		told.helloName, told.helloVersion = helloField(hello, "server"), helloField(hello, "version")
	}
	info, err := client.Info(ctx, "server").Result()
	if err != nil { // the pool's user may not have the right to INFO; HELLO needs none
		switch told.helloName {
		case "redis":
			told.version = told.helloVersion
		case "valkey":
			told.version, told.valkey = valkeyIsLike, true
		}
		return told
	}
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "redis_version:"); ok {
			told.version = v
		}
		told.valkey = told.valkey || strings.HasPrefix(line, "server_name:valkey") || strings.HasPrefix(line, "valkey_version:")
	}
	return told
}

// valkeyIsLike is the version of Redis that Valkey says it is like, as redis_version in INFO of 9.1.
const valkeyIsLike = "7.2.4"

// helloField returns a field of the reply to HELLO, which is a map in RESP3 and a flat list in RESP2; "" if it is not there.
func helloField(reply any, name string) string {
	switch fields := reply.(type) {
	case map[any]any:
		value, _ := fields[name].(string)
		return value
	case []any:
		for i := 0; i+1 < len(fields); i += 2 {
			if fields[i] == name {
				value, _ := fields[i+1].(string)
				return value
			}
		}
	}
	return ""
}
