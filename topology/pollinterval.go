package topology

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// pace is how often something is asked: by the usual interval, and in quick
// succession while it may have changed. Its methods may be called from any
// goroutine.
type pollInterval struct {
	usual time.Duration

	mu      sync.Mutex // guards the rest
	since   time.Time  // when the hurry began
	until   time.Time  // when it ends
	changed chan struct{}
}

const (
	// quickly is the interval at which news is awaited.
	quickly = 20 * time.Millisecond
	// ratherQuickly is the interval after hurrying for so long that it may go on
	// for much longer.
	ratherQuickly = 250 * time.Millisecond
	longHurry     = 15 * time.Second
)

func newPollInterval(usual time.Duration) *pollInterval {
	return &pollInterval{usual: usual, changed: make(chan struct{})}
}

// hurry has everybody ask quickly for a while. If they do already, it goes on
// for longer.
func (p *pollInterval) hurry(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.After(p.until) {
		p.since = now
		p.wake()
	}
	if end := now.Add(d); end.After(p.until) {
		p.until = end
	}
}

// urge is hurry for what is certainly happening now.
func (p *pollInterval) urge(d time.Duration) {
	p.mu.Lock()
	now := time.Now()
	if now.Sub(p.since) >= longHurry {
		p.wake()
	}
	p.since = now
	p.mu.Unlock()
	p.hurry(d)
}

// wake ends all waits. The caller holds p.mu.
func (p *pollInterval) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// hurried reports whether there is a hurry now.
func (p *pollInterval) hurried() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !time.Now().After(p.until)
}

// interval is the time until the next question, and a channel that is closed if
// it becomes shorter meanwhile.
func (p *pollInterval) interval() (time.Duration, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, now := p.usual, time.Now()
	switch {
	case now.After(p.until):
	case now.Sub(p.since) < longHurry:
		d = min(d, quickly)
	default:
		d = min(d, ratherQuickly)
	}
	return d - rand.N(d/8+1), p.changed
}

// wait waits until the next question is due, or somebody can't wait for it. It
// reports false if ctx is done.
func (p *pollInterval) wait(ctx context.Context, now <-chan struct{}) bool {
	d, changed := p.interval()
	return sleep(ctx, d, changed, now)
}

// sleep waits for d or, if one of them comes first, for a or b, which may be nil.
// It reports false if ctx is done.
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
