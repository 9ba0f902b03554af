package mover

// What the design of a move stands on, seen at a real server. Run them against other versions with
// another redis-server in front of PATH.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.RunCheckingLeaks(m)) }

// startedTimeout bounds waits of tests; it is far above what they take.
const startedTimeout = 20 * time.Second

// connect returns a connection of this package to a server.
func connect(t testing.TB, s *redistest.Server) *conn {
	t.Helper()
	p := poolOf(s)
	c, err := dial(t.Context(), p, &p.Servers[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

// poolOf returns a static pool of servers that are named a, b, c ….
func poolOf(servers ...*redistest.Server) *conf.Pool {
	p := conf.DefaultPool("alpha")
	p.Topology = conf.Static
	for i, s := range servers {
		p.Servers = append(p.Servers, conf.Server{Name: string(rune('a' + i)), Network: "tcp", Addr: s.Addr(), Weight: 1})
	}
	return &p
}

// load sends lines of requests, from a goroutine of its own, and reads all replies.
func load(addr string, requests func(w *bufio.Writer) (replies int)) error {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	w := bufio.NewWriter(nc)
	n := requests(w)
	if err := w.Flush(); err != nil {
		return err
	}
	r := bufio.NewReader(nc)
	for range n {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if line[0] == '-' {
			return errors.New(line)
		}
		if line[0] == '*' { // EXEC of two
			for range 2 {
				if _, err := r.ReadString('\n'); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Every key that was changed before a PING on a tracking connection was sent is named before its PONG: by
// plain commands, by MSET, transactions and scripts, in any database.
func TestPingIsABarrierOnATrackingConnection(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	f, err := startFollowing(t.Context(), poolOf(s), &poolOf(s).Servers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	const rounds, writers, each = 20, 4, 200
	for round := range rounds {
		var wg sync.WaitGroup
		var failed atomic.Pointer[error]
		for writer := range writers {
			wg.Go(func() {
				err := load(s.Addr(), func(w *bufio.Writer) int {
					for i := range each {
						name := fmt.Sprintf("%d:%d:%d", round, writer, i)
						switch i % 4 {
						case 0:
							io.WriteString(w, redistest.Request("SET", name, "1"))
						case 1:
							io.WriteString(w, redistest.Request("MSET", name, "1", name+":b", "1"))
						case 2:
							io.WriteString(w, redistest.Request("EVAL", "return redis.call('INCR', KEYS[1])", "1", name))
						case 3:
							io.WriteString(w, redistest.Request("RPUSH", name, "x"))
						}
					}
					io.WriteString(w, redistest.Request("SELECT", "3")+redistest.Request("SET", fmt.Sprintf("%d:%d:db3", round, writer), "1"))
					io.WriteString(w, redistest.Request("MULTI")+redistest.Request("SET", fmt.Sprintf("%d:%d:m", round, writer), "1")+redistest.Request("GET", "none")+redistest.Request("EXEC"))
					// OK, QUEUED, QUEUED, and EXEC, whose two elements load skips.
					return each + 6
				})
				if err != nil {
					failed.Store(&err)
				}
			})
		}
		wg.Wait()
		if err := failed.Load(); err != nil {
			t.Fatal(*err)
		}
		if err := f.barrier(); err != nil {
			t.Fatal(err)
		}
		if n := f.changed.count(); n < writers*each {
			t.Fatalf("%d names", n)
		}
		names := f.changed.take(1 << 20)
		got := map[string]bool{}
		for _, name := range names {
			got[name] = true
		}
		for writer := range writers {
			for i := range each {
				name := fmt.Sprintf("%d:%d:%d", round, writer, i)
				if !got[name] || i%4 == 1 && !got[name+":b"] {
					t.Fatalf("%s was not named before the barrier", name)
				}
			}
			for _, end := range []string{"db3", "m"} {
				if !got[fmt.Sprintf("%d:%d:%s", round, writer, end)] {
					t.Fatalf("round %d: %s was not named before the barrier", round, end)
				}
			}
		}
	}
}

// Expiry, eviction and deletion name keys too, and FLUSHALL and FLUSHDB name all. SWAPDB names none; it is counted.
func TestTrackingNamesWhatGoesByItself(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	c := connect(t, s)
	f, err := startFollowing(t.Context(), poolOf(s), &poolOf(s).Servers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	must := func(args ...string) {
		t.Helper()
		if _, err := c.do(args...); err != nil {
			t.Fatalf("%q: %v", args, err)
		}
	}
	named := func(key string) bool {
		if err := f.barrier(); err != nil {
			t.Fatal(err)
		}
		for _, name := range f.changed.take(1 << 20) {
			if name == key {
				return true
			}
		}
		return false
	}
	must("SET", "short", "1", "PX", "30")
	if !named("short") {
		t.Error("SET was not named")
	}
	redistest.Eventually(t, startedTimeout, "the expiry to be named", func() bool { return named("short") })
	must("SET", "evicted", strings.Repeat("x", 10000))
	named("")
	must("CONFIG", "SET", "maxmemory-policy", "allkeys-random", "maxmemory", "1")
	redistest.Eventually(t, startedTimeout, "the eviction to be named", func() bool {
		c.do("SET", "another", "1") // is refused, and evicts
		return named("evicted")
	})
	must("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")
	for _, all := range [][]string{{"FLUSHALL"}, {"FLUSHDB"}} {
		must("SET", "k", "1")
		if err := f.barrier(); err != nil {
			t.Fatal(err)
		}
		f.changed.take(1 << 20)
		f.changed.tookAll()
		must(all...)
		if err := f.barrier(); err != nil {
			t.Fatal(err)
		}
		if !f.changed.tookAll() {
			t.Errorf("%s did not name all keys", all[0])
		}
	}
	before, err := databaseSwaps(c)
	if err != nil {
		t.Fatal(err)
	}
	must("SWAPDB", "0", "1")
	if after, err := databaseSwaps(c); err != nil || after == before {
		t.Errorf("after SWAPDB %q, before %q, %v: want a difference", after, before, err)
	}
}

// A busy or loading server does not answer the barrier with PONG.
func TestABusyServerIsNoBarrier(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	busy := connect(t, s)
	if _, err := busy.do("CONFIG", "SET", "busy-reply-threshold", "1"); err != nil {
		if _, err := busy.do("CONFIG", "SET", "lua-time-limit", "1"); err != nil {
			t.Fatal(err)
		}
	}
	f, err := startFollowing(t.Context(), poolOf(s), &poolOf(s).Servers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	busy.send("EVAL", "while true do end", "0")
	if err := busy.flush(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, startedTimeout, "the server to be busy", func() bool { return strings.HasPrefix(s.Do("PING"), "-BUSY") })
	var refused Error
	if err := f.barrier(); !errors.As(err, &refused) || !strings.HasPrefix(string(refused), "BUSY") {
		t.Errorf("barrier of a busy server: %v, want -BUSY", err)
	}
	s.Do("SCRIPT", "KILL")
	busy.reply()
	redistest.Eventually(t, startedTimeout, "a barrier afterwards", func() bool { return f.barrier() == nil })
}

// What was sent on a connection before CLIENT SETNAME has been executed when another connection sees the
// name in CLIENT LIST: names are acknowledgements.
func TestANameShowsWhatWasExecuted(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	writer, watcher := connect(t, s), connect(t, s)
	const rounds, each = 50, 100
	for round := 1; round <= rounds; round++ {
		for range each {
			writer.send("INCR", "n")
		}
		name := fmt.Sprintf("ringway/x/%d", round)
		writer.send("CLIENT", "SETNAME", name)
		done := make(chan error, 1)
		go func() { done <- writer.answers(each+1, func(int, []byte, error) error { return nil }) }()
		for {
			// One after the other: the name first.
			list, err := watcher.text("CLIENT", "LIST")
			if err != nil {
				t.Fatal(err)
			}
			n, err := watcher.text("GET", "n")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(list, " name="+name+" ") {
				continue
			}
			if n != strconv.Itoa(round*each) {
				t.Fatalf("round %d: the name is there and n is %s, want %d", round, n, round*each)
			}
			break
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// CLIENT KILL ID ends a connection for good: nothing that was sent on it and not executed before is executed
// after the reply, even if it lay in the server's buffers.
func TestAKilledConnectionExecutesNothingMore(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	killer := connect(t, s)
	for range 30 {
		victim := connect(t, s)
		id, err := victim.text("CLIENT", "ID")
		if err != nil {
			t.Fatal(err)
		}
		writing := make(chan struct{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for i := 0; ; i++ {
				for range 50 {
					victim.send("INCR", "n")
				}
				if victim.flush() != nil {
					return
				}
				if i == 1 {
					close(writing)
				}
				if i > 1 { // keep the server's buffers full, and its output small
					for range 50 {
						if _, err := victim.reply(); err != nil {
							return
						}
					}
				}
			}
		}()
		<-writing
		if n, err := killer.text("CLIENT", "KILL", "ID", id); err != nil || n != "1" {
			t.Fatalf("CLIENT KILL: %s, %v", n, err)
		}
		first, err := killer.text("GET", "n")
		if err != nil {
			t.Fatal(err)
		}
		<-ended
		if last, err := killer.text("GET", "n"); err != nil || last != first {
			t.Fatalf("n was %s after CLIENT KILL and is %s now, %v", first, last, err)
		}
	}
}
