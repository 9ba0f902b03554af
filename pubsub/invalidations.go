package pubsub

import (
	"bytes"

	"ringway/eventloop"
	"ringway/pipeline"
	"ringway/resp"
)

// Invalidations is who is told of keys that are not what they were. It is called
// on the loop.
type InvalidationReceiver interface {
	// Invalidated is given keys as an array of bulk strings, valid only during the
	// call; nil if they may be all keys there are.
	Invalidated(keys []byte)

	// Listening says that what Hears reports has changed.
	TrackingChanged()
}

// invalidations listens to all shards of a pool for one loop, over one connection
// each that is told of every key that changes.
type invalidations struct {
	l      *Local
	to     InvalidationReceiver
	shards []*invalidationListener
}

// invalidationListener is the connection to one shard's primary.
type invalidationListener struct {
	of    *invalidations
	shard int
	conn  *connection // nil while no primary is known
	topic Topic
	partState
	reply []byte // failed because the server refuses: its error
}

// Track has an Invalidations told of all changes until Untrack. There is one for
// each Local.
func (l *Local) Track(to InvalidationReceiver) {
	if l.invalidations == nil {
		l.invalidations = &invalidations{l: l, to: to}
	}
	l.invalidations.grow()
}

// Untrack ends Track.
func (l *Local) Untrack() {
	if l.invalidations == nil {
		return
	}
	for _, e := range l.invalidations.shards {
		if e.conn != nil {
			e.conn.close()
		}
	}
	l.invalidations = nil
}

// grow listens to shards that are new.
func (s *invalidations) grow() {
	for n := s.l.servers.Shards(); len(s.shards) < n; {
		e := &invalidationListener{of: s, shard: len(s.shards), topic: Topic{Kind: Channel, Name: InvalidationChannel}}
		s.shards = append(s.shards, e)
		e.aim()
	}
}

// Hears reports whether every change of a shard's keys will be told from now on.
// Without Track it is false.
func (l *Local) Tracks(shard int) bool {
	if l.invalidations == nil {
		return false
	}
	l.invalidations.grow()
	return l.invalidations.shards[shard].partState == confirmed
}

// HearsOrNever reports whether, for each shard in use, Hears is true or can't
// become so for now. With a reply, it is the error of a server that does not let
// itself be listened to.
func (l *Local) TrackingSettled() (settled bool, reply []byte) {
	for _, e := range l.invalidations.shards {
		if l.servers.Absent(e.shard) {
			continue
		}
		if e.partState == pending && e.conn != nil {
			return false, nil
		}
		if e.reply != nil {
			reply = e.reply
		}
	}
	return true, reply
}

// aim listens to the shard's primary, if there is one.
func (e *invalidationListener) aim() {
	if e.conn != nil {
		e.conn.close()
		e.lost(nil)
	}
	e.conn, e.partState, e.reply = nil, pending, nil
	cfg, obs, err := e.of.l.servers.Primary(e.shard)
	if err != nil {
		return
	}
	e.conn = newInvalidations(e.of.l.loop, cfg, obs, e)
	if e.conn.join(&e.topic) != nil {
		e.partState = failed
	}
}

func (e *invalidationListener) confirmed(*Topic) {
	e.partState, e.reply = confirmed, nil
	e.of.to.TrackingChanged()
}

func (e *invalidationListener) refused(_ *Topic, reply []byte) {
	e.partState, e.reply = failed, append([]byte(nil), reply...)
	e.of.to.TrackingChanged()
}

func (e *invalidationListener) lost(error) {
	heard := e.partState == confirmed
	e.partState = pending
	if heard {
		e.of.to.Invalidated(nil)
		e.of.to.TrackingChanged()
	}
}

func (e *invalidationListener) unreachable(*pipeline.Failure) {
	if e.partState == pending {
		e.partState = failed
		e.of.to.TrackingChanged()
	}
}

func (e *invalidationListener) left(*Topic) {}

func (e *invalidationListener) message(_ TopicKind, _, frame []byte) {
	if keys, ok := invalidatedKeys(frame); ok {
		e.of.to.Invalidated(keys)
	}
}

// mapChanged says that keys may have other owners now, where they may have other
// values.
func (s *invalidations) mapChanged() {
	if s != nil {
		s.to.Invalidated(nil)
	}
}

// primaryChanged listens to the primary that a shard has now.
func (s *invalidations) primaryChanged(shard int) {
	if s != nil && shard < len(s.shards) {
		s.shards[shard].aim()
	}
}

// InvalidationChannel is where Redis tells a connection in RESP2 which keys are not
// what they were.
const InvalidationChannel = "__redis__:invalidate"

// newInvalidations returns a connection that is told of every key of its server that
// changes, expires or is evicted, whoever changes it. It is to join InvalidationChannel
// and nothing else.
//
// The connection has the server redirect the invalidations to the connection
// itself. That is what CLIENT TRACKING offers in RESP2, and so all that a
// connection knows of losing servers and finding them again is of use here too.
func newInvalidations(loop *eventloop.Loop, cfg *pipeline.Config, obs pipeline.Observer, events events) *connection {
	c := newConnection(loop, cfg, obs, events)
	c.tracks = true
	return c
}

// identified goes on when the server has said which number the connection has.
func (c *connection) identified(frame []byte) error {
	if _, ok := resp.Int(frame); !ok {
		return c.untracked(frame)
	}
	c.send(trackings, nil, "CLIENT", "TRACKING", "ON", "BCAST", "REDIRECT", string(bytes.TrimSpace(frame[1:])))
	return nil
}

// tracked goes on when the server has answered CLIENT TRACKING.
func (c *connection) tracked(frame []byte) error {
	if frame[0] != '+' {
		return c.untracked(frame)
	}
	c.joinAll()
	return nil
}

// untracked reports a server that does not know tracking or does not allow it.
func (c *connection) untracked(frame []byte) error {
	if frame[0] != '-' {
		return errUnexpected
	}
	for t := range c.topics {
		c.events.refused(t, frame)
	}
	return nil
}

// invalidatedKeys reads a message on InvalidationChannel: an array of keys as the server
// framed it, or nil if it is about all keys. It reports false if the message is
// none of the server's, but one that a client has published.
func invalidatedKeys(frame []byte) (keys []byte, ok bool) {
	elements, ok := resp.ReadArray(frame)
	if !ok || elements.Len() != 3 {
		return nil, false
	}
	elements.Next()
	elements.Next()
	third, _ := elements.Next()
	switch {
	case resp.IsNull(third):
		return nil, true
	case len(third) > 0 && third[0] == '*':
		return third, true
	}
	return nil, false
}
