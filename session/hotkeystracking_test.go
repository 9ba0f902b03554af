package session_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// serveHotKeys runs a proxy with two loops and a pool that allows HOTKEYS.
func serveHotKeys(t *testing.T, servers int, statistics bool) *proxy {
	cfg := config(t, addrs(redistest.StartN(t, servers))...)
	cfg.Proxy.Threads, cfg.Proxy.Statistics = 2, statistics
	cfg.Pools[0].AllowCommands = []string{"hotkeys"}
	return serve(t, cfg)
}

func TestHotKeysStartIsReadAsRedisDoes(t *testing.T) {
	t.Parallel()
	var real *redistest.Conn
	if addr := os.Getenv("RINGWAY_REDIS86"); addr != "" { // the address of a Redis 8.6, to compare with
		real = redistest.Dial(t, "tcp", addr)
	}
	p := serveHotKeys(t, 2, true)
	client := p.dial()
	for _, test := range []struct{ request, want string }{
		{"HOTKEYS GET", "$-1\r\n"},
		{"HOTKEYS STOP", "$-1\r\n"},
		{"HOTKEYS RESET", "+OK\r\n"},
		{"HOTKEYS START", "-ERR METRICS parameter is required\r\n"},
		{"HOTKEYS START METRICS", "-ERR METRICS parameter is required\r\n"},
		{"HOTKEYS START COUNT 5 METRICS 1 CPU", "-ERR METRICS parameter is required\r\n"},
		{"HOTKEYS START METRICS 0 CPU", "-ERR METRICS count must be > 0 and <= 2\r\n"},
		{"HOTKEYS START METRICS 3 CPU", "-ERR METRICS count must be > 0 and <= 2\r\n"},
		{"HOTKEYS START METRICS x CPU", "-ERR METRICS count must be > 0 and <= 2\r\n"},
		{"HOTKEYS START METRICS 1", "-ERR METRICS count does not match number of metric types provided\r\n"},
		{"HOTKEYS START METRICS 2 CPU", "-ERR METRICS count does not match number of metric types provided\r\n"},
		{"HOTKEYS START METRICS 1 DISK", "-ERR METRICS no valid metrics passed. Supported: CPU|NET\r\n"},
		{"HOTKEYS START METRICS 2 CPU cpu", "-ERR METRICS CPU defined more than once!\r\n"},
		{"HOTKEYS START METRICS 1 NET COUNT 65", "-ERR COUNT must be between 1 and 64\r\n"},
		{"HOTKEYS START METRICS 1 NET DURATION 0", "-ERR DURATION must be between 1 and 1000000\r\n"},
		{"HOTKEYS START METRICS 1 NET SAMPLE -1", "-ERR SAMPLE ratio must be positive\r\n"},
		{"HOTKEYS START METRICS 1 NET SLOTS 1 5", "-ERR SLOTS parameter cannot be used in non-cluster mode\r\n"},
		{"HOTKEYS START METRICS 1 NET COUNT", "-ERR syntax error\r\n"},
		{"HOTKEYS START METRICS 1 NET NET", "-ERR syntax error\r\n"},
		{"HOTKEYS START METRICS 2 CPU NET COUNT 3 SAMPLE 2", "+OK\r\n"},
		{"HOTKEYS START METRICS 1 CPU", "-ERR hotkey tracking session already in progress\r\n"},
		{"HOTKEYS RESET", "-ERR hotkey tracking session in progress, stop tracking first\r\n"},
		{"HOTKEYS STOP", "+OK\r\n"},
		{"HOTKEYS STOP", "$-1\r\n"},
		{"HOTKEYS RESET", "+OK\r\n"},
		{"HOTKEYS GET", "$-1\r\n"},
		{"HOTKEYS START METRICS 1 NET DURATION 1000", "+OK\r\n"},
		{"HOTKEYS STOP", "+OK\r\n"},
		{"HOTKEYS RESET", "+OK\r\n"},
	} {
		if got := client.Do(strings.Fields(test.request)...); got != test.want {
			t.Errorf("%s: %q, want %q", test.request, got, test.want)
		}
		if real != nil {
			if got := real.Do(strings.Fields(test.request)...); got != test.want {
				t.Errorf("Redis: %s: %q, want %q", test.request, got, test.want)
			}
		}
	}
}

// hotTraffic makes requests whose numbers and bytes are known.
func hotTraffic(c *raw) {
	for i := range 60 {
		c.Do("SET", fmt.Sprint("k", i%3), "abc")
		c.Do("GET", "k1")
	}
}

func TestHotKeysCountFromStartToStop(t *testing.T) {
	t.Parallel()
	p := serveHotKeys(t, 2, true)
	client := p.dial()
	hotTraffic(client) // does not count
	for _, hello := range []string{"2", "3"} {
		client.Do("HELLO", hello)
		client.Do("HOTKEYS", "START", "METRICS", "2", "CPU", "NET", "COUNT", "2")
		hotTraffic(client)
		during := client.Do("HOTKEYS", "GET")
		client.Do("HOTKEYS", "STOP")
		hotTraffic(client) // neither
		after := client.Do("HOTKEYS", "GET")
		head := "*1\r\n*24\r\n"
		if hello == "3" {
			head = "*1\r\n%12\r\n"
		}
		// GET k1 and its reply have 21 and 9 bytes, SET kN abc and its reply 30 and 5.
		want := head + "$15\r\ntracking-active\r\n:ACTIVE\r\n$12\r\nsample-ratio\r\n:1\r\n$14\r\nselected-slots\r\n*1\r\n*2\r\n:0\r\n:16383\r\n" +
			"$25\r\nall-commands-all-slots-us\r\n:120\r\n$32\r\nnet-bytes-all-commands-all-slots\r\n:3900\r\n$29\r\ncollection-start-time-unix-ms\r\n:TIME\r\n$22\r\ncollection-duration-ms\r\n:TIME\r\n" +
			"$22\r\ntotal-cpu-time-user-ms\r\n:0\r\n$21\r\ntotal-cpu-time-sys-ms\r\n:0\r\n$15\r\ntotal-net-bytes\r\n:3900\r\n" +
			"$14\r\nby-cpu-time-us\r\n*4\r\n$2\r\nk1\r\n:80\r\n$2\r\nk0\r\n:20\r\n$12\r\nby-net-bytes\r\n*4\r\n$2\r\nk1\r\n:2500\r\n$2\r\nk0\r\n:700\r\n"
		for active, got := range map[string]string{"1": during, "0": after} {
			if got := regexp.MustCompile(`(ms\r\n):[1-9]\d*`).ReplaceAllString(got, "$1:TIME"); got != strings.ReplaceAll(want, "ACTIVE", active) {
				t.Errorf("HELLO %s, active %s: %q\nwant %q", hello, active, got, strings.ReplaceAll(want, "ACTIVE", active))
			}
		}
		client.Do("HOTKEYS", "RESET")
	}
}

func TestHotKeysEndAfterTheirDuration(t *testing.T) {
	t.Parallel()
	p := serveHotKeys(t, 1, true)
	client := p.dial()
	client.Do("HOTKEYS", "START", "METRICS", "1", "NET", "DURATION", "1")
	redistest.Eventually(t, 20*time.Second, "the end of the period", func() bool {
		return strings.Contains(client.Do("HOTKEYS", "GET"), "tracking-active\r\n:0\r\n")
	})
	if got := client.Do("HOTKEYS", "GET"); !strings.Contains(got, "collection-duration-ms\r\n:1000\r\n") || strings.Contains(got, "cpu") {
		t.Errorf("GET: %q", got)
	}
}

func TestHotKeysAsValkeyHasThem(t *testing.T) {
	t.Parallel()
	p := serveHotKeys(t, 1, true)
	p.server.Pools()[0].SetValkey(true)
	client := p.dial()
	redistest.Eventually(t, 20*time.Second, "k1 first, k0 and k2 behind it", func() bool {
		hotTraffic(client)
		return regexp.MustCompile(`^\*3\r\n\*6\r\n\$3\r\nkey\r\n\$2\r\nk1\r\n\$2\r\ndb\r\n:0\r\n\$3\r\nqps\r\n:[1-9]\d*\r\n\*6\r\n\$3\r\nkey\r\n\$2\r\nk[02]\r\n`).MatchString(client.Do("HOTKEYS", "GET"))
	})
	for request, want := range map[string]string{
		"HOTKEYS START METRICS 1 CPU": "-ERR unknown subcommand 'START'. Try HOTKEYS HELP.\r\n",
		"HOTKEYS STOP":                "-ERR unknown subcommand 'STOP'. Try HOTKEYS HELP.\r\n",
		"HOTKEYS RESET":               "+OK\r\n",
	} {
		if got := client.Do(strings.Fields(request)...); got != want {
			t.Errorf("%s: %q, want %q", request, got, want)
		}
	}
}

func TestHotKeysSayThatStatisticsAreOff(t *testing.T) {
	t.Parallel()
	p := serveHotKeys(t, 1, false)
	for _, request := range []string{"GET", "STOP", "RESET", "START METRICS 1 CPU"} {
		if got := p.dial().Do(strings.Fields("HOTKEYS " + request)...); !strings.HasPrefix(got, "-ERR HOTKEYS needs the proxy's statistics, which are off: set statistics = true") {
			t.Errorf("%s: %q", request, got)
		}
	}
}
