package logqueue

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// maxMessages bounds how many messages a Limit tells apart; others share one count.
const maxMessages = 256

// Limit is a slog.Handler that passes on the first records with the same message in a window of
// time, counts the others, and tells at the end of the window how many there were:
//
//	level=WARN msg="… 312 more like this in the last 10s" like="server is down: …"
//
// Records of level Debug are all passed on: who turns them on wants them. Make it with NewLimit.
type Limit struct {
	next   slog.Handler
	shared *limitState
}

// limitState is what a Limit and those made of it with WithAttrs and WithGroup share.
type limitState struct {
	root   slog.Handler // without attributes, for the counts
	most   int
	window time.Duration
	key    func(slog.Record) string // what is the same message

	mu       sync.Mutex           // guards the field below; it is not held while a record is handled
	messages map[string]*repeated // by message; "" for those beyond maxMessages
}

// repeated is a message in the window that began with its first record. limitState.mu guards it.
type repeated struct {
	began  time.Time
	passed int
	held   int
	level  slog.Level // the highest of those held
	end    *time.Timer
}

// NewLimit returns a Limit that passes on at most most records with the same message in a window.
func NewLimit(next slog.Handler, most int, window time.Duration) *Limit {
	return NewLimitBy(func(r slog.Record) string { return r.Message }, next, most, window)
}

// NewLimitBy is NewLimit for records that have the same key, whatever their messages are. Any goroutine that
// logs calls key.
func NewLimitBy(key func(slog.Record) string, next slog.Handler, most int, window time.Duration) *Limit {
	return &Limit{next, &limitState{root: next, most: most, window: window, key: key, messages: map[string]*repeated{}}}
}

// Enabled implements slog.Handler.
func (l *Limit) Enabled(ctx context.Context, level slog.Level) bool {
	return l.next.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (l *Limit) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Limit{l.next.WithAttrs(attrs), l.shared}
}

// WithGroup implements slog.Handler.
func (l *Limit) WithGroup(name string) slog.Handler {
	return &Limit{l.next.WithGroup(name), l.shared}
}

// Handle implements slog.Handler.
func (l *Limit) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelInfo && !l.shared.pass(l.shared.key(r), r.Level) {
		return nil
	}
	return l.next.Handle(ctx, r)
}

// Close tells how many records were held back in windows that have not ended. Records may come
// after it.
func (l *Limit) Close() {
	s := l.shared
	s.mu.Lock()
	var open []string
	for message := range s.messages {
		open = append(open, message)
	}
	s.mu.Unlock()
	for _, message := range open {
		s.end(message)
	}
}

// pass counts a record, and reports whether it is passed on.
func (s *limitState) pass(message string, level slog.Level) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.messages[message]
	if m == nil && len(s.messages) >= maxMessages {
		s.forget()
		if len(s.messages) >= maxMessages {
			message = ""
			m = s.messages[message]
		}
	}
	now := time.Now()
	if m == nil || m.held == 0 && now.Sub(m.began) >= s.window {
		m = &repeated{began: now}
		s.messages[message] = m
	}
	if m.passed < s.most {
		m.passed++
		return true
	}
	if m.held++; m.held == 1 {
		m.level = level
		m.end = time.AfterFunc(m.began.Add(s.window).Sub(now), func() { s.end(message) })
	}
	m.level = max(m.level, level)
	return false
}

// forget forgets messages whose window has ended. The caller holds mu.
func (s *limitState) forget() {
	for message, m := range s.messages {
		if m.held == 0 && time.Since(m.began) >= s.window {
			delete(s.messages, message)
		}
	}
}

// end ends the window of a message.
func (s *limitState) end(message string) {
	s.mu.Lock()
	m := s.messages[message]
	delete(s.messages, message)
	s.mu.Unlock()
	if m == nil || m.held == 0 {
		return
	}
	m.end.Stop()
	lasted := time.Since(m.began).Round(time.Second)
	r := slog.NewRecord(time.Now(), m.level, fmt.Sprintf("… %d more like this in the last %v", m.held, lasted), 0)
	if message == "" {
		message = "various messages"
	}
	r.AddAttrs(slog.String("like", message))
	if ctx := context.Background(); s.root.Enabled(ctx, m.level) {
		s.root.Handle(ctx, r)
	}
}
