package session_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
	"ringway/topology"
)

// configTLS returns a configuration whose servers are spoken to in TLS, with the
// certificates and other settings that lines say.
func configTLS(t *testing.T, servers []*redistest.Server, lines ...string) *conf.Config {
	t.Helper()
	var quoted []string
	for _, s := range servers {
		quoted = append(quoted, fmt.Sprintf("%q", s.TLSAddr()))
	}
	cfg, _, err := conf.Parse([]byte(fmt.Sprintf("[pools.alpha]\nlisten = \"127.0.0.1:2\"\nservers = [%s]\n%s",
		strings.Join(quoted, ", "), strings.Join(lines, "\n"))), "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Pools[0].Listen.Addr = "127.0.0.1:0"
	return cfg
}

func TestServersAreSpokenToInTLS(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	a := redistest.NewAuthority(t)
	servers := redistest.StartN(t, 2, redistest.TLS(a, true, "127.0.0.1"))
	cert, key := a.Issue("proxy")
	p := serve(t, configTLS(t, servers, fmt.Sprintf("server_tls = { ca = %q, cert = %q, key = %q }", a.File, cert, key)))

	c := p.dial()
	large := strings.Repeat("x", 3<<20)
	var want []string
	for i := range 200 {
		c.Send(redistest.Request("SET", fmt.Sprint("key", i), fmt.Sprint(i)))
		want = append(want, "+OK\r\n")
	}
	c.expect(want...)
	c.Send(redistest.Request("SET", "large", large) + redistest.Request("GET", "large") + redistest.Request("MGET", "key1", "key2", "key3"))
	c.expect("+OK\r\n", fmt.Sprintf("$%d\r\n%s\r\n", len(large), large), "*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n")

	// Connections of all kinds: dedicated, for subscriptions, in RESP3.
	blocked := p.dial()
	blocked.Send(redistest.Request("BLPOP", "list", "0"))
	c.Send(redistest.Request("RPUSH", "list", "one"))
	c.expect(":1\r\n")
	blocked.expect("*2\r\n$4\r\nlist\r\n$3\r\none\r\n")
	listener := p.dial()
	listener.Send(redistest.Request("SUBSCRIBE", "news"))
	listener.expect("*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")
	c.Send(redistest.Request("PUBLISH", "news", "hello"))
	c.expect(":1\r\n")
	listener.expect("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n")
	three := p.dial()
	three.Do("HELLO", "3")
	three.Send(redistest.Request("HSET", "h", "f", "v") + redistest.Request("HGETALL", "h"))
	three.expect(":1\r\n", "%1\r\n$1\r\nf\r\n$1\r\nv\r\n")
}

// A problem with TLS gives an error that says so, at once, and no request was sent.
func TestWrongCertificatesFailRequestsUnsent(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	a, stranger := redistest.NewAuthority(t), redistest.NewAuthority(t)
	open := redistest.Start(t, redistest.TLS(a, false, "127.0.0.1", "redis.example.com"))
	closed := redistest.Start(t, redistest.TLS(a, true, "127.0.0.1"))
	for _, test := range []struct {
		name   string
		server *redistest.Server
		tls    string
		ok     bool
	}{
		{"nothing wrong", open, fmt.Sprintf("ca = %q", a.File), true},
		{"another name, and that is in the certificate", open, fmt.Sprintf(`ca = %q, server_name = "redis.example.com"`, a.File), true},
		{"no check", open, "insecure_skip_verify = true", true},
		{"another name", open, fmt.Sprintf(`ca = %q, server_name = "other.example.com"`, a.File), false},
		{"an authority nobody trusts", open, fmt.Sprintf("ca = %q", stranger.File), false},
		{"the system's authorities", open, "", false},
		{"no certificate of its own", closed, fmt.Sprintf("ca = %q", a.File), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := configTLS(t, []*redistest.Server{test.server}, "server_tls = { "+test.tls+" }")
			p := serve(t, cfg)
			c := p.dial()
			want := "-ERR TLS with the server failed (server " + cfg.Pools[0].Servers[0].Name + "): the request was not sent\r\n"
			if test.ok {
				want = "$-1\r\n"
			}
			if got := c.Do("GET", "key"); got != want {
				t.Errorf("%q, want %q", got, want)
			}
			client := topology.NewClient(t.Context(), &cfg.Pools[0], &cfg.Pools[0].Servers[0])
			defer client.Close()
			if err := client.Ping(t.Context()).Err(); (err == nil) != test.ok {
				t.Errorf("the prober gets %v", err)
			}
		})
	}
}

// Credentials of an ACL user go with TLS as without.
func TestServersAreGivenTheACLUser(t *testing.T) {
	t.Parallel()
	a := redistest.NewAuthority(t)
	s := redistest.Start(t, redistest.TLS(a, false, "127.0.0.1"))
	if got := s.Do("ACL", "SETUSER", "ringway", "on", ">secret", "~*", "&*", "+@all"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	s.Do("ACL", "SETUSER", "default", "off")
	cfg := configTLS(t, []*redistest.Server{s}, `redis_user = "ringway"`, `redis_auth = "secret"`, fmt.Sprintf("server_tls = { ca = %q }", a.File))
	p := serve(t, cfg)
	c := p.dial()
	c.Send(redistest.Request("AUTH", "secret") + redistest.Request("SET", "key", "1") + redistest.Request("SUBSCRIBE", "news"))
	c.expect("+OK\r\n", "+OK\r\n", "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")
	client := topology.NewClient(t.Context(), &cfg.Pools[0], &cfg.Pools[0].Servers[0])
	defer client.Close()
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the prober gets %v", err)
	}
}

// A certificate that was replaced is used from the next connection on, and half
// of a replacement does no harm.
func TestReplacedCertificatesAreRead(t *testing.T) {
	t.Parallel()
	a, next := redistest.NewAuthority(t), redistest.NewAuthority(t)
	s := redistest.Start(t, redistest.TLS(a, false, "127.0.0.1"))
	ca := t.TempDir() + "/ca.pem"
	replaceFile(t, ca, a.File)
	cfg := configTLS(t, []*redistest.Server{s}, fmt.Sprintf("server_tls = { ca = %q }", ca))
	p := serve(t, cfg)
	probe := func() error {
		client := topology.NewClient(t.Context(), &cfg.Pools[0], &cfg.Pools[0].Servers[0])
		defer client.Close()
		return client.Ping(t.Context()).Err()
	}
	c := p.dial()
	if got := c.Do("SET", "key", "1"); got != "+OK\r\n" {
		t.Fatal(got)
	}

	if err := os.WriteFile(ca, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	redistest.Eventually(t, 10*time.Second, "a new connection", func() bool { return c.Do("GET", "key") == "$1\r\n1\r\n" })
	if err := probe(); err != nil {
		t.Errorf("the prober gets %v", err)
	}

	replaceFile(t, ca, next.File)
	s.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	redistest.Eventually(t, 10*time.Second, "a refusal", func() bool {
		return strings.HasPrefix(c.Do("GET", "key"), "-ERR TLS with the server failed")
	})
	if err := probe(); err == nil {
		t.Error("the prober trusts whom nobody trusts any more")
	}
}

func replaceFile(t *testing.T, name, from string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}
