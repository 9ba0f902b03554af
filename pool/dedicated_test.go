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
func lend(t *testing.T, connSet *ConnSet, shard, n int) (conns []*pipeline.Conn) {
	t.Helper()
	for i := range n {
		c, err := connSet.Acquire(shard)
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
	// Spare connections to other shards, databases and protocols give way.
	lent := lend(t, first, 0, 5)
	lent = append(lent, lend(t, ls[0].ConnSet(resp.RESP3, 3), 1, 3)...)
	if _, err := first.Acquire(1); err != ErrNoDedicated {
		t.Errorf("a ninth connection: %v", err)
	}
	if lent, spare := p.dedicated.lent.Load(), p.dedicated.spare.Load(); lent != 8 || spare != 0 {
		t.Errorf("%d lent, %d spare", lent, spare)
	}
	giveBack(ls[0], lent)
	// And those of other loops, when these get to it.
	lent = lend(t, ls[1].ConnSet(resp.RESP2, 0), 0, 8)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ls[0].loop.Run()
	}()
	eventually(t, func() bool { return p.dedicated.spare.Load() == 0 })
	ls[0].loop.Stop()
	<-done
	giveBack(ls[1], lent)
	if lent, spare := p.dedicated.lent.Load(), p.dedicated.spare.Load(); lent != 0 || spare != maxSpares {
		t.Errorf("%d lent, %d spare", lent, spare)
	}
}

func TestSpareConnectionsExpire(t *testing.T) {
	p, _ := newPool(t, 1, func(*conf.Pool) {})
	l := localsOf(t, p, 1)[0]
	lent := lend(t, l.ConnSet(resp.RESP2, 0), 0, 2)
	giveBack(l, lent)
	lent[0].Suspend() // its server has closed it
	l.sweep(l.loop.Now()-1, time.Now())
	if spare := p.dedicated.spare.Load(); spare != 1 {
		t.Errorf("%d spare connections, one is dead", spare)
	}
	l.sweep(l.loop.Now(), time.Now())
	if spare := p.dedicated.spare.Load(); spare != 0 || len(l.spares) != 0 {
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
	sets := []*ConnSet{l.ConnSet(resp.RESP2, 0), l.ConnSet(resp.RESP3, 0), l.ConnSet(resp.RESP2, 5), l.ConnSetAs(alice, resp.RESP2, 0)}
	for _, cs := range sets {
		cs.Retain()
	}
	l.sweep(l.loop.Now(), time.Now())
	if len(l.connSets) != len(sets) {
		t.Fatalf("%d of %d connection sets are left though all are used", len(l.connSets), len(sets))
	}
	for _, cs := range sets {
		cs.Release()
	}
	l.sweep(l.loop.Now()-1, time.Now())
	if len(l.connSets) != len(sets) {
		t.Fatal("closed before a minute has passed")
	}
	p.ReleaseUser(alice)
	l.sweep(l.loop.Now(), time.Now().Add(time.Second))
	if len(l.connSets) != 1 || l.connSets[0] != sets[0] || sets[3].conns[0].Up() {
		t.Errorf("%d connection sets are left", len(l.connSets))
	}
	if len(p.users.byID) != 0 {
		t.Error("alice is remembered")
	}
}

func TestPasswordsThatChangeDoNotCountForGood(t *testing.T) {
	p, _ := newPool(t, 1, func(c *conf.Pool) { c.ACLUsers = 2 })
	acquire := func(name, password string) *User {
		t.Helper()
		u, err := p.AcquireUser(name, password)
		if err != nil {
			t.Fatalf("%s with %q: %v", name, password, err)
		}
		return u
	}
	for i := range 10 {
		p.ReleaseUser(acquire("alice", string(rune('a'+i))))
	}
	if len(p.users.byID) != 1 {
		t.Errorf("%d passwords of alice are remembered", len(p.users.byID))
	}
	// Her old clients stay, and count as one user with the new ones.
	var hers []*User
	for i := range maxPasswords {
		hers = append(hers, acquire("alice", string(rune('a'+i))))
	}
	if acquire("alice", "a") != hers[0] {
		t.Error("one password is two users")
	}
	bob := acquire("bob", "")
	if _, err := p.AcquireUser("carol", ""); err != ErrTooManyUsers {
		t.Errorf("a third user: %v", err)
	}
	if _, err := p.AcquireUser("alice", "another"); err != ErrTooManyUsers {
		t.Errorf("a fifth password: %v", err)
	}
	p.ReleaseUser(bob)
	acquire("carol", "") // bob, without a session, gives way
	p.ReleaseUser(hers[1])
	acquire("alice", "another")
}
