package hatest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// soakPool is a pool of the proxy under test.
type soakPool struct {
	name string
	addr string // where the proxy listens for it
	ways []*way // to its servers
	text string // its configuration
}

// healthyTimeout is the timeout of the pool healthy, where no request may time out.
const healthyTimeout = 3 * time.Second

// soakPools starts the servers of all pools and returns the pools by their names.
//
//	healthy        a cache whose servers are always well
//	static      servers that are killed, hang, and are cut off, and keep what they have acknowledged
//	hung        a server that hangs, without a timeout
//	replicated  }
//	sentinel    } servers that are well and can't be reached
//	cluster     }
func soakPools(t *testing.T, n *network) map[string]*soakPool {
	t.Helper()
	ways := func(servers ...*redistest.Server) (all []*way) {
		for _, s := range servers {
			all = append(all, n.to(s))
		}
		return all
	}
	const timeout = `timeout = "600ms"`
	pools := map[string]*soakPool{}
	add := func(name string, ways []*way, lines ...string) {
		p := &soakPool{name: name, addr: fmt.Sprintf("%s:%d", n.host, redistest.FreePort(t)), ways: ways}
		p.text = fmt.Sprintf("[pools.%s]\nlisten = %q\n%s\n", name, p.addr, strings.Join(lines, "\n"))
		pools[name] = p
	}

	healthy := ways(redistest.StartN(t, 2)...)
	add("healthy", healthy, listed("servers", healthy), `hash_tag = "{}"`, fmt.Sprintf("timeout = %q", healthyTimeout), `auto_eject_hosts = true`, `server_failure_limit = 1`, `merge_sets = true`)

	static := ways(redistest.StartN(t, 3, redistest.Args("--appendonly", "yes", "--appendfsync", "always"))...)
	add("static", static, listed("servers", static), `hash_tag = "{}"`, timeout, `merge_sets = true`)

	hung := ways(redistest.Start(t))
	add("hung", hung, listed("servers", hung), `timeout = "0s"`)

	g := redistest.StartGroup(t, 1)
	replicated := ways(g.Primary, g.Replicas[0])
	add("replicated", replicated, `topology = "replicated"`, timeout, mapped(replicated),
		"[[pools.replicated.shards]]", `name = "s1"`, listed("servers", replicated))

	g = redistest.StartGroup(t, 1)
	sentinels := ways(redistest.StartSentinels(t, 1, map[string]*redistest.Group{"s1": g})...)
	watched := ways(g.Primary, g.Replicas[0])
	add("sentinel", watched, `topology = "sentinel"`, `masters = ["s1"]`, timeout, listed("sentinels", sentinels), mapped(append(watched, sentinels...)))

	cluster := ways(startCluster(t, 3, 0).Servers...)
	add("cluster", cluster, `topology = "cluster"`, timeout, listed("servers", cluster), mapped(cluster))
	return pools
}

// serves waits until every key of the pool is served, whosever it is. It fails the test if that takes too long.
func (p *soakPool) serves(t *testing.T) {
	t.Helper()
	const keys = 64
	var text strings.Builder
	for i := range keys {
		text.WriteString(redistest.Request("SET", fmt.Sprint("serves:", i, ":", i*i), "1"))
	}
	last := ""
	defer func() {
		if t.Failed() {
			t.Logf("the last reply that was not right: %q", last)
		}
	}()
	redistest.Eventually(t, waitLimit, "every key of pool "+p.name+" is served", func() bool {
		c := redistest.Dial(t, "tcp", p.addr)
		defer c.Close()
		c.Send(text.String())
		good := true
		for range keys {
			if reply := c.Reply(); reply != "+OK\r\n" {
				last, good = reply, false
			}
		}
		return good
	})
}
