package mover

import (
	"context"
	"time"
)

// A Pace bounds how many keys are worked on in a second. The zero Pace and nil do not. It belongs to one goroutine.
type Pace struct {
	PerSecond int // 0 for no bound

	since time.Time
	done  int
}

// wait returns when n more keys may be worked on, or with the error of ctx.
func (p *Pace) wait(ctx context.Context, n int) error {
	if p == nil || p.PerSecond <= 0 {
		return ctx.Err()
	}
	now := time.Now()
	due := p.since.Add(time.Duration(float64(p.done) / float64(p.PerSecond) * float64(time.Second)))
	if p.since.IsZero() || now.Sub(due) > time.Second {
		p.since, p.done, due = now, 0, now // what was not used is not saved up
	}
	p.done += n
	if left := due.Sub(now); left > 0 {
		timer := time.NewTimer(left)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}
