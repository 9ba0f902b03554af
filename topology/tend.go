package topology

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"ringway/pool"
)

// How long a goroutine of the control plane rests after a panic, at least and at
// most; after longestRest without one it begins with the least again.
const (
	firstRest   = 200 * time.Millisecond
	longestRest = 30 * time.Second
)

// tend does the work of a goroutine of the control plane, and begins it again,
// after a rest, if it panics: one process serves all pools, and nothing that one
// server says may end it. It returns when the work is done, or ctx.
func tend(ctx context.Context, log *slog.Logger, what string, work func()) {
	rest := firstRest
	for {
		began := time.Now()
		if survive(log, what, work) == nil {
			return
		}
		if time.Since(began) > longestRest {
			rest = firstRest
		}
		if !sleep(ctx, rest, nil, nil) {
			return
		}
		rest = min(2*rest, longestRest)
	}
}

// survive does some work. The error says that it panicked, which is counted and
// logged with the stack.
func survive(log *slog.Logger, what string, work func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			pool.ControlPanics.Add(1)
			err = fmt.Errorf("panic: %v", r)
			log.Error("fault in the control plane: what it did begins again; please report this", "doing", what, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	work()
	return nil
}
