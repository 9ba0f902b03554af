package session_test

import (
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// namesAt returns the names of the connections that a server has, but that of the one who asks.
func namesAt(s *redistest.Server) (names []string) {
	for line := range strings.Lines(s.Do("CLIENT", "LIST")) {
		if _, name, ok := strings.Cut(line, " name="); ok && !strings.Contains(line, "cmd=client") {
			name, _, _ = strings.Cut(name, " ")
			names = append(names, name)
		}
	}
	return names
}

// Connections of every kind have the proxy's name at the server, and the client its own at the proxy.
func TestServersSeeTheNameOfTheProxy(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	cfg := config(t, s.Addr())
	cfg.Proxy.Instance = "test"
	p := serve(t, cfg)
	client, blocked, subscribed, watching, resp3 := p.dial(), p.dial(), p.dial(), p.dial(), p.dial()
	for _, step := range []struct {
		to   *raw
		args []string
		want string
	}{
		{client, []string{"CLIENT", "SETNAME", "mine"}, "+OK\r\n"},
		{client, []string{"SET", "k", "v"}, "+OK\r\n"},
		{watching, []string{"CLIENT", "SETNAME", "watches"}, "+OK\r\n"},
		{watching, []string{"WATCH", "k"}, "+OK\r\n"},
		{watching, []string{"GET", "k"}, "$1\r\nv\r\n"},
		{subscribed, []string{"SUBSCRIBE", "c"}, "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"},
		{resp3, []string{"SELECT", "3"}, "+OK\r\n"},
		{resp3, []string{"SET", "k", "v"}, "+OK\r\n"},
		{client, []string{"CLIENT", "GETNAME"}, "$4\r\nmine\r\n"},
		{watching, []string{"CLIENT", "GETNAME"}, "$7\r\nwatches\r\n"},
	} {
		if got := step.to.Do(step.args...); got != step.want {
			t.Errorf("%q is answered %q", step.args, got)
		}
	}
	blocked.Send("BLPOP none 0\r\n")
	redistest.Eventually(t, 10*time.Second, "all connections are named ringway/test/0", func() bool {
		names := namesAt(s)
		for _, name := range names {
			if name != "ringway/test/0" {
				return false
			}
		}
		return len(names) >= 5
	})
	if list := client.Do("CLIENT", "LIST"); strings.Contains(list, "ringway/") || !strings.Contains(list, "name=watches") {
		t.Errorf("the proxy's clients see %s", list)
	}
	watching.Do("UNWATCH")
	if got := watching.Do("CLIENT", "GETNAME"); got != "$7\r\nwatches\r\n" {
		t.Errorf("after UNWATCH the name is %q", got)
	}
}

// An ACL without client|setname, and client_setname = false, leave connections without a name and
// requests as they are.
func TestServersThatRefuseNames(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	s.Do("ACL", "SETUSER", "nameless", "on", ">pw", "allkeys", "allcommands", "-client|setname")
	t.Cleanup(func() { s.Do("ACL", "DELUSER", "nameless") })
	cfg := config(t, s.Addr())
	cfg.Pools[0].RedisUser, cfg.Pools[0].RedisAuth = "nameless", "pw"
	off := config(t, s.Addr())
	off.Pools[0].ClientSetName = false
	for _, p := range []*proxy{serve(t, cfg), serve(t, off)} {
		client := p.dial()
		client.Do("AUTH", "pw")
		for range 3 {
			if got := client.Do("SET", "k", "v"); got != "+OK\r\n" {
				t.Errorf("SET is answered %q", got)
			}
		}
		client.Do("SELECT", "1")
		client.Do("GET", "k")
	}
	for _, name := range namesAt(s) {
		if name != "" {
			t.Errorf("a connection is named %q", name)
		}
	}
	if log := s.Do("ACL", "LOG"); !strings.HasPrefix(log, "*1\r\n") || !strings.Contains(log, "count\r\n:1\r\n") {
		t.Errorf("refused more than once: %q", log)
	}
}
