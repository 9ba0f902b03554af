package session_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/fakeredis"
)

// silentServer is a server that reads requests and answers only when the test says so.
type silentServer struct {
	*hostile
	fake *fakeredis.Server

	mu   sync.Mutex
	conn *fakeredis.Conn
}

func startSilentServer(t *testing.T, adjust func(*conf.Config)) *silentServer {
	t.Helper()
	s := &silentServer{}
	s.fake = fakeredis.StartHandler(t, func(c *fakeredis.Conn, _ []string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.conn == nil {
			s.conn = c
		}
	})
	s.hostile = startHostile(t, s.fake, func(c *conf.Config) {
		c.Proxy.DrainTimeout = time.Millisecond // the last requests are never answered
		adjust(c)
	})
	return s
}

// received returns how many requests of a command have come.
func (s *silentServer) received(name string) (n int) {
	for _, r := range s.fake.Requests() {
		if r.Args[0] == name {
			n++
		}
	}
	return n
}

// expectOnly waits until n requests of a command have come, and for turns of the
// loop in which more could.
func (s *silentServer) expectOnly(name string, n int) {
	s.t.Helper()
	eventually(s.t, name+"s have come", func() bool { return s.received(name) >= n })
	neighbour := s.dial()
	for range 20 {
		neighbour.Send(encode("EXISTS", s.good))
		neighbour.expect(":0\r\n")
	}
	if got := s.received(name); got != n {
		s.t.Fatalf("%d of %s are under way, want %d", got, name, n)
	}
}

func (s *silentServer) answer(n int, reply string) {
	eventually(s.t, "the server has a connection", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.conn != nil
	})
	s.conn.Reply(strings.Repeat(reply, n))
}

// A reply that was asked for can't be stopped, so few requests are sent until it is known how
// large the replies are.
func TestRepliesOfUnknownSizeAreNotAskedForAllAtOnce(t *testing.T) {
	t.Parallel()
	s := startSilentServer(t, unchangedConfig)
	c := s.dial()
	c.Send(strings.Repeat(encode("GET", s.bad), 300))
	s.expectOnly("GET", 16)

	small := s.dial()
	small.Send(strings.Repeat(encode("INCR", s.bad), 300))
	s.expectOnly("INCR", 300)

	s.answer(16, bulk(strings.Repeat("v", 100<<10)))
	s.answer(300, ":1\r\n")
	s.expectOnly("GET", 18)
	late := s.dial() // a client of which nothing is known, beside one with large replies
	late.Send(strings.Repeat(encode("HGETALL", s.bad), 300))
	s.expectOnly("HGETALL", 2)
}

func TestSmallRepliesOpenTheWindow(t *testing.T) {
	t.Parallel()
	s := startSilentServer(t, unchangedConfig)
	c := s.dial()
	c.Send(strings.Repeat(encode("GET", s.bad), 600))
	for answered := 0; answered < 500; {
		n := s.received("GET") - answered
		s.answer(n, bulk("v"))
		answered += n
		eventually(t, "more are under way", func() bool { return s.received("GET") > min(answered, 599) })
	}
	c.Send(strings.Repeat(encode("GET", s.bad), 600))
	eventually(t, "many are under way", func() bool { return s.received("GET") >= 1000 })
}

// A server holds in memory what it has yet to send, and closes connections for which it
// holds much. Clients with large replies wait; others on the connection do not.
func TestServerIsNotAskedForMoreThanItsConnectionMayCarry(t *testing.T) {
	t.Parallel()
	s := startSilentServer(t, func(c *conf.Config) { c.Proxy.ServerReplyBytes = 4 << 20 })
	for range 4 {
		s.dial().Send(strings.Repeat(encode("GET", s.bad), 16))
	}
	s.expectOnly("GET", 4) // of 1 MiB, as nothing is known
	small := s.dial()
	small.Send(strings.Repeat(encode("INCR", s.bad), 100))
	s.expectOnly("INCR", 100)
	s.answer(4, bulk("v"))
	s.answer(100, ":1\r\n")
	small.expect(strings.Split(strings.Repeat(":1\r\n ", 100), " ")[:100]...)
	eventually(t, "others have their turn", func() bool { return s.received("GET") > 4 })
}
