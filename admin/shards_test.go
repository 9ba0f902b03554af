package admin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// field returns the number behind a name in INFO's reply.
func field(info, name string) (n int) {
	_, rest, _ := strings.Cut(info, name+":")
	fmt.Sscan(rest, &n)
	return n
}

func TestConsoleShowsShardsAndTopology(t *testing.T) {
	t.Parallel()
	first, second := redistest.Start(t), redistest.Start(t)
	w := startPool(t, "", "auto_eject_hosts = true", first, second)
	console := redistest.Dial(t, "tcp", w.admin)
	for table, want := range map[string][]string{
		"shards":   {"POOL   SHARD  STATE    PRIMARY", "alpha  s1     serving  " + first.Addr(), "alpha  s2     serving  " + second.Addr()},
		"topology": {"POOL   TOPOLOGY  LEARNT FROM    SHARDS  SERVING", "alpha  static    configuration  2       2"},
	} {
		got := console.Do("SHOW", table)
		for _, line := range want {
			if !strings.Contains(got, "+"+line) {
				t.Errorf("SHOW %s lacks %q: %q", table, line, got)
			}
		}
	}
	console.Do("EJECT", "alpha", "s2")
	redistest.Eventually(t, 10*time.Second, "the ejected shard, and the change", func() bool {
		return strings.Contains(console.Do("SHOW", "shards"), "alpha  s2     ejected") && strings.Contains(console.Do("SHOW", "topology"), "s2 went down")
	})
	console.Do("HELLO", "3")
	if got := console.Do("SHOW", "shards"); !strings.HasPrefix(got, "*2\r\n%9\r\n$4\r\npool\r\n$5\r\nalpha\r\n$5\r\nshard\r\n$2\r\ns1\r\n$5\r\nstate\r\n$7\r\nserving\r\n") || !strings.Contains(got, "$5\r\nshare\r\n,1\r\n") {
		t.Errorf("SHOW shards in RESP3: %q", got)
	}
	if got := console.Do("SHOW", "topology"); !strings.HasPrefix(got, "*1\r\n%10\r\n") || !strings.Contains(got, "$7\r\nserving\r\n:1\r\n") {
		t.Errorf("SHOW topology in RESP3: %q", got)
	}
}

func TestConsoleConnectsAnew(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := start(t, "", server, redistest.Start(t))
	console, client := redistest.Dial(t, "tcp", w.admin), redistest.Dial(t, "tcp", w.pool)
	for _, test := range []struct{ request, want string }{
		{"RECONNECT alpha", "-ERR wrong arguments; want RECONNECT pool server"}, {"RECONNECT beta s1", "-ERR there is no pool"},
		{"RECONNECT alpha s3", "-ERR pool alpha has no server \"s3\"; its servers are s1, s2"},
	} {
		if got := console.Do(strings.Fields(test.request)...); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %q, want %q", test.request, got, test.want)
		}
	}
	for i := range 50 { // so that there are connections
		client.Do("SET", fmt.Sprint("key:", i), "1")
	}
	stop, failed := make(chan struct{}), make(chan string, 1)
	go func() { // load: no request of it may fail
		for i := 0; ; i++ {
			select {
			case <-stop:
				close(failed)
				return
			default:
			}
			if reply := client.Do("SET", fmt.Sprint("key:", i%50), "1"); reply != "+OK\r\n" {
				failed <- reply
				<-stop
				return
			}
		}
	}()
	for range 5 {
		before := field(server.Do("INFO", "stats"), "total_connections_received")
		reply := console.Do("RECONNECT", "alpha", "s1")
		var n int
		if fmt.Sscanf(reply, "+OK %d connections", &n); n < 1 {
			t.Errorf("RECONNECT: %q", reply)
		}
		if after := field(server.Do("INFO", "stats"), "total_connections_received"); after < before+n {
			t.Errorf("%d connections before, %d after, want %d more", before, after, n)
		}
	}
	close(stop)
	if reply, bad := <-failed; bad {
		t.Errorf("a request failed: %q", reply)
	}
}
