package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// interruptible returns a context that ends with the first interrupt, SIGTERM, or
// other signal of those given. The second has the effect it has by default: it
// ends the process.
func interruptible(others ...os.Signal) (context.Context, context.CancelFunc) {
	// Whoever reads the log may go away, and the proxy must outlive that.
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, append(others, os.Interrupt, syscall.SIGTERM)...)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals) // before anybody can see that the first has come
		cancel()
	}()
	return ctx, cancel
}

// requests are the signals by which nutcracker's operators ask something of a
// process that goes on. By default SIGHUP would end it, and the others stop it.
type operatorSignals struct {
	signals chan os.Signal
	done    chan struct{} // closed by stop
}

// hear begins to take such signals. They wait for answer.
func catchOperatorSignals() *operatorSignals {
	r := &operatorSignals{signals: make(chan os.Signal, 16), done: make(chan struct{})}
	signal.Notify(r.signals, syscall.SIGHUP, syscall.SIGTTIN, syscall.SIGTTOU)
	return r
}

// answer does what signals ask for until stop is called.
func (r *operatorSignals) answer(log *processLog) {
	for {
		select {
		case s := <-r.signals:
			switch s {
			case syscall.SIGHUP:
				logAlways(log.Handler(), slog.LevelWarn, "SIGHUP: nothing to reload yet, and no log file to open again: the log goes to standard error; "+
					"the configuration is read at start, so restart for a new one")
			case syscall.SIGTTIN:
				stepLogLevel(log, "SIGTTIN", -1)
			case syscall.SIGTTOU:
				stepLogLevel(log, "SIGTTOU", +1)
			}
		case <-r.done:
			return
		}
	}
}

// stop ends answer. Signals that come later are ignored: the process is about to
// end, in its own way.
func (r *operatorSignals) stop() {
	signal.Ignore(syscall.SIGHUP, syscall.SIGTTIN, syscall.SIGTTOU)
	close(r.done)
}

// levels are those of the log, from the one that says most.
var levels = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// turn changes the log's level to a neighbour in levels, and says what it is now.
func stepLogLevel(log *processLog, asked string, step int) {
	now, most := 0, len(levels)-1
	for now < most && levels[now] < log.level.Level() {
		now++
	}
	to := min(max(now+step, 0), most)
	log.level.Set(levels[to])
	text := "log level changed"
	if to == now {
		text = "log level is at its end already"
	}
	logAlways(log.Handler(), slog.LevelInfo, asked+": "+text, "log_level", strings.ToLower(levels[to].String()))
}

// say logs a line whatever the log's level is.
func logAlways(log slog.Handler, level slog.Level, text string, args ...any) {
	r := slog.NewRecord(time.Now(), level, text, 0)
	r.Add(args...)
	_ = log.Handle(context.Background(), r) // as slog.Logger does
}
