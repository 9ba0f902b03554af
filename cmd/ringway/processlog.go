package main

import (
	"bytes"
	"io"
	"log/slog"
	"time"

	"ringway/conf"
	"ringway/internal/logqueue"
)

const (
	// logQueueBytes is how many bytes of the log may wait to be read, some thousand lines.
	// Further lines are dropped and counted.
	logQueueBytes = 1 << 20

	// logFlushTimeout is how long the end of the process waits for them to be read.
	logFlushTimeout = time.Second

	// A message is logged logRepeats times in logWindow; further ones are counted. So many servers may
	// go down together and each has its line.
	logRepeats = 50
	logWindow  = 10 * time.Second
)

// A processLog is the process's log. Logging never waits for the reader of the output: a
// stalled terminal or pipe must not stall an event loop.
type processLog struct {
	*slog.Logger
	level slog.LevelVar   // stepLogLevel changes it
	lines *logqueue.Queue // also takes lines that are not records
	limit *logqueue.Limit // of lines that repeat
}

// newProcessLog returns a log that is written to w in the format that the configuration
// chooses. The caller calls close.
func newProcessLog(w io.Writer, p *conf.Proxy) *processLog {
	l := new(processLog)
	l.level.Set(p.LogLevel)
	options := &slog.HandlerOptions{Level: &l.level, ReplaceAttr: durationsAsText}
	plain := func(w io.Writer) slog.Handler {
		if p.LogFormat == "json" {
			return slog.NewJSONHandler(w, options)
		}
		return slog.NewTextHandler(w, options)
	}
	handler := plain
	if underJournald(w) {
		handler = func(w io.Writer) slog.Handler { return newJournalHandler(w, plain) }
	}
	l.lines = logqueue.New(w, logQueueBytes, func(lines int64) []byte {
		var b bytes.Buffer
		logAlways(handler(&b), slog.LevelWarn, "log lines dropped: standard error is read too slowly; check what reads it", "lines", lines)
		return b.Bytes()
	})
	l.limit = logqueue.NewLimit(handler(l.lines), logRepeats, logWindow)
	l.Logger = slog.New(l.limit)
	return l
}

// close waits until the queued lines are written, for logFlushTimeout at most.
func (l *processLog) close() {
	l.limit.Close()
	l.lines.Close(logFlushTimeout)
}

// durationsAsText formats durations as the configuration does ("1.5s"). By default the JSON
// format has them as numbers of nanoseconds.
func durationsAsText(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
