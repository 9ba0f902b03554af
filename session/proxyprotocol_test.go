package session_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
	"ringway/server"
)

// binaryHeader is one of version 2 with the client 10.1.2.3:8080, and something behind the addresses.
const binaryHeader = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x10" + "\x0a\x01\x02\x03\xc0\xa8\x00\x01\x1f\x90\x18\xeb" + "\x04\x00\x01x"

func networks(list ...string) (all []netip.Prefix) {
	for _, n := range list {
		all = append(all, netip.MustParsePrefix(n))
	}
	return all
}

// behindBalancer returns a proxy whose connections begin with a header.
func behindBalancer(t *testing.T, from ...string) *proxy {
	t.Helper()
	cfg := config(t, redistest.Start(t).Addr())
	cfg.Pools[0].ProxyProtocol, cfg.Pools[0].ProxyProtocolFrom = true, networks(from...)
	cfg.Pools[0].AllowCommands = []string{"monitor"}
	return serve(t, cfg)
}

func TestHeadersOfLoadBalancersNameTheClient(t *testing.T) {
	inClear(t)
	t.Parallel()
	p := behindBalancer(t)
	for _, test := range []struct{ header, addr string }{
		{"PROXY TCP4 192.0.2.7 192.0.2.1 51234 6379\r\n", "192.0.2.7:51234"},
		{"PROXY TCP6 2001:db8::7 2001:db8::1 51234 6379\r\n", "[2001:db8::7]:51234"},
		{binaryHeader, "10.1.2.3:8080"},
		{"PROXY UNKNOWN\r\n", ""},
		{"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", ""}, // LOCAL
	} {
		for _, parts := range []int{1, 2, len(test.header)} {
			c := p.dial()
			size := (len(test.header) + parts - 1) / parts
			for rest := test.header; rest != ""; rest = rest[min(size, len(rest)):] {
				c.Send(rest[:min(size, len(rest))])
			}
			want := test.addr
			if want == "" {
				want = c.NetConn().LocalAddr().String()
			}
			if got := c.Do("CLIENT", "INFO"); !strings.Contains(got, " addr="+want+" ") {
				t.Errorf("%q in %d parts: %s, want %s", test.header, parts, got, want)
			}
			c.Close()
		}
	}
	// With the first request in the same packet, and in MONITOR.
	watcher, c := p.dial(), p.dial()
	watcher.Send("PROXY UNKNOWN\r\n")
	if got := watcher.Do("MONITOR"); got != "+OK\r\n" {
		t.Errorf("MONITOR is answered %q", got)
	}
	c.Send(binaryHeader + encode("SET", "k", "v"))
	c.expect("+OK\r\n")
	if got := watcher.Reply(); !strings.Contains(got, " 10.1.2.3:8080] \"SET\"") {
		t.Errorf("MONITOR shows %q", got)
	}
	if got := c.Do("CLIENT", "KILL", "ADDR", "10.1.2.3:8080", "SKIPME", "yes"); got != ":0\r\n" {
		t.Errorf("CLIENT KILL is answered %q", got)
	}
}

// What does not begin with a header is closed and counted, unless it is a probe that says nothing.
func TestConnectionsWithoutAHeaderAreClosed(t *testing.T) {
	inClear(t)
	t.Parallel()
	p := behindBalancer(t)
	for i, garbage := range []string{encode("PING"), "PROXY nonsense\r\n", "PRO", "\r\n\r\nQUIT", "\x16\x03\x01"} {
		c := p.dial()
		c.Send(garbage)
		if garbage == "PRO" {
			c.NetConn().(*net.TCPConn).CloseWrite()
		}
		c.expectClosed()
		p.eventually(t, "it is counted", func(f *server.Figures) bool { return f.Pools[0].NoHeader == uint64(i+1) && f.Pools[0].Clients == 0 })
	}
	probe := p.dial()
	probe.NetConn().(*net.TCPConn).CloseWrite()
	probe.expectClosed()
	if f := p.server.Figures(); f.Pools[0].NoHeader != 5 {
		t.Errorf("%d are counted, want 5", f.Pools[0].NoHeader)
	}
}

// A header that does not come holds up neither others nor the end of the process.
func TestHeadersThatDoNotCome(t *testing.T) {
	inClear(t)
	t.Parallel()
	p := behindBalancer(t)
	var silent []*raw
	for range 50 {
		silent = append(silent, p.dial())
	}
	silent[0].Send("PROXY TCP4 1")
	c := p.dial()
	c.Send(binaryHeader)
	if got := c.Do("PING"); got != "+PONG\r\n" {
		t.Errorf("PING is answered %q", got)
	}
	c.Close()
	began := time.Now()
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("the end took %v", took)
	}
	for _, s := range silent {
		s.expectClosed()
	}
}

func TestLateHeadersAreNotWaitedFor(t *testing.T) {
	inClear(t)
	t.Parallel()
	redistest.SkipShort(t)
	p := behindBalancer(t)
	c := p.dial()
	c.Send("PROXY TCP4 192.0.2.7 ")
	c.expectClosed()
	p.eventually(t, "it is counted", func(f *server.Figures) bool { return f.Pools[0].NoHeader == 1 && f.Pools[0].Clients == 0 })
}

// Only load balancers that are trusted may say who a client is; all others are clients as usual.
func TestHeadersFromTrustedNetworks(t *testing.T) {
	inClear(t)
	t.Parallel()
	p := behindBalancer(t, "192.0.2.0/24")
	c := p.dial()
	if got := c.Do("PING"); got != "+PONG\r\n" {
		t.Errorf("PING is answered %q", got)
	}
	liar := p.dial()
	liar.Send("PROXY TCP4 192.0.2.7 192.0.2.1 51234 6379\r\n")
	liar.expectClosed()
	p.mustReload(func(c *conf.Config) { c.Pools[0].ProxyProtocolFrom = networks("127.0.0.0/8") })
	c = p.dial()
	c.Send(binaryHeader)
	if got := c.Do("CLIENT", "INFO"); !strings.Contains(got, " addr=10.1.2.3:8080 ") {
		t.Errorf("after the reload: %s", got)
	}
}

// Networks are let in or kept out by the address that counts: the socket's, or the header's.
func TestNetworksOfClients(t *testing.T) {
	inClear(t)
	t.Parallel()
	s := redistest.Start(t)
	for i, test := range []struct {
		allow, deny, header string
		enters              bool
	}{
		{"127.0.0.0/8", "", "", true},
		{"10.0.0.0/8", "", "", false},
		{"", "127.0.0.1/32", "", false},
		{"127.0.0.0/8", "127.0.0.1/32", "", false},
		{"127.0.0.0/8", "127.0.0.2/32", "", true},
		{"10.0.0.0/8", "", binaryHeader, true},
		{"10.0.0.0/8", "10.1.2.0/24", binaryHeader, false},
		{"127.0.0.0/8", "", binaryHeader, false},
		{"127.0.0.0/8", "", "PROXY UNKNOWN\r\n", true},
	} {
		cfg := config(t, s.Addr())
		pool := &cfg.Pools[0]
		if test.allow != "" {
			pool.AllowNetworks = networks(test.allow)
		}
		if test.deny != "" {
			pool.DenyNetworks = networks(test.deny)
		}
		pool.ProxyProtocol = test.header != ""
		p := serve(t, cfg)
		c := p.dial()
		c.Send(test.header)
		if test.enters {
			if got := c.Do("PING"); got != "+PONG\r\n" {
				t.Errorf("%d: %q", i, got)
			}
			continue
		}
		if got := c.WaitClosed(); got != "-DENIED clients at this address may not connect here\r\n" {
			t.Errorf("%d: %q", i, got)
		}
		p.eventually(t, fmt.Sprint(i, " is counted"), func(f *server.Figures) bool { return f.Pools[0].Denied == 1 && f.Pools[0].Clients == 0 })
	}
}

// The header comes before TLS, and nothing of the handshake is taken with it.
func TestHeadersComeBeforeTLS(t *testing.T) {
	t.Parallel()
	cfg := config(t, redistest.Start(t).Addr())
	takeTLS(t, cfg)
	cfg.Pools[0].ProxyProtocol, cfg.Pools[0].DenyNetworks = true, networks("192.0.2.0/24")
	p := serve(t, cfg)
	for _, together := range []bool{true, false} {
		nc, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(30 * time.Second))
		first := &firstWrite{Conn: nc, before: binaryHeader}
		if !together {
			first.Write(nil)
		}
		c := tls.Client(first, &tls.Config{InsecureSkipVerify: true})
		if _, err := c.Write([]byte("CLIENT INFO\r\n")); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1<<10)
		if n, err := c.Read(b); err != nil || !strings.Contains(string(b[:n]), " addr=10.1.2.3:8080 ") {
			t.Errorf("together %v: %q, %v", together, b[:n], err)
		}
	}
	denied := &raw{redistest.Dial(t, "tcp", p.addr), t}
	denied.Send("PROXY TCP4 192.0.2.7 192.0.2.1 51234 6379\r\n")
	denied.expectClosed()
}

// firstWrite is a connection whose first write has something before it.
type firstWrite struct {
	net.Conn
	before string
}

func (c *firstWrite) Write(b []byte) (int, error) {
	before := c.before
	c.before = ""
	n, err := c.Conn.Write(append([]byte(before), b...))
	return max(n-len(before), 0), err
}
