package hatest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// soakLoad is a load of one kind of clients.
type soakLoad interface {
	// done returns how many good replies or messages each client has seen.
	done() []int64

	// end has the clients leave and fails the test for what was wrong. It returns
	// how many replies, messages or visits were checked, and how many requests were
	// answered with an error.
	end() (checked, failed int)
}

// soakLoads are the kinds of load, each at one pool. Those at the pool healthy
// take no error, since nothing there is ever amiss.
var soakLoads = []struct {
	name  string
	pool  string
	start func(t *testing.T, addr string, seed uint64) soakLoad
}{
	{"one request at a time", "healthy", requests(Load{Clients: 4, Pause: 8 * time.Millisecond, Strict: true})},
	{"pipelined requests", "healthy", requests(Load{Clients: 4, Depth: 16, Pause: 16 * time.Millisecond, Strict: true})},
	{"large values", "healthy", startLarge},
	{"idle clients", "healthy", startIdle},
	{"subscribers", "healthy", subscribers(true, "SUBSCRIBE 2", "SUBSCRIBE 3", "PSUBSCRIBE 2", "PSUBSCRIBE 3")},
	{"shard subscribers", "healthy", subscribers(true, "SSUBSCRIBE 2", "SSUBSCRIBE 3")},

	{"one request at a time", "static", requests(Load{Clients: 6, Loading: true, Pause: 8 * time.Millisecond})},
	{"pipelined requests", "static", requests(Load{Clients: 6, Loading: true, Depth: 16, Pause: 16 * time.Millisecond})},
	{"subscribers", "static", subscribers(false, "SUBSCRIBE 2", "SUBSCRIBE 3", "PSUBSCRIBE 3")},
	{"shard subscribers", "static", subscribers(false, "SSUBSCRIBE 2", "SSUBSCRIBE 3")},
	{"clients that come and go", "static", startTransient},

	{"patient clients", "hung", requests(Load{Clients: 4, Depth: 4, Pause: 8 * time.Millisecond, Strict: true})},
	{"clients that come and go", "hung", startTransient},

	{"pipelined requests", "replicated", requests(Load{Clients: 4, Depth: 4, Pause: 16 * time.Millisecond})},
	{"pipelined requests", "sentinel", requests(Load{Clients: 4, Depth: 4, Pause: 16 * time.Millisecond})},
	{"pipelined requests", "cluster", requests(Load{Clients: 4, Depth: 4, Pause: 16 * time.Millisecond})},
	{"shard subscribers", "cluster", subscribers(false, "SSUBSCRIBE 2", "SSUBSCRIBE 3")},
}

// requestLoad is a Load as a soakLoad.
type requestLoad struct{ *Running }

func requests(l Load) func(*testing.T, string, uint64) soakLoad {
	return func(t *testing.T, addr string, _ uint64) soakLoad { return requestLoad{l.Start(t, addr)} }
}

func (r requestLoad) end() (checked, failed int) {
	report := r.Finish()
	return report.Counts[OK], report.Failed()
}

// crowd is a number of goroutines that run until they are stopped.
type crowd struct {
	t       *testing.T
	stop    chan struct{}
	running sync.WaitGroup
	times   []atomic.Int64 // that each has done it
}

func newCrowd(t *testing.T, n int) *crowd {
	c := &crowd{t: t, stop: make(chan struct{}), times: make([]atomic.Int64, n)}
	t.Cleanup(c.leave)
	return c
}

// each runs f again and again for every number until f returns false, with random pauses
// of at most the given time.
func (c *crowd) each(pause time.Duration, f func(i int) bool) {
	for i := range c.times {
		c.running.Go(func() {
			for f(i) {
				c.times[i].Add(1)
				select {
				case <-c.stop:
					return
				case <-time.After(rand.N(pause)):
				}
			}
		})
	}
}

func (c *crowd) leave() {
	select {
	case <-c.stop:
	default:
		close(c.stop)
	}
	c.running.Wait()
}

func (c *crowd) done() (done []int64) {
	for i := range c.times {
		done = append(done, c.times[i].Load())
	}
	return done
}

func (c *crowd) end() (checked, failed int) {
	c.leave()
	for _, n := range c.done() {
		checked += int(n)
	}
	return checked, 0
}

// simple is a connection on which every reply is known beforehand. It belongs to one
// goroutine, which need not be the test's.
type simple struct{ net.Conn }

// ask sends a request and returns an error if the reply is not the wanted one.
func (s simple) ask(request, want string) error {
	s.SetDeadline(time.Now().Add(replyWithin))
	if _, err := io.WriteString(s, request); err != nil {
		return err
	}
	got := make([]byte, len(want))
	if n, err := io.ReadFull(s, got); err != nil {
		return fmt.Errorf("%w after %.100q", err, got[:n])
	}
	if string(got) != want {
		return fmt.Errorf("reply %.100q, not %.100q", got, want)
	}
	return nil
}

// oneEach returns a function in which each of n clients does something over a connection of
// its own, and which fails the test on errors.
func oneEach(t *testing.T, n int, addr, who string, pause time.Duration, f func(c simple, i int) error) soakLoad {
	t.Helper()
	c := newCrowd(t, n)
	var conns []simple
	for range n {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, simple{conn})
	}
	c.each(pause, func(i int) bool {
		err := f(conns[i], i)
		if err != nil {
			t.Errorf("%s: %v", who, err)
		}
		return err == nil
	})
	return c
}

// startIdle starts clients that send a request now and then, just often enough not to be
// closed as idle.
func startIdle(t *testing.T, addr string, _ uint64) soakLoad {
	return oneEach(t, 4, addr, "an idle client", 200*time.Millisecond, func(c simple, _ int) error {
		return c.ask("PING\r\n", "+PONG\r\n")
	})
}

// startLarge starts clients that write and read values that pass through in parts.
func startLarge(t *testing.T, addr string, _ uint64) soakLoad {
	text := make([]byte, 1<<20)
	for i := range text {
		text[i] = byte('a' + i*i%23)
	}
	return oneEach(t, 2, addr, "a client with large values", 100*time.Millisecond, func(c simple, i int) error {
		from, to := rand.IntN(1000), 1000+rand.IntN(len(text)-1000)
		key, value := fmt.Sprint("large:", i), string(text[from:to])
		bulk := fmt.Sprintf("$%d\r\n%s\r\n", len(value), value)
		return c.ask(redistest.Request("SET", key, value)+redistest.Request("GET", key)+redistest.Request("MGET", key, "nothing"),
			"+OK\r\n"+bulk+"*2\r\n"+bulk+"$-1\r\n")
	})
}

// transientRequests are requests of all kinds. Some are half a request, or leave a state
// behind.
var transientRequests = []string{
	"GET g\r\n", "SET g 1\r\n", "MGET a b c d e\r\n", "MULTI\r\nSET g 2\r\n", "MULTI\r\nGET g\r\nEXEC\r\n", "WATCH g\r\n", "BLPOP nothing 5\r\n", "SUBSCRIBE ch\r\n",
	"PUBLISH ch hello\r\n", "HELLO 3\r\nCLIENT TRACKING ON BCAST\r\n", "EVAL \"return 1\" 0\r\n", "SCAN 0\r\n", "INFO\r\n", "CLIENT REPLY OFF\r\n", "RESET\r\n", "*3\r\n$3\r\nSET\r\n$1\r\ng\r\n$1000\r\nhalf", "XREAD BLOCK 1000 STREAMS nothing $\r\n",
}

// startTransient starts clients that send a request and leave before all replies have come.
func startTransient(t *testing.T, addr string, seed uint64) soakLoad {
	c := newCrowd(t, 1)
	rnd := rand.New(rand.NewPCG(seed, 1))
	c.each(20*time.Millisecond, func(int) bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return false
		}
		defer conn.Close()
		for range 1 + rnd.IntN(5) {
			io.WriteString(conn, transientRequests[rnd.IntN(len(transientRequests))]) // it may have been closed
		}
		conn.SetReadDeadline(time.Now().Add(time.Duration(rnd.IntN(10)) * time.Millisecond))
		conn.Read(make([]byte, 100))
		if rnd.IntN(3) == 0 {
			conn.(*net.TCPConn).SetLinger(0)
		}
		return true
	})
	return c
}
