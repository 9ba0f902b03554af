package pool

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"ringway/pipeline"
)

// ErrNoDedicated reports that clients use as many dedicated connections as
// pinned_connections allows.
var ErrNoDedicated = errors.New("no pinned connection left")

// A loop keeps up to maxSpares dedicated connections of one kind to one server for the next
// client, each for spareFor at most.
const (
	maxSpares = 4
	spareFor  = time.Minute
)

// dedicatedKey is what distinguishes dedicated connections.
type dedicatedKey struct {
	endpoint
	kind
}

// spare is a dedicated connection that no client has.
type spare struct {
	conn  *pipeline.Conn
	since int64 // as eventloop.Loop.Now
}

// dedicatedCount counts dedicated connections over all loops. Together they stay within
// pinned_connections. When a client asks for one only those lent to clients count: spare
// ones give way.
type dedicatedCount struct{ lent, spare atomic.Int64 }

func (p *dedicatedCount) over(limit int) bool { return p.lent.Load()+p.spare.Load() > int64(limit) }

// Acquire lends a connection to a shard's primary to one client alone, until
// ReleaseDedicated. It has the protocol, database and user of the set. Once lost it is
// not made again. The error is ErrNoDedicated.
func (cs *ConnSet) Acquire(shard int) (*pipeline.Conn, error) {
	l := cs.l
	sh := l.shardAt(shard)
	key := dedicatedKey{endpoint{shard: shard, server: sh.primary}, cs.kind}
	if l.dedicated.lent.Add(1) > int64(l.Conf().PinnedConnections) {
		l.dedicated.lent.Add(-1)
		return nil, ErrNoDedicated
	}
	c := l.takeSpare(key)
	if c == nil {
		c = cs.newDedicated(sh)
		l.evictSpare()
	}
	l.lent[c] = key
	return c, nil
}

// newDedicated returns a new connection to a shard's primary, or one that refuses all
// requests while there is none.
func (cs *ConnSet) newDedicated(sh *localShard) *pipeline.Conn {
	switch {
	case sh.refusal != nil:
		return cs.refusing(sh.refusal)
	case sh.primary == nil || sh.removed:
		return cs.refusing(ErrNoPrimary)
	}
	c := cs.l.newConn(sh.primary, sh.primary.config(cs.kind, useDedicated), cs.observer(sh.primary))
	sh.setAcker(c)
	if cs.l.IsDown(sh.index) {
		c.SuspendFor(cs.l.outage(sh.index))
	}
	return c
}

// takeSpare returns the spare connection of a kind that was used last, or nil.
func (l *Local) takeSpare(key dedicatedKey) *pipeline.Conn {
	for {
		spares := l.spares[key]
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

// setSpares replaces the spare connections of a kind and counts them.
func (l *Local) setSpares(key dedicatedKey, spares []spare) {
	change := int64(len(spares) - len(l.spares[key]))
	l.dedicated.spare.Add(change)
	l.spareCount.Add(change)
	if len(spares) == 0 {
		delete(l.spares, key)
		return
	}
	l.spares[key] = spares
}

// evictSpare closes a spare connection if there are too many connections: one of this
// loop if it has any, else one of another loop.
func (l *Local) evictSpare() {
	if !l.dedicated.over(l.Conf().PinnedConnections) {
		return
	}
	for key, spares := range l.spares {
		spares[0].conn.Close()
		l.setSpares(key, slices.Delete(spares, 0, 1))
		return
	}
	l.mu.Lock()
	i := slices.IndexFunc(l.locals, func(other *Local) bool { return other != l && other.spareCount.Load() > 0 })
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
	if l.spareCount.Load() > 0 {
		l.evictSpare()
	}
}

// ReleaseDedicated gives a connection back. clean says that the server keeps nothing of
// its client (WATCH, MULTI); then it may be lent again if nothing is in flight on it.
// Else it is closed. If only markers are in flight, that is decided when they are
// answered.
func (l *Local) ReleaseDedicated(c *pipeline.Conn, clean bool) {
	if clean && c.OnlyMarkers() {
		c.AfterReplies(func() { l.ReleaseDedicated(c, true) })
		return
	}
	key := l.lent[c]
	delete(l.lent, c)
	l.dedicated.lent.Add(-1)
	spares := l.spares[key]
	if clean && c.Up() && !c.Stale() && c.InFlight() == 0 && len(spares) < maxSpares && key.server == l.shards[key.shard].primary &&
		l.dedicated.lent.Load()+l.dedicated.spare.Load() < int64(l.Conf().PinnedConnections) {
		l.setSpares(key, append(spares, spare{c, l.loop.Now()}))
		return
	}
	c.Close()
}

// lentDrainTime is how long a server that has lost its shard may still answer what it was
// sent over a dedicated connection. A primary that hands over as planned holds writes
// back and then refuses them, so that they can go to the new one; one that is demoted
// tells blocked clients itself.
const lentDrainTime = time.Second

// retireLent ends a connection that a client has: when what is in flight on it is
// answered, or after lentDrainTime.
func (l *Local) retireLent(c *pipeline.Conn, key dedicatedKey) {
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
	late.After(lentDrainTime)
	c.AfterReplies(func() {
		late.Stop()
		end()
	})
}

// closeSpares closes the spare connections for which which returns true.
func (l *Local) closeSpares(which func(key dedicatedKey, s spare) bool) {
	for key, spares := range l.spares {
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
