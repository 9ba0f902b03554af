package session

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"ringway/command"
	"ringway/pubsub"
)

// MONITOR shows the requests of all of the pool's clients, on all loops, as the clients have
// sent them and with the clients' addresses. Only the servers know what scripts call: those
// lines come from MONITOR at the servers, whose other lines are dropped.

// monitoring is the MONITOR of a session.
type monitoring struct {
	feed *pubsub.MonitorFeed // of what scripts call
}

// monitor runs MONITOR. The reply comes when all loops and servers show what they run, so
// that nothing after it is missed.
func monitor(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	if s.monitor != nil {
		return append(dst, replyOK...)
	}
	number := s.push()
	s.beginMonitor(func() { s.finish(number, replyOK) })
	return nil
}

// beginMonitor shows the session's client what is run from now on. ready is called when all loops and servers show what
// they run.
func (s *session) beginMonitor(ready func()) {
	if s.sub == nil {
		s.sub = newSubscriber(s)
	}
	left := len(s.peers) + 1
	done := func() {
		if left--; left == 0 {
			ready()
		}
	}
	s.monitor = &monitoring{}
	s.conditions.monitors[s] = true
	home := s.w
	s.changeConditions(func(peer *shared) {
		peer.conditions.monitorCount++
		home.loop.Post(done)
	})
	s.monitor.feed = s.subscriptions.Monitor(s.showScriptCalls, done)
}

// endMonitor ends the session's MONITOR, if there is one: for RESET, and at the session's end.
func (s *session) endMonitor() {
	if s.monitor == nil {
		return
	}
	s.monitor.feed.Close()
	s.monitor = nil
	delete(s.conditions.monitors, s)
	s.changeConditions(func(peer *shared) { peer.conditions.monitorCount-- })
}

// showScriptCalls sends the client a line of a server's MONITOR, if a script has caused it.
func (s *session) showScriptCalls(line []byte) {
	if end := bytes.IndexByte(line, ']'); end > 0 && bytes.HasSuffix(line[:end], []byte(" lua")) {
		s.sub.deliver(line)
	}
}

// showMonitors sends lines to the pool's monitors, on all loops.
func (s *session) showMonitors(lines string) {
	s.eachLoop(func(peer *shared) {
		for m := range peer.conditions.monitors {
			if m.conn.Open() {
				m.sub.deliver([]byte(lines))
			}
		}
	})
}

// runMonitored runs a request with run, and shows it to the monitors if it does not have to
// wait. Requests of a transaction are shown with EXEC, as by Redis. Like handle, it reports
// false if the request must wait.
func (s *session) runMonitored(cmd *command.Command, args [][]byte, run func() bool) bool {
	line := s.monitorLine(cmd, args)
	tx := s.tx
	queued := 0
	if tx != nil {
		queued = tx.queued
	}
	if !run() {
		return false
	}
	switch {
	case tx == nil:
		s.showMonitors(line)
	case s.tx == nil && cmd.Name == "exec" && !tx.failed:
		s.showMonitors(tx.monitorLines + line)
	case s.tx == nil:
		s.showMonitors(line)
	case tx.queued > queued && len(tx.monitorLines) < tx.size*4:
		tx.monitorLines += line
	}
	return true
}

// monitorLine returns the line in which MONITOR shows a request, in Redis's format; "" if
// MONITOR does not show it.
func (s *session) monitorLine(cmd *command.Command, args [][]byte) string {
	if cmd.Flags&command.FlagAdmin != 0 || cmd.Flags&command.FlagSkipMonitor != 0 && !cmd.IsScript() && cmd.Name != "exec" {
		return ""
	}
	now := time.Now()
	var b strings.Builder
	fmt.Fprintf(&b, "+%d.%06d [%d %s]", now.Unix(), now.Nanosecond()/1000, s.db, s.info.addr)
	secret := secretArgs(cmd, args)
	for i, arg := range args {
		b.WriteByte(' ')
		if secret[i] {
			b.WriteString(`"(redacted)"`)
			continue
		}
		appendQuoted(&b, arg)
	}
	b.WriteString("\r\n")
	return b.String()
}

// secretArgs returns the indices of the arguments that MONITOR must not show: credentials.
func secretArgs(cmd *command.Command, args [][]byte) map[int]bool {
	secret := map[int]bool{}
	hide := func(from, n int) {
		for i := from; i < min(from+n, len(args)); i++ {
			secret[i] = true
		}
	}
	switch cmd.Name {
	case "auth":
		hide(1, len(args))
	case "hello", "migrate":
		for i := 2; i < len(args); i++ {
			switch word := string(bytes.ToLower(args[i])); {
			case word == "auth" && cmd.Name == "hello", word == "auth2":
				hide(i+1, 2)
			case word == "auth":
				hide(i+1, 1)
			}
		}
	}
	return secret
}

// appendQuoted appends an argument in quotes, escaped as by Redis's sdscatrepr.
func appendQuoted(b *strings.Builder, arg []byte) {
	b.WriteByte('"')
	for _, c := range arg {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case strings.IndexByte("\n\r\t\a\b", c) >= 0:
			b.WriteByte('\\')
			b.WriteByte("nrtab"[strings.IndexByte("\n\r\t\a\b", c)])
		case c < ' ' || c > '~':
			fmt.Fprintf(b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}
