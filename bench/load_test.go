package bench

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/redcon"
)

// brief is as long as a run in a test needs to be.
var brief = timing{Warmup: 10 * time.Millisecond, Window: 100 * time.Millisecond}

// fake starts a server in this process that answers with handler, and returns
// it as a target.
func fake(t *testing.T, handler func(redcon.Conn, redcon.Command)) *Target {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveFake(t, l, handler)
	return &Target{Name: "fake", Addr: l.Addr().String(), PIDs: []int{os.Getpid()}}
}

func serveFake(t *testing.T, l net.Listener, handler func(redcon.Conn, redcon.Command)) {
	var wg sync.WaitGroup
	wg.Go(func() { _ = redcon.Serve(l, handler, nil, nil) })
	t.Cleanup(func() { l.Close(); wg.Wait() })
}

// fakeTLS is fake for clients that speak TLS of one version.
func fakeTLS(t *testing.T, version uint16) *Target {
	t.Helper()
	c, err := makeCertificate(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(c.both, c.both)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: version, MaxVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	serveFake(t, l, answerNull)
	return &Target{Name: "fake", Addr: l.Addr().String(), PIDs: []int{os.Getpid()}, TLS: true}
}

func TestGeneratorSpeaksTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		target := fakeTLS(t, version)
		for _, w := range []Workload{
			{Op: OpGet, Clients: 4}, {Op: OpMix, SetPercent: 50, Clients: 4, Pipeline: 64},
			{Op: OpSet, Value: 1 << 20, Clients: 2, Pipeline: 4}, {Op: OpGet, Value: 1 << 20, Clients: 2, Pipeline: 2},
			{Op: OpGet, Clients: 2, Rate: 1000}, {Op: OpMix, SetPercent: 50, Clients: 2, RealClient: true},
		} {
			run := runLoad
			if w.RealClient {
				run = func(ctx context.Context, w Workload, t *Target, _ int, tm timing, seed uint64) (*outcome, error) {
					return runRealClient(ctx, w, t, tm, seed)
				}
			}
			out, err := run(context.Background(), w.withDefaults(), target, 1, brief, 1)
			if err != nil {
				t.Fatal(err)
			}
			if out.Tally.replies == 0 || out.Tally.wrong+out.Tally.errors > 0 {
				t.Errorf("%s: %d replies, %d wrong, %d errors: %s", w.withDefaults().Name, out.Tally.replies, out.Tally.wrong, out.Tally.errors, out.Tally.example)
			}
		}
	}
}

func TestTLSSelectsItsSet(t *testing.T) {
	o, err := parseOptions([]string{"--tls"}, io.Discard)
	if err != nil || o.work[0].Name != "get-c50-p1" || len(o.work) != len(tlsSet()) || o.base != nameRingway || len(o.targets) != 3 {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err = parseOptions([]string{"--tls", "-P", "16", "--targets", "ringway", "--base", "ringway"}, io.Discard); err != nil || o.work[0].Pipeline != 16 || len(o.targets) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
}

// steady is long enough for some replies on a machine that is busy.
var steady = timing{Warmup: 10 * time.Millisecond, Window: 500 * time.Millisecond}

func runBrief(t *testing.T, w Workload, target *Target, threads int) *outcome {
	t.Helper()
	w = w.withDefaults()
	if err := w.check(); err != nil {
		t.Fatal(err)
	}
	out, err := runLoad(context.Background(), w, target, threads, brief, 1)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEveryOperationGetsRightReplies(t *testing.T) {
	target := fake(t, answerNull)
	f := func(w Workload, threads int) {
		t.Helper()
		out := runBrief(t, w, target, threads)
		if out.Tally.replies == 0 || out.Tally.wrong+out.Tally.errors > 0 {
			t.Errorf("%s: %d replies, %d wrong, %d errors: %s", w.withDefaults().Name,
				out.Tally.replies, out.Tally.wrong, out.Tally.errors, out.Tally.example)
		}
	}
	f(Workload{Op: OpGet, Clients: 4}, 1)
	f(Workload{Op: OpGet, Clients: 7, Pipeline: 16}, 3)
	f(Workload{Op: OpSet, Clients: 4, Pipeline: 4}, 1)
	f(Workload{Op: OpMix, SetPercent: 50, Clients: 4, Pipeline: 16, Zipf: 1.1}, 1)
	f(Workload{Op: OpMGet, Fanout: 100, Clients: 4, Pipeline: 2}, 1)
	f(Workload{Op: OpMSet, Fanout: 10, Clients: 4}, 1)
	f(Workload{Op: OpGet, Value: 1 << 20, Clients: 2, Pipeline: 2}, 1)
	f(Workload{Op: OpSet, Value: 1 << 20, Clients: 2, Pipeline: 4}, 1)
	f(Workload{Op: OpGet, Clients: 2, Rate: 1000}, 1)
	f(Workload{Op: OpSet, Clients: 2, Value: 100_000, Rate: 300}, 2)
}

func TestOpenLoopKeepsItsRate(t *testing.T) {
	w := Workload{Op: OpGet, Clients: 4, Rate: 2000}.withDefaults()
	out, err := runLoad(context.Background(), w, fake(t, answerNull), 1, timing{0, 500 * time.Millisecond}, 1)
	if err != nil {
		t.Fatal(err)
	}
	// Every request that was due in the window counts, answered in it or not.
	if n := out.Hist.TotalCount(); n < 990 || n > 1010 {
		t.Errorf("%d latencies for 1000 requests due", n)
	}
}

// TestOpenLoopCountsFromWhenRequestsWereDue holds all replies back for a while. A loop
// that waited for them before it sent more would see one slow request; in truth
// every request due meanwhile was slow.
func TestOpenLoopCountsFromWhenRequestsWereDue(t *testing.T) {
	const stall = 200 * time.Millisecond
	var once sync.Once
	var gate sync.RWMutex
	target := fake(t, func(conn redcon.Conn, cmd redcon.Command) {
		once.Do(func() {
			gate.Lock()
			time.AfterFunc(stall, gate.Unlock)
		})
		gate.RLock()
		defer gate.RUnlock()
		answerNull(conn, cmd)
	})
	w := Workload{Op: OpGet, Clients: 2, Rate: 1000}.withDefaults()
	out, err := runLoad(context.Background(), w, target, 1, timing{0, 400 * time.Millisecond}, 1)
	if err != nil {
		t.Fatal(err)
	}
	// Of 400 requests about 200 fell due during the stall, half of them over 100 ms before its end.
	if p75 := out.Hist.ValueAtQuantile(75); p75 < (stall / 3).Microseconds() {
		t.Errorf("75th percentile %d us: the stall of %v is missing", p75, stall)
	}
}

func TestWrongRepliesAreCounted(t *testing.T) {
	swap := func(conn redcon.Conn, cmd redcon.Command) {
		k, size, _ := parseKey(cmd.Args[1])
		conn.WriteRaw(append(appendValue(appendBulkHeader(nil, size), k^1, size), crlf...))
	}
	f := func(name string, w Workload, handler func(redcon.Conn, redcon.Command), wantWrong, wantErrors bool) {
		t.Helper()
		out := runBrief(t, w, fake(t, handler), 1)
		if (out.Tally.wrong > 0) != wantWrong || (out.Tally.errors > 0) != wantErrors {
			t.Errorf("%s: %d wrong, %d errors", name, out.Tally.wrong, out.Tally.errors)
		}
		if out.Tally.example == "" {
			t.Errorf("%s: no example", name)
		}
	}
	w := Workload{Op: OpGet, Clients: 2, Pipeline: 4}
	f("the value of another key", w, swap, true, false)
	f("no value", w, func(c redcon.Conn, _ redcon.Command) { c.WriteNull() }, true, false)
	f("an error", w, func(c redcon.Conn, _ redcon.Command) { c.WriteError("ERR no") }, false, true)
	f("two replies for one", w, func(c redcon.Conn, cmd redcon.Command) { answerNull(c, cmd); answerNull(c, cmd) }, true, true)
	f("a closed connection", w, func(c redcon.Conn, _ redcon.Command) { c.Close() }, false, true)
	f("replies in the wrong order", w, reorder(), true, false)
	f("values of an MGET in the wrong order", Workload{Op: OpMGet, Fanout: 3, Clients: 2}, func(c redcon.Conn, cmd redcon.Command) {
		c.WriteArray(len(cmd.Args) - 1)
		for i := len(cmd.Args) - 1; i > 0; i-- {
			c.WriteRaw(appendNullValue(nil, cmd.Args[i]))
		}
	}, true, false)
}

// reorder returns a handler that answers every two requests of a connection in
// the wrong order, as a proxy does that loses count.
func reorder() func(redcon.Conn, redcon.Command) {
	return func(conn redcon.Conn, cmd redcon.Command) {
		held, _ := conn.Context().([]byte)
		if held == nil {
			conn.SetContext(appendNullValue(nil, cmd.Args[1]))
			return
		}
		conn.WriteRaw(appendNullValue(nil, cmd.Args[1]))
		conn.WriteRaw(held)
		conn.SetContext(nil)
	}
}

func TestSilentTargetEndsTheRun(t *testing.T) {
	w := Workload{Op: OpGet, Clients: 3, Pipeline: 2}.withDefaults()
	target := fake(t, func(redcon.Conn, redcon.Command) {})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := runLoad(ctx, w, target, 1, brief, 1)
	if err == nil || time.Since(begun) > drainGrace {
		t.Errorf("error %v after %v", err, time.Since(begun))
	}
}

func TestUnreachableTargetIsAnError(t *testing.T) {
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	_, err = runLoad(context.Background(), Workload{}.withDefaults(), &Target{Name: "gone", Addr: addr}, 1, brief, 1)
	if err == nil || !strings.Contains(err.Error(), "gone: client 1 of 50") {
		t.Errorf("error %v", err)
	}
}

func TestRealClientChecksReplies(t *testing.T) {
	w := Workload{Op: OpMix, SetPercent: 20, Clients: 4, Pipeline: 4, RealClient: true}.withDefaults()
	out, err := runRealClient(context.Background(), w, fake(t, answerNull), steady, 1)
	if err != nil {
		t.Fatal(err)
	}
	if out.Tally.replies == 0 || out.Tally.wrong+out.Tally.errors > 0 || out.Hist.TotalCount() == 0 {
		t.Errorf("%+v, %d latencies", out.Tally, out.Hist.TotalCount())
	}
	out, err = runRealClient(context.Background(), w, fake(t, func(c redcon.Conn, cmd redcon.Command) {
		if strings.EqualFold(string(cmd.Args[0]), "get") && string(cmd.Args[1]) != "bench:ready" {
			cmd.Args[1] = appendKey(nil, 3, 64)
		}
		answerNull(c, cmd)
	}), steady, 1)
	if err != nil {
		t.Fatal(err)
	}
	if out.Tally.wrong == 0 {
		t.Error("the values of another key went unnoticed")
	}
}

func TestPopulatingStopsAtAnError(t *testing.T) {
	w := Workload{Keys: 1000}.withDefaults()
	if err := populateTarget(context.Background(), w, fake(t, answerNull)); err != nil {
		t.Error(err)
	}
	err := populateTarget(context.Background(), w, fake(t, func(c redcon.Conn, _ redcon.Command) { c.WriteError("OOM no") }))
	if err == nil || !strings.Contains(err.Error(), "OOM no") {
		t.Errorf("error %v", err)
	}
}
