package pubsub

import (
	"slices"
	"sync"
	"sync/atomic"
)

// joining is what loops have asked servers to subscribe to, and these have yet to
// confirm. SUBSCRIBE and PUBLISH reach a server over different connections, so who
// publishes on such a topic waits: else a message could overtake a subscription that
// was asked for before. It is shared by all loops.
type joining struct {
	total    atomic.Int64
	channels [TopicKinds]sync.Map // by name, how many
	patterns sync.Map             // by shard, how many
	awaited  atomic.Bool          // somebody waits

	mu sync.Mutex // taken to change the maps
}

// anyTopic stands for a request to subscribe of which not all names are asked for yet.
const anyTopic = TopicKinds

// everyShard stands for all shards of a Cluster, which pass messages on to each other.
const everyShard = -1

// add counts topics that are asked for at a shard.
func (j *joining) add(kind TopicKind, name string, shard, n int) {
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

func count(m *sync.Map, key any, n int) {
	was, _ := m.Load(key)
	if before, _ := was.(int); before+n != 0 {
		m.Store(key, before+n)
		return
	}
	m.Delete(key)
}

// has reports whether a channel may be one of those topics.
func (j *joining) has(kind TopicKind, channel string, shard int) bool {
	if _, ok := j.channels[kind].Load(channel); ok {
		return true
	}
	if _, ok := j.patterns.Load(everyShard); ok {
		return true
	}
	_, ok := j.patterns.Load(shard)
	return ok && kind == Channel
}

// Joining reports whether anything is being subscribed to. Any goroutine may call it.
func (p *Pool) Subscribing() bool { return p.joins.total.Load() > 0 }

// IsJoining reports whether a message on a channel must wait since somebody is about to
// subscribe to it. Then what SetOnJoined says is called when that may have changed.
func (l *Local) IsSubscribing(kind TopicKind, channel string) bool {
	shard := l.servers.ShardOf([]byte(channel))
	if !l.joins.has(kind, channel, shard) {
		return false
	}
	l.joins.awaited.Store(true)
	return l.joins.has(kind, channel, shard) // or it changed before anybody knew
}

// JoinsMany says that a client is about to Join many topics, until the function that it
// returns is called.
func (l *Local) SubscribingMany() (done func()) {
	l.joins.add(anyTopic, "", everyShard, 1)
	return func() { l.joined(anyTopic, "", everyShard) }
}

// SetOnJoined says what is called on the loop when IsJoining may have changed. It is to
// be called before the connections are used.
func (l *Local) SetOnSubscribed(onJoined func()) { l.onSubscribed = onJoined }

// joined ends joining.add of one topic.
func (p *Pool) joined(kind TopicKind, name string, shard int) {
	p.joins.add(kind, name, shard, -1)
	if !p.joins.awaited.Swap(false) {
		return
	}
	p.mu.Lock()
	locals := slices.Clone(p.locals)
	p.mu.Unlock()
	for _, l := range locals {
		l.loop.Post(l.onSubscribed)
	}
}

// expect notes that a server was asked for a topic, until noted says that it need not
// be waited for any more.
func (h *hub) expect(t *topic, p *part) {
	if p.scriptsOnly || p.expected {
		return
	}
	p.expected = true
	h.l.joins.add(t.Kind, t.Name, h.placeOf(t, p), 1)
}

func (h *hub) noted(t *topic, p *part) {
	if p.expected {
		p.expected = false
		h.l.joined(t.Kind, t.Name, h.placeOf(t, p))
	}
}

func (h *hub) placeOf(t *topic, p *part) int {
	if t.Kind == Pattern && h.l.servers.Slotted() {
		return everyShard
	}
	return p.server
}
