package pool

import (
	"errors"
	"testing"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/resp"
)

// A server that is down and leaves, and is back before its connections are closed, takes requests
// again.
func TestServerThatWasDownIsUsedWhenItComesBack(t *testing.T) {
	p, _ := newPool(t, 3, func(c *conf.Pool) { c.ServerFailureLimit = 1 })
	loop, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	l := p.NewLocal(loop, nil)
	ended := make(chan struct{})
	go func() {
		loop.Run()
		close(ended)
	}()
	defer func() {
		loop.Stop()
		<-ended
	}()
	isUp := func() (up bool) {
		done := make(chan struct{})
		loop.Post(func() {
			up = l.ConnSet(resp.RESP2, 0).Conn(1, 0).Up()
			close(done)
		})
		<-done
		return up
	}
	p.staticServer(1).Failed(errors.New("refused"))
	eventually(t, func() bool { return !isUp() })

	with := *p.Conf()
	without := with
	without.Servers = []conf.Server{with.Servers[0], with.Servers[2]}
	if leave, err := p.Reconfigure(t.Context(), &without, p.Proxy()); leave == nil || err != nil {
		t.Fatal("no server has left", err)
	}
	if _, err := p.Reconfigure(t.Context(), &with, p.Proxy()); err != nil {
		t.Fatal(err)
	}
	if !isUp() {
		t.Error("its connections refuse requests, and nobody probes it")
	}
}
