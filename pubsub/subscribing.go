package pubsub

import (
	"slices"
	"sync"
	"sync/atomic"
)

// subscribing is the topics that loops have subscribed to and that servers have yet to
// confirm. SUBSCRIBE and PUBLISH reach a server over different connections, so a PUBLISH on
// such a topic waits: else its message could overtake a SUBSCRIBE that came before it. All
// loops share it.
type subscribing struct {
	total          atomic.Int64
	channels       [TopicKinds]sync.Map // by name: how many
	patterns       sync.Map             // by shard: how many
	publisherWaits atomic.Bool

	mu sync.Mutex // taken to change the maps
}

// anyTopic stands for the topics of a request that have not been subscribed to yet.
const anyTopic = TopicKinds

// everyShard stands for all shards of a Cluster, which pass messages on to each other.
const everyShard = -1

// add counts n topics at a shard; n may be negative.
func (j *subscribing) add(kind TopicKind, name string, shard, n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch kind {
	case Pattern:
		count(&j.patterns, shard, n)
	case Channel, ShardChannel:
		count(&j.channels[kind], name, n)
	default:
		count(&j.patterns, everyShard, n)
	}
	j.total.Add(int64(n))
}

// count adds n to the number of key, and drops numbers that are 0.
func count(m *sync.Map, key any, n int) {
	was, _ := m.Load(key)
	if before, _ := was.(int); before+n != 0 {
		m.Store(key, before+n)
		return
	}
	m.Delete(key)
}

// has reports whether a channel may be one of those topics, or match one.
func (j *subscribing) has(kind TopicKind, channel string, shard int) bool {
	if _, ok := j.channels[kind].Load(channel); ok {
		return true
	}
	if _, ok := j.patterns.Load(everyShard); ok {
		return true
	}
	_, ok := j.patterns.Load(shard)
	return ok && kind == Channel
}

// Subscribing reports whether any subscription is unconfirmed. Any goroutine may call it.
func (p *Pool) Subscribing() bool { return p.subscribing.total.Load() > 0 }

// IsSubscribing reports whether a message on a channel must wait because a subscription
// that it is for is unconfirmed. Then the function set with SetOnSubscribed is called
// when that may have changed.
func (l *Local) IsSubscribing(kind TopicKind, channel string) bool {
	shard := l.servers.ShardOf([]byte(channel))
	if !l.subscribing.has(kind, channel, shard) {
		return false
	}
	l.subscribing.publisherWaits.Store(true)
	return l.subscribing.has(kind, channel, shard) // it may have changed before publisherWaits was set
}

// SubscribingMany reports that a client is about to Subscribe to many topics, until the
// function that it returns is called.
func (l *Local) SubscribingMany() (done func()) {
	l.subscribing.add(anyTopic, "", everyShard, 1)
	return func() { l.subscribed(anyTopic, "", everyShard) }
}

// SetOnSubscribed sets what is called on the loop when IsSubscribing may have changed. It
// must be called before subscriptions are made.
func (l *Local) SetOnSubscribed(onSubscribed func()) { l.onSubscribed = onSubscribed }

// subscribed ends subscribing.add of one topic.
func (p *Pool) subscribed(kind TopicKind, name string, shard int) {
	p.subscribing.add(kind, name, shard, -1)
	if !p.subscribing.publisherWaits.Swap(false) {
		return
	}
	p.mu.Lock()
	locals := slices.Clone(p.locals)
	p.mu.Unlock()
	for _, l := range locals {
		l.loop.Post(l.onSubscribed)
	}
}

// countPending makes PUBLISH wait for a part of a topic, until uncountPending.
func (h *hub) countPending(t *topic, p *part) {
	if p.scriptsOnly || p.counted {
		return
	}
	p.counted = true
	h.l.subscribing.add(t.Kind, t.Name, h.countedAt(t, p), 1)
}

// uncountPending ends countPending. It does nothing to a part that is not counted.
func (h *hub) uncountPending(t *topic, p *part) {
	if p.counted {
		p.counted = false
		h.l.subscribed(t.Kind, t.Name, h.countedAt(t, p))
	}
}

// countedAt returns the shard at which a part is counted.
func (h *hub) countedAt(t *topic, p *part) int {
	if t.Kind == Pattern && h.l.servers.Slotted() {
		return everyShard
	}
	return p.shard
}
