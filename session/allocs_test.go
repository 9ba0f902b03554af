package session_test

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"ringway/internal/redistest"
)

// TestNothingIsAllocatedPerRequest counts the allocations of the whole process
// while requests go through the proxy. The servers are real, so they are not
// in this process.
func TestNothingIsAllocatedPerRequest(t *testing.T) {
	inClear(t) // whose own crypto/tls allocates; package tlsconn has a test of ours
	p := serve(t, merging(t, addrs(redistest.StartN(t, 4))...))
	c := p.dial()
	value := strings.Repeat("v", 64)
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		c.Do("SET", key, value)
	}
	bulk := "$64\r\n" + value + "\r\n"
	for _, test := range []struct{ name, request, reply string }{
		{"GET", encode("GET", "a"), bulk},
		{"SET", encode("SET", "a", value), "+OK\r\n"},
		{"pipeline", strings.Repeat(encode("GET", "a")+encode("SET", "b", value)+encode("GET", "c")+encode("GET", "d"), 64),
			strings.Repeat(bulk+"+OK\r\n"+bulk+bulk, 64)},
		{"MGET over four servers", encode("MGET", "a", "b", "c", "d", "e", "f", "g", "h"), "*8\r\n" + strings.Repeat(bulk, 8)},
		{"SETs that are merged", strings.Repeat(encode("SET", "a", value)+encode("SET", "b", value), 32), strings.Repeat("+OK\r\n", 64)},
		{"MSET over four servers", encode("MSET", "a", value, "b", value, "c", value, "d", value), "+OK\r\n"},
		{"EXISTS over four servers", encode("EXISTS", "a", "b", "c", "d"), ":4\r\n"},
		{"PING", encode("PING"), "+PONG\r\n"},
		{"EVAL", encode("EVAL", "return 1", "1", "a"), ":1\r\n"},
		{"EVALSHA", encode("EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "1", "a"), ":1\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := make([]byte, len(test.reply))
			request := []byte(test.request)
			once := func() {
				c.NetConn().Write(request)
				if _, err := io.ReadFull(c.NetConn(), got); err != nil || string(got) != test.reply {
					t.Fatalf("reply %.100q, %v", got, err)
				}
			}
			for range 100 {
				once() // buffers find their sizes
			}
			runs := 2000
			if testing.Short() {
				runs = 500
			}
			// Timers of the proxy and the runtime allocate a little now and then.
			if avg := allocationsPerRun(runs, once); avg >= 1 {
				t.Errorf("%.2f allocations", avg)
			}
		})
	}
}

// allocationsPerRun is testing.AllocsPerRun, which would leave a single
// processor to f and the loops.
func allocationsPerRun(runs int, f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / float64(runs)
}
