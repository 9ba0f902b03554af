package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"
)

// underJournald reports whether w goes to systemd's journal, which names it by device and inode in
// the environment of a service. Whoever runs ringway beneath a service with a log of its own has the
// variable as well, but another file.
func underJournald(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && os.Getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}

// journalHandler puts the priority before each line, by which journalctl -p chooses and which it colours
// ("<4>" for a warning; sd-daemon(3)). It is a handler for each level, since a handler knows nothing of its
// writer.
type journalHandler struct {
	of map[slog.Level]slog.Handler
}

var journalPriorities = map[slog.Level]string{slog.LevelDebug: "<7>", slog.LevelInfo: "<6>", slog.LevelWarn: "<4>", slog.LevelError: "<3>"}

// newJournalHandler returns a handler that makes its lines with those that newHandler returns.
func newJournalHandler(w io.Writer, newHandler func(w io.Writer) slog.Handler) journalHandler {
	h := journalHandler{map[slog.Level]slog.Handler{}}
	for level, priority := range journalPriorities {
		h.of[level] = newHandler(prefixed{w, priority})
	}
	return h
}

// at returns the handler of a level, or of the next one below.
func (h journalHandler) at(level slog.Level) slog.Handler {
	for _, l := range []slog.Level{slog.LevelError, slog.LevelWarn, slog.LevelInfo} {
		if level >= l {
			return h.of[l]
		}
	}
	return h.of[slog.LevelDebug]
}

func (h journalHandler) each(f func(slog.Handler) slog.Handler) slog.Handler {
	changed := journalHandler{map[slog.Level]slog.Handler{}}
	for level, of := range h.of {
		changed.of[level] = f(of)
	}
	return changed
}

// Enabled implements slog.Handler.
func (h journalHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.at(level).Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.at(r.Level).Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.each(func(of slog.Handler) slog.Handler { return of.WithAttrs(attrs) })
}

// WithGroup implements slog.Handler.
func (h journalHandler) WithGroup(name string) slog.Handler {
	return h.each(func(of slog.Handler) slog.Handler { return of.WithGroup(name) })
}

// prefixed puts a text before what is written, in one Write.
type prefixed struct {
	w    io.Writer
	text string
}

// Write implements io.Writer.
func (p prefixed) Write(line []byte) (int, error) {
	n, err := p.w.Write(append([]byte(p.text), line...))
	return max(0, n-len(p.text)), err
}
