package session_test

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ringway/conf"
	"ringway/internal/redistest"
	"ringway/server"
)

// reload changes the configuration of a proxy that runs.
func (p *proxy) reload(change func(c *conf.Config)) error {
	p.t.Helper()
	now := *p.server.Conf()
	now.Pools = append([]conf.Pool(nil), now.Pools...)
	change(&now)
	_, err := p.server.Reload(&now, server.ReloadOptions{MoveKeys: true})
	return err
}

func (p *proxy) mustReload(change func(c *conf.Config)) {
	p.t.Helper()
	if err := p.reload(change); err != nil {
		p.t.Fatal(err)
	}
}

// withServers returns a change to the given servers, by their numbers from 1.
func withServers(servers []*redistest.Server, numbers ...int) func(c *conf.Config) {
	return func(c *conf.Config) {
		c.Pools[0].Servers = nil
		for _, n := range numbers {
			c.Pools[0].Servers = append(c.Pools[0].Servers, conf.Server{Name: fmt.Sprint("s", n), Network: "tcp", Addr: servers[n-1].Addr(), Weight: 1})
		}
	}
}

// Keys go to the servers that a new process with the same configuration would choose.
func TestReloadPlacesKeysByTheNewServers(t *testing.T) {
	servers := redistest.StartN(t, 4)
	p := serve(t, config(t, addrs(servers[:2])...))
	c := p.dial()
	for _, numbers := range [][]int{{1, 2, 3}, {2, 3}, {2, 3, 4}, {1, 4}, {1, 2}, {3}, {1, 2, 3, 4}} {
		p.mustReload(withServers(servers, numbers...))
		cfg := config(t, servers[0].Addr())
		withServers(servers, numbers...)(cfg)
		fresh := serve(t, cfg)
		other := fresh.dial()
		for i := range 50 {
			key := fmt.Sprint("key-", i)
			want(t, c, "+OK", "SET", key, fmt.Sprint(numbers))
			want(t, other, "$"+fmt.Sprint(len(fmt.Sprint(numbers)))+"\r\n"+fmt.Sprint(numbers), "GET", key)
		}
		fresh.stop()
	}
}

// openFiles returns how many descriptors the process has, 0 where that is not to be had.
func openFiles() int {
	files, _ := os.ReadDir("/proc/self/fd")
	return len(files)
}

// No request fails, no client is closed, and no descriptor is kept, however often servers come and go.
func TestReloadUnderLoadFailsNoRequest(t *testing.T) {
	servers := redistest.StartN(t, 3)
	p := serve(t, config(t, addrs(servers)...))
	var requests atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for i := range 8 {
		c := p.dial()
		wg.Go(func() {
			for n := 0; !stop.Load(); n++ {
				key := fmt.Sprintf("%d-%d", i, n%100)
				for _, request := range [][]string{{"SET", key, "v"}, {"EXISTS", key, key + "x", key + "y"}, {"MGET", key, key + "z"}} {
					if reply := c.Do(request...); strings.HasPrefix(reply, "-") {
						t.Errorf("%s: %s", request, reply)
						return
					}
					requests.Add(1)
				}
			}
		})
	}
	eventually(t, "requests", func() bool { return requests.Load() > 1000 })
	before, reloads := openFiles(), rounds(50)
	for i := range reloads {
		p.mustReload(withServers(servers, [][]int{{1, 2}, {1, 2, 3}, {3}, {1, 3}}[i%4]...))
	}
	p.mustReload(withServers(servers, 1, 2, 3))
	eventually(t, "the descriptors that there were", func() bool { return openFiles() <= before })
	stop.Store(true)
	wg.Wait()
	t.Logf("%d reloads, %d requests", reloads+1, requests.Load())
}

// A client that waits for a list is woken at the server that has the list's key now.
func TestReloadMovesBlockedRequests(t *testing.T) {
	servers := redistest.StartN(t, 2)
	p := serve(t, config(t, addrs(servers)...))
	waiting, pusher := p.dial(), p.dial()
	p.mustReload(withServers(servers, 1))
	waiting.Send(redistest.Request("BLPOP", "queue", "0"))
	awaitBlocked(t, servers[0], 1)
	p.mustReload(withServers(servers, 2))
	awaitBlocked(t, servers[1], 1)
	want(t, pusher, ":1", "RPUSH", "queue", "job")
	if got := waiting.Reply(); !strings.Contains(got, "job") {
		t.Errorf("got %q", got)
	}
	awaitBlocked(t, servers[0], 0)
}

// Subscribers hear what is published after a reload, wherever that goes now, and once.
func TestReloadKeepsSubscriptions(t *testing.T) {
	servers := redistest.StartN(t, 3)
	p := serve(t, config(t, addrs(servers[:1])...))
	sub, publisher := p.dial(), p.dial()
	sub.Do("SUBSCRIBE", "news")
	for i, numbers := range [][]int{{1, 2, 3}, {2, 3}, {3}, {1}} {
		p.mustReload(withServers(servers, numbers...))
		for j := range 20 {
			message := fmt.Sprintf("%d-%d", i, j)
			want(t, publisher, ":1", "PUBLISH", "news", message)
			if got := sub.Reply(); !strings.Contains(got, "\r\n"+message+"\r\n") {
				t.Fatalf("%v: got %q, want %s", numbers, got, message)
			}
		}
	}
}

// Nor do they miss or hear twice what is published while servers come and go. The order may change when the
// channel gets another owner: two servers send then.
func TestReloadLosesNoMessage(t *testing.T) {
	servers := redistest.StartN(t, 3)
	p := serve(t, config(t, addrs(servers)...))
	sub, publisher := p.dial(), p.dial()
	sub.Do("SUBSCRIBE", "news")
	var stop atomic.Bool
	var wg sync.WaitGroup
	published := 0
	wg.Go(func() {
		for !stop.Load() {
			published++
			publisher.Do("PUBLISH", "news", fmt.Sprint(published))
		}
	})
	for i := range rounds(30) {
		p.mustReload(withServers(servers, [][]int{{1, 2}, {1, 2, 3}, {3}, {1, 3}}[i%4]...))
	}
	stop.Store(true)
	wg.Wait()
	heard := map[string]int{}
	for range published {
		lines := strings.Split(sub.Reply(), "\r\n")
		heard[lines[len(lines)-2]]++
	}
	for i := range published {
		if n := heard[fmt.Sprint(i+1)]; n != 1 {
			t.Errorf("message %d of %d was heard %d times", i+1, published, n)
		}
	}
}

// A transaction whose watched key has another owner since is not executed, as if the key had changed.
func TestReloadEndsWatches(t *testing.T) {
	servers := redistest.StartN(t, 2)
	p := serve(t, config(t, servers[0].Addr()))
	c := p.dial()
	want(t, c, "+OK", "WATCH", "key")
	p.mustReload(withServers(servers, 2))
	want(t, c, "+OK", "MULTI")
	want(t, c, "+QUEUED", "SET", "key", "v")
	want(t, c, "*-1", "EXEC")
	want(t, c, "$-1", "GET", "key")
}

// What is refused changes nothing.
func TestReloadThatIsRefusedChangesNothing(t *testing.T) {
	servers := redistest.StartN(t, 2)
	p := serve(t, config(t, addrs(servers)...))
	c := p.dial()
	was := p.server.Conf()
	taken := redistest.StartN(t, 1)[0].Addr()
	for name, test := range map[string]struct {
		change func(c *conf.Config)
		want   string
	}{
		"threads": {func(c *conf.Config) { c.Proxy.Threads = 7; c.Pools[0].Timeout = 1 }, "threads"},
		"an address that is taken": {func(c *conf.Config) {
			c.Pools = append(c.Pools, c.Pools[0])
			c.Pools[1].Name, c.Pools[1].Listen.Addr, c.Pools[0].Timeout = "beta", taken, 1
		}, "address already in use"},
	} {
		if err := p.reload(test.change); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	now := *was
	now.Pools = append([]conf.Pool(nil), now.Pools...)
	withServers(servers, 1)(&now)
	if _, err := p.server.Reload(&now, server.ReloadOptions{}); err == nil || !strings.Contains(err.Error(), "s2 -> s1") {
		t.Errorf("keys that move: %v", err)
	}
	if !reflect.DeepEqual(was, p.server.Conf()) {
		t.Error("the configuration is another one")
	}
	want(t, c, "+OK", "SET", "a", "1")
}

// Pools come and go; clients of one that is gone are closed, and its address is free for another.
func TestReloadAddsAndRemovesPools(t *testing.T) {
	servers := redistest.StartN(t, 2)
	p := serve(t, config(t, addrs(servers[:1])...))
	first := p.dial()
	want(t, first, "+OK", "SET", "where", "first")
	for range 3 {
		p.mustReload(func(c *conf.Config) {
			beta := c.Pools[0]
			beta.Name, beta.Listen.Addr = "beta", redistest.FreeAddr(t)
			beta.Servers = []conf.Server{{Name: "s2", Network: "tcp", Addr: servers[1].Addr(), Weight: 1}}
			c.Pools = append(c.Pools, beta)
		})
		at := p.server.Addrs()["beta"]
		if p.tls != nil {
			speakTLS.Store(at, p)
		}
		beta := dialAt(t, at)
		if got := beta.Do("SET", "where", "second"); got != "+OK\r\n" {
			t.Fatal(got)
		}
		want(t, first, "$5\r\nfirst", "GET", "where")
		p.mustReload(func(c *conf.Config) { c.Pools = c.Pools[:1] })
		beta.WaitClosed()
		want(t, first, "$5\r\nfirst", "GET", "where")
	}
}

// A pool under another name takes its address over with no moment in which nobody listens.
func TestReloadRenamesAPool(t *testing.T) {
	servers := redistest.StartN(t, 1)
	p := serve(t, config(t, addrs(servers)...))
	old := p.dial()
	want(t, old, "+OK", "SET", "a", "1")
	p.mustReload(func(c *conf.Config) { c.Pools[0].Name = "other" })
	old.WaitClosed()
	fresh := p.dial()
	want(t, fresh, "$1\r\n1", "GET", "a")
}

// Connections to servers stay, and clients too, when only settings change, which then hold.
func TestReloadChangesSettingsInPlace(t *testing.T) {
	servers := redistest.StartN(t, 1)
	p := serve(t, config(t, addrs(servers)...))
	c := p.dial()
	want(t, c, "+OK", "SET", "a", "1")
	direct := redistest.Dial(t, "tcp", servers[0].Addr())
	before := connectionsReceived(direct)
	if got := c.Do("KEYS", "*"); !strings.HasPrefix(got, "-") {
		t.Fatal(got)
	}
	p.mustReload(func(c *conf.Config) {
		c.Pools[0].Timeout *= 2
		c.Pools[0].AllowCommands = []string{"keys"}
		c.Pools[0].DenyCommands = []string{"get"}
		c.Proxy.MaxBulk = 10
	})
	if got := c.Do("KEYS", "*"); strings.HasPrefix(got, "-") {
		t.Error(got)
	}
	if got := c.Do("GET", "a"); !strings.HasPrefix(got, "-") {
		t.Error(got)
	}
	if got := c.Do("SET", "a", strings.Repeat("x", 11)); !strings.Contains(got, "bulk length") {
		t.Error(got)
	}
	if got := connectionsReceived(direct); got != before {
		t.Errorf("servers have accepted connections since: %s, then %s", before, got)
	}
}

// want sends a request and expects a reply, without its last line end.
func want(t *testing.T, c interface{ Do(...string) string }, reply string, request ...string) {
	t.Helper()
	if got := strings.TrimSuffix(c.Do(request...), "\r\n"); got != reply {
		t.Fatalf("%s: got %q, want %q", request, got, reply)
	}
}

func connectionsReceived(c *redistest.Conn) string {
	_, rest, _ := strings.Cut(c.Do("INFO", "stats"), "total_connections_received:")
	n, _, _ := strings.Cut(rest, "\r\n")
	return n
}
