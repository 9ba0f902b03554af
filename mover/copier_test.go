package mover

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
)

// copying is a Copier that runs.
type copying struct {
	*Copier
	t     *testing.T
	ended chan error
	stop  context.CancelFunc
}

func startCopying(t *testing.T, from, to *conf.Pool, o CopyOptions) *copying {
	t.Helper()
	a, b := open(t, from), open(t, to)
	o.Log = func(text string) { t.Log(text) }
	c, err := NewCopier(a, b, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r := &copying{Copier: c, t: t, ended: make(chan error, 1), stop: cancel}
	go func() { r.ended <- c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-r.ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return r
}

// settled returns when the pools agree, and fails the test if they do not.
func (c *copying) settled() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), startedTimeout)
	defer cancel()
	var err error
	redistest.Eventually(c.t, startedTimeout, "the copy to settle", func() bool {
		if _, err = c.Settle(ctx, false); err != nil {
			c.t.Log(err)
		}
		return err == nil
	})
	c.agree()
}

func (c *copying) agree() {
	c.t.Helper()
	from, to := open(c.t, c.from.Conf), open(c.t, c.to.Conf)
	v, err := Verify(c.t.Context(), from, to, VerifyOptions{Rounds: 1, Gap: 1})
	if err != nil || !v.Agrees() {
		c.t.Fatalf("%d differ of %d compared, the first are %.5q, %v", len(v.Differing), v.Compared, fmt.Sprint(v.Differing[:min(5, len(v.Differing))]), err)
	}
	c.t.Logf("%d keys, %d compared; %+v", v.Keys, v.Compared, c.Progress())
}

// pools returns two pools of servers: the first of all but the last, the second of all, with other weights.
func pools(servers []*redistest.Server) (from, to *conf.Pool) {
	from, to = poolOf(servers[:len(servers)-1]...), poolOf(servers...)
	to.Servers[0].Weight = 3
	return from, to
}

// disturb changes keys at random where the pool places them, in databases 0 and 3.
func disturb(p *Pool, random *rand.Rand, requests int) error {
	for range requests {
		i := random.IntN(500)
		key := requestsOf(i)[0][1]
		s := p.byRunID(p.Owner([]byte(key)))
		if err := s.c.selectDB([]int64{0, 0, 3}[random.IntN(3)]); err != nil {
			return err
		}
		n := strconv.Itoa(random.IntN(1000))
		var request []string
		switch random.IntN(12) {
		case 0, 1:
			request = []string{"DEL", key}
		case 2:
			request = []string{"PEXPIRE", key, strconv.Itoa(1 + random.IntN(300))}
		case 3:
			request = []string{"EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", key, n}
		case 4:
			request = []string{"XACK", key, "g", "5-1"}
		case 5:
			request = []string{"XREADGROUP", "GROUP", "g", "two", "COUNT", "1", "STREAMS", key, ">"}
		case 6:
			request = []string{"XADD", key, "*", "f", n}
		case 7:
			request = []string{"INCR", key}
		default:
			for _, request := range requestsOf(i) {
				s.c.do(request...) // some are of the wrong type by now
			}
			continue
		}
		s.c.do(request...)
	}
	return nil
}

// Whatever clients do to keys of all types, the targets have the same in the end: with servers that are source and
// target at once, and with old copies at the targets.
func TestCopyWhileClientsWrite(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("RINGWAY_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	t.Logf("RINGWAY_SEED=%d", seed)
	servers := redistest.StartN(t, 3)
	from, to := pools(servers)
	now := open(t, from)
	fill(t, now, 500)
	later := open(t, to)
	for i := range 200 { // of an earlier ring
		key := requestsOf(i)[0][1]
		s := later.byRunID(later.Owner([]byte(key)))
		if s.RunID == now.Owner([]byte(key)) {
			continue
		}
		s.c.selectDB(0)
		s.c.do("SET", key, "old")
		s.c.do("SET", key+"gone", "old")
	}
	var writing sync.WaitGroup
	stop := make(chan struct{})
	for i := range 2 {
		p := open(t, from)
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		writing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := disturb(p, random, 50); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	c := startCopying(t, from, to, CopyOptions{})
	redistest.Eventually(t, startedTimeout, "all keys to be copied", func() bool { return c.Progress().Pending == 0 })
	before := c.Progress().Copied
	redistest.Eventually(t, startedTimeout, "changes to be copied", func() bool { return c.Progress().Copied > before+1000 })
	close(stop)
	writing.Wait()
	c.settled()
	// Redis does not name these.
	for i := 5; i < 500; i += 8 {
		key := requestsOf(i)[0][1]
		s := now.byRunID(now.Owner([]byte(key)))
		s.c.selectDB(0)
		s.c.do("DEL", key)
		for _, request := range requestsOf(i) {
			s.c.do(request...)
		}
	}
	c.settled()
	for i := 5; i < 500; i += 8 {
		key := requestsOf(i)[0][1]
		s := now.byRunID(now.Owner([]byte(key)))
		if _, err := s.c.do("XREADGROUP", "GROUP", "g", "one", "STREAMS", key, ">"); err != nil {
			t.Fatal(err)
		}
	}
	c.settled()
}

// What the follower can't name makes the copy begin again, and the targets have the same in the end.
func TestCopyBeginsAgain(t *testing.T) {
	t.Parallel()
	for name, happens := range map[string]func(t *testing.T, servers []*redistest.Server, from *Pool){
		"FLUSHALL": func(t *testing.T, servers []*redistest.Server, from *Pool) { servers[0].Do("FLUSHALL") },
		"FLUSHDB":  func(t *testing.T, servers []*redistest.Server, from *Pool) { servers[1].Do("FLUSHDB") },
		"SWAPDB":   func(t *testing.T, servers []*redistest.Server, from *Pool) { servers[0].Do("SWAPDB", "0", "3") },
		"lost connection": func(t *testing.T, servers []*redistest.Server, from *Pool) {
			servers[0].Do("CLIENT", "KILL", "TYPE", "normal")
		},
		"source restarted": func(t *testing.T, servers []*redistest.Server, from *Pool) { servers[0].Restart() },
		"target restarted": func(t *testing.T, servers []*redistest.Server, from *Pool) { servers[2].Restart() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := redistest.StartN(t, 3)
			from, to := pools(servers)
			now := open(t, from)
			fill(t, now, 200)
			c := startCopying(t, from, to, CopyOptions{})
			c.settled()
			happens(t, servers, now)
			servers[1].Do("SET", "another", "1")
			c.settled()
			redistest.Eventually(t, startedTimeout, "the copy to begin again", func() bool { return c.Progress().Again > 0 })
		})
	}
}

func TestCopyLeavesBigKeysOut(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	from, to := poolOf(servers[0]), poolOf(servers[1])
	big := strings.Repeat("x", 100_000)
	servers[0].Do("SET", "grows", "1")
	servers[0].Do("SET", "big", big)
	c := startCopying(t, from, to, CopyOptions{BigKey: 50_000})
	ctx := t.Context()
	if _, err := c.Settle(ctx, false); err != nil {
		t.Fatal(err)
	}
	if p := c.Progress(); len(p.TooBig) != 1 || p.TooBig[0].Key != "big" {
		t.Errorf("%+v", p)
	}
	servers[0].Do("SET", "grows", big)
	servers[0].Do("SET", "big", "1")
	if _, err := c.Settle(ctx, false); err != nil {
		t.Fatal(err)
	}
	if p := c.Progress(); len(p.TooBig) != 1 || p.TooBig[0].Key != "grows" || servers[1].Do("EXISTS", "grows") != ":0\r\n" || servers[1].Do("GET", "big") != "$1\r\n1\r\n" {
		t.Errorf("%+v", p)
	}
}

func TestCopyTakesFunctionsAlong(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	if reply := servers[0].Do("FUNCTION", "LOAD", "#!lua name=l\nredis.register_function('f', function() return 7 end)"); !strings.HasPrefix(reply, "$") {
		t.Skip(reply)
	}
	c := startCopying(t, poolOf(servers[0]), poolOf(servers[1]), CopyOptions{})
	c.settled()
	if reply := servers[1].Do("FCALL", "f", "0"); reply != ":7\r\n" {
		t.Error(reply)
	}
}

// What an earlier connection has sent can't be executed behind what a later one sends; and while another process
// writes the same keys, nothing is written.
func TestOneConnectionWrites(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := poolOf(s)
	first, err := connectTarget(t.Context(), p, &p.Servers[0], "source")
	if err != nil {
		t.Fatal(err)
	}
	defer first.close()
	second, err := connectTarget(t.Context(), p, &p.Servers[0], "source")
	if err != nil {
		t.Fatal(err)
	}
	defer second.close()
	if _, err := first.c.do("SET", "k", "late"); err == nil || s.Do("EXISTS", "k") != ":0\r\n" {
		t.Error("the earlier connection still writes")
	}
	if _, err := second.c.do("CLIENT", "SETNAME", namePrefix+"1-other/writes/source"); err != nil {
		t.Fatal(err)
	}
	if _, err := connectTarget(t.Context(), p, &p.Servers[0], "source"); !errors.Is(err, errAnother) {
		t.Error(err)
	}
}

func TestCopyIsRefused(t *testing.T) {
	t.Parallel()
	servers := redistest.StartN(t, 2)
	from, to := open(t, poolOf(servers[0])), open(t, poolOf(servers[1]))
	from.Conf.AutoEjectHosts = true
	if _, err := NewCopier(from, to, CopyOptions{}); err == nil || !strings.Contains(err.Error(), "auto_eject_hosts") {
		t.Error(err)
	}
}

func TestPace(t *testing.T) {
	p := Pace{PerSecond: 1000}
	began := time.Now()
	for range 6 {
		if err := p.wait(t.Context(), 20); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < 95*time.Millisecond {
		t.Errorf("five times 20 keys took %v at 1000 a second", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p.wait(ctx, 1) == nil {
		t.Error("a pace outlasts its context")
	}
}
