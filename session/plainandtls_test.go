package session_test

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
	"ringway/server"
)

// serveBoth runs a proxy whose clients may speak TLS or not.
func serveBoth(t *testing.T, change func(*conf.Config)) *proxy {
	t.Helper()
	cfg := config(t, redistest.Start(t).Addr())
	takeTLS(t, cfg)
	cfg.Pools[0].PlainAndTLS = true
	if change != nil {
		change(cfg)
	}
	return serve(t, cfg)
}

// inPlain connects to the proxy without TLS.
func (p *proxy) inPlain() *raw { return &raw{redistest.Dial(p.t, "tcp", p.addr), p.t} }

// slowly is a connection whose writes are sent in pieces.
type slowly struct {
	net.Conn
	size int
}

func (s slowly) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = s.Conn.Write(b[n:min(n+s.size, len(b))])
		if n += m; n < 20 {
			time.Sleep(2 * time.Millisecond) // so that the first bytes come in parts
		}
	}
	return n, err
}

// One port takes both, however the first bytes come. Either is one client.
func TestPlainAndTLSOnOnePort(t *testing.T) {
	t.Parallel()
	for _, uring := range []bool{true, false} {
		p := serveBoth(t, func(cfg *conf.Config) { cfg.Proxy.IOUring, cfg.Proxy.Threads = uring, 2 })
		plain, secure := p.inPlain(), p.dial()
		for range 3 {
			plain.expectPipeline(100)
			secure.expectPipeline(100)
			p.moveAll(1)
		}
		for _, size := range []int{1, 2, 5, 100} {
			nc, err := net.Dial("tcp", p.addr)
			if err != nil {
				t.Fatal(err)
			}
			c := tls.Client(slowly{nc, size}, anyCertificate)
			c.SetDeadline(time.Now().Add(30 * time.Second))
			io.WriteString(c, "PING\r\n")
			b := make([]byte, 7)
			if _, err := io.ReadFull(c, b); err != nil || string(b) != "+PONG\r\n" {
				t.Errorf("pieces of %d: %q, %v", size, b, err)
			}
			c.Close()
		}
		p.eventually(t, "two clients of six", func(f *server.Figures) bool {
			return f.Pools[0].Clients == 2 && f.Pools[0].Counts.Clients.Connected == 6 && f.Pools[0].TLS.Handshakes == 5
		})
	}
}

// Only a client that begins with TLS speaks it, and only where both are taken.
func TestTLSWhereItIsNotExpected(t *testing.T) {
	t.Parallel()
	const hello, refused = "\x16\x03\x01\x02\x00\x01\x00", "-ERR Protocol error: TLS handshake on a plain-text port\r\n"
	p := serveBoth(t, nil)
	for _, test := range []struct{ sent, want string }{
		{"PING\r\n" + hello, "+PONG\r\n" + refused},
		{encode("MULTI") + hello, "+OK\r\n" + refused},
		{encode("CLIENT", "REPLY", "OFF") + hello, ""},
	} {
		c := p.inPlain()
		c.Send(test.sent)
		if got := c.WaitClosed(); got != test.want {
			t.Errorf("%q to %q, want %q", got, test.sent, test.want)
		}
	}
	c := p.dial()
	c.Send("PING\r\n" + hello) // TLS within TLS
	if got := c.WaitClosed(); got != "+PONG\r\n"+refused {
		t.Errorf("%q", got)
	}
	for _, sent := range []string{hello, "\x16\x03", hello + strings.Repeat("x", 1000)} {
		c := p.inPlain()
		c.Send(sent)
		c.closeWrite()
		c.WaitClosed()
	}
	silent := p.inPlain()
	silent.Send(hello)
	p.eventually(t, "only the silent client", func(f *server.Figures) bool { return f.Pools[0].Clients == 1 })

	p.mustReload(func(c *conf.Config) { c.Pools[0].PlainAndTLS = false })
	now := p.inPlain()
	now.Send(encode("PING"))
	if got := now.WaitClosed(); got != "-ERR this port takes clients that speak TLS only\r\n" {
		t.Errorf("%q", got)
	}
	p.dial().expectPipeline(1)
	p.mustReload(func(c *conf.Config) { c.Pools[0].PlainAndTLS = true })
	p.inPlain().expectPipeline(1)
	if err := p.stop(); err != nil {
		t.Error(err)
	}
}

// Who speaks no TLS has no certificate: where certificates name users it must log in.
func TestPlainClientsHaveNoCertificate(t *testing.T) {
	t.Parallel()
	p := serveBoth(t, func(cfg *conf.Config) {
		pool := &cfg.Pools[0]
		pool.ClientTLS.ClientAuth, pool.ClientTLS.CA, pool.TLSUser = conf.AuthRequire, trustedBy(pool.ClientTLS.Cert), conf.UserCN
		pool.Users = usersOf(t, "user default on nopass +@all ~* &*", "user alice on >a +@all ~* &*")
	})
	c := p.inPlain()
	for request, want := range map[string]string{"GET k": "-NOAUTH ", "AUTH x": "-ERR AUTH "} {
		if got := c.Do(strings.Split(request, " ")...); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %s", request, got, want)
		}
	}
	if got := fmt.Sprint(c.Do("AUTH", "alice", "a"), c.Do("ACL", "WHOAMI")); got != "+OK\r\n$5\r\nalice\r\n" {
		t.Errorf("%q", got)
	}
}
