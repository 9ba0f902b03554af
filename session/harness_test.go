package session_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"ringway/conf"
	"ringway/hashring"
	"ringway/internal/redistest"
	"ringway/server"
	"ringway/topology"
)

func TestMain(m *testing.M) { os.Exit(redistest.RunCheckingLeaks(m)) }

// proxy is a Ringway in the test's process.
type proxy struct {
	t      *testing.T
	addr   string
	tls    *tls.Config // of clients; nil: in clear
	trust  string      // the file whose certificates clients trust then
	server *server.Server
	stop   func() error // drains, and returns what Run returned; may be called twice

	mayPanic bool // the test makes callbacks panic; else none may
}

// config returns a configuration with one pool of the given servers. Its
// address is chosen by the system. RINGWAY_IO_URING=off runs all tests without io_uring,
// RINGWAY_TLS=on has their clients speak TLS.
func config(t *testing.T, servers ...string) *conf.Config {
	t.Helper()
	var quoted []string
	for i, s := range servers {
		// With names the ring does not depend on the ports, which differ from run to run.
		quoted = append(quoted, fmt.Sprintf("%q", fmt.Sprint(s, " s", i+1)))
	}
	text := fmt.Sprintf(`
		[pools.alpha]
		listen = "127.0.0.1:2"
		hash = "fnv1a_64"
		timeout = "30s"
		connect_timeout = "30s"
		servers = [%s]`, strings.Join(quoted, ", "))
	cfg, _, err := conf.Parse([]byte(text), "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Pools[0].Listen.Addr = "127.0.0.1:0"
	cfg.Proxy.IOUring = os.Getenv("RINGWAY_IO_URING") != "off"
	if os.Getenv("RINGWAY_TLS") == "on" {
		takeTLS(t, cfg)
	}
	return cfg
}

// serve runs a proxy until the test ends.
func serve(t *testing.T, cfg *conf.Config) *proxy {
	t.Helper()
	return serveLog(t, cfg, t.Output())
}

// serveLog is serve with a log of the test's own.
func serveLog(t *testing.T, cfg *conf.Config, to io.Writer) *proxy {
	t.Helper()
	log := slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: slog.LevelDebug}))
	prober := topology.NewProber(log)
	srv, err := server.New(cfg, prober, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	p := &proxy{t: t, server: srv, addr: srv.Addrs()["alpha"]}
	if cfg.Pools[0].ClientTLS != nil {
		p.tls = anyCertificate
		if file, ok := trusted.Load(cfg.Pools[0].ClientTLS.Cert); ok {
			p.trust = file.(string)
		}
	}
	for i := range cfg.Pools { // another proxy may have had the address before
		if addr := srv.Addrs()[cfg.Pools[i].Name]; cfg.Pools[i].ClientTLS != nil {
			speakTLS.Store(addr, p)
		} else {
			speakTLS.Delete(addr)
		}
	}
	var result error
	stopped := false
	p.stop = func() error {
		if !stopped {
			stopped = true
			cancel()
			result = <-ended
			speakTLS.Range(func(addr, _ any) bool {
				speakTLS.CompareAndDelete(addr, p)
				return true
			})
			prober.Stop()
		}
		return result
	}
	t.Cleanup(func() {
		p.stop()
		if n := srv.State().Panics; n > 0 && !p.mayPanic {
			t.Errorf("%d callbacks have panicked: see the log", n)
		}
	})
	return p
}

// serveShards runs a proxy in front of n real servers.
func serveShards(t *testing.T, n int) (*proxy, []*redistest.Server) {
	t.Helper()
	servers := redistest.StartN(t, n)
	return serve(t, config(t, addrs(servers)...)), servers
}

func addrs(servers []*redistest.Server) (list []string) {
	for _, s := range servers {
		list = append(list, s.Addr())
	}
	return list
}

// sessions returns how many sessions each loop has. When it returns, every loop has done
// everything that was posted to it before.
func (p *proxy) sessions() (counts []int) {
	for _, w := range p.server.Workers() {
		w.Do(func() { counts = append(counts, w.Len()) })
	}
	return counts
}

// moveAll has all sessions move to one loop.
func (p *proxy) moveAll(target int) {
	workers := p.server.Workers()
	for _, w := range workers {
		w.MoveAll(workers[target])
	}
}

// tick runs Worker.Tick on each loop in the middle of a turn: after the events were handled, and
// before the deferred work.
func (p *proxy) tick() {
	for _, w := range p.server.Workers() {
		w.Post(w.Tick)
	}
}

// stall stops all loops until a channel is closed, as SIGSTOP would. It returns when all of them
// have stopped.
func (p *proxy) stall(until <-chan struct{}) {
	standing := make(chan struct{})
	for _, w := range p.server.Workers() {
		w.Post(func() {
			standing <- struct{}{}
			<-until
		})
	}
	for range p.server.Workers() {
		<-standing
	}
}

// busy is session.Worker.Busy for all loops, one after the other.
func (p *proxy) busy(d time.Duration) {
	for _, w := range p.server.Workers() {
		w.Busy(d)
	}
}

// panicOnRequest is session.Worker.PanicOnRequest for the loop that the client is on.
func (p *proxy) panicOnRequest(addr string, deferred bool) {
	p.mayPanic = true
	for _, w := range p.server.Workers() {
		w.PanicOnRequest(addr, deferred)
	}
}

// panicOnReply is session.Worker.PanicOnReply for the loop that the client is on.
func (p *proxy) panicOnReply(addr string, shard int, request []byte) {
	p.mayPanic = true
	for _, w := range p.server.Workers() {
		w.PanicOnReply(addr, shard, request)
	}
}

// client returns a go-redis client of the proxy.
func (p *proxy) client() *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: p.addr, Protocol: 2, MaxRetries: -1, ReadTimeout: 60 * time.Second, TLSConfig: p.tls})
	p.t.Cleanup(func() { c.Close() })
	return c
}

// raw is a connection of a test client, with methods that check replies.
type raw struct {
	*redistest.Conn
	t *testing.T
}

func (p *proxy) dial() *raw {
	p.t.Helper()
	if p.tls != nil && p.tls != anyCertificate {
		return &raw{redistest.DialTLS(p.t, p.addr, p.tls), p.t}
	}
	return dialAt(p.t, p.addr)
}

var (
	speakTLS       sync.Map                                // has the addresses of pools whose clients speak TLS
	trusted        sync.Map                                // by takeTLS's certificates: the file that they are to be trusted by
	anyCertificate = &tls.Config{InsecureSkipVerify: true} // tests of certificates have their own
)

// dialAt returns a connection to a pool or to a server. To a pool it speaks TLS, if that is what its clients do.
func dialAt(t *testing.T, addr string) *raw {
	t.Helper()
	if _, ok := speakTLS.Load(addr); ok {
		return &raw{redistest.DialTLS(t, addr, anyCertificate), t}
	}
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
	}
	return &raw{redistest.Dial(t, network, addr), t}
}

// netDial is dialAt for whoever wants the bare connection.
func netDial(addr string) (net.Conn, error) {
	if _, ok := speakTLS.Load(addr); ok {
		return tls.Dial("tcp", addr, anyCertificate)
	}
	return net.Dial("tcp", addr)
}

// tcp returns the connection beneath TLS.
func (c *raw) tcp() *net.TCPConn {
	if over, ok := c.NetConn().(*tls.Conn); ok {
		return over.NetConn().(*net.TCPConn)
	}
	return c.NetConn().(*net.TCPConn)
}

// toolArgs are arguments of redis-cli and redis-benchmark with which they connect to the proxy.
func (p *proxy) toolArgs() []string {
	if p.tls != nil {
		return []string{"-p", port(p.t, p), "--tls", "--insecure"}
	}
	return []string{"-p", port(p.t, p)}
}

// inClear skips a test of what clients do that speak no TLS, if RINGWAY_TLS=on.
func inClear(t *testing.T) {
	t.Helper()
	if os.Getenv("RINGWAY_TLS") == "on" {
		t.Skip("RINGWAY_TLS=on")
	}
}

// expect reads as many replies as there are in want, and compares them.
func (c *raw) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		if got := c.Reply(); got != w {
			c.t.Fatalf("reply %.300q, want %.300q", got, w)
		}
	}
}

// expectClosed waits for the connection's end, before which nothing may come.
func (c *raw) expectClosed() {
	c.t.Helper()
	if b := c.WaitClosed(); b != "" {
		c.t.Fatalf("%.300q before the end", b)
	}
}

// keyOf returns a key that a server owns.
func keyOf(ring *hashring.Ring, server int) string {
	for i := 0; ; i++ {
		if key := fmt.Sprint("owned:", i); ring.Index([]byte(key)) == server {
			return key
		}
	}
}

// rounds is how often a test repeats its steps: n times, and 20 times as often if RINGWAY_LONG is
// set.
func rounds(n int) int {
	if os.Getenv("RINGWAY_LONG") != "" {
		return 20 * n
	}
	return n
}

func encode(args ...string) string { return redistest.Request(args...) }
