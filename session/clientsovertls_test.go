package session_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"ringway/conf"
	"ringway/internal/redistest"
)

// Real clients speak TLS as they speak in clear, in both versions, with and without a certificate of their own.
func TestRealClientsOverTLS(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	for version, id := range tlsVersions {
		for _, auth := range []string{conf.AuthNone, conf.AuthRequire} {
			serveClients := func(t *testing.T) (*proxy, []string) {
				p, a := serveTLS(t, 4, id, func(cfg *conf.Config) {
					if c := cfg.Pools[0].ClientTLS; auth == conf.AuthRequire {
						c.ClientAuth, c.CA = auth, trustedBy(c.Cert)
					}
				})
				env := []string{"REQUESTS=500", "TLS_VERSION=" + strings.ReplaceAll(version, "TLS ", "TLSv")}
				if auth == conf.AuthRequire {
					cert, key := a.Issue("client")
					env = append(env, "CERT="+cert, "KEY="+key)
					pair, err := tls.LoadX509KeyPair(cert, key)
					if err != nil {
						t.Fatal(err)
					}
					p.tls.Certificates = []tls.Certificate{pair}
				}
				return p, env
			}
			for name, run := range map[string]func(*testing.T, *proxy, []string){
				"go-redis":  func(t *testing.T, p *proxy, _ []string) { goRedisOverTLS(t, p) },
				"redis-cli": cliOverTLS,
				"redis-py":  func(t *testing.T, p *proxy, env []string) { script(t, p, pythonWithRedis(t), "redispy.py", env...) },
				"ioredis": func(t *testing.T, p *proxy, env []string) {
					script(t, p, "node", "ioredis.js", append(env, "NODE_PATH="+nodeModules(t))...)
				},
				"node-redis": func(t *testing.T, p *proxy, env []string) {
					script(t, p, "node", "noderedis.js", append(env, "NODE_PATH="+nodeModules(t))...)
				},
			} {
				t.Run(fmt.Sprintf("%s %s client_auth=%s", name, version, auth), func(t *testing.T) {
					p, env := serveClients(t)
					run(t, p, env)
				})
			}
		}
	}
}

// trustedBy returns the file that a certificate of takeTLS is to be trusted by.
func trustedBy(cert string) string {
	file, _ := trusted.Load(cert)
	return file.(string)
}

// goRedisOverTLS has go-redis do a little of everything.
func goRedisOverTLS(t *testing.T, p *proxy) {
	c, ctx := redis.NewClient(&redis.Options{Addr: p.addr, TLSConfig: p.tls}), t.Context()
	defer c.Close()
	large := strings.Repeat("large\r\n", 1<<17)
	cmds, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range 1000 {
			pipe.Set(ctx, fmt.Sprint("p", i), i, 0)
		}
		pipe.Set(ctx, "large", large, 0)
		return nil
	})
	if err != nil || len(cmds) != 1001 {
		t.Fatal(err)
	}
	if got := c.Get(ctx, "large").Val(); got != large {
		t.Errorf("a value of %d bytes comes back as %d bytes", len(large), len(got))
	}
	if cmds, err := c.TxPipelined(ctx, func(tx redis.Pipeliner) error {
		tx.Set(ctx, "tx", 1, 0)
		tx.Incr(ctx, "tx")
		return nil
	}); err != nil || cmds[1].(*redis.IntCmd).Val() != 2 {
		t.Errorf("transaction: %v, %v", cmds, err)
	}
	listener := c.Subscribe(ctx, "news")
	defer listener.Close()
	if _, err := listener.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	c.Publish(ctx, "news", "hello")
	if m, err := listener.ReceiveMessage(ctx); err != nil || m.Payload != "hello" {
		t.Errorf("message: %v, %v", m, err)
	}
	time.AfterFunc(time.Millisecond, func() { c.RPush(ctx, "jobs", "job") })
	if got, err := c.BLPop(ctx, time.Minute, "jobs").Result(); err != nil || got[1] != "job" {
		t.Errorf("BLPOP: %q, %v", got, err)
	}
}

// cliOverTLS has redis-cli, which is hiredis, do the same.
func cliOverTLS(t *testing.T, p *proxy, env []string) {
	args := []string{"--tls", "--cacert", p.trust}
	for _, e := range env {
		if name, value, _ := strings.Cut(e, "="); name == "CERT" || name == "KEY" {
			args = append(args, "--"+strings.ToLower(name), value)
		}
	}
	f := func(input, want string, more ...string) {
		t.Helper()
		if got := cliWith(t, p, args, input, more...); got != want {
			t.Errorf("redis-cli %v: %.200q, want %.200q", more, got, want)
		}
	}
	large := strings.Repeat("x", 1<<20)
	f(large, "OK\n", "-x", "SET", "large")
	f("", large+"\n", "GET", "large")
	f("MULTI\nSET tx 1\nINCR tx\nEXEC\n", "OK\nQUEUED\nQUEUED\nOK\n2\n")
	if got := cliWith(t, p, args, strings.Repeat(encode("INCR", "n"), 5000), "--pipe"); !strings.Contains(got, "errors: 0, replies: 5000\n") {
		t.Errorf("--pipe: %s", got)
	}
	c, pusher := p.dial(), p.dial()
	pushed := make(chan struct{})
	time.AfterFunc(50*time.Millisecond, func() {
		pusher.Do("RPUSH", "jobs", "job")
		close(pushed)
	})
	f("", "jobs\njob\n", "BLPOP", "jobs", "60")
	<-pushed

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	listener := exec.CommandContext(ctx, redistest.RequireTool(t, "redis-cli"), append(append([]string{"-p", port(t, p)}, args...), "SUBSCRIBE", "news")...)
	out, err := listener.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := listener.Start(); err != nil {
		t.Fatal(err)
	}
	defer listener.Wait()
	defer cancel()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch lines.Text() {
		case "1":
			c.Do("PUBLISH", "news", "hello")
		case "hello":
			return
		}
	}
	t.Errorf("SUBSCRIBE: no message, %v", lines.Err())
}
