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

	unconfirmed atomic.Int64 // total, and what concerns scripts only

	mu      sync.Mutex // taken to change the maps; it guards what follows
	epoch   uint64     // each mark of a script ends one
	byShard map[int]*epochs
}

// anyTopic stands for the topics of a request that have not been subscribed to yet.
const anyTopic = TopicKinds

// everyShard stands for all shards of a Cluster, which pass messages on to each other.
const everyShard = -1

// unconfirmedTopic is a topic that a server has yet to confirm.
type unconfirmedTopic struct {
	kind      TopicKind
	name      string
	shard     int    // where it is, for a PUBLISH
	scriptsAt int    // where it is, for a script
	scripts   bool   // it concerns scripts only
	epoch     uint64 // in which it came; add sets it
}

// add counts a topic, until remove is called.
func (j *subscribing) add(t *unconfirmedTopic) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !t.scripts {
		j.count(t, 1)
	}
	t.epoch = j.epoch
	if j.byShard == nil {
		j.byShard = map[int]*epochs{}
	}
	if j.byShard[t.scriptsAt] == nil {
		j.byShard[t.scriptsAt] = &epochs{}
	}
	j.byShard[t.scriptsAt].add(t.epoch)
	j.unconfirmed.Add(1)
}

// remove ends add.
func (j *subscribing) remove(t *unconfirmedTopic) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !t.scripts {
		j.count(t, -1)
	}
	if at := j.byShard[t.scriptsAt]; at.remove(t.epoch) {
		delete(j.byShard, t.scriptsAt)
	}
	j.unconfirmed.Add(-1)
}

// count adds n to the number of a topic that PUBLISH waits for.
func (j *subscribing) count(t *unconfirmedTopic, n int) {
	switch t.kind {
	case Pattern:
		count(&j.patterns, t.shard, n)
	case Channel, ShardChannel:
		count(&j.channels[t.kind], t.name, n)
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
	t := &unconfirmedTopic{kind: anyTopic, shard: everyShard, scriptsAt: everyShard}
	l.subscribing.add(t)
	return func() { l.subscribed(t) }
}

// MarkUnconfirmed returns a mark of all subscriptions that are unconfirmed now, for
// IsUnconfirmed; 0 if there is none.
func (l *Local) MarkUnconfirmed() (mark uint64) {
	j := &l.subscribing
	if j.unconfirmed.Load() == 0 {
		return 0
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.epoch++ // what comes from now on is not meant
	return j.epoch
}

// IsUnconfirmed reports whether a script that runs at a shard must wait, since a subscription
// of those that MarkUnconfirmed meant is still unconfirmed there. Which channels a script
// publishes on is not known. If so the function set with SetOnSubscribed is called when that
// may have changed.
func (l *Local) IsUnconfirmed(shard int, mark uint64) bool {
	j := &l.subscribing
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.byShard[shard].hasBefore(mark) && !j.byShard[everyShard].hasBefore(mark) {
		return false
	}
	j.publisherWaits.Store(true) // what ends the waiting takes mu before it looks
	return true
}

// SetOnSubscribed sets what is called on the loop when IsSubscribing may have changed. It
// must be called before subscriptions are made.
func (l *Local) SetOnSubscribed(onSubscribed func()) { l.onSubscribed = onSubscribed }

// subscribed ends subscribing.add.
func (p *Pool) subscribed(t *unconfirmedTopic) {
	p.subscribing.remove(t)
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

// countPending makes PUBLISH, and scripts, wait for a part of a topic, until uncountPending.
func (h *hub) countPending(t *topic, p *part) {
	if p.counted != nil {
		return
	}
	p.counted = &unconfirmedTopic{kind: t.Kind, name: t.Name, shard: p.shard, scriptsAt: p.shard, scripts: p.scriptsOnly}
	if h.l.servers.Slotted() {
		if t.Kind == Pattern {
			p.counted.shard = everyShard
		}
		if t.Kind != ShardChannel {
			p.counted.scriptsAt = everyShard
		}
	}
	h.l.subscribing.add(p.counted)
}

// uncountPending ends countPending. It does nothing to a part that is not counted.
func (h *hub) uncountPending(p *part) {
	if p.counted != nil {
		h.l.subscribed(p.counted)
		p.counted = nil
	}
}

// epochs are the numbers of what is unconfirmed, by the epoch in which it came: the oldest first.
// The zero value and nil hold nothing.
type epochs []epochCount

type epochCount struct {
	epoch uint64
	n     int
}

// add counts one in the latest epoch.
func (e *epochs) add(epoch uint64) {
	if last := len(*e) - 1; last >= 0 && (*e)[last].epoch == epoch {
		(*e)[last].n++
		return
	}
	*e = append(*e, epochCount{epoch, 1})
}

// remove ends add. It reports whether nothing is left.
func (e *epochs) remove(epoch uint64) (empty bool) {
	for i := range *e {
		if (*e)[i].epoch == epoch {
			if (*e)[i].n--; (*e)[i].n == 0 {
				*e = slices.Delete(*e, i, i+1)
			}
			break
		}
	}
	return len(*e) == 0
}

// hasBefore reports whether something of an epoch before the given one is left.
func (e *epochs) hasBefore(epoch uint64) bool {
	return e != nil && len(*e) > 0 && (*e)[0].epoch < epoch
}
