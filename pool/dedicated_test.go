package pool

import (
	"testing"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/pipeline"
	"ringway/resp"
)

// localsOf returns the parts of n loops, which run while run does.
func localsOf(t *testing.T, p *Pool, n int) (locals []*Local) {
	for range n {
		loop, err := eventloop.New()
		if err != nil {
			t.Fatal(err)
		}
		locals = append(locals, p.NewLocal(loop, nil))
	}
	t.Cleanup(func() {
		for _, l := range locals {
			l.Close()
			l.loop.Stop()
			l.loop.Run()
		}
	})
	return locals
}

// lend takes n connections to a shard, and fails the test if there are fewer.
func lend(t *testing.T, lanes *ConnSet, shard, n int) (conns []*pipeline.Conn) {
	t.Helper()
	for i := range n {
		c, err := lanes.Acquire(shard)
		if err != nil {
			t.Fatalf("%d of %d connections: %v", i, n, err)
		}
		conns = append(conns, c)
	}
	return conns
}

func giveBack(l *Local, conns []*pipeline.Conn) {
	for _, c := range conns {
		l.ReleaseDedicated(c, true)
	}
}

func TestSpareConnectionsGiveWay(t *testing.T) {
	p, _ := newPool(t, 2, func(c *conf.Pool) { c.PinnedConnections, c.Databases = 8, 16 })
	ls := localsOf(t, p, 2)
	first := ls[0].ConnSet(resp.RESP2, 0)
	giveBack(ls[0], append(lend(t, first, 0, 4), lend(t, first, 1, 4)...))
	if spare := p.dedicated.spare.Load(); spare != 8 {
		t.Fatalf("%d are kept, want 8", spare)
	}
	// Of other shards, databases and protocols.
	held := lend(t, first, 0, 5)
	held = append(held, lend(t, ls[0].ConnSet(resp.RESP3, 3), 1, 3)...)
	if _, err := first.Acquire(1); err != ErrNoDedicated {
		t.Errorf("a ninth connection: %v", err)
	}
	if lent, spare := p.dedicated.lent.Load(), p.dedicated.spare.Load(); lent != 8 || spare != 0 {
		t.Errorf("%d lent, %d spare", lent, spare)
	}
	giveBack(ls[0], held)
	// And of other loops, which do it when they come to it.
	held = lend(t, ls[1].ConnSet(resp.RESP2, 0), 0, 8)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ls[0].loop.Run()
	}()
	eventually(t, func() bool { return p.dedicated.spare.Load() == 0 })
	ls[0].loop.Stop()
	<-done
	giveBack(ls[1], held)
	if lent, spare := p.dedicated.lent.Load(), p.dedicated.spare.Load(); lent != 0 || spare != maxDedicatedIdle {
		t.Errorf("%d lent, %d spare", lent, spare)
	}
}

func TestSpareConnectionsExpire(t *testing.T) {
	p, _ := newPool(t, 1, func(*conf.Pool) {})
	l := localsOf(t, p, 1)[0]
	held := lend(t, l.ConnSet(resp.RESP2, 0), 0, 2)
	giveBack(l, held)
	held[0].Suspend() // its server has closed it
	l.sweep(l.loop.Now()-1, time.Now())
	if spare := p.dedicated.spare.Load(); spare != 1 {
		t.Errorf("%d spare connections, one is dead", spare)
	}
	l.sweep(l.loop.Now(), time.Now())
	if spare := p.dedicated.spare.Load(); spare != 0 || len(l.dedicatedIdle) != 0 {
		t.Errorf("%d spare connections after a minute", spare)
	}
}

func TestConnectionsThatNobodyUsesAreClosed(t *testing.T) {
	p, _ := newPool(t, 2, func(c *conf.Pool) { c.ACLUsers, c.Databases = 4, 16 })
	l := localsOf(t, p, 1)[0]
	alice, err := p.AcquireUser("alice", "old")
	if err != nil {
		t.Fatal(err)
	}
	lanes := []*ConnSet{l.ConnSet(resp.RESP2, 0), l.ConnSet(resp.RESP3, 0), l.ConnSet(resp.RESP2, 5), l.ConnSetAs(alice, resp.RESP2, 0)}
	for _, n := range lanes {
		n.Retain()
	}
	l.sweep(l.loop.Now(), time.Now())
	if len(l.shared) != len(lanes) {
		t.Fatalf("%d of %d lanes are left though all are used", len(l.shared), len(lanes))
	}
	for _, n := range lanes {
		n.Release()
	}
	l.sweep(l.loop.Now()-1, time.Now())
	if len(l.shared) != len(lanes) {
		t.Fatal("closed before a minute has passed")
	}
	p.ReleaseUser(alice)
	l.sweep(l.loop.Now(), time.Now().Add(time.Second))
	if len(l.shared) != 1 || l.shared[0] != lanes[0] || lanes[3].conns[0].Up() {
		t.Errorf("%d lanes are left", len(l.shared))
	}
	if len(p.users.byID) != 0 {
		t.Error("alice is remembered")
	}
}

func TestPasswordsThatChangeTakeNoSeatForGood(t *testing.T) {
	p, _ := newPool(t, 1, func(c *conf.Pool) { c.ACLUsers = 2 })
	admit := func(name, password string) *User {
		t.Helper()
		u, err := p.AcquireUser(name, password)
		if err != nil {
			t.Fatalf("%s with %q: %v", name, password, err)
		}
		return u
	}
	for i := range 10 {
		p.ReleaseUser(admit("alice", string(rune('a'+i))))
	}
	if len(p.users.byID) != 1 {
		t.Errorf("%d passwords of alice are remembered", len(p.users.byID))
	}
	// Her old clients stay, and take one seat with the new ones.
	var hers []*User
	for i := range maxPasswords {
		hers = append(hers, admit("alice", string(rune('a'+i))))
	}
	if admit("alice", "a") != hers[0] {
		t.Error("one password is two users")
	}
	bob := admit("bob", "")
	if _, err := p.AcquireUser("carol", ""); err != ErrTooManyUsers {
		t.Errorf("a third user: %v", err)
	}
	if _, err := p.AcquireUser("alice", "another"); err != ErrTooManyUsers {
		t.Errorf("a fifth password: %v", err)
	}
	p.ReleaseUser(bob)
	admit("carol", "") // in the place of bob, whom nobody is
	p.ReleaseUser(hers[1])
	admit("alice", "another")
}
