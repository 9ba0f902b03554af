package pool

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"ringway/pipeline"
)

// ErrNoDedicated tells that all connections that clients may have to themselves are
// in use.
var ErrNoDedicated = errors.New("no pinned connection left")

// A loop keeps up to maxDedicatedIdle dedicated connections of one kind to one server for the
// next client, each for spareFor at most.
const (
	maxDedicatedIdle = 4
	spareFor         = time.Minute
)

// dedicatedKey is what connections that clients have to themselves differ by.
type dedicatedKey struct {
	link
	kind
}

// spare is a dedicated connection that no client has.
type spare struct {
	conn  *pipeline.Conn
	since int64 // as eventloop.Loop.Now
}

// dedicated counts dedicated connections over all loops. Together they keep within
// pinned_connections, but only those that clients have count when a client wants
// one: spare ones give way.
type dedicatedCount struct{ lent, spare atomic.Int64 }

func (p *dedicatedCount) over(limit int) bool { return p.lent.Load()+p.spare.Load() > int64(limit) }

// Acquire lends a connection to a shard's primary to one client alone, until ReleaseDedicated.
// Its protocol and database are those of the connection sets. It ends for good when it is
// lost.
func (n *ConnSet) Acquire(shard int) (*pipeline.Conn, error) {
	l := n.l
	sh := l.shardAt(shard)
	key := dedicatedKey{link{shard: shard, server: sh.primary}, n.kind}
	if l.dedicated.lent.Add(1) > int64(l.conf.PinnedConnections) {
		l.dedicated.lent.Add(-1)
		return nil, ErrNoDedicated
	}
	c := l.takeSpare(key)
	if c == nil {
		c = n.newDedicated(sh)
		l.evictSpare()
	}
	l.lent[c] = key
	return c, nil
}

func (n *ConnSet) newDedicated(sh *localShard) *pipeline.Conn {
	switch {
	case sh.refusal != nil:
		return n.refusing(sh.refusal)
	case sh.primary == nil:
		return n.refusing(ErrNoPrimary)
	}
	c := pipeline.New(n.l.loop, sh.primary.config(n.kind, forOne), n.observer(sh.primary))
	if n.l.IsDown(sh.index) {
		c.SuspendFor(n.l.outage(sh.index))
	}
	return c
}

// takeSpare returns the spare connection of a kind that was used last, or nil.
func (l *Local) takeSpare(key dedicatedKey) *pipeline.Conn {
	for {
		spares := l.dedicatedIdle[key]
		if len(spares) == 0 {
			return nil
		}
		c := spares[len(spares)-1].conn
		l.setSpares(key, spares[:len(spares)-1])
		if c.Up() {
			return c
		}
		c.Close()
	}
}

// setSpares replaces the spare connections of a kind, and counts them.
func (l *Local) setSpares(key dedicatedKey, spares []spare) {
	change := int64(len(spares) - len(l.dedicatedIdle[key]))
	l.dedicated.spare.Add(change)
	l.spares.Add(change)
	if len(spares) == 0 {
		delete(l.dedicatedIdle, key)
		return
	}
	l.dedicatedIdle[key] = spares
}

// evictSpare has a spare connection of another kind give way, of this loop if there is
// one, if there are too many connections.
func (l *Local) evictSpare() {
	if !l.dedicated.over(l.conf.PinnedConnections) {
		return
	}
	for key, spares := range l.dedicatedIdle {
		spares[0].conn.Close()
		l.setSpares(key, slices.Delete(spares, 0, 1))
		return
	}
	l.mu.Lock()
	i := slices.IndexFunc(l.locals, func(other *Local) bool { return other != l && other.spares.Load() > 0 })
	var other *Local
	if i >= 0 {
		other = l.locals[i]
	}
	l.mu.Unlock()
	if other != nil {
		other.loop.Post(other.evictOwn)
	}
}

// evictOwn is evictSpare on behalf of another loop.
func (l *Local) evictOwn() {
	if l.spares.Load() > 0 {
		l.evictSpare()
	}
}

// ReleaseDedicated gives a connection back. If nothing is under way on it and the server
// has forgotten its client, clean, it may be lent again; else it is closed. A
// fence that is under way decides that when it is answered.
func (l *Local) ReleaseDedicated(c *pipeline.Conn, clean bool) {
	if clean && c.OnlyMarkers() {
		c.AfterReplies(func() { l.ReleaseDedicated(c, true) })
		return
	}
	key := l.lent[c]
	delete(l.lent, c)
	l.dedicated.lent.Add(-1)
	spares := l.dedicatedIdle[key]
	if clean && c.Up() && !c.Stale() && c.InFlight() == 0 && len(spares) < maxDedicatedIdle && key.server == l.shards[key.shard].primary &&
		l.dedicated.lent.Load()+l.dedicated.spare.Load() < int64(l.conf.PinnedConnections) {
		l.setSpares(key, append(spares, spare{c, l.loop.Now()}))
		return
	}
	c.Close()
}

// lastWord is how long a server that has lost its shard may still answer what it
// was sent over a connection that one client has. One that hands over as planned
// holds writes back and then refuses them, so that they can go to the new
// primary; one that is demoted tells blocked clients itself.
const lastWord = time.Second

// endLent ends a connection that a client has: when what is under way on it is
// answered, or after lastWord.
func (l *Local) endLent(c *pipeline.Conn, key dedicatedKey) {
	end := func() {
		if l.lent[c] == key {
			c.Suspend()
		}
	}
	if c.WaitingSince() == 0 { // nothing has been sent
		end()
		return
	}
	late := l.loop.NewTimer(end)
	late.After(lastWord)
	c.AfterReplies(func() {
		late.Stop()
		end()
	})
}

// closeSpares closes those connections that no client has for which which reports
// true.
func (l *Local) closeSpares(which func(key dedicatedKey, s spare) bool) {
	for key, spares := range l.dedicatedIdle {
		var kept []spare
		for _, s := range spares {
			if which(key, s) {
				s.conn.Close()
			} else {
				kept = append(kept, s)
			}
		}
		if len(kept) < len(spares) {
			l.setSpares(key, kept)
		}
	}
}
