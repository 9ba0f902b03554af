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
	// logQueue is how many bytes of the log may wait for whoever reads it: some
	// thousand lines.
	logQueueBytes = 1 << 20

	// lastWords is how long the end of the process waits for that.
	logFlushTimeout = time.Second
)

// journal is the process's log.
type processLog struct {
	*slog.Logger
	level slog.LevelVar   // may be changed
	lines *logqueue.Queue // takes lines of other forms too
}

// newJournal returns a log to w in the form that the configuration wants. Logging
// never waits for w. The log must be closed.
func newProcessLog(w io.Writer, p *conf.Proxy) *processLog {
	j := new(processLog)
	j.level.Set(p.LogLevel)
	options := &slog.HandlerOptions{Level: &j.level, ReplaceAttr: durationsAsText}
	handler := func(w io.Writer) slog.Handler {
		if p.LogFormat == "json" {
			return slog.NewJSONHandler(w, options)
		}
		return slog.NewTextHandler(w, options)
	}
	j.lines = logqueue.New(w, logQueueBytes, func(lines int64) []byte {
		var b bytes.Buffer
		logAlways(handler(&b), slog.LevelWarn, "log lines dropped: they were written faster than they were read; see what holds up standard error", "lines", lines)
		return b.Bytes()
	})
	j.Logger = slog.New(handler(j.lines))
	return j
}

// close writes what waits, for a moment at most.
func (j *processLog) close() { j.lines.Close(logFlushTimeout) }

// readable has durations as the configuration writes them: left to itself the JSON
// form has numbers of nanoseconds.
func durationsAsText(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
