package hatest

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// cached is a client that caches one value with CLIENT TRACKING.
type cached struct {
	*redistest.Conn
	key     string
	optin   bool
	value   string // as the client has it cached; "" if it has not
	dropped int    // how often it was told to drop all
}

// get returns the value, from the cache if it is there. Invalidations that have come are handled first: one comes before
// the reply to the PING that follows it.
func (c *cached) get(t *testing.T) string {
	t.Helper()
	c.Send(redistest.Request("PING"))
	c.handle(t, "+PONG\r\n")
	if c.value == "" {
		if c.optin {
			c.Send(redistest.Request("CLIENT", "CACHING", "YES"))
			c.handle(t, "+OK\r\n")
		}
		c.Send(redistest.Request("GET", c.key))
		c.value = c.handle(t, "")
	}
	return c.value
}

// handle reads up to the next reply, which is want unless that is "", and handles the invalidations before it.
func (c *cached) handle(t *testing.T, want string) string {
	t.Helper()
	for {
		got := c.Reply()
		switch {
		case !strings.HasPrefix(got, ">"):
			if want != "" && got != want {
				t.Errorf("reply %q, want %q", got, want)
			}
			return got
		case strings.HasSuffix(got, "_\r\n"):
			c.dropped++
			c.value = ""
		case strings.Contains(got, c.key):
			c.value = ""
		}
	}
}

// Clients that track move too. None keeps a value that has changed: what changes while a client is on its way is
// covered by the order to drop all, which it gets once it has arrived. A client in MONITOR goes on seeing requests.
func TestUpgradesOfClientsThatListen(t *testing.T) {
	redistest.SkipShort(t)
	u := runUpgradedPool(t, "threads = 2", `allow_commands = ["monitor"]`, redistest.StartN(t, 2)...)
	writer := redistest.Dial(t, "tcp", u.addr)
	ways := [][]string{{}, {"BCAST"}, {"BCAST", "PREFIX", "k", "PREFIX", "x"}, {"OPTIN"}, {"NOLOOP"}}
	var clients []*cached
	for i := range 10 {
		c := &cached{Conn: redistest.Dial(t, "tcp", u.addr), key: fmt.Sprintf("k%d", i)}
		c.Do("HELLO", "3")
		way := ways[i%len(ways)]
		if got := c.Do(append([]string{"CLIENT", "TRACKING", "ON"}, way...)...); got != "+OK\r\n" {
			t.Fatalf("%v is answered %q", way, got)
		}
		if i >= len(ways) { // with subscriptions too
			c.Send(redistest.Request("SUBSCRIBE", "news"))
			c.Reply()
		}
		c.optin = len(way) > 0 && way[0] == "OPTIN"
		clients = append(clients, c)
	}
	monitor := redistest.Dial(t, "tcp", u.addr)
	if got := monitor.Do("MONITOR"); got != "+OK\r\n" {
		t.Fatal(got)
	}
	var seen atomic.Int64 // the last round that the client in MONITOR has seen a request of
	go func() {
		for lines := bufio.NewScanner(monitor.NetConn()); lines.Scan(); {
			if _, round, found := strings.Cut(lines.Text(), `"SET" "seen" "`); found {
				n, _ := strconv.ParseInt(strings.TrimSuffix(round, `"`), 10, 64)
				seen.Store(n)
			}
		}
	}()
	for round := range 3 {
		for _, c := range clients {
			writer.Do("SET", c.key, fmt.Sprint("before ", round))
			redistest.Eventually(t, time.Minute, c.key+" has the value", func() bool { return strings.Contains(c.get(t), fmt.Sprint("before ", round)) })
		}
		var writes atomic.Int64
		stop := make(chan struct{})
		var writing sync.WaitGroup
		writing.Go(func() {
			for ; ; writes.Add(1) {
				select {
				case <-stop:
					return
				default:
				}
				for _, c := range clients {
					writer.Do("SET", c.key, fmt.Sprintf("during %d %d", round, writes.Load()))
				}
			}
		})
		u.upgrade()
		close(stop)
		writing.Wait()
		last := fmt.Sprintf("during %d %d", round, writes.Load()-1)
		for i, c := range clients {
			redistest.Eventually(t, time.Minute, c.key+" has the last value", func() bool { return strings.Contains(c.get(t), last) })
			if c.dropped != round+1 && i%len(ways) == 0 {
				t.Errorf("round %d: client %d was told %d times to drop all", round, i, c.dropped)
			}
			if got := c.Do("CLIENT", "TRACKINGINFO"); !strings.Contains(got, "\r\non\r\n") && !strings.HasPrefix(got, ">") {
				t.Errorf("round %d: client %d: %q", round, i, got)
			}
		}
		redistest.Eventually(t, time.Minute, "MONITOR shows requests", func() bool {
			writer.Do("SET", "seen", fmt.Sprint(round+1))
			return seen.Load() == int64(round+1)
		})
	}
	if strings.Contains(u.Output(), "client stays") || strings.Count(u.Output(), "left=0") != 3 {
		t.Errorf("clients stayed behind:\n%s", u.Output())
	}
}

// Subscribers whose markers a server refuses stay with the old process, and the log says what to permit; the metrics of
// the new one, how many were drained.
func TestUpgradeOfSubscribersThatCannotMove(t *testing.T) {
	redistest.SkipShort(t)
	servers := redistest.StartN(t, 1)
	servers[0].Do("ACL", "SETUSER", "default", "resetchannels", "&news", "&other")
	admin := fmt.Sprintf("127.0.0.1:%d", redistest.FreePort(t))
	u := runUpgraded(t, fmt.Sprintf("threads = 2\ndrain_timeout = \"500ms\"\n[admin]\nlisten = %q", admin), servers...)
	var subscribers []*redistest.Conn
	for range 4 {
		c := redistest.Dial(t, "tcp", u.addr)
		if got := c.Do("SUBSCRIBE", "news"); !strings.HasPrefix(got, "*3") {
			t.Fatal(got)
		}
		subscribers = append(subscribers, c)
	}
	other := redistest.Dial(t, "tcp", u.addr)
	u.upgrade()
	if got := other.Do("PING"); got != "+PONG\r\n" {
		t.Errorf("a client without subscriptions is answered %q", got)
	}
	for _, c := range subscribers {
		c.WaitClosed()
	}
	if n := strings.Count(u.Output(), "subscribers stay until they are drained: the marker"); n != 1 || !strings.Contains(u.Output(), "&__ringway:marker:*") {
		t.Errorf("%d lines:\n%s", n, u.Output())
	}
	redistest.Eventually(t, time.Minute, "the metrics tell", func() bool {
		answer, err := http.Get("http://" + admin + "/metrics")
		if err != nil {
			return false
		}
		defer answer.Body.Close()
		body, _ := io.ReadAll(answer.Body)
		return strings.Contains(string(body), `ringway_upgrade_clients_total{outcome="drained"} 4`) &&
			strings.Contains(string(body), `ringway_upgrade_clients_total{outcome="received"} 1`)
	})
}

// The new process has its connections to servers, of the kinds that are in use, before the first client moves.
func TestUpgradeConnectsToServersFirst(t *testing.T) {
	redistest.SkipShort(t)
	server := redistest.StartN(t, 1)[0]
	u := runUpgraded(t, "threads = 2", server)
	inRESP3 := func() int { return strings.Count(server.Do("CLIENT", "LIST"), " resp=3") }
	c := redistest.Dial(t, "tcp", u.addr)
	c.Do("HELLO", "3")
	c.Do("GET", "k")
	before := inRESP3()
	c.Do("MULTI") // it moves when that has ended
	syscall.Kill(u.Pid(), syscall.SIGUSR2)
	u.await("the new process accepts", "took over from the old process", 1)
	if got := inRESP3(); got != before+2 {
		t.Errorf("%d connections in RESP3, want %d and one of each loop of the new process", got, before)
	}
	if got := c.Do("EXEC"); got != "*0\r\n" {
		t.Error(got)
	}
	u.await("the old process has ended", "msg=stopped", 1)
}
