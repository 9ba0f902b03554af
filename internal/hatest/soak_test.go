package hatest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"ringway/internal/faultyconn"
	"ringway/internal/redistest"
)

// TestSoak has everything happen at once: clients that check every reply (values,
// counters, queues, transactions, scripts, what all of them share), clients that
// leave in the middle, a server that is killed and comes back with what it had, one
// that hangs, and a network that cuts, goes dark and dribbles. Nothing may be wrong
// or lost, and no goroutine or descriptor may be left. RINGWAY_SOAK says how long
// ("make soak": 10m); else it takes a few seconds. RINGWAY_SEED repeats the faults.
func TestSoak(t *testing.T) {
	redistest.CheckLeaks(t)
	runFor, between := 6*time.Second, time.Second
	if d, err := time.ParseDuration(os.Getenv("RINGWAY_SOAK")); err == nil {
		runFor, between = d, min(30*time.Second, d/10)
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("RINGWAY_SEED"); text != "" {
		fmt.Sscan(text, &seed)
	}
	t.Logf("RINGWAY_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	servers := redistest.StartN(t, 3, redistest.Args("--appendonly", "yes", "--appendfsync", "always"))
	var relays []*faultyconn.Relay
	var quoted []string
	for _, s := range servers {
		relay := faultyconn.Start(t, s.Addr())
		relays, quoted = append(relays, relay), append(quoted, fmt.Sprintf("%q", relay.Addr()))
	}
	p := Serve(t, `hash_tag = "{}"`, `timeout = "1s"`, `servers = [`+strings.Join(quoted, ", ")+`]`)
	loads := []*Running{
		Load{Clients: 6, Pause: 4 * time.Millisecond}.Start(t, p.Addr),
		Load{Clients: 6, Depth: 16, Pause: 8 * time.Millisecond}.Start(t, p.Addr),
	}
	stop, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		comeAndGo(t, p.Addr, seed, stop)
	}()
	for end := time.Now().Add(runFor); time.Now().Before(end) && !t.Failed(); {
		time.Sleep(between/2 + time.Duration(rnd.Int64N(int64(between)))) // how long a fault is away is no condition to wait for
		i := rnd.IntN(len(servers))
		switch fault := rnd.IntN(5); fault {
		case 0:
			servers[i].Restart()
		case 1:
			servers[i].Stop()
			time.Sleep(min(between, 3*time.Second))
			servers[i].Cont()
		case 2:
			relays[i].Freeze()
			time.Sleep(min(between, 3*time.Second))
			relays[i].Thaw()
		case 3:
			relays[i].Cut()
		case 4:
			relays[i].Set(faultyconn.Faults{Chunk: 1 + rnd.IntN(50), Cut: 0.0001})
			time.Sleep(between / 2)
			relays[i].Set(faultyconn.Faults{})
		}
		for _, r := range loads {
			r.Progress(3, patience)
		}
	}
	close(stop)
	<-gone
	for _, r := range loads {
		r.Finish()
	}
}

// comeAndGo has clients send something, of any kind, and leave without waiting for
// all of it, until stop is closed.
func comeAndGo(t *testing.T, addr string, seed uint64, stop <-chan struct{}) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	requests := []string{
		"GET g\r\n", "SET g 1\r\n", "MGET a b c d e\r\n", "MULTI\r\nSET g 2\r\n", "MULTI\r\nGET g\r\nEXEC\r\n", "WATCH g\r\n", "BLPOP nothing 5\r\n", "SUBSCRIBE ch\r\n",
		"PUBLISH ch hello\r\n", "HELLO 3\r\nCLIENT TRACKING ON BCAST\r\n", "EVAL \"return 1\" 0\r\n", "SCAN 0\r\n", "INFO\r\n", "CLIENT REPLY OFF\r\n", "RESET\r\n", "*3\r\n$3\r\nSET\r\n$1\r\ng\r\n$1000\r\nhalf", "XREAD BLOCK 1000 STREAMS nothing $\r\n",
	}
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rnd.IntN(20)) * time.Millisecond):
		}
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		for range 1 + rnd.IntN(5) {
			io.WriteString(conn, requests[rnd.IntN(len(requests))]) // it may have been closed
		}
		conn.SetReadDeadline(time.Now().Add(time.Duration(rnd.IntN(10)) * time.Millisecond))
		conn.Read(make([]byte, 100))
		if rnd.IntN(3) == 0 {
			conn.(*net.TCPConn).SetLinger(0)
		}
		conn.Close()
	}
}
