package session_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/hashring"
	"ringway/internal/redistest"
	"ringway/server"
	"ringway/topology"
)

// migration is a nutcracker and a Ringway with the same pools in front of the
// same servers. Pool i listens on a socket "twemproxy<i>" of the one and
// "ringway<i>" of the other.
type migration struct {
	t       *testing.T
	dir     string
	servers []*redistest.Server
	pools   []twinPool
	conf    *conf.Config // Ringway's
	rnd     *rand.Rand
}

// twinPool is a pool of both.
type twinPool struct {
	hash, distribution, tag string
	servers                 []string // as both write them
}

func newMigration(t *testing.T) *migration {
	dir, err := os.MkdirTemp("", "twin") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &migration{t: t, dir: dir, servers: redistest.StartN(t, 5, redistest.UnixSocket()), rnd: rand.New(rand.NewPCG(1, 2))}
	shapes := m.shapes()
	for _, hash := range hashring.HashNames() {
		if hash == "xxhash64" {
			continue // Ringway's own
		}
		for _, distribution := range []string{"ketama", "modula"} {
			p := shapes[len(m.pools)%len(shapes)]
			p.hash, p.distribution = hash, distribution
			m.pools = append(m.pools, p)
		}
	}
	redistest.Nutcracker(t, m.yaml("twemproxy"))
	m.serve()
	return m
}

// shapes are ways to write five servers down. Their number and that of the
// distributions have no common factor.
func (m *migration) shapes() []twinPool {
	var plain, named, weighted, sockets, mixed []string
	for i, s := range m.servers {
		plain = append(plain, s.Addr()+":1")
		named = append(named, fmt.Sprintf("%s:1 shard%d", s.Addr(), 9+i)) // of two lengths
		weighted = append(weighted, fmt.Sprintf("%s:%d server-%c", s.Addr(), []int{1, 2, 7, 1, 40}[i], 'e'-i))
		sockets = append(sockets, fmt.Sprintf("%s:%d", s.Socket(), 1+i))
		mixed = append(mixed, []string{s.Addr() + ":3", s.Socket() + ":1", s.Addr() + ":2 ten"}[min(i, 2)]+strings.Repeat("n", max(0, i-2)))
	}
	return []twinPool{{servers: plain}, {servers: named, tag: "{}"}, {servers: weighted, tag: "$$"}, {servers: sockets}, {servers: mixed, tag: "{}"}}
}

func (m *migration) socket(of string, pool int) string {
	return filepath.Join(m.dir, fmt.Sprint(of, pool))
}

// yaml returns a nutcracker.yml, which both programs read.
func (m *migration) yaml(of string) string {
	var b strings.Builder
	for i, p := range m.pools {
		fmt.Fprintf(&b, "pool%d:\n  listen: %s\n  hash: %s\n  distribution: %s\n", i, m.socket(of, i), p.hash, p.distribution)
		if p.tag != "" {
			fmt.Fprintf(&b, "  hash_tag: %q\n", p.tag)
		}
		fmt.Fprintf(&b, "  redis: true\n  auto_eject_hosts: true\n  server_failure_limit: 1\n  server_retry_timeout: 3600000\n  servers:\n")
		for _, s := range p.servers {
			fmt.Fprintf(&b, "   - %s\n", s)
		}
	}
	return b.String()
}

func (m *migration) serve() {
	cfg, _, err := conf.Parse([]byte(m.yaml("ringway")), "nutcracker.yml")
	if err != nil {
		m.t.Fatal(err)
	}
	m.conf = cfg
	log := slog.New(slog.DiscardHandler)
	prober := topology.NewProber(log)
	srv, err := server.New(cfg, prober, log)
	if err != nil {
		m.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	m.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			m.t.Error(err)
		}
		prober.Stop()
	})
}

// keys makes up n keys, many with hash tags, whole and broken.
func (m *migration) keys(n int) (keys []string) {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789:{}$\x00\xff\x80\r\n "
	seen := map[string]bool{}
	for len(keys) < n {
		b := make([]byte, m.rnd.IntN(30))
		for i := range b {
			b[i] = letters[m.rnd.IntN(len(letters))]
		}
		key := string(b)
		switch m.rnd.IntN(4) {
		case 0:
			key = fmt.Sprintf("user:%d", m.rnd.IntN(1e6))
		case 1:
			key = fmt.Sprintf("a{%d}$%d$z%s", m.rnd.IntN(100), m.rnd.IntN(100), key)
		}
		if !seen[key] {
			seen[key] = true
			keys = append(keys, key)
		}
	}
	return keys
}

// exchange writes keys through either proxy and reads them through the other.
func (m *migration) exchange(pool int, alive []*redistest.Server) {
	m.t.Helper()
	for _, s := range alive {
		s.Do("FLUSHALL")
	}
	twemproxy := &raw{redistest.Dial(m.t, "unix", m.socket("twemproxy", pool)), m.t}
	ringway := &raw{redistest.Dial(m.t, "unix", m.socket("ringway", pool)), m.t}
	defer twemproxy.Close()
	defer ringway.Close()
	for _, way := range []struct {
		name     string
		from, to *raw
	}{{"twemproxy to Ringway", twemproxy, ringway}, {"Ringway to twemproxy", ringway, twemproxy}} {
		keys := m.keys(100)
		sets, many, gets := "", []string{"MGET"}, ""
		for i, key := range keys {
			sets += encode("SET", key, fmt.Sprint(way.name, i))
			gets += encode("GET", key)
			many = append(many, key)
		}
		way.from.Send(sets)
		way.from.expect(strings.Split(strings.Repeat("+OK\r\n,", len(keys)-1)+"+OK\r\n", ",")...)
		way.to.Send(gets + encode(many...))
		all := fmt.Sprintf("*%d\r\n", len(keys))
		for i, key := range keys {
			value := fmt.Sprint(way.name, i)
			want := fmt.Sprintf("$%d\r\n%s\r\n", len(value), value)
			all += want
			if got := way.to.Reply(); got != want {
				m.t.Errorf("pool %d %+v, %s: %q is %q, want %q", pool, m.pools[pool], way.name, key, got, want)
			}
		}
		if got := way.to.Reply(); got != all {
			m.t.Errorf("pool %d %+v, %s: MGET %q, want %q", pool, m.pools[pool], way.name, got, all)
		}
		many[0] = "DEL"
		if got, want := way.to.Do(many...), fmt.Sprintf(":%d\r\n", len(keys)); got != want {
			m.t.Errorf("pool %d, %s: DEL %q, want %q", pool, way.name, got, want)
		}
	}
}

// eject asks for a key of the server that is down until it has a new owner, on
// either side.
func (m *migration) eject(pool int, dead *redistest.Server) {
	m.t.Helper()
	key := m.keyOf(pool, dead)
	for _, side := range []string{"twemproxy", "ringway"} {
		c := &raw{redistest.Dial(m.t, "unix", m.socket(side, pool)), m.t}
		redistest.Eventually(m.t, 20*time.Second, side+" to eject the server that is down", func() bool {
			return !strings.HasPrefix(c.Do("GET", key), "-")
		})
		c.Close()
	}
}

// keyOf returns a key that a server owns as long as all are up.
func (m *migration) keyOf(pool int, owner *redistest.Server) string {
	p := &m.conf.Pools[pool]
	ring, err := hashring.New(p.Ring())
	if err != nil {
		m.t.Fatal(err)
	}
	for i := 0; ; i++ {
		key := fmt.Sprint(i*7919, "probe")
		if addr := p.Servers[ring.Index([]byte(key))].Addr; addr == owner.Addr() || addr == owner.Socket() {
			return key
		}
	}
}

func TestTwemproxyAndRingwayFindEachOthersKeys(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	redistest.RequireTool(t, "nutcracker")
	m := newMigration(t)
	for i := range m.pools {
		m.exchange(i, m.servers)
	}
	dead := m.servers[3]
	dead.Kill()
	alive := slices.DeleteFunc(slices.Clone(m.servers), func(s *redistest.Server) bool { return s == dead })
	for i := range m.pools {
		m.eject(i, dead)
		m.exchange(i, alive)
	}
}
