package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// realClient sends a target its load through go-redis, as an application would: one shared
// client with a pool of connections, a goroutine per user. It costs far more than the
// generator. It shows whether a real library gets right answers, and its latency, not a
// proxy's limit.
type realClient struct {
	w   Workload
	rdb *redis.Client
	win window

	keys []uint32 // walked by every user from a place of its own
	sets []bool

	answered atomic.Uint64
	mu       sync.Mutex // guards the fields below
	hist     *hdrhistogram.Histogram
	tally    tally
}

// runRealClient runs w against t through go-redis.
func runRealClient(ctx context.Context, w Workload, t *Target, tm timing, seed uint64) (*outcome, error) {
	network, address := splitAddr(t.Addr)
	rdb := redis.NewClient(&redis.Options{
		Network: network, Addr: address, PoolSize: w.Clients, MinIdleConns: 0, Protocol: 2,
		MaxRetries: -1, DisableIdentity: true, ReadTimeout: drainGrace, WriteTimeout: drainGrace, PoolTimeout: drainGrace,
		// No maintenance notices: no target here sends them, and they cost one more command.
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		Dialer: func(ctx context.Context, network, address string) (net.Conn, error) {
			d := net.Dialer{Timeout: dialTimeout}
			conn, err := d.DialContext(ctx, network, address)
			if err != nil || !t.TLS {
				return conn, err
			}
			return tls.Client(conn, tlsConfig()), nil
		},
	})
	defer rdb.Close()
	if err := rdb.Get(ctx, "bench:ready").Err(); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("go-redis cannot talk to it: %w", err)
	}
	c := &realClient{w: w, rdb: rdb, hist: newHistogram(), keys: w.drawKeys(seed), sets: w.drawSets(seed)}
	start := now()
	c.win = window{start: start, from: start + int64(tm.Warmup), to: start + int64(tm.Warmup+tm.Window)}
	var wg sync.WaitGroup
	for i := range w.Clients {
		wg.Go(func() { c.user(ctx, i*drawLen/w.Clients) })
	}
	ended := make(chan struct{})
	go func() { wg.Wait(); close(ended) }()
	out := observe(ctx, t, c.win, ended, c.answered.Load)
	<-ended
	out.Peak = t.memory()
	out.Hist, out.Tally = c.hist, c.tally
	return out, ctx.Err()
}

// user is one of the goroutines that share the client. It draws keys from position at on.
func (c *realClient) user(ctx context.Context, at int) {
	hist, t := newHistogram(), tally{}
	var value []byte
	for ctx.Err() == nil && now() < c.win.to {
		begun := now()
		pipe := c.rdb.Pipeline()
		batch := make([]uint32, 0, c.w.Pipeline)
		for range c.w.Pipeline {
			k := c.keys[at%drawLen]
			key := string(appendKey(nil, int(k), c.w.Value))
			if c.sets[at%drawLen] {
				value = appendValue(value[:0], int(k), c.w.Value)
				pipe.Set(ctx, key, string(value), 0)
			} else {
				pipe.Get(ctx, key)
			}
			batch = append(batch, k)
			at++
		}
		cmds, _ := pipe.Exec(ctx) // every command carries its own error
		ended := now()
		for i, cmd := range cmds {
			c.check(&t, cmd, int(batch[i]))
			if ended >= c.win.from && ended < c.win.to {
				_ = hist.RecordValue(max(1, (ended-begun)/1000))
			}
		}
		c.answered.Add(uint64(len(cmds)))
		if t.errors > maxClientErrors {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hist.Merge(hist)
	c.tally.add(&t)
}

// maxClientErrors ends a user that gets nothing but errors.
const maxClientErrors = 100

// check counts one reply.
func (c *realClient) check(t *tally, cmd redis.Cmder, k int) {
	t.replies++
	switch err := cmd.Err(); {
	case errors.Is(err, redis.Nil):
		t.noteWrong("no value for a key that was written")
		return
	case err != nil:
		t.noteError("%s: %v", cmd.Name(), err)
		return
	}
	switch cmd := cmd.(type) {
	case *redis.StringCmd:
		h := valueHeader(k, c.w.Value)
		if v := []byte(cmd.Val()); len(v) != c.w.Value || !matchesAt(v, &h, 0) {
			t.noteWrong("a value that holds %q where %q repeats", clip(v), h[:])
		}
	case *redis.StatusCmd:
		if cmd.Val() != "OK" {
			t.noteWrong("%q to set", cmd.Val())
		}
	}
}
