package pool

import (
	"sync"
	"sync/atomic"

	"ringway/pipeline"
)

// Audience knows how many more clients listen to a topic than connections of this
// proxy do, since those of a loop share one: so many does a server's count of
// receivers lack. It is shared by all loops.
type Audience struct {
	shared atomic.Int64 // topics with more listeners than connections

	mu    sync.Mutex // guards extra
	extra [pipeline.TopicKinds]map[string]int
}

// Shared tells whether any topic has more listeners than connections.
func (a *Audience) Shared() bool { return a.shared.Load() > 0 }

// add counts listeners beyond the first one of their loop.
func (a *Audience) add(t *pipeline.Topic, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	topics := a.extra[t.Kind]
	if topics == nil {
		topics = map[string]int{}
		a.extra[t.Kind] = topics
	}
	if topics[t.Name] += n; topics[t.Name] == 0 {
		delete(topics, t.Name)
	}
	shared := 0
	for _, topics := range a.extra {
		shared += len(topics)
	}
	a.shared.Store(int64(shared))
}

// Extra is what the server's count of a channel's subscribers lacks.
func (a *Audience) Extra(kind pipeline.TopicKind, channel string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.extra[kind][channel]
}

// ExtraReceivers is what the server's count of a message's receivers lacks: those
// who listen to its channel, and to patterns that match it.
func (a *Audience) ExtraReceivers(kind pipeline.TopicKind, channel string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := a.extra[kind][channel]
	if kind == pipeline.Channel {
		for pattern, extra := range a.extra[pipeline.Pattern] {
			if matchPattern(pattern, channel) {
				n += extra
			}
		}
	}
	return n
}
