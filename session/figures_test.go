package session_test

import (
	"strings"
	"testing"
	"time"

	"ringway/command"
	"ringway/internal/redistest"
	"ringway/server"
	"ringway/stats"
)

// eventually waits until ok of the figures holds, and returns them.
func (p *proxy) eventually(t *testing.T, what string, ok func(f *server.Figures) bool) *server.Figures {
	t.Helper()
	var f *server.Figures
	redistest.Eventually(t, 10*time.Second, what, func() bool {
		f = p.server.Figures()
		return ok(f)
	})
	return f
}

// number returns by which number the statistics know a command.
func number(name string) int { return command.ByName(name).ID + 1 }

func TestFiguresCountWhatClientsDid(t *testing.T) {
	t.Parallel()
	cfg := config(t, redistest.Start(t).Addr(), redistest.Start(t).Addr())
	cfg.Pools[0].Hash = "md5" // spreads the short keys over both servers
	p := serve(t, cfg)
	client := p.dial()
	var sent, got int
	do := func(times int, request string, replies ...string) {
		t.Helper()
		all := strings.Repeat(request, times)
		client.Send(all)
		sent += len(all)
		for range times {
			reply := client.Reply()
			if want := replies[0]; !strings.HasPrefix(reply, want) {
				t.Fatalf("%q: %q, want %q", request, reply, want)
			}
			got += len(replies[len(replies)-1])
		}
	}
	set := redistest.Request("SET", "a", "1")
	do(100, set, "+OK\r\n")
	do(50, redistest.Request("GET", "a"), "$1\r\n1\r\n")
	do(1, redistest.Request("LPUSH", "a", "1"), "-WRONGTYPE", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")
	do(7, redistest.Request("PING"), "+PONG\r\n")
	do(2, redistest.Request("NOSUCH"), "-ERR", "-ERR unknown command 'NOSUCH', with args beginning with: \r\n")
	do(3, redistest.Request("MGET", "a", "b", "key:3", "key:4", "x5"), "*5\r\n$1\r\n1\r\n$-1\r\n$-1\r\n$-1\r\n$-1\r\n")

	f := p.eventually(t, "all bytes", func(f *server.Figures) bool {
		c := f.Pools[0].Counts.Clients
		return c.BytesIn == uint64(sent) && c.BytesOut == uint64(got)
	})
	pool := f.Pools[0]
	for name, want := range map[string]uint64{"set": 100, "get": 50, "lpush": 1, "ping": 7, "mget": 3} {
		if c := pool.Counts.Commands[number(name)]; c == nil || c.Latency.Count() != want {
			t.Errorf("%s: %+v, want %d", name, c, want)
		}
	}
	if unknown := pool.Counts.Commands[0]; unknown == nil || unknown.Latency.Count() != 2 || unknown.Errors != 2 {
		t.Errorf("unknown commands: %+v", unknown)
	}
	if n := pool.Counts.Calls(); n != 163 {
		t.Errorf("%d calls, want 163", n)
	}
	errors := pool.Counts.Requests.Errors
	if errors[stats.ErrorCode([]byte("-WRONGTYPE"))] != 1 || errors[stats.ErrorCode([]byte("-ERR"))] != 2 {
		t.Errorf("errors: %v", errors)
	}
	if c := pool.Counts.Clients; c.Connected != 1 || pool.Clients != 1 {
		t.Errorf("clients: %+v, %d now", c, pool.Clients)
	}
	var requests, connects uint64
	for _, s := range pool.Servers {
		requests += s.Counts.Latency.Count()
		connects += s.Counts.Connects
		if !s.Up || s.Role != "primary" || s.Queues.Connections != 1 || s.Queues.Requests != 0 {
			t.Errorf("server: %+v, %+v", s.ServerState, s.Queues)
		}
	}
	if requests < 151+3 || requests > 151+6 || connects != 2 {
		t.Errorf("%d requests to servers, %d connections", requests, connects)
	}

	client.Close()
	p.eventually(t, "closed", func(f *server.Figures) bool {
		return f.Pools[0].Counts.Clients.Closed[stats.ClosedByClient] == 1 && f.Pools[0].Clients == 0
	})
}

func TestFiguresTellWhyRequestsFailed(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	cfg := config(t, redis.Addr())
	cfg.Pools[0].ServerFailureLimit = 1
	p := serve(t, cfg)
	client := p.dial()
	client.Do("SET", "a", "1")
	redis.Kill()
	redistest.Eventually(t, 10*time.Second, "server down", func() bool { return strings.Contains(client.Do("GET", "a"), "is down") })
	p.eventually(t, "server down", func(f *server.Figures) bool {
		pool := f.Pools[0]
		s := pool.Servers[0]
		return pool.Counts.Requests.Failures[stats.FailedDown] >= 1 && !s.Up && s.Why != "" && !s.Since.IsZero() && s.Ejections == 1 && s.Counts.Disconnects >= 1
	})
}

func TestNothingIsCountedWithoutStatistics(t *testing.T) {
	t.Parallel()
	cfg := config(t, redistest.Start(t).Addr())
	cfg.Proxy.Statistics = false
	p := serve(t, cfg)
	client := p.dial()
	client.Do("SET", "a", "1")
	client.Do("NOSUCH")
	if f := p.server.Figures(); f.Pools[0].Counts.Calls() != 0 || f.Pools[0].Clients != 1 {
		t.Errorf("%+v", f.Pools[0].Counts.Clients)
	}
}
