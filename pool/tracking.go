package pool

import (
	"ringway/pipeline"
	"ringway/resp"
)

// Invalidations is who is told of keys that are not what they were. It is called
// on the loop.
type Invalidations interface {
	// Invalidated is given keys as an array of bulk strings, valid only during the
	// call; nil if they may be all keys there are.
	Invalidated(keys []byte)

	// Listening tells that what Hears reports has changed.
	Listening()
}

// ears listen to all shards of a pool for one loop, over one connection each that
// is told of every key that changes.
type ears struct {
	l   *Local
	to  Invalidations
	all []*ear // for each shard
}

// ear is the connection to one shard's primary.
type ear struct {
	ears    *ears
	shard   int
	tracker *pipeline.Subscriber
	topic   pipeline.Topic
	partState
	reply []byte // failed because the server refuses: its error
}

// Track has an Invalidations told of all changes until Untrack. There is one for
// each Local.
func (l *Local) Track(to Invalidations) {
	if l.ears == nil {
		l.ears = &ears{l: l, to: to}
	}
	l.ears.grow()
}

// Untrack ends Track.
func (l *Local) Untrack() {
	if l.ears == nil {
		return
	}
	for _, e := range l.ears.all {
		e.tracker.Close()
	}
	l.ears = nil
}

// grow listens to shards that are new.
func (s *ears) grow() {
	for len(s.all) < len(s.l.shards) {
		e := &ear{ears: s, shard: len(s.all), topic: pipeline.Topic{Kind: pipeline.Channel, Name: pipeline.TrackingTopic}}
		s.all = append(s.all, e)
		e.aim(s.l.shards[e.shard].primary)
	}
}

// Hears tells whether every change of a shard's keys will be told from now on.
// Without Track it is false.
func (l *Local) Hears(shard int) bool {
	if l.ears == nil {
		return false
	}
	l.ears.grow()
	return l.ears.all[shard].partState == confirmed
}

// HearsOrNever tells whether, for each shard in use, Hears is true or can't
// become so for now. With a reply, it is the error of a server that does not let
// itself be listened to.
func (l *Local) HearsOrNever() (settled bool, reply []byte) {
	for _, e := range l.ears.all {
		if l.Absent(e.shard) {
			continue
		}
		if e.partState == pending && l.shards[e.shard].primary != nil {
			return false, nil
		}
		if e.reply != nil {
			reply = e.reply
		}
	}
	return true, reply
}

// aim listens to another server, if there is one.
func (e *ear) aim(s *server) {
	if e.tracker != nil {
		e.tracker.Close()
		e.Lost(nil)
	}
	cfg, obs := nowhere, pipeline.Observer(ignored{})
	if s != nil {
		cfg, obs = s.config(kind{protocol: resp.RESP2}, forAll), s
	}
	e.tracker = pipeline.NewTracker(e.ears.l.loop, cfg, obs, e)
	e.partState, e.reply = pending, nil
	if s != nil && e.tracker.Join(&e.topic) != nil {
		e.partState = failed
	}
}

// Confirmed is pipeline.Feed's.
func (e *ear) Confirmed(*pipeline.Topic) {
	e.partState, e.reply = confirmed, nil
	e.ears.to.Listening()
}

// Refused is pipeline.Feed's.
func (e *ear) Refused(_ *pipeline.Topic, reply []byte) {
	e.partState, e.reply = failed, append([]byte(nil), reply...)
	e.ears.to.Listening()
}

// Lost is pipeline.Feed's.
func (e *ear) Lost(error) {
	heard := e.partState == confirmed
	e.partState = pending
	if heard {
		e.ears.to.Invalidated(nil)
		e.ears.to.Listening()
	}
}

// Unreachable is pipeline.Feed's.
func (e *ear) Unreachable(*pipeline.Failure) {
	if e.partState == pending {
		e.partState = failed
		e.ears.to.Listening()
	}
}

// Left is pipeline.Feed's.
func (e *ear) Left(*pipeline.Topic) {}

// Message is pipeline.Feed's.
func (e *ear) Message(_ pipeline.TopicKind, _, frame []byte) {
	if keys, ok := pipeline.InvalidatedKeys(frame); ok {
		e.ears.to.Invalidated(keys)
	}
}

// moved tells that keys may have other owners now, where they may have other
// values.
func (s *ears) moved() {
	if s != nil {
		s.to.Invalidated(nil)
	}
}
