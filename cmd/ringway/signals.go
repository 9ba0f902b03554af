package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"ringway/server"
)

// ending is how the process is asked to end.
type ending struct {
	ctx    context.Context // done when it is to end
	cancel context.CancelFunc
	srv    atomic.Pointer[server.Server] // whose drain_delay a second signal skips; nil until it serves
}

// interruptible returns an ending whose context is done with the first SIGINT, SIGTERM or signal of
// others. The next one skips drain_delay, if that is running. Otherwise it has its default effect: it
// ends the process.
func interruptible(others ...os.Signal) *ending {
	// The reader of the log may end; the proxy must survive that.
	signal.Ignore(syscall.SIGPIPE)
	e := &ending{}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, append(others, os.Interrupt, syscall.SIGTERM)...)
	go func() {
		select {
		case <-signals:
			e.cancel()
		case <-e.ctx.Done():
		}
		for s := range signals {
			if srv := e.srv.Load(); srv == nil || !srv.SkipDelay() {
				signal.Reset(s)
				_ = syscall.Kill(os.Getpid(), s.(syscall.Signal))
			}
		}
	}()
	return e
}

// operatorSignals are the signals with which nutcracker's operators control a running process:
// SIGHUP, SIGTTIN and SIGTTOU, and SIGUSR2 for an upgrade. By default SIGHUP would end it, and the
// others but SIGUSR2 would stop it.
type operatorSignals struct {
	signals chan os.Signal
	done    chan struct{} // closed by stop
}

// catchOperatorSignals begins to catch these signals. They are queued until answer runs.
func catchOperatorSignals() *operatorSignals {
	r := &operatorSignals{signals: make(chan os.Signal, 16), done: make(chan struct{})}
	signal.Notify(r.signals, syscall.SIGHUP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGUSR2)
	return r
}

// answer handles the signals until stop is called. It blocks: run it on a goroutine. SIGHUP reads the
// configuration again, and SIGUSR2 hands over to a new process.
func (r *operatorSignals) answer(log *processLog, again *reloader, next *upgrader) {
	for {
		select {
		case s := <-r.signals:
			switch s {
			case syscall.SIGUSR2:
				go next.upgrade("SIGUSR2") // which logs what comes of it
			case syscall.SIGHUP:
				again.reload("SIGHUP", false) // which logs what comes of it
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

// stop ends answer. Later signals are ignored: the process is about to end anyway.
func (r *operatorSignals) stop() {
	signal.Ignore(syscall.SIGHUP, syscall.SIGTTIN, syscall.SIGTTOU, syscall.SIGUSR2)
	close(r.done)
}

// levels are the log levels, the most verbose first.
var levels = []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

// stepLogLevel moves the log level by step in levels, within its bounds, and logs the new one.
// SignalName is the signal that asked for it.
func stepLogLevel(log *processLog, signalName string, step int) {
	current, last := 0, len(levels)-1
	for current < last && levels[current] < log.level.Level() {
		current++
	}
	next := min(max(current+step, 0), last)
	log.level.Set(levels[next])
	text := "log level changed"
	if next == current {
		text = "log level is at its end already"
	}
	logAlways(log.Handler(), slog.LevelInfo, signalName+": "+text, "log_level", strings.ToLower(levels[next].String()))
}

// logAlways logs a line whatever the log's level is.
func logAlways(log slog.Handler, level slog.Level, text string, args ...any) {
	r := slog.NewRecord(time.Now(), level, text, 0)
	r.Add(args...)
	_ = log.Handle(context.Background(), r) // as slog.Logger does
}
