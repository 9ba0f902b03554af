package admin_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"ringway/admin"
	"ringway/conf"
	"ringway/internal/redistest"
	"ringway/server"
	"ringway/topology"
)

func TestMain(m *testing.M) { os.Exit(redistest.RunCheckingLeaks(m)) }

// world is a proxy with an admin address.
type world struct {
	t     *testing.T
	admin string // the admin address
	pool  string // where clients connect
}

// start runs a proxy with a pool of the given servers. lines go into the [admin] table.
func start(t *testing.T, lines string, servers ...*redistest.Server) *world {
	t.Helper()
	return startPool(t, lines, "", servers...)
}

// startPool is start with lines for the pool's table.
func startPool(t *testing.T, lines, poolLines string, servers ...*redistest.Server) *world {
	t.Helper()
	var addrs []string
	for _, s := range servers {
		addrs = append(addrs, s.Addr())
	}
	return startAt(t, lines, poolLines, addrs...)
}

// startAt is startPool for servers at these addresses.
func startAt(t *testing.T, lines, poolLines string, addrs ...string) *world {
	t.Helper()
	var quoted []string
	for i, addr := range addrs {
		quoted = append(quoted, fmt.Sprintf("%q", fmt.Sprint(addr, " s", i+1)))
	}
	cfg, _, err := conf.Parse([]byte(fmt.Sprintf("[admin]\nlisten = \"127.0.0.1:0\"\n%s\n[pools.alpha]\nlisten = \"127.0.0.1:0\"\nhash_tag = \"{}\"\nservers = [%s]\n%s",
		lines, strings.Join(quoted, ", "), poolLines)), "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	watcher := topology.New(log)
	t.Cleanup(watcher.Stop)
	srv, err := server.New(cfg, watcher, log)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range srv.Pools() {
		watcher.Watch(p)
	}
	a, err := admin.Listen(cfg, srv, admin.Process{Version: "test", Level: new(slog.LevelVar)}, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- srv.Run(ctx) }()
	go func() { a.Serve(); ended <- nil }()
	t.Cleanup(func() {
		a.Close()
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
	return &world{t, a.Addr(), srv.Addrs()["alpha"]}
}

// get returns the status and the body of a page. password may be "".
func (w *world) get(path, password string) (int, string) {
	w.t.Helper()
	r, err := http.NewRequest("GET", "http://"+w.admin+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if password != "" {
		r.Header.Set("Authorization", "Bearer "+password)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	answer, err := client.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestMetricsAreTrue(t *testing.T) {
	t.Parallel()
	w := start(t, "", redistest.Start(t), redistest.Start(t))
	client := redistest.Dial(t, "tcp", w.pool)
	for i := range 100 {
		client.Do("SET", fmt.Sprint("key:", i), "1")
	}
	client.Do("LPUSH", "key:1", "x")
	redistest.Eventually(t, 10*time.Second, "all requests", func() bool {
		_, text := w.get("/metrics", "")
		return strings.Contains(text, `ringway_requests_total{command="lpush",pool="alpha"} 1`)
	})
	_, text := w.get("/metrics", "")
	for _, want := range []string{
		`ringway_requests_total{command="set",pool="alpha"} 100`,
		`ringway_request_errors_total{command="lpush",pool="alpha"} 1`,
		`ringway_error_replies_total{code="WRONGTYPE",pool="alpha"} 1`,
		`ringway_clients{pool="alpha"} 1`,
		`ringway_command_duration_seconds_count{command="set",pool="alpha"} 100`,
		`ringway_request_duration_seconds_count{pool="alpha"} 101`,
		`ringway_server_up{pool="alpha",server="s1"} 1`,
		`ringway_server_info{pool="alpha",role="primary",server="s2",shard="s2"} 1`,
		`go_goroutines `, `process_cpu_seconds_total `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestThePasswordProtectsAllButHealth(t *testing.T) {
	t.Parallel()
	w := start(t, `password = "secret"`, redistest.Start(t))
	for _, test := range []struct {
		path, password string
		want           int
	}{
		{"/metrics", "", 401}, {"/metrics", "wrong", 401}, {"/metrics", "secret", 200}, {"/livez", "", 200}, {"/readyz", "", 200}, {"/nosuch", "secret", 404},
	} {
		if got, body := w.get(test.path, test.password); got != test.want {
			t.Errorf("%s with %q: %d %s, want %d", test.path, test.password, got, body, test.want)
		}
	}
	console := redistest.Dial(t, "tcp", w.admin)
	for _, test := range []struct{ request, want string }{
		{"PING", "-NOAUTH Authentication required.\r\n"}, {"AUTH wrong", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"},
		{"AUTH secret", "+OK\r\n"}, {"PING", "+PONG\r\n"},
	} {
		if got := console.Do(strings.Fields(test.request)...); got != test.want {
			t.Errorf("%s: %q, want %q", test.request, got, test.want)
		}
	}
}

func TestReadinessFollowsTheServers(t *testing.T) {
	t.Parallel()
	one, other := redistest.Start(t), redistest.Start(t)
	worlds := map[*world]int{}
	for _, test := range []struct {
		ready string
		want  int
	}{{"any", 200}, {"quorum", 503}, {"all", 503}} {
		w := start(t, fmt.Sprintf("ready = %q", test.ready), one, other)
		if got, body := w.get("/readyz", ""); got != 200 {
			t.Errorf("%s at first: %d %s", test.ready, got, body)
		}
		worlds[w] = test.want
	}
	other.Kill()
	for w, want := range worlds {
		client := redistest.Dial(t, "tcp", w.pool)
		redistest.Eventually(t, 10*time.Second, "the server to be down", func() bool {
			for i := range 20 {
				client.Do("GET", fmt.Sprint("key:", i))
			}
			_, text := w.get("/metrics", "")
			return strings.Contains(text, `ringway_server_up{pool="alpha",server="s2"} 0`)
		})
		if got, body := w.get("/readyz", ""); got != want {
			t.Errorf("with one of two servers: %d %s, want %d", got, body, want)
		}
	}
}

func TestConsoleShowsTables(t *testing.T) {
	t.Parallel()
	w := start(t, "", redistest.Start(t), redistest.Start(t))
	client := redistest.Dial(t, "tcp", w.pool)
	client.Do("SET", "a", "1")
	console := redistest.Dial(t, "tcp", w.admin)
	for _, table := range []string{"pools", "SERVERS", "Clients", "commands", "hotkeys", "bigkeys", "slow", "errors", "latency", "closed", "loops", "mem", "config", "version", "help"} {
		if got := console.Do("SHOW", table); !strings.HasPrefix(got, "*") || strings.HasPrefix(got, "*0") {
			t.Errorf("SHOW %s: %q", table, got)
		}
	}
	redistest.Eventually(t, 10*time.Second, "the call", func() bool {
		return strings.Contains(console.Do("SHOW", "commands"), "alpha  set")
	})
	if got := console.Do("SHOW", "servers"); !strings.Contains(got, "s1") || !strings.Contains(got, "primary") {
		t.Errorf("servers: %q", got)
	}
	if got := console.Do("HELP"); !strings.Contains(got, "EJECT pool server") {
		t.Errorf("HELP: %q", got)
	}
	if got := console.Do("HELLO", "3"); !strings.HasPrefix(got, "%4") {
		t.Errorf("HELLO 3: %q", got)
	}
	if got := console.Do("SHOW", "pools"); !strings.HasPrefix(got, "*1\r\n%12\r\n$4\r\npool\r\n$5\r\nalpha\r\n") {
		t.Errorf("in RESP3: %q", got)
	}
}

func TestConsoleEjectsAndRestores(t *testing.T) {
	t.Parallel()
	w := start(t, "", redistest.Start(t), redistest.Start(t))
	console := redistest.Dial(t, "tcp", w.admin)
	client := redistest.Dial(t, "tcp", w.pool)
	for _, test := range []struct{ request, want string }{
		{"EJECT alpha s2", "+OK"}, {"EJECT alpha s3", "-ERR pool alpha has no server \"s3\"; its servers are [s1 s2]"}, {"EJECT beta s1", "-ERR there is no pool"},
		{"EJECT alpha", "-ERR wrong arguments; want EJECT pool server"}, {"KILL 99", "-ERR no such client"}, {"KILL x", "-ERR wrong arguments"},
		{"LOG LEVEL debug", "+OK"}, {"LOG LEVEL nosuch", "-ERR wrong arguments"}, {"GET a", "-ERR unknown command 'GET'"}, {"SHOW nosuch", "-ERR SHOW nosuch is unknown"},
	} {
		if got := console.Do(strings.Fields(test.request)...); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %q, want %q", test.request, got, test.want)
		}
	}
	failing := func() (n int) {
		for i := range 50 {
			if reply := client.Do("SET", fmt.Sprint("key:", i), "1"); strings.Contains(reply, "Ejected by an operator") {
				n++
			}
		}
		return n
	}
	redistest.Eventually(t, 10*time.Second, "keys of the ejected server to fail", func() bool { return failing() > 0 })
	if got := console.Do("RESTORE", "alpha", "s2"); got != "+OK\r\n" {
		t.Errorf("RESTORE: %q", got)
	}
	redistest.Eventually(t, 10*time.Second, "keys of the restored server", func() bool { return failing() == 0 })
	id := strings.Trim(client.Do("CLIENT", "ID"), ":\r\n")
	if got := console.Do("KILL", id); got != "+OK\r\n" {
		t.Errorf("KILL %s: %q", id, got)
	}
	client.WaitClosed()
}

// A client that sends garbage, nothing, or half a request gets an error or is left alone, and others
// are served.
func TestHostileClientsOfTheAdminAddress(t *testing.T) {
	t.Parallel()
	w := start(t, "", redistest.Start(t))
	for _, raw := range []string{"", "G", "GET", "GET ", "*1\r\n$9223372036854775807\r\n", "*99999999\r\n", "\x16\x03\x01", "\r\n\r\n\r\n", "*0\r\n*-1\r\n", "GET / HTTP/9.9\r\n\r\n", strings.Repeat("x", 100<<10)} {
		conn, err := net.Dial("tcp", w.admin)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.Write([]byte(raw)) // it may be closed already
	}
	if got, body := w.get("/livez", ""); got != 200 {
		t.Errorf("%d %s", got, body)
	}
	if got := redistest.Dial(t, "tcp", w.admin).Do("PING"); got != "+PONG\r\n" {
		t.Errorf("console: %q", got)
	}
}

func TestConnectionsBeyondTheBoundAreClosed(t *testing.T) {
	t.Parallel()
	w := start(t, "", redistest.Start(t))
	var held []net.Conn
	for range 128 {
		conn, err := net.Dial("tcp", w.admin)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, conn)
	}
	redistest.Eventually(t, 10*time.Second, "one more to be closed", func() bool {
		conn, err := net.Dial("tcp", w.admin)
		if err != nil {
			return false
		}
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(time.Second))
		_, err = conn.Read(make([]byte, 1))
		return err == io.EOF
	})
	for _, conn := range held {
		conn.Close()
	}
	redistest.Eventually(t, 10*time.Second, "a place", func() bool {
		conn, err := net.Dial("tcp", w.admin)
		if err != nil {
			return false
		}
		defer conn.Close()
		conn.Write([]byte("PING\r\n"))
		conn.SetReadDeadline(time.Now().Add(time.Second))
		n, _ := conn.Read(make([]byte, 16))
		return n > 0
	})
}

// A path that is no stale socket is somebody's: a file is not removed, and a socket is not taken from
// the process that listens there.
func TestListeningTakesNothingAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, taken := dir+"/file", dir+"/socket"
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", taken)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	for _, path := range []string{file, taken} {
		cfg := conf.Default()
		cfg.Admin.Listen = conf.Listen{Network: "unix", Addr: path}
		if a, err := admin.Listen(cfg, nil, admin.Process{}, slog.Default()); err == nil {
			a.Close()
			t.Errorf("%s: no error", path)
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s is gone: %v", path, err)
		}
	}
}
