// Package pubsub subscribes at a pool's servers on behalf of the clients of an event loop:
// to channels and patterns, to keys that change (for CLIENT TRACKING), and to MONITOR.
//
// Clients share connections. However many clients listen to a channel, a loop subscribes to
// it once at each server, or a few times where there are many clients, and hands each message
// to all of them. A connection that is lost is made again and subscribes anew; it follows the
// shard's primary.
//
// A Pool is shared by all loops. A Local is one loop's part and belongs to that loop:
//
//	shared := pubsub.NewPool(p, log)             // p is a *pool.Pool
//	subs := pubsub.NewLocal(shared, loop, local) // local is a *pool.Local
//	local.SetChangeListener(subs)                // which reports changes of the pool to it
//	sub, wait, reply := subs.Subscribe(pubsub.Channel, "news", listener)
//	...
//	subs.Unsubscribe(sub, nil)
//
// Sessions are its Listeners. What it promises and what not is in docs/pubsub.md.
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
	settings Settings
	log      *slog.Logger

	// Safe for concurrent use.
	SubscriberCounts
	subscribing subscribing
	losses

	mu     sync.Mutex // guards locals
	locals []*Local
}

// Settings is the configuration of now; *pool.Pool has it. Any goroutine may call it.
type Settings interface {
	Conf() *conf.Pool
	Proxy() *conf.Proxy
}

// NewPool returns what all loops share for a pool.
func NewPool(settings Settings, log *slog.Logger) *Pool {
	return &Pool{settings: settings, log: log.With("pool", settings.Conf().Name)}
}

// Servers is what subscriptions need to know of a pool's servers, as their loop knows
// them; *pool.Local has it. It is called on the loop.
type Servers interface {
	// Shards returns how many shards there are. In a Cluster the number may grow.
	Shards() int
	// ShardOf returns the shard that owns a channel.
	ShardOf(channel []byte) int
	// Slotted reports whether the pool is a Cluster, whose servers pass messages on to
	// each other.
	Slotted() bool
	// Absent reports whether a shard serves no keys: it was ejected, or it is a primary
	// of a Cluster that serves no slot.
	Absent(shard int) bool
	// Removed reports whether a shard is gone for good, as far as it is known: nothing is to be
	// subscribed to there.
	Removed(shard int) bool
	// Primary returns how connections to a shard's primary are made and who is told of
	// their health; or an error, for clients, while no primary is known.
	Primary(shard int) (cfg *pipeline.Config, obs pipeline.Observer, err error)
	// FollowMoved returns the shard to which a reply of a shard's server sends a
	// subscription on, if it is a redirection. The pool learns from it.
	FollowMoved(shard int, reply []byte) (to int, ok bool)
}

// Local is one loop's subscriptions to a pool. It belongs to the loop.
type Local struct {
	*Pool

	// Static once subscriptions are made.
	loop         *eventloop.Loop
	servers      Servers
	onSubscribed func() // see SetOnSubscribed

	// Owned by the loop.
	hubs          []*hub
	members       map[Listener]*membership // in which of the hubs each listener is
	invalidations *invalidations           // nil while nobody tracks
	keyWatches    []*KeyWatch
}

// NewLocal returns the subscriptions of one more loop. It is called on the loop, or
// before that runs. The caller has servers report changes to it.
func NewLocal(p *Pool, loop *eventloop.Loop, servers Servers) *Local {
	l := &Local{Pool: p, loop: loop, servers: servers, onSubscribed: func() {}, members: map[Listener]*membership{}}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.locals = append(p.locals, l)
	return l
}

// Listener is a client with subscriptions. Its methods are called on the loop.
type Listener interface {
	// Subscribed reports the outcome of a subscription for which Subscribe returned wait.
	// If reply is not nil, it is an error, valid only during the call: the subscription
	// has failed, and the listener must Unsubscribe it.
	Subscribed(sub *Subscription, reply []byte)

	// Message hands over a message as a RESP2 array, valid only during the call, with the
	// subscription that it is for, and the shard whose primary has sent it. The outcome of the
	// subscription may not have been reported yet.
	Message(sub *Subscription, shard int, frame []byte)

	// Missed reports that messages of one of the listener's topics may have been lost:
	// their connection was lost, or their server is another one now.
	Missed()
}

// Subscription is one listener's subscription to a topic. It belongs to the loop.
type Subscription struct {
	// Live is for the listener: its client knows of the subscription.
	Live bool

	topic       *topic
	index       int // in topic.subs
	l           Listener
	unconfirmed bool // Subscribed has yet to be called
}

// Name returns the channel's name, or the pattern.
func (s *Subscription) Name() string { return s.topic.Name }

// Shards returns the shards at whose primaries there is the subscription.
func (s *Subscription) Shards() (shards []int) {
	for i := range s.topic.parts {
		shards = append(shards, s.topic.parts[i].shard)
	}
	return shards
}

// Everywhere reports whether all of these servers have confirmed the subscription. One at which only
// scripts publish may not have, although Subscribed was called.
func (s *Subscription) Everywhere() bool {
	return !slices.ContainsFunc(s.topic.parts, func(p part) bool { return p.state != confirmed })
}

// Subscribe subscribes a listener to a channel or a pattern, at all servers at which
// messages for it may be published. If wait is true, Listener.Subscribed reports the
// outcome later. Else the subscription is in force, or has failed if reply is not nil.
func (l *Local) Subscribe(kind TopicKind, name string, to Listener) (sub *Subscription, wait bool, reply []byte) {
	h := l.joinHub(to)
	t := h.topics[kind][name]
	if t == nil {
		t = &topic{Topic: Topic{Kind: kind, Name: name}, hub: h}
		h.topics[kind][name] = t
		shards, owner := l.shardsFor(kind, name)
		t.parts = make([]part, 0, len(shards))
		for _, shard := range shards {
			h.addPart(t, shard, owner)
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
		sub.unconfirmed = true
		t.addWaiting()
	}
	return sub, !settled, reply
}

// Unsubscribe ends a subscription. With the last one of a topic, servers are unsubscribed
// from it: if they must confirm that, wait is true and done, if not nil, will be called.
func (l *Local) Unsubscribe(sub *Subscription, done func()) (wait bool) {
	t := sub.topic
	h := t.hub
	l.leaveHub(sub.l)
	if sub.unconfirmed {
		sub.unconfirmed = false
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
	ending := &unsubscribing{done: done}
	for i := range t.parts {
		p := &t.parts[i]
		h.uncountPending(p)
		if f := h.feedOf(p.shard); f.unsubscribe(t) && !p.scriptsOnly {
			ending.feeds = append(ending.feeds, f)
		}
	}
	if len(ending.feeds) == 0 || done == nil {
		return false
	}
	h.unsubscribing[&t.Topic] = ending
	return true
}

// MapChanged moves subscriptions to where they belong: channels and keys may have other
// owners now, or a server was taken down or restored. It is called on the loop, as the
// methods below are.
func (l *Local) MapChanged() {
	l.invalidations.mapChanged()
	for _, w := range l.keyWatches {
		for _, s := range w.shards {
			w.to.WatchLost(s.index)
		}
	}
	l.moveTopics()
}

// moveTopics subscribes to each topic at the shards where it belongs, and nowhere else.
func (l *Local) moveTopics() {
	for _, h := range l.hubs {
		for kind, topics := range h.topics {
			for name, t := range topics {
				shards, owner := l.shardsFor(TopicKind(kind), name)
				h.move(t, shards, owner)
			}
		}
	}
}

// Reconfigured makes the connections follow the pool's configuration, and subscribes at shards that
// are new. With renew they are made anew. It is called on the loop.
func (l *Local) Reconfigured(renew bool) {
	l.eachLink(func(shard int, link *pipeline.Link) {
		if cfg, _, err := l.servers.Primary(shard); err == nil {
			link.SetConfig(cfg)
		}
		if renew {
			link.Renew()
		}
	})
	if l.invalidations != nil {
		l.invalidations.grow()
	}
	l.moveTopics()
}

// AfterSubscribing calls done when each server has answered all subscriptions of now, or can't be reached.
// It is called on the loop, and calls back there.
func (l *Local) AfterSubscribing(done func()) {
	left := 1
	answered := func() {
		if left--; left == 0 {
			done()
		}
	}
	for _, c := range l.connections() {
		left++
		c.afterAnswers(answered)
	}
	answered()
}

// PrimaryChanged makes all subscriptions at a shard follow its primary.
func (l *Local) PrimaryChanged(shard int) {
	for _, h := range l.hubs {
		h.primaryChanged(shard)
	}
	l.invalidations.primaryChanged(shard)
	for _, w := range l.keyWatches {
		if shard < len(w.shards) {
			w.shards[shard].primaryChanged()
		}
	}
}

// Resolved reports to which IP addresses the name in the server address addr resolves
// now. Connections to others are made anew.
func (l *Local) Resolved(addr string, at []netip.Addr) {
	renew := func(link *pipeline.Link) {
		if peer := link.Peer(); link.Addr() == addr && peer.IsValid() && !slices.Contains(at, peer) {
			link.Renew()
		}
	}
	l.eachLink(func(_ int, link *pipeline.Link) { renew(link) })
}

// eachLink calls fn with each connection, except those of MONITOR, and the shard to whose primary it is.
func (l *Local) eachLink(fn func(shard int, link *pipeline.Link)) {
	for _, h := range l.hubs {
		for shard, f := range h.feeds {
			if f != nil && f.conn != nil {
				fn(shard, f.conn.link)
			}
		}
	}
	if l.invalidations != nil {
		for _, e := range l.invalidations.shards {
			if e.conn != nil {
				fn(e.shard, e.conn.link)
			}
		}
	}
	for _, w := range l.keyWatches {
		for _, s := range w.shards {
			if s.link != nil {
				fn(s.index, s.link)
			}
		}
	}
}

// connections returns the connections to primaries, except those of MONITOR.
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
	for _, w := range slices.Clone(l.keyWatches) {
		w.Close()
	}
	l.invalidations = nil
}
