package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"ringway/internal/redistest"
)

// startCopy runs ringway copy. Enter presses the key.
func startCopy(t *testing.T, args ...string) (enter func(), output func() string, wait func() int) {
	t.Helper()
	path, err := exec.LookPath("ringway")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{"copy"}, args...)...)
	var out struct {
		sync.Mutex
		strings.Builder
	}
	w := writerFunc(func(b []byte) (int, error) {
		out.Lock()
		defer out.Unlock()
		return out.Builder.Write(b)
	})
	cmd.Stdout, cmd.Stderr = w, w
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	output = func() string {
		out.Lock()
		defer out.Unlock()
		return out.String()
	}
	return func() { io.WriteString(in, "\n") }, output, func() int {
		cmd.Wait()
		return cmd.ProcessState.ExitCode()
	}
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// A pool gets a server and loses nothing: the steps of docs/growth.md, under clients that count and push.
func TestCopyThenReloadLosesNothing(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	list := func(servers []*redistest.Server) (all []string) {
		for i, s := range servers {
			all = append(all, s.Addr()+" server"+strconv.Itoa(i))
		}
		return all
	}
	was, now := list(servers[:2]), list(servers)
	p, path, console := operated(t, was)
	client := redistest.NewClient(t, printed(t, p, `msg=listening pool=alpha addr=(\S+)`)[0], "")
	ask := redistest.Dial(t, "tcp", console)
	ask.Do("AUTH", "console")
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	counts := make([]atomic.Int64, 400)
	for range 4 {
		running.Go(func() { countUp(ctx, t, client, counts) })
	}
	newPath := configFile(t, "127.0.0.1:0", now)
	redistest.Eventually(t, patience, "some counts", func() bool { return client.Exists(ctx, "n:399", "l:399").Val() == 2 })
	enter, output, wait := startCopy(t, "-c", path, "--to", newPath)
	redistest.Eventually(t, patience, "all to be copied once", func() bool {
		return strings.Count(output(), "all keys are copied once") == 2
	})
	enter()
	redistest.Eventually(t, patience, "the copy to see that writes are not held", func() bool { return strings.Contains(output(), "not settled") })
	if got := ask.Do("PAUSE", "POOL", "alpha", "1m"); !strings.HasPrefix(got, "+OK") {
		t.Fatal(got)
	}
	enter()
	if code := wait(); code != exitOK || !strings.Contains(output(), "settled in") {
		t.Fatalf("%d, %s", code, output())
	}
	if code, out := command(t, "verify", "-c", path, "--to", newPath); code != exitOK {
		t.Errorf("%d, %s", code, out)
	}
	replaceIn(t, path, strings.Join(was, `", "`), strings.Join(now, `", "`))
	if got := ask.Do("RELOAD", "MOVEKEYS"); strings.HasPrefix(got, "-") {
		t.Fatal(got)
	}
	if got := ask.Do("RESUME", "POOL", "alpha"); strings.HasPrefix(got, "-") {
		t.Fatal(got)
	}
	before := counts[0].Load()
	redistest.Eventually(t, patience, "more counts", func() bool { return counts[0].Load() > before+2 })
	cancel()
	running.Wait()
	for i := range counts {
		n := counts[i].Load()
		if got := client.Get(t.Context(), "n:"+strconv.Itoa(i)).Val(); got != strconv.FormatInt(n, 10) {
			t.Errorf("n:%d is %s, want %d", i, got, n)
		}
		if got := client.LLen(t.Context(), "l:"+strconv.Itoa(i)).Val(); got != n {
			t.Errorf("l:%d has %d elements, want %d", i, got, n)
		}
	}
	if code, out := command(t, "orphans", "-c", path, "--purge"); code != exitOK || strings.Contains(out, " removed 0 \n") && !strings.Contains(out, "server2") {
		t.Errorf("%d, %s", code, out)
	}
	if n := servers[2].Client().DBSize(t.Context()).Val(); n == 0 {
		t.Error("the new server has no keys")
	}
}

// countUp adds to counters and lists in turns, and counts what was acknowledged.
func countUp(ctx context.Context, t *testing.T, client *redis.Client, counts []atomic.Int64) {
	for i := 0; ctx.Err() == nil; i = (i + 1) % len(counts) {
		n := strconv.Itoa(i)
		pipe := client.Pipeline()
		pipe.Incr(context.Background(), "n:"+n)
		pipe.RPush(context.Background(), "l:"+n, "x")
		if _, err := pipe.Exec(context.Background()); err != nil {
			t.Error(err)
			return
		}
		counts[i].Add(1)
	}
}

func TestCopyOnce(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 3)
	was, now := keyFiles(t, servers, "")
	for i := range 300 {
		servers[0].Client().Set(t.Context(), "key:"+strconv.Itoa(i), "1", 0)
	}
	if code, out := command(t, "copy", "-c", was, "--to", now, "--once", "--max-rate", "100000"); code != exitOK || !strings.Contains(out, "settled in") {
		t.Errorf("%d, %s", code, out)
	}
	if code, out := command(t, "verify", "-c", was, "--to", now); code != exitOK {
		t.Errorf("%d, %s", code, out)
	}
	if code, out := command(t, "copy", "-c", was, "--to", was, "--once"); code != exitOK { // nothing to do
		t.Errorf("%d, %s", code, out)
	}
	// What others have at a new server is not removed unless it is asked for.
	for i := range 50 {
		servers[2].Client().Set(t.Context(), "foreign:"+strconv.Itoa(i), "1", 0)
	}
	before := servers[2].Client().DBSize(t.Context()).Val()
	if code, out := command(t, "copy", "-c", was, "--to", now, "--once"); code != exitFailure || !strings.Contains(out, "--remove-old") || servers[2].Client().DBSize(t.Context()).Val() != before {
		t.Errorf("%d, %s", code, out)
	}
	beta := "\n[pools.beta]\nlisten = \"127.0.0.1:0\"\nhash_tag = \"{}\"\nservers = [\"" + servers[2].Addr() + " b\"]\n"
	text, err := os.ReadFile(now)
	if err != nil {
		t.Fatal(err)
	}
	both := filepath.Join(t.TempDir(), "both.toml")
	if err := os.WriteFile(both, append(text, beta...), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := command(t, "copy", "-c", was, "--to", both, "-pool", "alpha", "--once", "--remove-old"); code != exitFailure || !strings.Contains(out, "also used by pool beta") {
		t.Errorf("%d, %s", code, out)
	}
	if code, out := command(t, "copy", "-c", was, "--to", now, "--once", "--remove-old"); code != exitOK || servers[2].Client().DBSize(t.Context()).Val() >= before {
		t.Errorf("%d, %s", code, out)
	}
}
