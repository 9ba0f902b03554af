package redistest

import (
	"strings"
	"testing"
)

// reusing runs a test with servers that are kept.
func reusing(t *testing.T) {
	reuse.begin()
	t.Cleanup(reuse.end)
}

func TestServerOfAnEarlierTestIsAsNew(t *testing.T) {
	reusing(t)
	pid := 0
	t.Run("first", func(t *testing.T) {
		s := Start(t)
		pid = s.Pid()
		s.Do("SET", "k", "v")
		s.Do("EVAL", "return 1", "0")
		s.Do("SCRIPT", "LOAD", "return 1")
		s.Do("FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 1 end)")
		c := Dial(t, "tcp", s.Addr())
		c.Do("SUBSCRIBE", "news")
		monitor := Dial(t, "tcp", s.Addr())
		monitor.Do("MONITOR")
	})
	s := Start(t)
	if s.Pid() != pid {
		t.Fatalf("process %d, want that of the test before, %d", s.Pid(), pid)
	}
	for _, check := range []struct{ request, want string }{
		{"DBSIZE", ":0\r\n"},
		{"SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "*1\r\n:0\r\n"},
		{"FUNCTION LIST", "*0\r\n"},
		{"PUBSUB CHANNELS", "*0\r\n"},
		{"INFO clients", "connected_clients:1\r\n"},
	} {
		if got := s.Do(strings.Fields(check.request)...); !strings.Contains(got, check.want) {
			t.Errorf("%s: %q, want %q", check.request, got, check.want)
		}
	}
	if got := s.Do("INFO", "commandstats"); strings.Contains(got, "cmdstat_set:") || strings.Contains(got, "cmdstat_eval:") {
		t.Errorf("commands of the test before are counted:\n%s", got)
	}
	s.Do("SET", "k", "v")
	s.Restart()
	if got := s.Do("DBSIZE"); got != ":0\r\n" {
		t.Errorf("after a restart: %q keys", got)
	}
}

// What a reset does not undo costs the process.
func TestChangedServerIsNotReused(t *testing.T) {
	reusing(t)
	for name, change := range map[string]func(s *Server){
		"configuration": func(s *Server) { s.Do("CONFIG", "SET", "maxclients", "77") },
		"user":          func(s *Server) { s.Do("ACL", "SETUSER", "ann", "on", "nopass", "+@all") },
		"role":          func(s *Server) { s.Do("REPLICAOF", "127.0.0.1", "1") },
		"file":          func(s *Server) { s.Do("SET", "k", "v"); s.Do("SAVE") },
		"signal":        func(s *Server) { s.Stop(); s.Cont() },
		"restart":       func(s *Server) { s.Restart() },
		"end":           func(s *Server) { s.Kill() },
		"pause":         func(s *Server) { s.Do("CLIENT", "PAUSE", "60000") },
	} {
		pid := 0
		t.Run(name, func(t *testing.T) {
			s := Start(t)
			change(s)
			pid = s.Pid()
		})
		if s := Start(t); s.Pid() == pid {
			t.Errorf("after a change of its %s a server was used again", name)
		}
	}
}
