package pool

import (
	"net/netip"

	"ringway/pipeline"
	"ringway/resp"
)

// Subscriptions have connections of their own to a pool's servers (package pubsub). A
// Local tells them of what changes, and they ask it where the shards are.

// Follower is told, on the loop, of what changes for who has connections of its own to a
// pool's servers.
type ChangeListener interface {
	// MapChanged says that keys may have other owners, or that a server of a static pool
	// is down or back.
	MapChanged()
	// PrimaryChanged says that a shard has another primary, or none.
	PrimaryChanged(shard int)
	// Resolved says at which IP addresses the server with the address addr is found now.
	Resolved(addr string, at []netip.Addr)
	// Close says that the Local is closed.
	Close()
}

// noFollower is the Follower of a Local that has none.
type noListener struct{}

func (noListener) MapChanged()                   {}
func (noListener) PrimaryChanged(int)            {}
func (noListener) Resolved(string, []netip.Addr) {}
func (noListener) Close()                        {}

// SetFollower says who is told of changes. It is to be called before the connections are
// used.
func (l *Local) SetChangeListener(f ChangeListener) { l.changes = f }

// ShardOf returns the shard that owns a key.
func (l *Local) ShardOf(key []byte) int { return l.Map().Index(key) }

// Slotted reports whether the pool is a Cluster.
func (l *Local) Slotted() bool { return l.Map().Slotted() }

// Primary returns what connections of a Follower to a shard's primary need to know, and
// who observes them. They are the pool's own user's. While no primary is known it returns
// ErrNoPrimary.
func (l *Local) Primary(shard int) (*pipeline.Config, pipeline.Observer, error) {
	s := l.shardAt(shard).primary
	if s == nil {
		return nil, nil, ErrNoPrimary
	}
	return s.config(kind{protocol: resp.RESP2}, forAll), s, nil
}

// Moved reads what a shard's server has answered a Follower, and learns from it. If it is
// a -MOVED that can be followed, it returns the shard that it names.
func (l *Local) FollowMoved(shard int, reply []byte) (to int, ok bool) {
	r, ok := l.redirection(l.shardAt(shard), reply)
	if !ok || r.kind != Moved {
		return 0, false
	}
	return l.learn(r).index, true
}
