package session_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/pool"
)

// asks are requests that together use every Receiver of replies, with the name of the request
// that gets the hostile reply. Requests are separated by |. Keys a and b are on one server, y
// and z on the other.
var asks = []struct{ hostile, requests string }{
	{"PING", "PING"}, // to all servers, while there is no connection
	{"GET", "GET a"},
	{"SET", "SET a 1"},
	{"MGET", "MGET a b y z"},
	{"DEL", "DEL a y z"},
	{"MSET", "MSET a 1 y 2"},
	{"MSET", "SET a 1|SET b 2|SET a 3|SET y 4|SET z 5"}, // merged
	{"SUNION", "SUNION a b y"},
	{"SINTER", "SINTERSTORE a b y"},
	{"ZINTER", "ZUNION 2 a y WITHSCORES"},
	{"XREAD", "XREAD STREAMS a y 0 0"},
	{"KEYS", "KEYS *"},
	{"KEYS", "KEYS {a}*"},
	{"CLUSTER", "KEYS {a}*"}, // in a Cluster
	{"SCAN", "SCAN 0"},
	{"DBSIZE", "DBSIZE"},
	{"RANDOMKEY", "RANDOMKEY"},
	{"DBSIZE", "RANDOMKEY"},
	{"INFO", "INFO"},
	{"SLOWLOG", "SLOWLOG GET"},
	{"CONFIG", "CONFIG GET maxmemory"},
	{"MEMORY", "MEMORY USAGE a"},
	{"PUBSUB", "PUBSUB CHANNELS"},
	{"PUBSUB", "PUBSUB NUMSUB a y"},
	{"PUBSUB", "PUBSUB NUMPAT"},
	{"PUBLISH", "PUBLISH a hello"},
	{"SPUBLISH", "SPUBLISH a hello"},
	{"SUBSCRIBE", "SUBSCRIBE a y"},
	{"PSUBSCRIBE", "PSUBSCRIBE a*"},
	{"SSUBSCRIBE", "SSUBSCRIBE a y"},
	{"UNSUBSCRIBE", "SUBSCRIBE a|UNSUBSCRIBE a"},
	{"EXEC", "MULTI|GET a|SET a 1|EXEC"},
	{"MULTI", "MULTI|GET a|EXEC"},
	{"GET", "MULTI|GET a|EXEC"},
	{"WATCH", "WATCH a|MULTI|GET a|EXEC"},
	{"EXEC", "MULTI|SET a 1|MGET a y|SET z 1|EXEC"},
	{"GET", "MULTI|GET a|MSET a 1 y 2|EXEC"},
	{"INFO", "MULTI|SET a 1|INFO|CLIENT ID|EXEC"},
	{"SUBSCRIBE", "MULTI|SET a 1|SUBSCRIBE a y|EXEC"},
	{"WATCH", "WATCH a y|MULTI|GET a|EXEC"},
	{"EXEC", "WATCH a y|MULTI|SET a 1|SET y 2|EXEC"},
	{"EXEC", "WATCH a|GET a|MULTI|SET a 1|EXEC"},
	{"GET", "WATCH a|GET a|UNWATCH"},
	{"BLPOP", "BLPOP a b 0.01"},
	{"XREAD", "XREAD BLOCK 10 STREAMS a 0"},
	{"LLEN", "BLPOP a y 0.01"}, // on both servers
	{"LPOP", "BLPOP a y 0.01"},
	{"XREVRANGE", "XREAD BLOCK 10 STREAMS a y 0 0"},
	{"XREAD", "XREAD BLOCK 10 STREAMS a y 0 0"},
	{"XINFO", "XREADGROUP GROUP g c BLOCK 10 STREAMS a y > >"},
	{"XREADGROUP", "XREADGROUP GROUP g c BLOCK 10 STREAMS a y > 0"},
	{"CLIENT", "BLPOP a 0.01"}, // the dedicated connection's CLIENT ID
	{"WAIT", "SET a 1|WAIT 1 10"},
	{"EVAL", "EVAL return(1) 1 a"},
	{"EVALSHA", "EVAL return(1) 1 a|EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 1 a"},
	{"SCRIPT", "SCRIPT LOAD return(1)"},
	{"SCRIPT", "SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db"},
	{"SCRIPT", "SCRIPT FLUSH"},
	{"FUNCTION", "FUNCTION LIST"},
	{"FCALL", "FCALL f 1 a"},
	{"AUTH", "AUTH somebody secret|GET a"},
	{"ACL", "AUTH somebody secret|CLIENT LIST"},
	{"SELECT", "SELECT 3|GET a"},
	{"MONITOR", "MONITOR"},
	{"CLIENT", "HELLO 3|CLIENT TRACKING ON BCAST|GET a"},
	{"GET", "CLIENT TRACKING ON|GET a"},
	{"SUBSCRIBE", "HELLO 3|CLIENT TRACKING ON|GET a"},
	{"COMMAND", "NOSUCHCOMMAND a"},
	{"COMMAND", "COMMAND DOCS get"},
	{"HELLO", "HELLO 3|GET a"},
	{"ECHO", "EVAL return(2) 1 a"}, // the marker behind a script
	{"GET", "CLIENT REPLY SKIP|GET a|GET y"},
	{"TIME", "TIME"},
	{"FLUSHALL", "FLUSHALL"},
	{"OBJECT", "OBJECT ENCODING a"},
	{"ASKING", "GET a"},
	{"", "GET a"}, // any request, the first one of each connection included
}

// hostileReplies are whole replies of every type.
var hostileReplies = []string{
	"+OK\r\n", "+\r\n", "+QUEUED\r\n", "-ERR no\r\n", "-\r\n", "-MOVED 99999 127.0.0.1:1\r\n", "-MOVED 1 \r\n", "-MOVED\r\n", "-MOVED -1 :0\r\n",
	"-ASK 3 127.0.0.1:1\r\n", "-ASK 70000 x\r\n", "-READONLY no\r\n", "-BUSY script\r\n", "-LOADING\r\n", "-NOSCRIPT no\r\n", "-EXECABORT no\r\n", "-NOPERM no\r\n", "-NOAUTH\r\n",
	"-CLUSTERDOWN\r\n", "-TRYAGAIN x\r\n", "-MASTERDOWN x\r\n", "-UNBLOCKED x\r\n", "-CROSSSLOT x\r\n", "-WRONGTYPE x\r\n", "-DENIED x\r\n", "-ERR max number of clients reached\r\n",
	":0\r\n", ":1\r\n", ":-1\r\n", ":9223372036854775807\r\n", ":-9223372036854775808\r\n",
	"$0\r\n\r\n", "$1\r\nv\r\n", "$-1\r\n", "$5\r\nhello\r\n", "*-1\r\n", "*0\r\n", "*1\r\n$1\r\nv\r\n", "*1\r\n*0\r\n", "*2\r\n$1\r\n0\r\n*0\r\n", "*2\r\n$20\r\n18446744073709551615\r\n*1\r\n$1\r\nk\r\n",
	"*2\r\n:1\r\n$-1\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n", "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n", "*4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$1\r\na\r\n$1\r\nm\r\n",
	"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\na\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", "*2\r\n+OK\r\n-ERR in it\r\n", "*4\r\n$1\r\na\r\n:1\r\n$1\r\ny\r\n:2\r\n",
	"_\r\n", "#t\r\n", "#f\r\n", ",1.5\r\n", ",inf\r\n", ",nan\r\n", "(123456789012345678901234567890\r\n", "(-1\r\n", "=5\r\ntxt:v\r\n", "=4\r\ntxt:\r\n", "!5\r\nERR x\r\n", "!0\r\n\r\n",
	"%0\r\n", "%1\r\n+k\r\n:1\r\n", "%2\r\n$1\r\na\r\n*1\r\n:1\r\n$1\r\nb\r\n_\r\n", "~0\r\n", "~2\r\n$1\r\na\r\n$1\r\nb\r\n", "~1\r\n%1\r\n:1\r\n~0\r\n",
	"|1\r\n+ttl\r\n:5\r\n$1\r\nv\r\n", ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n", ">2\r\n$10\r\ninvalidate\r\n_\r\n", ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n", ">0\r\n", ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n$1\r\nv\r\n",
	"$20000\r\n" + strings.Repeat("v", 20000) + "\r\n", "=20004\r\ntxt:" + strings.Repeat("v", 20000) + "\r\n", "-" + strings.Repeat("e", 20000) + "\r\n", "+" + strings.Repeat("s", 20000) + "\r\n",
	"*3\r\n$1\r\na\r\n$20000\r\n" + strings.Repeat("v", 20000) + "\r\n$1\r\nb\r\n", "*4000\r\n" + strings.Repeat("$1\r\nv\r\n", 4000), "%3000\r\n" + strings.Repeat("$1\r\nv\r\n:1\r\n", 3000), "~4000\r\n" + strings.Repeat("$1\r\nv\r\n", 4000),
	"*2\r\n$1\r\n0\r\n*4000\r\n" + strings.Repeat("$1\r\nv\r\n", 4000), "*2\r\n*-1\r\n$20000\r\n" + strings.Repeat("v", 20000) + "\r\n",
}

// ends are what happens after the first part of the hostile reply has been read.
var ends = []string{"the rest", "the server closes", "the client leaves", "the client leaves and the server closes", "the client sends much more", "the client closes half"}

// everyReply is a proxy in front of servers that give a hostile reply once.
type everyReply struct {
	*proxy
	t     *testing.T
	pools []string // addresses
	fakes []*fakeredis.Server

	log bugLog

	mu     sync.Mutex
	ask    string // the request that gets the hostile reply; "" for any, "-" for none
	reply  string
	cut    int
	end    string
	client net.Conn
	multi  map[*fakeredis.Conn]bool
	cases  int
}

func newEveryReply(t *testing.T) *everyReply {
	e := &everyReply{t: t, ask: "-", multi: map[*fakeredis.Conn]bool{}}
	for range 2 {
		e.fakes = append(e.fakes, fakeredis.StartHandler(t, e.answer))
	}
	const common = "transactions = \"per_shard\"\ntimeout = \"500ms\"\nacl_users = 1000\npinned_connections = 4000\ndatabases = 16\nallow_commands = [\"keys\", \"flushall\", \"monitor\", \"config|get\", \"function\", \"slowlog\", \"script\"]\nhash_tag = \"{}\"\n"
	text := fmt.Sprintf(`
		[pools.alpha]
		listen = "127.0.0.1:1"
		%[1]sserver_failure_limit = 100000
		merge_sets = true
		hash = "fnv1a_64"
		servers = ["%[2]s s1", "%[3]s s2"]
		[pools.beta]
		listen = "127.0.0.1:2"
		%[1]stopology = "replicated"
		hedge_after = "1ms"
		read_from = "prefer_replica"
		failover_wait = "100ms"
		[[pools.beta.shards]]
		name = "s1"
		servers = ["%[2]s", "%[3]s"]
		[pools.gamma]
		listen = "127.0.0.1:3"
		%[4]stopology = "cluster"
		failover_wait = "100ms"
		servers = ["%[2]s"]`, common, e.fakes[0].Addr(), e.fakes[1].Addr(), strings.NewReplacer("databases = 16\n", "", "hash_tag = \"{}\"\n", "").Replace(common))
	cfg, _, err := conf.Parse([]byte(text), "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	for i := range cfg.Pools {
		cfg.Pools[i].Listen.Addr = "127.0.0.1:0"
	}
	cfg.Proxy.Threads = 1
	cfg.Proxy.IOUring = os.Getenv("RINGWAY_IO_URING") != "off"
	e.proxy = serveLog(t, cfg, &e.log)
	member := func(i int) pool.View {
		return pool.View{Primary: pool.Member{Addr: e.fakes[i].Addr()}, Replicas: []pool.Member{{Addr: e.fakes[1-i].Addr()}}}
	}
	for _, p := range e.server.Pools() {
		e.pools = append(e.pools, e.server.Addrs()[p.Conf().Name])
		switch p.Conf().Name {
		case "beta":
			p.SetView(0, member(0))
		case "gamma":
			p.SetCluster([]pool.ClusterShard{
				{ID: "a", View: member(0), Slots: []pool.SlotRange{{First: 0, Last: 8000}}},
				{ID: "b", View: member(1), Slots: []pool.SlotRange{{First: 8001, Last: 16383}}},
			})
		}
	}
	return e
}

// answer is the handler of both fake servers.
func (e *everyReply) answer(c *fakeredis.Conn, args []string) {
	name := strings.ToUpper(args[0])
	e.mu.Lock()
	reply, cut, end, client := e.reply, e.cut, e.end, e.client
	hostile := e.ask == name || e.ask == ""
	if hostile {
		e.ask = "-" // once
	}
	in := e.multi[c]
	switch name {
	case "MULTI":
		e.multi[c] = true
	case "EXEC", "DISCARD":
		delete(e.multi, c)
	}
	e.mu.Unlock()
	if !hostile {
		c.Reply(usualReply(name, args, in))
		return
	}
	c.Reply(reply[:cut])
	e.sessions() // by now every loop has read the first part
	if strings.Contains(end, "client leaves") {
		client.Close()
		e.sessions()
	}
	switch {
	case strings.HasSuffix(end, "server closes"):
		c.Close()
		return
	case end == "the client sends much more":
		go io.WriteString(client, strings.Repeat("PING\r\nGET a\r\n", 3000)) // ends with the connection
	case end == "the client closes half":
		closeWrite(client)
		e.sessions()
	}
	c.Reply(reply[cut:])
}

// usualReply is what a healthy server answers. in says that the connection is inside MULTI.
func usualReply(name string, args []string, in bool) string {
	if in && name != "MULTI" && name != "EXEC" && name != "DISCARD" {
		return "+QUEUED\r\n"
	}
	switch name {
	case "ECHO":
		return bulk(args[1])
	case "PING":
		if len(args) > 1 {
			return bulk(args[1])
		}
		return "+PONG\r\n"
	case "GET":
		return bulk("v")
	case "MGET", "EXEC":
		return "*1\r\n" + bulk("v")
	case "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE":
		return "*3\r\n" + bulk(strings.ToLower(name)) + bulk(args[1]) + ":1\r\n"
	case "CLIENT":
		if strings.EqualFold(args[1], "ID") {
			return ":7\r\n"
		}
	case "HELLO":
		return "%0\r\n"
	case "COMMAND", "BLPOP", "KEYS", "XREAD", "CONFIG", "SLOWLOG", "FUNCTION", "TIME":
		return "*0\r\n"
	case "XREVRANGE":
		return "*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
	case "XINFO":
		return "*1\r\n*4\r\n$4\r\nname\r\n$1\r\ng\r\n$17\r\nlast-delivered-id\r\n$3\r\n0-0\r\n"
	case "LPOP":
		return bulk("v")
	case "SCAN":
		return "*2\r\n$1\r\n0\r\n*0\r\n"
	case "DEL", "DBSIZE", "LLEN", "WAIT", "PUBLISH", "SPUBLISH":
		return ":1\r\n"
	case "SUNION", "SINTER", "ZINTER", "ZUNION":
		return "*0\r\n"
	}
	return "+OK\r\n"
}

// try makes one server give one hostile reply, and checks that the proxy still serves clients.
func (e *everyReply) try(ask, hostile int, cut int, end string, resp3 bool) {
	e.t.Helper()
	e.cases++
	a, reply := asks[ask], hostileReplies[hostile]
	addr := e.pools[e.cases%len(e.pools)]
	conn, err := netDial(addr)
	if err != nil {
		e.t.Fatal(err)
	}
	defer conn.Close()
	e.mu.Lock()
	e.ask, e.reply, e.cut, e.end, e.client = a.hostile, reply, cut, end, conn
	e.mu.Unlock()
	mark := fmt.Sprint("mark-", e.cases)
	var text strings.Builder
	text.WriteString(encode("CLIENT", "SETNAME", mark))
	if resp3 {
		text.WriteString("HELLO 3\r\n")
	}
	for request := range strings.SplitSeq(a.requests, "|") {
		text.WriteString(encode(strings.Fields(request)...))
	}
	text.WriteString(encode("PING", mark) + encode("CLIENT", "GETNAME")) // PING may go to the server, and a subscriber may not send CLIENT
	conn.SetDeadline(time.Now().Add(15 * time.Second))
	io.WriteString(conn, text.String()) // if it fails, so does reading
	got, err := readUntil(conn, mark)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		e.t.Errorf("%s: no reply to what comes behind; so far %.300q", e.describe(ask, hostile, cut, end, resp3, addr), got)
	}
	e.mu.Lock()
	e.ask = "-"
	e.mu.Unlock()
	if end != "the rest" || e.cases%16 == 0 {
		e.sessions()
		e.checkHealthy(func() string { return e.describe(ask, hostile, cut, end, resp3, addr) })
	}
}

func (e *everyReply) describe(ask, hostile, cut int, end string, resp3 bool, addr string) string {
	return fmt.Sprintf("pool %s RESP3 %v, %q where %q is answered with %.80q, %d bytes and then %s",
		addr, resp3, asks[ask].requests, asks[ask].hostile, hostileReplies[hostile], cut, end)
}

// bugLog is a log that keeps the lines about bugs of the proxy.
type bugLog struct {
	mu   sync.Mutex
	bugs []string
}

func (l *bugLog) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte("bug: ")) {
		l.mu.Lock()
		l.bugs = append(l.bugs, string(b))
		l.mu.Unlock()
	}
	return len(b), nil
}

// take returns the lines since the last call.
func (l *bugLog) take() (bugs []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bugs, l.bugs = l.bugs, nil
	return bugs
}

// checkHealthy fails the test if the proxy has logged a bug, or does not serve another client.
func (e *everyReply) checkHealthy(what func() string) {
	e.t.Helper()
	c := e.dial()
	defer c.Close()
	got := c.Do("ECHO", "x")
	for _, bug := range e.log.take() {
		e.t.Errorf("%s:\n%s", what(), strings.ReplaceAll(bug, `\n`, "\n"))
	}
	if got != bulk("x") {
		e.t.Errorf("%s: another client got %q", what(), got)
	}
}

// readUntil reads until mark has come, or to the connection's end. It returns the last 1,000
// bytes or more.
func readUntil(conn net.Conn, mark string) (got []byte, err error) {
	b := make([]byte, 64<<10)
	for !bytes.Contains(got, []byte(mark)) {
		n, err := conn.Read(b)
		if got = append(got[max(0, len(got)-1000):], b[:n]...); err != nil {
			return got, err
		}
	}
	return got, nil
}

// TestEveryReceiverHandlesEveryReply gives each request that clients send replies of all types,
// cut anywhere, while clients come and go. It tries some combinations at random.
// RINGWAY_FAULTS=1 ("make faults") tries all requests with all replies cut at every byte.
func TestEveryReceiverHandlesEveryReply(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	e := newEveryReply(t)
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("RINGWAY_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("RINGWAY_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	if os.Getenv("RINGWAY_FAULTS") == "" {
		for start := time.Now(); time.Since(start) < 3*time.Second && !t.Failed(); {
			hostile := rnd.IntN(len(hostileReplies))
			e.try(rnd.IntN(len(asks)), hostile, rnd.IntN(1+len(hostileReplies[hostile])), ends[rnd.IntN(len(ends))], rnd.IntN(2) == 0)
		}
	} else {
		for ask := range asks {
			for hostile, reply := range hostileReplies {
				for cut := 0; cut <= len(reply) && !t.Failed(); cut++ {
					if cut > 64 && cut < len(reply)-8 { // of a large one, some places in the middle
						cut += 1 + rnd.IntN(8<<10)
						cut = min(cut, len(reply)-8)
					}
					e.try(ask, hostile, cut, ends[rnd.IntN(len(ends))], rnd.IntN(2) == 0)
				}
			}
			t.Logf("%d of %d requests, %d cases", ask+1, len(asks), e.cases)
		}
	}
	e.checkHealthy(func() string { return "in the end" })
	t.Logf("%d cases", e.cases)
}
