package topology

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// pollInterval is how often something is asked: once in the usual interval, and every
// fastInterval while it may be changing. All who ask about the same thing share one, so that
// one hint makes all of them ask at once. Its methods may be called from any goroutine.
type pollInterval struct {
	usual time.Duration // static

	mu        sync.Mutex    // guards the fields below
	fastSince time.Time     // when fast polling began
	fastUntil time.Time     // when it ends
	changed   chan struct{} // closed, and replaced, when the interval becomes shorter
}

const (
	// fastInterval is the interval while something may be changing.
	fastInterval = 20 * time.Millisecond
	// slowedInterval is the interval once fast polling has lasted for fastestFor without
	// a new reason: a primary that stays away would otherwise cost 50 polls a second for
	// as long as it does.
	slowedInterval = 250 * time.Millisecond
	fastestFor     = 15 * time.Second
)

func newPollInterval(usual time.Duration) *pollInterval {
	return &pollInterval{usual: usual, changed: make(chan struct{})}
}

// speedUp begins fast polling, or prolongs it, until d from now. It is for what may be
// happening.
func (p *pollInterval) speedUp(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.After(p.fastUntil) {
		p.fastSince = now
		p.wake()
	}
	if end := now.Add(d); end.After(p.fastUntil) {
		p.fastUntil = end
	}
}

// speedUpAnew is speedUp for what certainly happens now: the time after which fast polling
// slows down begins anew.
func (p *pollInterval) speedUpAnew(d time.Duration) {
	p.mu.Lock()
	now := time.Now()
	if now.Sub(p.fastSince) >= fastestFor {
		p.wake()
	}
	p.fastSince = now
	p.mu.Unlock()
	p.speedUp(d)
}

// wake ends all waits, so that they begin again with the shorter interval. The caller holds
// p.mu.
func (p *pollInterval) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// isFast reports whether there is fast polling now.
func (p *pollInterval) isFast() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !time.Now().After(p.fastUntil)
}

// interval returns the time until the next question, and a channel that is closed if that
// becomes shorter meanwhile. Up to an eighth is taken off at random, so that the proxies of
// one cluster do not ask in step.
func (p *pollInterval) interval() (time.Duration, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, now := p.usual, time.Now()
	switch {
	case now.After(p.fastUntil):
	case now.Sub(p.fastSince) < fastestFor:
		d = min(d, fastInterval)
	default:
		d = min(d, slowedInterval)
	}
	return d - rand.N(d/8+1), p.changed
}

// wait waits until the next question is due, or something is sent on now. It reports false if
// ctx is done.
func (p *pollInterval) wait(ctx context.Context, now <-chan struct{}) bool {
	d, changed := p.interval()
	return sleep(ctx, d, changed, now)
}

// sleep waits for d or, if that comes first, for a or b, each of which may be nil. It reports
// false if ctx is done.
func sleep(ctx context.Context, d time.Duration, a, b <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-a:
	case <-b:
	}
	return true
}
