// Package audit tells who was refused and who has used administrative commands: a line for
// each event, through a slog.Handler that must not wait for its reader.
//
//	var log audit.Log // off
//	log.To(audit.Handler(queue))
//	log.Add(audit.Event{Pool: "alpha", User: "alice", Client: "10.0.0.7:51234", Command: "config|set", Verdict: audit.NoPermission})
//
// An Event has no room for keys, values and passwords, and whoever makes one puts only names into
// it that the configuration or the table of commands has.
package audit

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"
)

// Verdict says what became of a command or a connection.
type Verdict string

// The verdicts.
const (
	Executed         Verdict = "executed"           // an administrative command that the proxy has run, or sent to servers
	Queued           Verdict = "queued"             // the same inside of MULTI
	Failed           Verdict = "failed"             // a command of the console that has ended with an error
	NoPermission     Verdict = "no permission"      // the user has no right to the command, a key or a channel
	DeniedCommand    Verdict = "denied by the pool" // deny_commands has it, allow_commands lacks it, or its script names one
	NotServed        Verdict = "not served"         // the proxy serves it to nobody
	NotAuthenticated Verdict = "not authenticated"  // it came before the client has logged in
	WrongPassword    Verdict = "wrong password"     // AUTH, HELLO, or operators' password
	TooManyLogins    Verdict = "too many logins"    // a login from a network with too many wrong passwords lately
	DeniedNetwork    Verdict = "denied network"     // a connection from where allow_networks and deny_networks let nobody in
	TooManyClients   Verdict = "too many clients"   // a connection or a login beyond a limit
)

// Event is one line of the log. Empty fields are left out.
type Event struct {
	Pool    string
	At      string // "console" or "http" for what operators do, whose address belongs to no pool
	User    string // a name that the pool knows; Unknown for another that a client has tried
	Client  string // the client's address
	Command string // as in the table of commands: "config|set"; "" for a connection
	Verdict Verdict
}

// Unknown stands for the name of a user whom the pool does not have. It may be a password in the wrong
// place, so it is not shown.
const Unknown = "(unknown)"

// Log is an audit log. The zero Log is off. Any goroutine may call its methods.
type Log struct {
	to atomic.Pointer[slog.Handler]
}

// To has events handled by h from now on; nil turns the log off. h must not wait: event loops call it.
func (l *Log) To(h slog.Handler) {
	if h == nil {
		l.to.Store(nil)
		return
	}
	l.to.Store(&h)
}

// IsOn reports whether events are handled.
func (l *Log) IsOn() bool { return l.to.Load() != nil }

// Add handles an event if the log is on.
func (l *Log) Add(e Event) {
	h := l.to.Load()
	if h == nil {
		return
	}
	r := slog.NewRecord(time.Now(), slog.LevelInfo, string(e.Verdict), 0)
	name, sub, _ := strings.Cut(e.Command, "|")
	for _, a := range [...][2]string{
		{"pool", e.Pool}, {"at", e.At}, {"user", e.User}, {"client", e.Client}, {"command", name}, {"subcommand", sub},
	} {
		if a[1] != "" {
			r.AddAttrs(slog.String(a[0], a[1]))
		}
	}
	(*h).Handle(context.Background(), r)
}

// Handler returns a handler that writes a line of JSON for each record to w, with one call of Write.
func Handler(w io.Writer) slog.Handler {
	return slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		switch a.Key {
		case slog.LevelKey:
			return slog.Attr{} // all events have the same one
		case slog.MessageKey:
			a.Key = "verdict"
		}
		return a
	}})
}

// Key says which records are alike, for a bound on how many are written: those of one pool and user with
// the same verdict, and of administrative commands those with the same command. So a client that is refused again and
// again hides nobody else, nor what it does itself.
func Key(r slog.Record) string {
	executed := r.Message == string(Executed) || r.Message == string(Queued) || r.Message == string(Failed)
	key := r.Message
	r.Attrs(func(a slog.Attr) bool {
		switch {
		case a.Key == "client", !executed && strings.HasSuffix(a.Key, "command"):
		default:
			key += " " + a.Value.String()
		}
		return true
	})
	return key
}
