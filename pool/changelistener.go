package pool

import (
	"net/netip"

	"ringway/pipeline"
	"ringway/resp"
)

// Subscriptions have connections of their own to a pool's servers (package pubsub). A
// Local reports changes to them, and they ask it where the shards are.

// ChangeListener is told of changes in a pool because it has connections of its own to
// the servers. Its methods are called on the loop.
type ChangeListener interface {
	// MapChanged reports that keys may have other owners, or that a server of a static
	// pool was taken down or restored.
	MapChanged()
	// PrimaryChanged reports that a shard has another primary, or none.
	PrimaryChanged(shard int)
	// Resolved reports to which IP addresses the name in the server address addr resolves
	// now.
	Resolved(addr string, at []netip.Addr)
	// Reconfigured reports that the pool has another configuration, and may have other shards. With
	// renew, connections are to be made anew.
	Reconfigured(renew bool)
	// AfterSubscribing calls done, on the loop, when each server has answered all subscriptions, or can't be
	// reached.
	AfterSubscribing(done func())
	// Close reports that the Local is closed.
	Close()
}

// noListener is the ChangeListener of a Local that has none.
type noListener struct{}

func (noListener) MapChanged()                   {}
func (noListener) PrimaryChanged(int)            {}
func (noListener) Resolved(string, []netip.Addr) {}
func (noListener) Reconfigured(bool)             {}
func (noListener) AfterSubscribing(done func())  { done() }
func (noListener) Close()                        {}

// SetChangeListener sets who is told of changes. It must be called before the connections
// are used.
func (l *Local) SetChangeListener(f ChangeListener) { l.changes = f }

// Removed reports whether a static pool's configuration no longer has a shard's server, and nothing is
// under way there.
func (l *Local) Removed(shard int) bool { return l.shardAt(shard).removed }

// ShardOf returns the shard that owns a key.
func (l *Local) ShardOf(key []byte) int { return l.Map().Index(key) }

// Slotted reports whether the pool is a Cluster.
func (l *Local) Slotted() bool { return l.Map().Slotted() }

// Primary returns the configuration of connections to a shard's primary, for the pool's
// own user, and their Observer. While no primary is known it returns ErrNoPrimary.
func (l *Local) Primary(shard int) (*pipeline.Config, pipeline.Observer, error) {
	sh := l.shardAt(shard)
	s := sh.primary
	if s == nil || sh.removed {
		return nil, nil, ErrNoPrimary
	}
	return s.config(kind{protocol: resp.RESP2}, useShared), s, nil
}

// FollowMoved returns the shard that a reply names if it is a -MOVED that can be
// followed; the pool then gives the slot to that shard. The reply is of a shard's server,
// to a request of the ChangeListener.
func (l *Local) FollowMoved(shard int, reply []byte) (to int, ok bool) {
	r, ok := l.redirection(l.shardAt(shard), reply)
	if !ok || r.kind != Moved {
		return 0, false
	}
	return l.learn(r).index, true
}
