package pipeline_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/pipeline"
)

// A connection on which nothing comes is lost, and what waits goes over a new one.
func TestSilentConnectionIsGivenUp(t *testing.T) {
	t.Parallel()
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.Discard()}, fakeredis.Script{fakeredis.Handle(func(c *fakeredis.Conn, args []string) {
		c.Reply("+" + args[0] + "\r\n")
	})})
	cfg := config(s.Addr())
	cfg.Timeout, cfg.PingAfterLoss = 100*time.Millisecond, true
	r := newRig(t, cfg)
	for replied := false; !replied; {
		r.send(get("k"))
		switch o := r.next(); {
		case o.failure == nil:
			replied = true
		case !errors.Is(o.failure, pipeline.ErrTimeout):
			t.Fatal(o.failure)
		}
	}
	if errs := r.obs.failed(t, 1); !errors.Is(errs[0], pipeline.ErrTimeout) || s.Conns() != 2 {
		t.Errorf("%d connections, %v", s.Conns(), errs)
	}
}

// A connection on which a large reply goes on, or one reply after the other comes, is alive.
func TestSlowConnectionIsNotGivenUp(t *testing.T) {
	t.Parallel()
	const parts = 6
	script := fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Reply("$120000\r\n")}
	for range parts {
		script = append(script, fakeredis.Reply(strings.Repeat("x", 120000/parts)), fakeredis.Call(func() { time.Sleep(100 * time.Millisecond) }))
	}
	s := fakeredis.Start(t, append(script, fakeredis.Reply("\r\n"), fakeredis.Discard()))
	cfg := config(s.Addr())
	cfg.Timeout = 150 * time.Millisecond
	r := newRig(t, cfg)
	r.send(get("k"))
	// On a busy machine it may time out, but the connection stays.
	r.next()
	r.eventually("the reply has come", func() bool { return r.conn.InFlight() == 0 })
	if n := s.Conns(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// A blocking request may take any time.
func TestBlockedConnectionIsNotGivenUp(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Wait(answer), fakeredis.Reply("+late\r\n")})
	cfg := config(s.Addr())
	cfg.Timeout, cfg.Once = 20*time.Millisecond, true
	r := newRig(t, cfg)
	to := r.receiver()
	r.on(func() { r.conn.SendUntimed([]byte(get("k")), to, 1) })
	checked := make(chan struct{})
	r.on(func() { r.loop.NewTimer(func() { close(checked) }).After(10 * cfg.Timeout) })
	<-checked
	close(answer)
	r.expect(1, "+late\r\n")
}
