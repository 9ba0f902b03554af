package topology

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/redistest"
	"ringway/pool"
)

// recorder is a poolUpdater that records all calls.
type recorder struct {
	t     *testing.T
	began time.Time

	mu    sync.Mutex
	views []pool.View // of shard 0, the newest last
	held  bool
	log   []string
	lags  map[string]time.Duration // by address

	acks      []int // how many replicas must acknowledge, the newest last
	confirmed int   // how often
}

func newRecorder(t *testing.T) *recorder {
	r := &recorder{t: t, began: time.Now()}
	t.Cleanup(func() {
		if t.Failed() {
			r.mu.Lock()
			defer r.mu.Unlock()
			t.Log("the pool was told:\n" + strings.Join(r.log, "\n"))
		}
	})
	return r
}

func (r *recorder) note(format string, args ...any) {
	r.log = append(r.log, fmt.Sprintf("%6.3f ", time.Since(r.began).Seconds())+fmt.Sprintf(format, args...))
}

func (r *recorder) SetView(_ int, v pool.View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.views, r.held = append(r.views, v), false
	r.note("view %s refuse %q", v.Primary.Addr, v.Refuse)
}

func (r *recorder) SetReplicaAcks(_, replicas int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acks = append(r.acks, replicas)
	r.note("replicas that must acknowledge: %d", replicas)
}

// waitsFor waits until so many replicas must acknowledge what replies are about.
func (r *recorder) waitsFor(replicas int) {
	r.t.Helper()
	redistest.Eventually(r.t, time.Minute, fmt.Sprintf("replies wait for %d replicas", replicas), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.acks) > 0 && r.acks[len(r.acks)-1] == replicas
	})
}

func (r *recorder) Confirm(int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.confirmed++
}

func (r *recorder) SetLag(addr string, lag time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lags == nil {
		r.lags = map[string]time.Duration{}
	}
	r.lags[addr] = lag
}

// knowsLag waits until it is known, or not known, how far a replica is behind.
func (r *recorder) knowsLag(s *redistest.Server, want bool) {
	r.t.Helper()
	redistest.Eventually(r.t, time.Minute, fmt.Sprintf("a lag is known: %v", want), func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		lag, set := r.lags[s.Addr()]
		return set && lag >= 0 == want
	})
}

// confirms waits until the primary has said again that it is one.
func (r *recorder) confirms() {
	r.t.Helper()
	r.mu.Lock()
	was := r.confirmed
	r.mu.Unlock()
	redistest.Eventually(r.t, time.Minute, "the primary is confirmed", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.confirmed > was
	})
}

func (r *recorder) SetReplicas(_ int, replicas []pool.Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var v pool.View
	if n := len(r.views); n > 0 {
		v = r.views[n-1]
	}
	v.Replicas = replicas
	r.views = append(r.views, v)
	r.note("replicas %v", replicas)
}

func (r *recorder) Hold(int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = true
	r.note("hold")
}

func (r *recorder) HoldReplies(int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = true
	r.note("hold replies")
}

func (r *recorder) GiveUpReplies(int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note("overtaken")
}

func (r *recorder) Release(int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = false
	r.note("unhold")
}

// now returns the newest view and whether writes are held.
func (r *recorder) now() (v pool.View, held bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.views); n > 0 {
		v = r.views[n-1]
	}
	return v, r.held
}

func (r *recorder) eventually(what string, cond func(v pool.View) bool) {
	r.t.Helper()
	redistest.Eventually(r.t, time.Minute, what, func() bool {
		v, _ := r.now()
		return cond(v)
	})
}

// follows waits until the pool is told that s is primary.
func (r *recorder) follows(s *redistest.Server) {
	r.t.Helper()
	r.eventually("the primary "+s.Addr(), func(v pool.View) bool { return v.Primary.Addr == s.Addr() && v.Refuse == "" })
}

// reads waits until these are the replicas that may be read.
func (r *recorder) reads(servers ...*redistest.Server) {
	r.t.Helper()
	var want []string
	for _, s := range servers {
		want = append(want, s.Addr())
	}
	slices.Sort(want)
	r.eventually(fmt.Sprint("the replicas ", want), func(v pool.View) bool {
		var got []string
		for _, m := range v.Replicas {
			got = append(got, m.Addr)
		}
		return slices.Equal(got, want)
	})
}

// primaries returns all primaries that the pool was told, in order.
func (r *recorder) primaries() (addrs []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range r.views {
		addrs = append(addrs, v.Primary.Addr)
	}
	return slices.Compact(addrs)
}

// testLog returns a log for a test.
func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// haPool returns the configuration of a pool with one shard.
func haPool(topology, shard string) *conf.Pool {
	c := conf.DefaultPool("alpha")
	c.Topology, c.ReadFrom = topology, conf.ReadPreferReplica
	c.ProbeInterval = 200 * time.Millisecond
	c.Shards = []conf.Shard{{Name: shard, Weight: 1}}
	return &c
}

// times returns how often the recorder was called, by the text of the call in its log.
func (r *recorder) times(what string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.log {
		if strings.HasSuffix(line, " "+what) {
			n++
		}
	}
	return n
}
