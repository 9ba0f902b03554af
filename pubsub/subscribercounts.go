package pubsub

import (
	"sync"
	"sync/atomic"

	"ringway/glob"
)

// SubscriberCounts holds how many subscribers the servers can't count. The clients of a loop
// share connections, so a server counts one receiver where there may be many. For each topic
// this is the number of clients that listen to it beyond the number of this proxy's
// connections that do. It is added to what PUBLISH and PUBSUB NUMSUB return. All loops share
// it; reading it takes no lock.
type SubscriberCounts struct {
	shared   atomic.Int64 // topics with more listeners than connections
	extra    [TopicKinds]sync.Map
	patterns atomic.Pointer[[]sharedPattern] // the patterns in extra; nil if there are too many to look at

	mu sync.Mutex // taken to change any of these
}

// sharedPattern is a pattern with more listeners than connections.
type sharedPattern struct {
	text  string
	extra int
}

const (
	// maxSharedPatterns is how many patterns are looked at for a message.
	maxSharedPatterns = 256
	// matchingWork and matchingWorkPerByte bound the steps of matching a message's channel
	// with patterns: some microseconds, and some for each byte of the name. Patterns beyond
	// that are not counted.
	matchingWork        = 4096
	matchingWorkPerByte = 4
)

// AnyShared reports whether any topic has more listeners than connections.
func (a *SubscriberCounts) AnyShared() bool { return a.shared.Load() > 0 }

// add counts listeners beyond the first one of their connection.
func (a *SubscriberCounts) add(t *Topic, n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	topics := &a.extra[t.Kind]
	was := a.ExtraSubscribers(t.Kind, t.Name)
	switch {
	case was+n == 0:
		topics.Delete(t.Name)
		a.shared.Add(-1)
	case was == 0:
		a.shared.Add(1)
		fallthrough
	default:
		topics.Store(t.Name, was+n)
	}
	if t.Kind == Pattern {
		a.listPatterns()
	}
}

// listPatterns lists the patterns anew for ExtraReceivers.
func (a *SubscriberCounts) listPatterns() {
	list := []sharedPattern{}
	a.extra[Pattern].Range(func(text, extra any) bool {
		list = append(list, sharedPattern{text: text.(string), extra: extra.(int)})
		return len(list) <= maxSharedPatterns
	})
	if len(list) > maxSharedPatterns {
		a.patterns.Store(nil)
		return
	}
	a.patterns.Store(&list)
}

// ExtraSubscribers returns how many of a channel's subscribers the server does not count.
func (a *SubscriberCounts) ExtraSubscribers(kind TopicKind, channel string) int {
	n, _ := a.extra[kind].Load(channel)
	extra, _ := n.(int)
	return extra
}

// ExtraReceivers returns how many of a message's receivers the server does not count:
// those that listen to its channel, and to patterns that match it, as far as these are
// found within a bounded time.
func (a *SubscriberCounts) ExtraReceivers(kind TopicKind, channel string) int {
	n := a.ExtraSubscribers(kind, channel)
	patterns := a.patterns.Load()
	if kind != Channel || patterns == nil {
		return n
	}
	m := glob.Matcher{Work: matchingWork + matchingWorkPerByte*len(channel)}
	for _, p := range *patterns {
		if glob.Matches(&m, p.text, channel) {
			n += p.extra
		}
		if m.Work <= 0 {
			break
		}
	}
	return n
}
