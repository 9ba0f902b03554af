package session

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"ringway/command"
	"ringway/pubsub"
)

// MONITOR shows what the pool's clients ask for, on all loops, as they have sent it
// and with their own addresses. What scripts call only their servers know: that comes
// from MONITOR there, of which all else is left out.

// monitoring is a session's MONITOR.
type monitoring struct {
	feed *pubsub.MonitorFeed
}

// monitor runs MONITOR. Its reply comes when all loops and servers know.
func monitor(s *session, _ *command.Command, _ [][]byte, dst []byte) []byte {
	if s.monitor != nil {
		return append(dst, replyOK...)
	}
	if s.sub == nil {
		s.sub = newSubscriber(s)
	}
	number := s.push()
	left := len(s.peers) + 1
	done := func() {
		if left--; left == 0 {
			s.finish(number, replyOK)
		}
	}
	s.monitor = &monitoring{}
	s.conditions.monitors[s] = true
	home := s.w
	s.changeConditions(func(peer *shared) {
		peer.conditions.monitorCount++
		home.loop.Post(done)
	})
	s.monitor.feed = s.subscriptions.Monitor(s.showScripts, done)
	return nil
}

// endMonitor ends MONITOR: RESET, and the session's end.
func (s *session) endMonitor() {
	if s.monitor == nil {
		return
	}
	s.monitor.feed.Close()
	s.monitor = nil
	delete(s.conditions.monitors, s)
	s.changeConditions(func(peer *shared) { peer.conditions.monitorCount-- })
}

// showScripts passes on what a server says that a script has called.
func (s *session) showScripts(line []byte) {
	if end := bytes.IndexByte(line, ']'); end > 0 && bytes.HasSuffix(line[:end], []byte(" lua")) {
		s.sub.deliver(line)
	}
}

// show tells all monitors of requests, each a line of its own.
func (s *session) show(lines string) {
	s.each(func(peer *shared) {
		for m := range peer.conditions.monitors {
			if m.conn.Open() {
				m.sub.deliver([]byte(lines))
			}
		}
	})
}

// runShown runs a request and shows it to the monitors, once it is sure that it runs.
// Those of a transaction are shown with EXEC, as Redis does.
func (s *session) runShown(cmd *command.Command, args [][]byte, run func() bool) bool {
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
		s.show(line)
	case s.tx == nil && cmd.Name == "exec" && !tx.failed:
		s.show(tx.shown + line)
	case s.tx == nil:
		s.show(line)
	case tx.queued > queued && len(tx.shown) < len(tx.unit)*4:
		tx.shown += line
	}
	return true
}

// monitorLine is how MONITOR shows a request; "" if it does not.
func (s *session) monitorLine(cmd *command.Command, args [][]byte) string {
	if cmd.Flags&command.FlagAdmin != 0 || cmd.Flags&command.FlagSkipMonitor != 0 && !cmd.IsScript() && cmd.Name != "exec" {
		return ""
	}
	now := time.Now()
	var b strings.Builder
	fmt.Fprintf(&b, "+%d.%06d [%d %s]", now.Unix(), now.Nanosecond()/1000, s.db, s.info.addr)
	secret := secrets(cmd, args)
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

// secrets tells which arguments are nobody's business.
func secrets(cmd *command.Command, args [][]byte) map[int]bool {
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

// appendQuoted appends an argument in quotes, in Redis's notation.
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
