package pool

import (
	"errors"
	"time"

	"ringway/pipeline"
)

// ErrNoPin tells that all connections that clients may have to themselves are
// in use.
var ErrNoPin = errors.New("no pinned connection left")

// sparePins is how many pinned connections to one server a loop keeps for the
// next client.
const sparePins = 4

// pinKey is what connections that clients have to themselves differ by.
type pinKey struct {
	link
	kind
}

// Pin lends a connection to a shard's primary to one client alone, until Unpin.
// Its protocol and database are those of the lanes. It ends for good when it is
// lost.
func (n *Lanes) Pin(shard int) (*pipeline.Conn, error) {
	l := n.l
	sh := l.shardAt(shard)
	key := pinKey{link{shard: shard, server: sh.primary}, n.kind}
	for spare := l.pins[key]; len(spare) > 0; {
		last := len(spare) - 1
		c := spare[last]
		spare = spare[:last]
		l.pins[key] = spare
		if c.Up() {
			l.lent[c] = key
			return c, nil
		}
		l.pinned.Add(-1)
	}
	if l.pinned.Add(1) > int64(l.conf.PinnedConnections) {
		l.pinned.Add(-1)
		return nil, ErrNoPin
	}
	var c *pipeline.Conn
	switch {
	case sh.refusal != nil:
		c = n.refusing(sh.refusal)
	case sh.primary == nil:
		c = n.refusing(ErrNoPrimary)
	default:
		c = pipeline.New(l.loop, sh.primary.config(n.kind, forOne), n.observer(sh.primary))
		if l.IsDown(shard) {
			c.Suspend()
		}
	}
	l.lent[c] = key
	return c, nil
}

// Unpin gives a connection back. If nothing is under way on it and the server
// has forgotten its client, clean, it may be lent again; else it is closed. A
// fence that is under way decides that when it is answered.
func (l *Local) Unpin(c *pipeline.Conn, clean bool) {
	if clean && c.OnlyFences() {
		c.AfterReplies(func() { l.Unpin(c, true) })
		return
	}
	key := l.lent[c]
	delete(l.lent, c)
	if spare := l.pins[key]; clean && c.Up() && !c.Stale() && c.InFlight() == 0 && len(spare) < sparePins && key.server == l.shards[key.shard].primary {
		l.pins[key] = append(spare, c)
		return
	}
	c.Close()
	l.pinned.Add(-1)
}

// lastWord is how long a server that has lost its shard may still answer what it
// was sent over a connection that one client has. One that hands over as planned
// holds writes back and then refuses them, so that they can go to the new
// primary; one that is demoted tells blocked clients itself.
const lastWord = time.Second

// endLent ends a connection that a client has: when what is under way on it is
// answered, or after lastWord.
func (l *Local) endLent(c *pipeline.Conn, key pinKey) {
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

// closePins closes connections that no client has.
func (l *Local) closePins(spare []*pipeline.Conn) {
	for _, c := range spare {
		c.Close()
		l.pinned.Add(-1)
	}
}
