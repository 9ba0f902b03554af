package session_test

import (
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringway/command"
	"ringway/conf"
	"ringway/internal/redistest"
)

// Both sides of a comparison keep hashes and sorted sets in the encoding that
// lists elements in the order of their insertion.
var inOrder = redistest.Args("--hash-max-listpack-value", "10000000", "--hash-max-listpack-entries", "100000",
	"--zset-max-listpack-value", "10000000", "--zset-max-listpack-entries", "100000")

// differential compares a proxy with a Redis, which get the same requests.
type differential struct {
	t              *testing.T
	proxy          *proxy
	behind         []*redistest.Server
	plain          *redistest.Server
	seed           uint64
	send           func(args []string) bool // reports whether both must give the same reply
	requests       int                      // made so far
	viaProxy, real *raw
	resp3          bool // the connections use RESP3
}

func newDifferential(t *testing.T, shards int, adjust func(*conf.Config)) *differential {
	d := &differential{t: t, plain: redistest.Start(t, inOrder), behind: redistest.StartN(t, shards, inOrder)}
	cfg := config(t, addrs(d.behind)...)
	cfg.Pools[0].MergeSets = shards > 1 // a single shard shows SETs that are not merged
	adjust(cfg)
	d.proxy = serve(t, cfg)
	d.send = func(args []string) bool { return comparable(args, shards) }
	d.seed = uint64(time.Now().UnixNano())
	if text := os.Getenv("RINGWAY_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("RINGWAY_SEED: %v", err)
		}
		d.seed = seed
	}
	return d
}

// comparable reports whether a pool of that many shards promises the same reply to a request as
// one Redis.
func comparable(args []string, shards int) bool {
	request := make([][]byte, len(args))
	for i, a := range args {
		request[i] = []byte(a)
	}
	cmd, problem := command.Lookup(request)
	if problem != command.NoProblem || !cmd.ArityOK(len(args)) {
		return true
	}
	switch {
	case cmd.Route == command.Split, cmd.Name == "ping", cmd.Name == "echo":
		return true
	case cmd.Route != command.OneShard && cmd.Route != command.Dedicated, cmd.Reach(request) == command.ReachDatabase:
		return false
	case shards == 1:
		return true
	}
	keys, err := cmd.Keys(request, nil)
	if err != nil {
		// If a request with several faults must be parsed to find its keys, the proxy may
		// report another of the faults than Redis.
		return cmd.Group != "scripting" && !strings.HasPrefix(cmd.Name, "georadius") && !strings.HasPrefix(cmd.Name, "sort")
	}
	return len(keys) == 1 && cmd.Reach(request) != command.ReachPatterns
}

// round sends n requests in pieces of random sizes to both and compares.
func (d *differential) round(n int) {
	d.t.Helper()
	rnd := rand.New(rand.NewPCG(d.seed, 0))
	g := newGrammar(rnd)
	for _, s := range append(d.behind, d.plain) {
		s.Do("FLUSHALL")
	}
	d.viaProxy = d.proxy.dial()
	d.real = &raw{redistest.Dial(d.t, "tcp", d.plain.Addr()), d.t}
	defer d.viaProxy.Close()
	defer d.real.Close()
	if d.resp3 = rnd.IntN(2) == 0; d.resp3 {
		for _, c := range []*raw{d.viaProxy, d.real} {
			if got := c.Do("HELLO", "3"); got[0] != '%' {
				d.t.Fatalf("HELLO 3: %q", got)
			}
		}
	}
	for n > 0 {
		batch := min(n, 1+rnd.IntN(60))
		var requests [][]string
		var text strings.Builder
		transaction := len(d.behind) == 1 && rnd.IntN(4) == 0
		if transaction {
			batch = min(batch, 8)
			requests = append(requests, []string{"MULTI"})
			text.WriteString("MULTI\r\n")
		}
		for len(requests) < batch {
			if args := g.request(); d.send(args) && !(transaction && notForTransactions(args)) {
				requests = append(requests, args)
				text.WriteString(g.text(args))
			}
			for rnd.IntN(30) == 0 || len(requests) > 0 && requests[len(requests)-1][0] == "SET" && rnd.IntN(4) > 0 {
				args := []string{"SET", g.argument("key"), g.value()} // runs of them, which are merged
				requests = append(requests, args)
				text.WriteString(encode(args...))
			}
		}
		if transaction {
			requests = append(requests, []string{g.pick("EXEC", "EXEC", "DISCARD")})
			text.WriteString(encode(requests[len(requests)-1]...))
		}
		n -= len(requests)
		d.compare(requests, pieces(rnd, text.String()))
		if d.t.Failed() {
			return
		}
	}
	if a, b := d.size(d.behind...), d.size(d.plain); a != b {
		d.t.Errorf("seed %d: %d keys behind the proxy, %d in Redis", d.seed, a, b)
	}
}

// pieces cuts text at random places, into many small pieces or few large ones.
func pieces(rnd *rand.Rand, text string) (cut []string) {
	most := []int{3, 40, 2000, 1 << 20}[rnd.IntN(4)]
	for text != "" {
		n := min(1+rnd.IntN(most), len(text))
		if len(cut) > 200 { // enough small ones: the rest in one piece
			n = len(text)
		}
		cut, text = append(cut, text[:n]), text[n:]
	}
	return cut
}

func (d *differential) compare(requests [][]string, pieces []string) {
	d.t.Helper()
	for _, c := range []*raw{d.viaProxy, d.real} {
		written := make(chan struct{})
		go func() {
			defer close(written)
			for _, piece := range pieces {
				io.WriteString(c.NetConn(), piece) // if it fails, so does reading
			}
		}()
		defer func() { <-written }()
	}
	var args []string
	defer func() {
		if d.t.Failed() {
			d.t.Logf("seed %d, RESP3 %v, request %d: %.300q", d.seed, d.resp3, d.requests, args)
		}
	}()
	for _, args = range requests {
		got, want := d.viaProxy.Reply(), d.real.Reply()
		if anyOrder(args) {
			got, want = sortedLines(got), sortedLines(want)
		}
		if got != want {
			d.t.Errorf("proxy %.600q\nRedis %.600q", got, want)
			d.viaProxy.Close() // ends the writing
			d.real.Close()
			return
		}
		d.requests++
	}
}

func anyOrder(args []string) bool {
	name := strings.ToUpper(args[0])
	return unordered[name] || strings.HasPrefix(name, "SORT") && slices.Contains(args, "BY")
}

// notForTransactions reports whether a request can't be compared inside a transaction. Either its
// reply is in no particular order, and would have to be found in that of EXEC; or its arity is
// wrong for Redis 7.0 and right for newer versions, so that 7.0 refuses it with EXEC only.
func notForTransactions(args []string) bool {
	name := strings.ToUpper(args[0])
	return anyOrder(args) || (name == "ZRANK" || name == "ZREVRANK") && len(args) != 3
}

func sortedLines(reply string) string {
	lines := strings.Split(reply, "\r\n")
	slices.Sort(lines)
	return strings.Join(lines, "\r\n")
}

func (d *differential) size(servers ...*redistest.Server) (n int) {
	for _, s := range servers {
		n += len(s.Client().Keys(d.t.Context(), "*").Val()) // unlike DBSIZE this leaves out what has expired
	}
	return n
}

// longTests reports whether the tests that take minutes were asked for.
func longTests() bool { return os.Getenv("RINGWAY_LONG") == "1" }

// TestRandomRequestsAreAnsweredAsByRedis sends made-up requests to one Redis,
// and through a pool to others. RINGWAY_SEED repeats a run that failed,
// RINGWAY_LONG=1 makes a run of five minutes.
func TestRandomRequestsAreAnsweredAsByRedis(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	f := func(name string, shards int, adjust func(*conf.Config)) {
		t.Run(name, func(t *testing.T) {
			d := newDifferential(t, shards, adjust)
			runFor := 1500 * time.Millisecond
			if longTests() {
				runFor = 100 * time.Second
			}
			rounds := 0
			for start := time.Now(); time.Since(start) < runFor && !t.Failed(); d.seed++ {
				d.requests = 0
				d.round(1000)
				rounds++
			}
			t.Logf("%d000 requests", rounds)
		})
	}
	f("1 shard", 1, unchangedConfig)
	f("4 shards", 4, unchangedConfig)
	f("4 shards without io_uring", 4, withoutIOUring)
}

func withoutIOUring(cfg *conf.Config) { cfg.Proxy.IOUring = false }

func TestRequestsWithoutProperKeysAreLeftToAnOnlyServer(t *testing.T) {
	t.Parallel()
	p, servers := serveShards(t, 1)
	c := p.dial()
	for _, args := range [][]string{
		{"FCALL", "nosuch", "-0", "b"},
		{"FCALL", "nosuch", "9", "b"},
		{"EVALSHA", "ff", "+1", "a"},
		{"EVAL", "return 1", "x"},
		{"LMPOP", "0", "a", "LEFT"},
		{"GEORADIUS", "a", "x", "0", "1", "KM", "STORE"},
	} {
		if got, want := c.Do(args...), servers[0].Do(args...); got != want {
			t.Errorf("%q: %q, Redis %q", args, got, want)
		}
	}
}
