package topology

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"ringway/pool"
)

// After a panic a goroutine of the control plane waits before it begins anew: restartMin at
// first, twice as long after each further panic, restartMax at most. A run that lasted longer
// than restartMax resets that.
const (
	restartMin = 200 * time.Millisecond
	restartMax = 30 * time.Second
)

// supervise runs work, and runs it again after a pause if it panics: one process serves all
// pools, so nothing that one server sends may end it. It returns when work has returned, or
// ctx is done. What describes the work in the log.
func supervise(ctx context.Context, log *slog.Logger, what string, work func()) {
	pause := restartMin
	for {
		began := time.Now()
		if catchPanic(log, what, work) == nil {
			return
		}
		if time.Since(began) > restartMax {
			pause = restartMin
		}
		if !sleep(ctx, pause, nil, nil) {
			return
		}
		pause = min(2*pause, restartMax)
	}
}

// catchPanic runs work. If work panics, it counts and logs the panic with its stack and
// returns it as an error.
func catchPanic(log *slog.Logger, what string, work func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			pool.ControlPanics.Add(1)
			err = fmt.Errorf("panic: %v", r)
			log.Error("control plane panic: the work begins anew; please report this", "doing", what, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
		}
	}()
	work()
	return nil
}
