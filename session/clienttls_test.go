package session_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
	"ringway/server"
)

// takeTLS has clients of the configuration's pool speak TLS.
func takeTLS(t *testing.T, cfg *conf.Config) *redistest.Authority {
	t.Helper()
	a := redistest.NewAuthority(t)
	cert, key := a.Issue("127.0.0.1", "localhost")
	trusted.Store(cert, a.File)
	cfg.Pools[0].ClientTLS = &conf.ClientTLS{Cert: cert, Key: key, ClientAuth: conf.AuthNone}
	return a
}

// serveTLS runs a proxy in front of n real servers whose clients speak TLS of one version.
func serveTLS(t *testing.T, n int, version uint16, change func(*conf.Config)) (*proxy, *redistest.Authority) {
	t.Helper()
	cfg := config(t, addrs(redistest.StartN(t, n))...)
	a := takeTLS(t, cfg)
	if change != nil {
		change(cfg)
	}
	p := serve(t, cfg)
	p.tls = &tls.Config{RootCAs: a.Pool(), ServerName: "127.0.0.1", MinVersion: version, MaxVersion: version}
	return p, a
}

var tlsVersions = map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}

// What clients do in clear they do in TLS.
func TestClientsSpeakTLS(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	for name, version := range tlsVersions {
		for _, uring := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " io_uring=", uring), func(t *testing.T) {
				t.Parallel()
				p, _ := serveTLS(t, 2, version, func(cfg *conf.Config) { cfg.Proxy.IOUring, cfg.Proxy.Threads = uring, 2 })
				useTLS(t, p)
				p.moveAll(1)
			})
		}
	}
}

func useTLS(t *testing.T, p *proxy) {
	c := p.dial()
	large := strings.Repeat("x", 10<<20)
	small := large[:300<<10]
	bulk := func(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }
	for i := range 4 {
		p.moveAll(i % 2)
		c.expectPipeline(500)
		c.Send(encode("SET", "large", small) + encode("GET", "large"))
		c.expect("+OK\r\n", bulk(small))
		if i > 0 {
			continue
		}
		c.Send(encode("SET", "large", large) + encode("GET", "large") + encode("MGET", "key1", "large", "key3"))
		c.expect("+OK\r\n", bulk(large), "*3\r\n$1\r\n1\r\n"+bulk(large)+"$1\r\n3\r\n")
	}
	c.Send(encode("MULTI") + encode("SET", "tx", "1") + encode("INCR", "tx") + encode("EXEC"))
	c.expect("+OK\r\n", "+QUEUED\r\n", "+QUEUED\r\n", "*2\r\n+OK\r\n:2\r\n")

	listener := p.dial()
	listener.Send(encode("SUBSCRIBE", "news"))
	listener.expect("*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")
	c.Send(encode("PUBLISH", "news", "hello"))
	c.expect(":1\r\n")
	listener.expect("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n")

	blocked := p.dial()
	blocked.Send(encode("BLPOP", "list", "0"))
	c.Send(encode("RPUSH", "list", "one"))
	c.expect(":1\r\n")
	blocked.expect("*2\r\n$4\r\nlist\r\n$3\r\none\r\n")

	half := p.dial()
	half.Send(encode("GET", "key1") + encode("GET", "large"))
	half.closeWrite()
	if got, want := half.WaitClosed(), bulk("1")+bulk(small); got != want {
		t.Errorf("a half-closed client got %d bytes, want %d", len(got), len(want))
	}

	killed := p.dial()
	killed.Send(encode("CLIENT", "SETNAME", "killed") + encode("CLIENT", "ID"))
	killed.expect("+OK\r\n")
	id := strings.Trim(killed.Reply(), ":\r\n")
	if list := c.Do("CLIENT", "LIST"); !strings.Contains(list, "addr="+killed.NetConn().LocalAddr().String()+" ") {
		t.Errorf("CLIENT LIST: %s", list)
	}
	if got := c.Do("CLIENT", "KILL", "ID", id); got != ":1\r\n" {
		t.Errorf("CLIENT KILL: %q", got)
	}
	if got := killed.WaitClosed(); got != "" {
		t.Errorf("a killed client got %q", got)
	}
	if got := c.Do("QUIT"); got != "+OK\r\n" || c.WaitClosed() != "" {
		t.Errorf("QUIT: %q", got)
	}
}

// expectPipeline sends n requests at once and checks their replies.
func (c *raw) expectPipeline(n int) {
	c.t.Helper()
	var requests strings.Builder
	var want []string
	for i := range n {
		requests.WriteString(encode("SET", fmt.Sprint("key", i), fmt.Sprint(i)))
		want = append(want, "+OK\r\n")
	}
	c.Send(requests.String())
	c.expect(want...)
}

// Limits, drain and idle clients are the same with TLS, and whoever is in the midst of a handshake counts.
func TestTLSClientsAreBoundedAndDrained(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, _ := serveTLS(t, 1, tls.VersionTLS13, func(cfg *conf.Config) { cfg.Proxy.MaxClients = 3 })
	c := p.dial()
	c.expectPipeline(1)
	silent, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	blocked := p.dial()
	blocked.Send(encode("BLPOP", "list", "0"))
	redistest.Eventually(t, 10*time.Second, "three clients", func() bool { return p.server.Clients() == 3 })
	refused, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Close()
	if b, _ := io.ReadAll(refused); len(b) > 0 {
		t.Errorf("a refused client got %q", b)
	}
	silent.Close()
	redistest.Eventually(t, 10*time.Second, "two clients", func() bool { return p.server.Clients() == 2 })
	another := p.dial()
	another.expectPipeline(1)

	handshaking, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer handshaking.Close()
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if got := blocked.WaitClosed(); !strings.HasPrefix(got, "-UNBLOCKED ") {
		t.Errorf("a blocked client got %q", got)
	}
	if got := c.WaitClosed(); got != "" {
		t.Errorf("%q", got)
	}
	if _, err := handshaking.Read(make([]byte, 1)); err == nil {
		t.Error("a client in its handshake got an answer")
	}
	if n := p.server.Clients(); n != 0 {
		t.Errorf("%d clients are left", n)
	}
}

func TestIdleTLSClientIsClosed(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, _ := serveTLS(t, 1, tls.VersionTLS13, func(cfg *conf.Config) { cfg.Proxy.ClientIdleTimeout = 200 * time.Millisecond })
	c := p.dial()
	c.expectPipeline(1)
	if got := c.WaitClosed(); got != "" {
		t.Errorf("%q", got)
	}
}

// A client that changes its keys, and asks for ours to change, goes on.
func TestTLSKeysChange(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	p, a := serveTLS(t, 1, tls.VersionTLS13, nil)
	c := exec.Command(redistest.RequireTool(t, "openssl"), "s_client", "-connect", p.addr, "-CAfile", a.File, "-brief")
	in, _ := c.StdinPipe()
	out, _ := c.StdoutPipe()
	c.Stderr = c.Stdout
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait()
	defer in.Close()
	b := make([]byte, 1<<10)
	for _, line := range []string{"PING", "K", "PING", "k", "PING"} { // K asks us to change ours too
		io.WriteString(in, line+"\n")
		want := "+PONG"
		if line != "PING" {
			want = "KEYUPDATE"
		}
		for got := ""; !strings.Contains(got, want); {
			n, err := out.Read(b)
			if got += string(b[:n]); err != nil {
				t.Fatalf("%v instead of %s", err, want)
			}
		}
	}
}

// What a client was sent is counted without what TLS adds. So a health check that logs in first is known
// by what it got before its PING.
func TestTLSClientsBytesAreCountedAsInClear(t *testing.T) {
	t.Parallel()
	cfg := config(t, redistest.Start(t, redistest.Password("secret")).Addr())
	takeTLS(t, cfg)
	cfg.Proxy.DrainDelay, cfg.Proxy.DrainTimeout = time.Hour, 0
	cfg.Pools[0].RedisAuth = "secret"
	p := serve(t, cfg)
	c := p.dial()
	large := strings.Repeat("x", 300<<10)
	all := encode("AUTH", "secret") + encode("SET", "k", large) + encode("GET", "k")
	replies := []string{"+OK\r\n", "+OK\r\n", bulk(large)}
	c.Send(all)
	c.expect(replies...)
	in, out := uint64(len(all)), uint64(len(strings.Join(replies, "")))
	p.eventually(t, "all bytes", func(f *server.Figures) bool {
		c := f.Pools[0].Counts.Clients
		return c.BytesIn == in && c.BytesOut == out
	})
	stopped := p.stopping()
	defer p.server.SkipDelay()
	eventually(t, "health checks to be told", func() bool {
		check := p.dial()
		defer check.Close()
		check.Send(encode("AUTH", "secret"))
		check.expect("+OK\r\n")
		return strings.HasPrefix(check.Do("PING"), "-ERR the proxy is being stopped")
	})
	p.skipDelay()
	<-stopped
}
