package mover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"ringway/conf"
	"ringway/resp"
)

// CopyOptions say how a Copier works.
type CopyOptions struct {
	PerSecond int            // keys that are copied in a second, of all servers together; 0 for no bound
	BigKey    int64          // bytes, as MEMORY USAGE tells, above which a key is left out and reported; 0 for no bound
	Log       func(s string) // is told what the operator should know, from any goroutine; nil for nobody
}

// Progress is how far a Copier is.
type Progress struct {
	Scanned int64    // keys of the sources that the copy has come by
	Copied  int64    // values written to targets, the same key counted each time
	Removed int64    // keys removed at targets, which the sources do not have
	Lag     int      // names of changed keys that are not copied yet
	Unnamed int      // keys whose changes only another look shows; Settle looks
	Pending int      // sources that are still being copied for the first time, or again
	Again   int      // how often a copy began again: after a lost connection, FLUSHALL, SWAPDB
	TooBig  []BigKey // keys that were left out
}

// A Copier keeps the keys that move from one pool to another the same at their targets, while clients use the first
// pool. It follows each source's changes from before the first key is read, reads all keys, and then what
// changes. Nothing is ever written to a source, unless it is another key's target, and then only keys that it does
// not own by the first pool's ring.
//
// Run works until its context ends; Settle may be called meanwhile. Progress may be called from any goroutine.
type Copier struct {
	from, to *Pool
	o        CopyOptions
	sources  []*source

	scanned, copied, removed atomic.Int64
	again                    atomic.Int64

	mu     sync.Mutex // guards tooBig
	tooBig map[place]BigKey
}

// place is where a key is.
type place struct {
	db  int64
	key string
}

// NewCopier returns a Copier between two pools, which it uses until Run has returned. Errors are what
// findObstacles refuses.
func NewCopier(from, to *Pool, o CopyOptions) (*Copier, error) {
	obstacles, err := findObstacles(from, to, everyFlow(from, to))
	if err != nil {
		return nil, err
	}
	for _, obstacle := range obstacles {
		if obstacle.Refuses {
			return nil, errors.New(obstacle.What)
		}
	}
	if o.Log == nil {
		o.Log = func(string) {}
	}
	c := &Copier{from: from, to: to, o: o, tooBig: map[place]BigKey{}}
	for _, s := range from.distinct() {
		c.sources = append(c.sources, &source{copier: c, server: s, settle: make(chan settling), unnamed: map[place]struct{}{}})
	}
	for _, s := range c.sources {
		s.pace = &Pace{PerSecond: (o.PerSecond + len(c.sources) - 1) / len(c.sources)}
	}
	return c, nil
}

// everyFlow returns all flows that there may be, for findObstacles, of the smallest size.
func everyFlow(from, to *Pool) (flows []Flow) {
	for _, s := range from.distinct() {
		for _, t := range to.distinct() {
			if s.RunID != t.RunID {
				flows = append(flows, Flow{From: s.Name, To: t.Name, Bytes: 1})
			}
		}
	}
	return flows
}

// Run copies until ctx ends, and returns nil then; or the first error that can't be helped.
func (c *Copier) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := c.copyFunctions(ctx); err != nil {
		return err
	}
	var running sync.WaitGroup
	for _, s := range c.sources {
		running.Go(func() {
			if err := s.run(ctx); err != nil {
				cancel(fmt.Errorf("server %s: %w", s.server.Name, err))
			}
		})
	}
	running.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// Settle returns when the targets have all that the sources had executed before the call: it looks at what
// changed, behind a barrier, and at all keys that change unnamed. Nothing may change at the sources meanwhile for
// this to be so afterwards: writes are held. It returns how many changed keys the servers have named since the last
// look. It waits for sources that are still copied. Run must be running; one goroutine at a time may call it.
//
// With last, nothing more is written to targets, and nothing is under way to them, until Settle is called again: so that
// other writes may begin there.
func (c *Copier) Settle(ctx context.Context, last bool) (named int, err error) {
	if err := c.copyFunctions(ctx); err != nil {
		return 0, err
	}
	all := make(chan settled, len(c.sources))
	for _, s := range c.sources {
		go func() { all <- s.askToSettle(ctx, last) }()
	}
	for range c.sources {
		one := <-all
		if named += one.named; err == nil {
			err = one.err
		}
	}
	return named, err
}

// Progress returns how far the copy is.
func (c *Copier) Progress() Progress {
	p := Progress{Scanned: c.scanned.Load(), Copied: c.copied.Load(), Removed: c.removed.Load(), Again: int(c.again.Load())}
	for _, s := range c.sources {
		p.Lag += int(s.lag.Load())
		p.Unnamed += int(s.unnamedCount.Load())
		if !s.complete.Load() {
			p.Pending++
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.tooBig {
		p.TooBig = append(p.TooBig, k)
	}
	slices.SortFunc(p.TooBig, func(a, b BigKey) int { return int(b.Bytes - a.Bytes) })
	return p
}

// copyFunctions gives the functions of the first pool to servers that are new in the second.
func (c *Copier) copyFunctions(ctx context.Context) error {
	first := c.from.Servers[0]
	if compareVersions(first.info["redis_version"], "7.0.0") < 0 {
		return nil
	}
	source, err := dial(ctx, c.from.Conf, &first.Server)
	if err != nil {
		return fmt.Errorf("server %s: %w", first.Name, err)
	}
	defer source.close()
	reply, err := source.do("FUNCTION", "DUMP")
	if err != nil {
		return fmt.Errorf("server %s: FUNCTION DUMP: %w", first.Name, err)
	}
	payload, _ := resp.Bulk(reply)
	for _, s := range c.to.distinct() {
		if c.from.byRunID(s.RunID) != nil {
			continue
		}
		if err := restoreFunctions(ctx, c.to.Conf, s, string(payload)); err != nil {
			return fmt.Errorf("server %s: FUNCTION RESTORE: %w", s.Name, err)
		}
	}
	return nil
}

func restoreFunctions(ctx context.Context, p *conf.Pool, s *Server, payload string) error {
	c, err := dial(ctx, p, &s.Server)
	if err != nil {
		return err
	}
	defer c.close()
	_, err = c.do("FUNCTION", "RESTORE", payload, "REPLACE")
	return err
}

// noteTooBig remembers that a key was left out, or that it is no longer too big.
func (c *Copier) noteTooBig(at place, bytes int64, server string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes == 0 {
		delete(c.tooBig, at)
		return
	}
	if _, known := c.tooBig[at]; !known {
		c.o.Log(fmt.Sprintf("key %q (database %d, at %s) has %d bytes, over the limit: it is not copied", at.key, at.db, server, bytes))
	}
	c.tooBig[at] = BigKey{at.db, at.key, bytes, server}
}

// interval is how often a source that is copied looks for what has changed.
const interval = 50 * time.Millisecond

// absTTL returns an expiry as RESTORE … ABSTTL takes it.
func absTTL(expires int64) string { return strconv.FormatInt(max(expires, 0), 10) }
