package hatest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ringway/internal/fakeredis"
)

// faultyServer is a server of strings that has one fault, which shows once in a while.
type faultyServer struct {
	mu     sync.Mutex
	values map[string]string
	former map[string]string // what was overwritten
	writes int
	reads  int
	incrs  int
	fault  string
}

func (l *faultyServer) answer(args []string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch args[0] {
	case "SET":
		return l.set(args[1], args[2])
	case "MSET":
		reply := "+OK\r\n"
		for i := 1; i < len(args); i += 2 {
			if r := l.set(args[i], args[i+1]); r[0] == '-' {
				reply = r
			}
		}
		return reply
	case "MGET":
		text := fmt.Sprintf("*%d\r\n", len(args)-1)
		for _, key := range args[1:] {
			text += l.get(key)
		}
		return text
	case "GET":
		return l.get(args[1])
	case "INCR":
		return l.incr(args[1])
	}
	return "-ERR unknown command\r\n"
}

// due reports whether the fault is due now.
func (l *faultyServer) due(lie string, n int) bool { return l.fault == lie && n%97 == 96 }

func (l *faultyServer) set(key, value string) string {
	l.writes++
	switch {
	case l.due("loses a write", l.writes):
		return "+OK\r\n"
	case l.due("executes what it says it did not", l.writes):
		l.former[key], l.values[key] = l.values[key], value
		return "-ERR Connection refused: the request was not sent\r\n"
	case l.due("redirects", l.writes):
		return "-MOVED 1 127.0.0.1:1\r\n"
	}
	l.former[key], l.values[key] = l.values[key], value
	if l.due("does not know", l.writes) {
		if l.writes%2 == 0 {
			l.values[key] = l.former[key]
		}
		return "-ERR Connection reset by peer: the request was sent and its outcome is unknown\r\n"
	}
	return "+OK\r\n"
}

func (l *faultyServer) get(key string) string {
	l.reads++
	value := l.values[key]
	switch {
	case l.due("reads what is old", l.reads):
		value = l.former[key]
	case l.due("answers another request", l.reads):
		value = strings.Replace(value, key, "other", 1)
	case l.fault == "reads what is old where it is shared" && strings.Contains(key, ":shared:") && l.reads%7 == 0:
		value = l.former[key]
	}
	if value == "" {
		return "$-1\r\n"
	}
	return fmt.Sprintf("$%d\r\n%s\r\n", len(value), value)
}

func (l *faultyServer) incr(key string) string {
	n, _ := strconv.Atoi(l.values[key])
	l.writes++
	l.incrs++
	if n++; l.fault == "executes twice" && l.incrs%19 == 18 { // there are few of them
		n++
	}
	l.values[key] = strconv.Itoa(n)
	return fmt.Sprintf(":%d\r\n", n)
}

// The clients' checks find every fault that a server can have. Otherwise a load without
// violations would prove nothing.
func TestChecksFindEveryFault(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ lie, found string }{
		{"", ""},
		{"does not know", ""}, // which is the truth
		{"loses a write", "was acknowledged last"},
		{"executes what it says it did not", "was acknowledged last"},
		{"reads what is old", "was acknowledged last"},
		{"reads what is old where it is shared", "are not linearizable"},
		{"answers another request", "another request's"},
		{"executes twice", "increments of unknown outcome"},
		{"redirects", "MOVED"},
	} {
		t.Run(c.lie, func(t *testing.T) {
			l := &faultyServer{values: map[string]string{}, former: map[string]string{}, fault: c.lie}
			s := fakeredis.StartHandler(t, func(conn *fakeredis.Conn, args []string) { conn.Reply(l.answer(args)) })
			load := Load{Clients: 4, Depth: 4, Shared: 2, Plain: true}.Start(t, s.Addr())
			load.Progress(400, time.Minute)
			report := load.Stop()
			text := strings.Join(report.Violations, "\n")
			switch {
			case c.found == "" && text != "":
				t.Errorf("found without reason:\n%s", text)
			case !strings.Contains(text, c.found):
				t.Errorf("not found; instead: %q\n%s", text, report)
			}
		})
	}
}
