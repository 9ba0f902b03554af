package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"
)

func TestEventsAreLinesOfJSON(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	var l Log
	l.Add(Event{Verdict: Executed}) // off
	if l.IsOn() || out.Len() > 0 {
		t.Error("a log without a handler is on")
	}
	l.To(Handler(&out))
	l.Add(Event{Pool: "alpha", User: "alice\n\"", Client: "10.0.0.7:51234", Command: "config|set", Verdict: NoPermission})
	l.Add(Event{Pool: "alpha", Client: "10.0.0.8:1", Verdict: DeniedNetwork})
	want := []map[string]string{
		{"pool": "alpha", "user": "alice\n\"", "client": "10.0.0.7:51234", "command": "config", "subcommand": "set", "verdict": "no permission"},
		{"pool": "alpha", "client": "10.0.0.8:1", "verdict": "denied network"},
	}
	lines := bytes.Split(bytes.TrimSuffix(out.Bytes(), []byte("\n")), []byte("\n"))
	if len(lines) != len(want) {
		t.Fatalf("%d lines: %s", len(lines), out.String())
	}
	for i, line := range lines {
		var got map[string]string
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if got["time"] == "" || len(got) != len(want[i])+1 {
			t.Errorf("got %s", line)
		}
		for key, text := range want[i] {
			if got[key] != text {
				t.Errorf("%s is %q, want %q", key, got[key], text)
			}
		}
	}
	l.To(nil)
	size := out.Len()
	if l.Add(Event{Verdict: Executed}); out.Len() > size || l.IsOn() {
		t.Error("the log is not off")
	}
}

// What one client floods the log with must not hide what another one does, nor other commands.
func TestKeysTellApartWhatMustNotHide(t *testing.T) {
	t.Parallel()
	var seen []string
	var l Log
	l.To(keys(func(key string) { seen = append(seen, key) }))
	refused := Event{Pool: "alpha", User: "alice", Client: "10.0.0.7:1", Command: "get", Verdict: NoPermission}
	run := Event{Pool: "alpha", User: "alice", Client: "10.0.0.7:1", Command: "client|list", Verdict: Executed}
	check := func(what string, a, b Event, alike bool) {
		t.Helper()
		seen = nil
		l.Add(a)
		l.Add(b)
		if (seen[0] == seen[1]) != alike {
			t.Errorf("%s: keys %q", what, seen)
		}
	}
	change := func(e Event, how func(*Event)) Event { how(&e); return e }
	check("another refused command", refused, change(refused, func(e *Event) { e.Command = "set" }), true)
	check("another address", refused, change(refused, func(e *Event) { e.Client = "10.0.0.8:1" }), true)
	check("another user", refused, change(refused, func(e *Event) { e.User = "bob" }), false)
	check("another pool", refused, change(refused, func(e *Event) { e.Pool = "beta" }), false)
	check("another verdict", refused, change(refused, func(e *Event) { e.Verdict = WrongPassword }), false)
	check("another subcommand", run, change(run, func(e *Event) { e.Command = "client|kill" }), false)
}

// keys is a handler that is told the keys of records.
type keys func(string)

func (k keys) Handle(_ context.Context, r slog.Record) error { k(Key(r)); return nil }
func (k keys) Enabled(context.Context, slog.Level) bool      { return true }
func (k keys) WithAttrs([]slog.Attr) slog.Handler            { return k }
func (k keys) WithGroup(string) slog.Handler                 { return k }
