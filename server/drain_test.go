package server_test

import (
	"net"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
)

func TestDrainAnswersWhatIsUnderWay(t *testing.T) {
	redistest.CheckLeaks(t)
	answer := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(2), fakeredis.Wait(answer), fakeredis.Reply("+1\r\n+2\r\n")})
	p := serve(t, config(t, s.Addr()))
	busy, idle := p.dial(), p.dial()
	busy.Send(encode("GET", "a") + encode("GET", "b"))
	s.WaitRequests(2)
	stopped := make(chan error, 1)
	go func() { stopped <- p.stop() }()
	idle.expectClosed()
	eventually(t, "no client is accepted", func() bool {
		conn, err := net.Dial("tcp", p.addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	close(answer)
	busy.expect("+1\r\n", "+2\r\n")
	busy.expectClosed()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestDrainThatTakesTooLongIsAnError(t *testing.T) {
	redistest.CheckLeaks(t)
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.Discard()})
	cfg := config(t, s.Addr())
	cfg.Proxy.DrainTimeout = 50 * time.Millisecond
	p := serve(t, cfg)
	c := p.dial()
	c.Send(encode("GET", "a"))
	s.WaitRequests(1)
	if err := p.stop(); err == nil {
		t.Error("no error though a request was cut off")
	}
	c.expectClosed()
}

// Every request that was answered was executed once; what the end of the proxy
// cut off may have been.
func TestDrainUnderLoadEndsInTime(t *testing.T) {
	redistest.CheckLeaks(t)
	p, _ := serveShards(t, 4)
	l := startLoad(t, p, 16, 16)
	for i := range 4 {
		l.progress(i)
	}
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	l.end() // its clients end with their connections
	if len(l.errors) > 0 {
		t.Errorf("%d errors, the first: %q", len(l.errors), l.errors[0].text)
	}
}
