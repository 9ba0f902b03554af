// Package pubsub holds what one event loop listens to at a pool's servers for its
// clients: channels and patterns, keys that change (for CLIENT TRACKING), and MONITOR.
//
// Clients share connections. However many listen to a channel, each server is asked
// once by a loop, or a few times where there are many clients, and its messages are
// handed on to all of them. A connection comes back by itself when it was lost, and it
// follows the shard's primary.
//
// A Pool is shared by all loops. A Local is one loop's part and belongs to that loop:
//
//	shared := pubsub.NewPool(&cfg.Pools[0], &cfg.Proxy, log)
//	subs := pubsub.NewLocal(shared, loop, local) // local is a *pool.Local
//	local.SetFollower(subs)                      // which tells it of changes
//	sub, wait, reply := subs.Join(pubsub.Channel, "news", listener)
//	...
//	subs.Leave(sub, nil)
//
// Sessions are its Listeners.
package pubsub

import (
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/pipeline"
)

// Pool is what the subscriptions of all loops to one pool share. Any goroutine may use it.
type Pool struct {
	// Static after construction.
	conf  *conf.Pool
	proxy *conf.Proxy
	log   *slog.Logger

	SubscriberCounts
	joins joining
	losses

	mu     sync.Mutex // guards locals
	locals []*Local
}

// NewPool returns what all loops share for a pool. The caller keeps its arguments as they
// are.
func NewPool(c *conf.Pool, proxy *conf.Proxy, log *slog.Logger) *Pool {
	return &Pool{conf: c, proxy: proxy, log: log.With("pool", c.Name)}
}

// Servers is what subscriptions need to know of a pool's servers, as their loop does. It
// is called on the loop.
type Servers interface {
	// Shards is how many shards there are. In a Cluster there may come more.
	Shards() int
	// ShardOf returns the shard that owns a channel.
	ShardOf(channel []byte) int
	// Slotted reports whether the pool is a Cluster, whose servers pass messages on to
	// each other.
	Slotted() bool
	// Absent reports whether nothing is to be had from a shard: it was ejected, or is a
	// primary of a Cluster that serves no slot.
	Absent(shard int) bool
	// Primary returns how connections to a shard's primary are made and who is told of
	// their health; or an error, for clients, while no primary is known.
	Primary(shard int) (cfg *pipeline.Config, obs pipeline.Observer, err error)
	// Moved returns the shard to which a shard's server sends a subscription on, if its
	// reply does that. The pool learns from it.
	FollowMoved(shard int, reply []byte) (to int, ok bool)
}

// Local is one loop's subscriptions to a pool. It belongs to the loop.
type Local struct {
	*Pool
	loop         *eventloop.Loop
	servers      Servers
	onSubscribed func() // see SetOnJoined

	hubs          []*hub
	seats         map[Listener]*seat // which of the hubs each listener has
	invalidations *invalidations     // nil while nobody tracks
}

// NewLocal returns the subscriptions of one more loop. It is called on the loop, or
// before that runs. The caller has servers tell it of changes.
func NewLocal(p *Pool, loop *eventloop.Loop, servers Servers) *Local {
	l := &Local{Pool: p, loop: loop, servers: servers, onSubscribed: func() {}, seats: map[Listener]*seat{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.locals = append(p.locals, l)
	return l
}

// Listener is a client with subscriptions. It is called on the loop.
type Listener interface {
	// Joined says that a subscription for which Join said wait is settled. With
	// a reply, an error valid only during the call, it has failed, and the
	// listener must Leave it.
	Subscribed(sub *Subscription, reply []byte)

	// Message is given a message as a RESP2 array, valid only during the call, and
	// the subscription that it comes of. That may be one for which Joined has yet to
	// be called.
	Message(sub *Subscription, frame []byte)

	// Missed says that messages of one of the listener's topics may have been lost:
	// the connection that they come over was, or its server is another one now.
	Missed()
}

// Subscription is one listener's share in a topic.
type Subscription struct {
	// Live is the listener's: its client knows of the subscription.
	Live bool

	topic   *topic
	index   int // in topic.subs
	l       Listener
	waiting bool // Joined has yet to be called
}

// Name returns the channel's name, or the pattern.
func (s *Subscription) Name() string { return s.topic.Name }

// Join subscribes a listener to a channel or a pattern, at all servers at which
// messages for it may be published. If wait is true, Joined will be called; if
// not, the subscription is in force, or has failed if there is a reply.
func (l *Local) Subscribe(kind TopicKind, name string, to Listener) (sub *Subscription, wait bool, reply []byte) {
	h := l.hubFor(to)
	t := h.topics[kind][name]
	if t == nil {
		t = &topic{Topic: Topic{Kind: kind, Name: name}, hub: h}
		h.topics[kind][name] = t
		shards, owner := l.listenAt(kind, name)
		t.parts = make([]part, 0, len(shards))
		for _, shard := range shards {
			h.ask(t, shard, owner)
		}
		if len(t.parts) > 1 && owner >= 0 {
			h.watch(t)
		}
	}
	sub = &Subscription{topic: t, index: len(t.subs), l: to}
	if t.subs = append(t.subs, sub); len(t.subs) > 1 {
		l.SubscriberCounts.add(&t.Topic, 1)
	}
	settled, reply := t.outcome()
	if !settled {
		sub.waiting = true
		t.await()
	}
	return sub, !settled, reply
}

// Leave ends a subscription. The last one of a topic ends that: if servers must
// confirm it, wait is true and done, if not nil, will be called.
func (l *Local) Unsubscribe(sub *Subscription, done func()) (wait bool) {
	t := sub.topic
	h := t.hub
	l.unseat(sub.l)
	if sub.waiting {
		sub.waiting = false
		t.waiting--
	}
	last := len(t.subs) - 1
	t.subs[sub.index] = t.subs[last]
	t.subs[sub.index].index = sub.index
	t.subs[last] = nil
	t.subs = t.subs[:last]
	if last > 0 {
		l.SubscriberCounts.add(&t.Topic, -1)
		return false
	}
	delete(h.topics[t.Kind], t.Name)
	leaves := &leaving{done: done}
	for i := range t.parts {
		p := &t.parts[i]
		h.noted(t, p)
		if f := h.feedOf(p.server); f.leave(t) && !p.scriptsOnly {
			leaves.feeds = append(leaves.feeds, f)
		}
	}
	if len(leaves.feeds) == 0 || done == nil {
		return false
	}
	h.leaving[&t.Topic] = leaves
	return true
}

// MapChanged moves subscriptions to where they belong: channels and keys may have other
// owners now, or a server is down or back. Like all that follows it is called on the loop.
func (l *Local) MapChanged() {
	l.invalidations.mapChanged()
	for _, h := range l.hubs {
		for kind, topics := range h.topics {
			for name, t := range topics {
				shards, owner := l.listenAt(TopicKind(kind), name)
				h.move(t, shards, owner)
			}
		}
	}
}

// PrimaryChanged has everything that is listened to at a shard follow its primary.
func (l *Local) PrimaryChanged(shard int) {
	for _, h := range l.hubs {
		h.primaryChanged(shard)
	}
	l.invalidations.primaryChanged(shard)
}

// Resolved says at which IP addresses the server with the address addr is found now.
// Connections to another one are made anew.
func (l *Local) Resolved(addr string, at []netip.Addr) {
	for _, c := range l.connections() {
		if peer := c.link.Peer(); c.link.Addr() == addr && peer.IsValid() && !slices.Contains(at, peer) {
			c.link.Renew()
		}
	}
}

// connections returns those to primaries, but for MONITOR's.
func (l *Local) connections() (all []*connection) {
	for _, h := range l.hubs {
		for _, f := range h.feeds {
			if f != nil && f.conn != nil {
				all = append(all, f.conn)
			}
		}
	}
	if l.invalidations != nil {
		for _, e := range l.invalidations.shards {
			if e.conn != nil {
				all = append(all, e.conn)
			}
		}
	}
	return all
}

// Close closes the connections for good.
func (l *Local) Close() {
	for _, c := range l.connections() {
		c.close()
	}
	l.invalidations = nil
}
