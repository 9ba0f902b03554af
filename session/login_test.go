package session_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

// countRequests returns how many requests of a command a server has had.
func countRequests(s *fakeredis.Server, name string) (n int) {
	for _, r := range s.Requests() {
		if strings.EqualFold(r.Args[0], name) {
			n++
		}
	}
	return n
}

// Clients that guess passwords use up no dedicated connections of blocking clients.
func TestPasswordGuessingUsesNoDedicatedConnections(t *testing.T) {
	redistest.SkipShort(t)
	t.Parallel()
	s := redistest.Start(t)
	s.Do("ACL", "SETUSER", "alice", "on", ">right", "~*", "+@all")
	cfg := config(t, s.Addr())
	cfg.Pools[0].ACLUsers, cfg.Pools[0].PinnedConnections = 4, 1
	p := serve(t, cfg)
	var guessing sync.WaitGroup
	for i := range 8 {
		c := p.dial()
		guessing.Go(func() {
			for j := range 5 {
				if got := c.Do("AUTH", "alice", fmt.Sprint(i, j)); !strings.HasPrefix(got, "-WRONGPASS ") {
					t.Errorf("a guess is answered with %q", got)
				}
			}
		})
	}
	c, alice := p.dial(), p.dial()
	for range 20 {
		if got := c.Do("BLPOP", "q", "0.001"); got != "*-1\r\n" {
			t.Fatalf("BLPOP while others guess: %q", got)
		}
	}
	c.Send(encode("BLPOP", "q", "0"))
	if got := alice.Do("AUTH", "alice", "right"); got != "+OK\r\n" {
		t.Errorf("alice is told %q", got)
	}
	alice.Send(encode("LPUSH", "q", "1"))
	alice.expect(":1\r\n")
	c.expect("*2\r\n$1\r\nq\r\n$1\r\n1\r\n")
	guessing.Wait()
}

// Right credentials are remembered for a moment, and each loop and pool has one connection for
// AUTH.
func TestReconnectStormsAskTheServerOnce(t *testing.T) {
	t.Parallel()
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		if strings.EqualFold(args[0], "AUTH") && args[len(args)-1] != "right" {
			c.Reply("-WRONGPASS invalid username-password pair or user is disabled.\r\n")
			return
		}
		c.Reply("+OK\r\n")
	})
	cfg := config(t, s.Addr())
	cfg.Proxy.Threads = 1
	cfg.Pools[0].ACLUsers = 4
	p := serve(t, cfg)
	for range 50 {
		c := p.dial()
		c.Send(encode("AUTH", "alice", "right"))
		c.expect("+OK\r\n")
		c.Close()
	}
	if n := countRequests(s, "AUTH"); n > 10 {
		t.Errorf("the server was asked %d times", n)
	}
	c := p.dial()
	for _, user := range [][]string{{"AUTH", "alice", "wrong"}, {"AUTH", "alicer", "ight"}, {"AUTH", "", "aliceright"}} {
		if got := c.Do(user...); !strings.HasPrefix(got, "-WRONGPASS ") {
			t.Errorf("%q: %q", user, got)
		}
	}
	if n := s.Conns(); n > 2 {
		t.Errorf("%d connections for logins", n)
	}
}

// A client's logins are answered in their order, and wrong ones with growing delays.
func TestLoginsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.Password("sesame"))
	s.Do("ACL", "SETUSER", "alice", "on", ">right", "~*", "+@all")
	cfg := config(t, s.Addr())
	cfg.Pools[0].ACLUsers, cfg.Pools[0].RedisAuth = 4, "sesame"
	start := time.Now() // before the loops, which count from the beginning of a turn
	p := serve(t, cfg)
	const wrongPass = "-WRONGPASS invalid username-password pair or user is disabled.\r\n"
	c := p.dial()
	c.Send(strings.Repeat(encode("AUTH", "alice", "wrong")+encode("AUTH", "wrong"), 2) + encode("AUTH", "alice", "right") + encode("ACL", "WHOAMI") +
		encode("AUTH", "wrong") + encode("HELLO", "3", "AUTH", "default", "sesame"))
	c.expect(slices.Repeat([]string{wrongPass}, 4)...)
	if waited := time.Since(start); waited < 150*time.Millisecond { // 50 ms and 100 ms
		t.Errorf("four guesses are answered within %v", waited)
	}
	c.expect("+OK\r\n", "$5\r\nalice\r\n", wrongPass)
	if got := c.Reply(); !strings.HasPrefix(got, "%7\r\n") {
		t.Errorf("HELLO: %q", got)
	}
}

func TestPasswordsOfUsersMayChange(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	cfg := config(t, s.Addr())
	cfg.Pools[0].ACLUsers = 1
	p := serve(t, cfg)
	for i := range 6 {
		password := fmt.Sprint("pw", i)
		s.Do("ACL", "SETUSER", "alice", "reset", "on", ">"+password, "~*", "+@all")
		c := p.dial()
		c.Send(encode("AUTH", "alice", password) + encode("SET", "x", "1"))
		c.expect("+OK\r\n", "+OK\r\n")
		c.Close()
		redistest.Eventually(t, time.Minute, "the client is gone", func() bool { return !strings.Contains(p.dial().Do("CLIENT", "LIST"), "user=alice") })
	}
}
