package session

import (
	"time"

	"ringway/command"
	"ringway/pubsub"
)

// Who publishes on a channel that somebody is about to subscribe to waits until the
// server has confirmed that: over connections of their own, the message could get there
// first, and Redis would have executed the requests in the order in which they came.

// maxJoinWait is how long a message waits at most.
const maxJoinWait = time.Second

// awaitsSubscriber reports whether a request that publishes on a channel must wait. It is
// to be asked while pubsub.Pool.Subscribing, and when the session has waited.
func (s *session) awaitsSubscriber(kind pubsub.TopicKind, channel string) bool {
	now := s.w.loop.Now()
	if s.publishBy != 0 && now >= s.publishBy || !s.subscriptions.IsSubscribing(kind, channel) {
		s.publishBy = 0
		return false
	}
	if s.publishBy == 0 {
		s.publishBy = now + int64(maxJoinWait)
	}
	if _, known := s.w.publishers[s]; !known {
		s.w.publishers[s] = struct{}{}
		s.awaited++
	}
	return true
}

// publishesOn returns the channel that a request publishes on, if it does.
func publishesOn(cmd *command.Command, args [][]byte) (kind pubsub.TopicKind, channel []byte) {
	switch cmd.Name {
	case "publish":
		return pubsub.Channel, args[1]
	case "spublish":
		return pubsub.ShardChannel, args[1]
	}
	return 0, nil
}

// joined has those go on who wait to publish, if all, or if their time is over.
func (w *Worker) joined(all bool) {
	for s := range w.publishers {
		if all || w.loop.Now() >= s.publishBy {
			delete(w.publishers, s)
			s.awaited--
			s.settle()
		}
	}
}

// message is one that a transaction publishes, without its text.
type message struct {
	kind    pubsub.TopicKind
	channel string
}
