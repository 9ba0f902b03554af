// Package hatest tests high availability from end to end: a proxy in front of real
// servers, clients that check every reply, and faults meanwhile.
//
//	p := hatest.Serve(t, `topology = "cluster"`, `servers = ["127.0.0.1:7000"]`)
//	load := hatest.Load{Clients: 16, Depth: 8}.Start(t, p.Addr)
//	load.Progress(100, time.Minute)
//	// ... a fault ...
//	report := load.Finish() // fails the test for each violation
//
// The clients check that every acknowledged write is read back, or a later one of the
// same writer; that no reply belongs to another request; that a client's pipelined
// requests for one key take effect in order; that nothing is executed twice; that the
// operations on shared keys are linearizable; and that no client gets an error about
// slots or failovers.
//
// Only tests import this package.
package hatest

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
	"ringway/server"
	"ringway/topology"
)

// Proxy is a running Ringway with one pool, "alpha".
type Proxy struct {
	Addr string // the address that clients connect to

	t      testing.TB
	server *server.Server
}

// Serve runs a proxy in the test's process until the test ends. The lines are the
// pool's settings, without its address.
func Serve(t testing.TB, lines ...string) *Proxy {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
	return ServeLog(t, log, lines...)
}

// ServeLog is Serve with a log of the test's own.
func ServeLog(t testing.TB, log *slog.Logger, lines ...string) *Proxy {
	t.Helper()
	cfg, _, err := conf.Parse([]byte(config("127.0.0.1:1", lines)), "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Pools[0].Listen.Addr = "127.0.0.1:0"
	watcher := topology.New(log)
	srv, err := server.New(cfg, watcher, log)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range srv.Pools() {
		watcher.Watch(p)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("end of the proxy: %v", err)
		}
		watcher.Stop()
		if n := srv.State().Panics; n > 0 {
			t.Errorf("%d callbacks have panicked: see the log", n)
		}
	})
	return &Proxy{Addr: srv.Addrs()["alpha"], t: t, server: srv}
}

func config(addr string, lines []string) string {
	return fmt.Sprintf("[pools.alpha]\nlisten = %q\n%s\n", addr, strings.Join(lines, "\n"))
}

// Servers returns the line of the setting servers.
func Servers(servers ...*redistest.Server) string {
	var quoted []string
	for _, s := range servers {
		quoted = append(quoted, fmt.Sprintf("%q", s.Addr()))
	}
	return "servers = [" + strings.Join(quoted, ", ") + "]"
}

// Dial connects to the proxy.
func (p *Proxy) Dial() *redistest.Conn { return redistest.Dial(p.t, "tcp", p.Addr) }

// Reload makes the proxy serve other settings of its pool, given as to Serve. It fails the test if they are refused.
func (p *Proxy) Reload(lines ...string) {
	p.t.Helper()
	cfg, _, err := conf.Parse([]byte(config("127.0.0.1:1", lines)), "test.toml")
	if err != nil {
		p.t.Fatal(err)
	}
	cfg.Pools[0].Listen = p.server.Conf().Pools[0].Listen
	if _, err := p.server.Reload(cfg, server.ReloadOptions{}); err != nil {
		p.t.Fatal(err)
	}
}

// Server returns the proxy itself.
func (p *Proxy) Server() *server.Server { return p.server }

// Long returns how long a test's load runs, and reports whether that is the long form.
// RINGWAY_HA, such as "10m", asks for the long form.
func Long(short time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv("RINGWAY_HA")); err == nil {
		return d
	}
	return short
}
