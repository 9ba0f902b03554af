package logqueue

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lineBuffer is a log that tests read.
type lineBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lineBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// count returns how many lines have text in them.
func (b *lineBuffer) count(text string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for line := range strings.Lines(b.text.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func TestRepeatedLinesAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out lineBuffer
		l := NewLimit(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}), 5, 10*time.Second)
		log := slog.New(l).With("pool", "alpha")
		flood := func() {
			for i := range 317 {
				log.Info("server is down", "server", i)
				log.WithGroup("g").Debug("all of these")
			}
			log.Warn("another")
		}
		flood()
		if got := out.count("server is down"); got != 5 {
			t.Errorf("%d lines, want 5", got)
		}
		<-time.After(11 * time.Second)
		synctest.Wait()
		if got := out.count(`level=INFO msg="… 312 more like this in the last 10s" like="server is down"`); got != 1 {
			t.Errorf("no count: %s", out.text.String())
		}
		flood() // in another window
		if got := out.count("msg=\"server is down\" pool=alpha"); got != 10 {
			t.Errorf("%d lines, want 10", got)
		}
		log.Error("server is down")
		l.Close()
		if got := out.count(`level=ERROR msg="… 313 more like this in the last 0s"`); got != 1 {
			t.Errorf("Close tells nothing: %s", out.text.String())
		}
		if got, others := out.count("all of these"), out.count("another"); got != 634 || others != 2 {
			t.Errorf("%d lines of debugging, want 634; %d others, want 2", got, others)
		}
	})
}

func TestMessagesToldApartAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out lineBuffer
		l := NewLimit(slog.NewTextHandler(&out, nil), 5, 10*time.Second)
		log := slog.New(l)
		for i := range 3 * maxMessages {
			log.Info(fmt.Sprint("message ", i, "."))
		}
		if got := len(l.shared.messages); got != maxMessages+1 {
			t.Errorf("%d messages are told apart", got)
		}
		if got := out.count("message"); got != maxMessages+5 {
			t.Errorf("%d lines", got)
		}
		<-time.After(11 * time.Second)
		synctest.Wait()
		if out.count(fmt.Sprintf(`msg="… %d more like this in the last 10s" like="various messages"`, 2*maxMessages-5)) != 1 {
			t.Errorf("no count of those beyond the bound: %s", out.text.String()[len(out.text.String())-300:])
		}
		log.Info("later")
		if got := len(l.shared.messages); got != 1 {
			t.Errorf("%d messages are kept for nothing", got)
		}
	})
}
