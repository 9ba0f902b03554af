package session

import (
	"slices"
	"time"

	"ringway/command"
	"ringway/pubsub"
)

// A PUBLISH waits while a SUBSCRIBE to its channel that came before it is not confirmed by
// the server. The two go over different connections, so the message could reach the server
// first; a Redis executes the requests in the order in which they come. A SUBSCRIBE that
// another loop has yet to read is waited for too (looprounds.go). The reasons are in
// docs/adr/0027-subscriptions-as-one-redis-has-them.md.

// maxJoinWait is how long a PUBLISH waits at most, in case the server does not confirm.
const maxJoinWait = time.Second

// publishWaits reports whether a request that publishes on a channel must wait; if so the
// session goes on when it may have waited enough, and asks again.
func (s *session) publishWaits(kind pubsub.TopicKind, channel []byte) bool {
	return s.awaitsLoops() || s.subscriptionsMatter() && s.awaitsSubscription(kind, string(channel))
}

// scriptWaits is publishWaits for a script that goes to a shard; sc is nil for functions and
// unknown scripts. On which channels it publishes is not known, so it waits for all that were
// subscribed to before.
func (s *session) scriptWaits(sc *script, shard int) bool {
	if sc != nil && !sc.publishes {
		return false
	}
	return sc != nil && s.awaitsLoops() || s.awaitsMarked(func(mark uint64) bool { return s.subscriptions.IsUnconfirmed(shard, mark) })
}

// awaitsMarked reports whether a request must wait for subscriptions that were unconfirmed when
// it was asked first, as isUnconfirmed says; if so the session goes on by resumePublishers.
func (s *session) awaitsMarked(isUnconfirmed func(mark uint64) bool) bool {
	now := s.w.loop.Now()
	if s.publishMark == 0 {
		if s.publishMark = s.subscriptions.MarkUnconfirmed(); s.publishMark == 0 {
			return false
		}
		s.publishBy = now + int64(maxJoinWait)
	}
	if now >= s.publishBy || !isUnconfirmed(s.publishMark) {
		s.publishMark, s.publishBy = 0, 0
		return false
	}
	s.awaitTurnToPublish()
	return true
}

// publishesWait is publishWaits for all that a transaction publishes.
func (tx *transaction) publishesWait() bool {
	s := tx.s
	if len(tx.publishes) == 0 && len(tx.publishers) == 0 {
		return false
	}
	return s.awaitsLoops() ||
		len(tx.publishes) > 0 && s.publishMark == 0 && s.subscriptionsMatter() &&
			slices.ContainsFunc(tx.publishes, func(m message) bool { return s.awaitsSubscription(m.kind, m.channel) }) ||
		len(tx.publishers) > 0 && s.awaitsMarked(func(mark uint64) bool {
			return slices.ContainsFunc(tx.publishers, func(p *part) bool { return s.subscriptions.IsUnconfirmed(max(p.shard, 0), mark) })
		})
}

// subscriptionsMatter reports whether awaitsSubscription must be asked.
func (s *session) subscriptionsMatter() bool {
	return s.subscriptions.Subscribing() || s.publishBy != 0
}

// awaitsSubscription reports whether a request that publishes on a channel must wait; if so
// the session goes on by resumePublishers. It must be asked while pubsub.Local.Subscribing,
// and again when the session has waited.
func (s *session) awaitsSubscription(kind pubsub.TopicKind, channel string) bool {
	now := s.w.loop.Now()
	if s.publishBy != 0 && now >= s.publishBy || !s.subscriptions.IsSubscribing(kind, channel) {
		s.publishBy = 0
		return false
	}
	if s.publishBy == 0 {
		s.publishBy = now + int64(maxJoinWait)
	}
	s.awaitTurnToPublish()
	return true
}

// announceSubscriptions makes every PUBLISH wait, since what the client has sent behind a
// SUBSCRIBE that is under way may be another one. It is called when the session is blocked, and
// ends when what was sent has run.
func (s *session) announceSubscriptions() {
	if s.sub != nil && s.sub.pending != nil && s.announced == nil {
		s.announced = s.subscriptions.SubscribingMany()
	}
}

// awaitTurnToPublish makes the session go on by resumePublishers.
func (s *session) awaitTurnToPublish() {
	if _, known := s.w.publishers[s]; !known {
		s.w.publishers[s] = struct{}{}
		s.pendingWakeups++
	}
}

// publishesOn returns the channel that a request publishes on, or nil if it does not publish.
func publishesOn(cmd *command.Command, args [][]byte) (kind pubsub.TopicKind, channel []byte) {
	switch cmd.Name {
	case "publish":
		return pubsub.Channel, args[1]
	case "spublish":
		return pubsub.ShardChannel, args[1]
	}
	return 0, nil
}

// resumePublishers has the sessions go on that wait to publish: all of them after a
// subscription was confirmed or a round of the loops is over, else those that have waited for
// maxJoinWait.
func (w *Worker) resumePublishers(all bool) {
	for s := range w.publishers {
		if all || s.publishBy != 0 && w.loop.Now() >= s.publishBy {
			delete(w.publishers, s)
			s.pendingWakeups--
			s.deferRun()
		}
	}
}

// message is a message that a transaction publishes, without its text.
type message struct {
	kind    pubsub.TopicKind
	channel string
}
