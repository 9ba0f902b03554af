package session_test

import (
	"slices"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

// After a process was stopped for a while, that time counts for nothing: replies that lie in
// the sockets are read, no client counts as idle, and no server as failed.
func TestTimeWhileTheProcessWasStoppedDoesNotCount(t *testing.T) {
	redistest.SkipShort(t)
	var answer chan struct{}
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		if len(args) == 2 && args[1] == "late" {
			<-answer
		}
		c.Reply(fakeredis.Bulk(args[len(args)-1]))
	})
	cfg := config(t, s.Addr())
	p := &cfg.Pools[0]
	p.Timeout, p.AutoEjectHosts, p.ServerFailureLimit = 300*time.Millisecond, true, 1
	cfg.Proxy.ClientIdleTimeout = 400 * time.Millisecond
	proxy := serve(t, cfg)
	for range rounds(2) {
		answer = make(chan struct{})
		waits, idle := proxy.dial(), proxy.dial()
		idle.Do("GET", "k")
		before := len(s.Requests())
		waits.Send(encode("GET", "late"))
		eventually(t, "the request is there", func() bool {
			return slices.ContainsFunc(s.Requests()[before:], func(r fakeredis.Request) bool { return r.Args[len(r.Args)-1] == "late" })
		})
		goOn := make(chan struct{})
		proxy.stall(goOn)
		close(answer)
		idle.Send(encode("GET", "a"))
		time.Sleep(cfg.Proxy.ClientIdleTimeout + p.Timeout) // the process stands still
		close(goOn)
		waits.expect(bulk("late"))
		idle.expect(bulk("a"))
		waits.Close()
		idle.Close()
	}
}
