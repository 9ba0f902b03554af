package admin_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringway/admin"
	"ringway/conf"
	"ringway/internal/redistest"
	"ringway/server"
)

// statsProxy is a proxy with a statistics port: Ringway or nutcracker.
type statsProxy struct {
	t     *testing.T
	stats string            // address of the statistics port
	pools map[string]string // addresses by name
}

// read returns what the statistics port says.
func (p *statsProxy) read() string {
	p.t.Helper()
	conn, err := net.DialTimeout("tcp", p.stats, 10*time.Second)
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	text, err := io.ReadAll(conn)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// figures returns the numbers in statistics by their paths, such as "alpha/s1/requests".
func figures(t *testing.T, text string) map[string]uint64 {
	t.Helper()
	var all map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	flat := map[string]uint64{}
	var add func(path string, of any)
	add = func(path string, of any) {
		switch of := of.(type) {
		case map[string]any:
			for name, v := range of {
				add(strings.TrimPrefix(path+"/"+name, "/"), v)
			}
		case json.Number:
			flat[path], _ = strconv.ParseUint(of.String(), 10, 64)
		}
	}
	add("", all)
	return flat
}

// startStats runs Ringway with a statistics port. lines are those of the pools.
func startStats(t *testing.T, lines string) *statsProxy {
	t.Helper()
	cfg, _, err := conf.Parse([]byte("[proxy]\nthreads = 1\nstats_listen = \"127.0.0.1:0\"\n"+lines), "test.toml")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	srv, err := server.New(cfg, nil, log)
	if err != nil {
		t.Fatal(err)
	}
	port, err := admin.ListenStats(cfg, srv, admin.Process{Version: "1.2.3"}, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	go port.Serve()
	t.Cleanup(func() {
		port.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &statsProxy{t, port.Addr(), srv.Addrs()}
}

// startNutcracker runs nutcracker with pools of the given servers, each as configurations have it.
func startNutcracker(t *testing.T, pools map[string][]string, lines map[string]string) *statsProxy {
	t.Helper()
	p := &statsProxy{t, redistest.FreeAddr(t), map[string]string{}}
	var yaml strings.Builder
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		p.pools[name] = redistest.FreeAddr(t)
		fmt.Fprintf(&yaml, "%s:\n  listen: %s\n  redis: true\n  hash: md5\n  timeout: 5000\n%s  servers:\n   - %s\n", name, p.pools[name],
			strings.ReplaceAll(strings.ReplaceAll(lines[name], " =", ":"), "\"", ""), strings.Join(pools[name], "\n   - "))
	}
	_, port, _ := net.SplitHostPort(p.stats)
	redistest.Nutcracker(t, yaml.String(), "-s", port, "-i", "20")
	return p
}

// startRingway is startNutcracker for Ringway.
func startRingway(t *testing.T, pools map[string][]string, lines map[string]string) *statsProxy {
	t.Helper()
	var toml strings.Builder
	for _, name := range slices.Sorted(maps.Keys(pools)) {
		fmt.Fprintf(&toml, "[pools.%s]\nlisten = \"127.0.0.1:0\"\nhash = \"md5\"\nhash_tag = \"\"\nreply_check = \"0s\"\ntimeout = \"5s\"\n%sservers = [\"%s\"]\n",
			name, lines[name], strings.Join(pools[name], "\", \""))
	}
	p := startStats(t, toml.String())
	for _, addr := range p.pools { // redistest.Nutcracker has done the same
		redistest.Dial(t, "tcp", addr).Close()
	}
	return p
}

// byDesign are the figures that are different from nutcracker's, and why.
var byDesign = map[string]string{
	"uptime": "a time", "timestamp": "a time", "eject/gone/server_ejected_at": "a time",
	"curr_connections":         "attempts to connect that are under way",
	"total_connections":        "Ringway goes on trying to connect to a server that is down",
	"killed/mortal/server_err": "the same",

	"alpha/fragments": "nutcracker never counts them",
	"dead/fragments":  "the same",

	"dead/client_eof": "nutcracker closes a client of whose MGET a part has failed",
	"dead/client_err": "the same",

	"eject/forward_error":       "a request that was not sent goes to the server that has the key now",
	"eject/live/requests":       "it is counted there",
	"eject/live/request_bytes":  "and what Ringway asks a server by itself",
	"eject/live/responses":      "the same",
	"eject/live/response_bytes": "the same",

	"eject/gone/requests":         "nutcracker counts a request that it could not send",
	"eject/gone/request_bytes":    "the same",
	"killed/mortal/requests":      "the same",
	"killed/mortal/request_bytes": "the same",
	"dead/x/requests":             "the same", "dead/x/request_bytes": "the same", "dead/x/server_err": "as of killed/mortal",
	"dead/y/requests": "the same", "dead/y/request_bytes": "the same", "dead/y/server_err": "the same",
}

var number = regexp.MustCompile(`:\d+`)

// The statistics are those of a real nutcracker for the same traffic: the same bytes but for the
// numbers, and the same numbers but for those that are different by design.
func TestStatisticsAreNutcrackers(t *testing.T) {
	t.Parallel()
	one, other, live, mortal := redistest.Start(t), redistest.Start(t), redistest.Start(t), redistest.Start(t)
	pools := map[string][]string{
		"alpha":  {one.Addr() + ":1 long-name", other.Addr() + ":1 b"},
		"eject":  {redistest.FreeAddr(t) + ":1 gone", live.Addr() + ":1 live"},
		"killed": {mortal.Addr() + ":1 mortal"},
		"dead":   {redistest.FreeAddr(t) + ":1 x", redistest.FreeAddr(t) + ":1 y"},
		"idle":   {one.Addr() + ":1"},
	}
	lines := map[string]string{"eject": "auto_eject_hosts = true\nserver_failure_limit = 1\n"}
	yaml := map[string]string{"eject": "  auto_eject_hosts: true\n  server_failure_limit: 1\n"}
	proxies := []*statsProxy{startNutcracker(t, pools, yaml), startRingway(t, pools, lines)}
	for _, p := range proxies {
		drive(t, p, "alpha")
		ejecting := redistest.Dial(t, "tcp", p.pools["eject"])
		for i := range 20 {
			ejecting.Do("GET", fmt.Sprint("key:", i))
		}
		redistest.Dial(t, "tcp", p.pools["killed"]).Do("SET", "a", "1")
		unlucky := redistest.Dial(t, "tcp", p.pools["dead"])
		unlucky.Do("MGET", "key:1", "key:2", "key:3", "key:4", "key:5", "none") // one forward_error, though both parts fail
		unlucky.Close()
	}
	mortal.Kill()
	for _, p := range proxies {
		redistest.Eventually(t, 10*time.Second, "the server to be gone", func() bool {
			return figures(t, p.read())["killed/mortal/server_eof"] == 1
		})
		if got := redistest.Dial(t, "tcp", p.pools["killed"]).Do("GET", "a"); !strings.HasPrefix(got, "-ERR Connection refused") {
			t.Errorf("a request to the killed server: %q", got)
		}
	}

	var differences []string
	same := func() bool {
		want, got := proxies[0].read(), proxies[1].read()
		want = strings.Replace(want, `"0.5.0"`, `"1.2.3"`, 1)
		if a, b := number.ReplaceAllString(want, ":N"), number.ReplaceAllString(got, ":N"); a != b {
			t.Fatalf("the form is different:\n%s\n%s", a, b)
		}
		differences = nil
		truth, ours := figures(t, want), figures(t, got)
		for _, path := range slices.Sorted(maps.Keys(truth)) {
			if _, ok := byDesign[path]; !ok && truth[path] != ours[path] {
				differences = append(differences, fmt.Sprintf("%s: nutcracker %d, Ringway %d", path, truth[path], ours[path]))
			}
		}
		if at := ours["eject/gone/server_ejected_at"]; time.Since(time.UnixMicro(int64(at))) > time.Minute {
			differences = append(differences, fmt.Sprint("ejected at ", at))
		}
		if n, of, failed := ours["alpha/fragments"], ours["dead/fragments"], ours["dead/forward_error"]; n != 4 || of != 2 || failed != 1 {
			differences = append(differences, fmt.Sprintf("%d and %d fragments, %d forward errors, want 4, 2 and 1", n, of, failed))
		}
		return len(differences) == 0
	}
	defer func() {
		if t.Failed() {
			t.Logf("%s\n%s%s", strings.Join(differences, "\n"), proxies[0].read(), proxies[1].read())
		}
	}()
	redistest.Eventually(t, 10*time.Second, "the same numbers", same)
}

// drive sends a pool of two servers requests, and leaves in every way.
func drive(t *testing.T, p *statsProxy, pool string) {
	t.Helper()
	client := redistest.Dial(t, "tcp", p.pools[pool])
	for i := range 30 {
		client.Do("SET", fmt.Sprint("key:", i), strings.Repeat("x", i))
		client.Do("GET", fmt.Sprint("key:", i))
	}
	client.Do("LPUSH", "key:1", "x") // an error
	client.Do("MGET", "key:1")
	client.Do("MGET", "key:1", "key:2", "key:3", "key:4", "key:5", "none")
	client.Do("DEL", "key:1", "key:2", "key:3", "key:4", "key:5", "none")
	client.Do("PING")

	redistest.Dial(t, "tcp", p.pools[pool]).Close()
	quitting := redistest.Dial(t, "tcp", p.pools[pool])
	quitting.Send("*1\r\n$4\r\nQUIT\r\n")
	quitting.WaitClosed()
	for _, leave := range []func(c *net.TCPConn){
		func(c *net.TCPConn) { c.SetLinger(0) }, // a reset
		func(c *net.TCPConn) {
			c.Write([]byte("*1\r\n!\r\n"))
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
			io.ReadAll(c)
		},
	} {
		conn, err := net.Dial("tcp", p.pools[pool])
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte("*1\r\n$4\r\nPING\r\n"))
		if _, err := io.ReadFull(conn, make([]byte, 7)); err != nil {
			t.Fatal(err)
		}
		leave(conn.(*net.TCPConn))
		conn.Close()
	}
}

// Requests that a server has not answered are in the queues, and in requests.
func TestStatisticsOfAHungServer(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	p := startStats(t, fmt.Sprintf("[pools.alpha]\nlisten = \"127.0.0.1:0\"\nhash_tag = \"\"\nreply_check = \"0s\"\nservers = [\"%s s1\"]\n", redis.Addr()))
	client := redistest.Dial(t, "tcp", p.pools["alpha"])
	client.Do("SET", "a", "1")
	redis.Signal(syscall.SIGSTOP)
	client.Send("*2\r\n$3\r\nGET\r\n$1\r\na\r\n")
	redistest.Eventually(t, 10*time.Second, "the queue", func() bool {
		f := figures(t, p.read())
		return f["alpha/s1/out_queue"] == 1 && f["alpha/s1/out_queue_bytes"] == 20 && f["alpha/s1/in_queue"] == 0 && f["alpha/s1/requests"] == 2 && f["alpha/s1/responses"] == 1
	})
	redis.Signal(syscall.SIGCONT)
	redistest.Eventually(t, 10*time.Second, "the reply", func() bool {
		f := figures(t, p.read())
		return f["alpha/s1/out_queue"] == 0 && f["alpha/s1/out_queue_bytes"] == 0 && f["alpha/s1/requests"] == 2 && f["alpha/s1/responses"] == 2
	})
}

// Collectors that ask as by HTTP, or that do not read, do no harm.
func TestHostileClientsOfTheStatisticsPort(t *testing.T) {
	t.Parallel()
	p := startStats(t, "[pools.alpha]\nlisten = \"127.0.0.1:0\"\nhash_tag = \"\"\nservers = [\"127.0.0.1:1 s1\"]\n")
	conn, err := net.Dial("tcp", p.stats)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
	if text, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(text), `{"service":"nutcracker", "source":"`) {
		t.Errorf("%q, %v", text, err)
	}
	for range 64 {
		silent, err := net.Dial("tcp", p.stats)
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	redistest.Eventually(t, 10*time.Second, "a place", func() bool {
		conn, err := net.Dial("tcp", p.stats)
		if err != nil {
			return false
		}
		defer conn.Close()
		text, err := io.ReadAll(conn)
		return err == nil && strings.HasSuffix(string(text), "}}}\n")
	})
}
