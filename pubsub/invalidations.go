package pubsub

import (
	"bytes"

	"ringway/eventloop"
	"ringway/pipeline"
	"ringway/resp"
)

// InvalidationReceiver is told which keys have changed. Its methods are called on the
// loop.
type InvalidationReceiver interface {
	// Invalidated hands over changed keys as an array of bulk strings, valid only during
	// the call; nil means that any key may have changed.
	Invalidated(keys []byte)

	// TrackingChanged reports that what Tracks returns has changed.
	TrackingChanged()
}

// invalidations listens to the changes of all shards of a pool for one loop, over one
// connection to each.
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

// Track reports all changes of keys to the receiver to, until Untrack. A Local has one
// receiver at a time.
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
		e.connect()
	}
}

// Tracks reports whether every change of a shard's keys from now on will be reported. It
// is false without Track.
func (l *Local) Tracks(shard int) bool {
	if l.invalidations == nil {
		return false
	}
	l.invalidations.grow()
	return l.invalidations.shards[shard].partState == confirmed
}

// TrackingSettled reports whether for each shard in use Tracks is true, or can't become
// true for now. If reply is not nil, it is the error of a server that refuses tracking.
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

// connect listens to the shard's primary, if one is known.
func (e *invalidationListener) connect() {
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
	if e.conn.subscribe(&e.topic) != nil {
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

func (e *invalidationListener) unsubscribed(*Topic) {}

func (e *invalidationListener) message(_ TopicKind, _, frame []byte) {
	if keys, ok := invalidatedKeys(frame); ok {
		e.of.to.Invalidated(keys)
	}
}

// mapChanged reports that keys may have other owners now, where they may have other
// values.
func (s *invalidations) mapChanged() {
	if s != nil {
		s.to.Invalidated(nil)
	}
}

// primaryChanged listens to the primary that a shard has now.
func (s *invalidations) primaryChanged(shard int) {
	if s != nil && shard < len(s.shards) {
		s.shards[shard].connect()
	}
}

// InvalidationChannel is the channel on which Redis tells a connection in RESP2 which
// keys have changed.
const InvalidationChannel = "__redis__:invalidate"

// newInvalidations returns a connection that gets every key of its server that changes,
// expires or is evicted, whoever changes it. It is for InvalidationChannel and nothing else.
//
// The connection has the server redirect the invalidations to the connection itself, which
// CLIENT TRACKING offers in RESP2. So it works as a subscription, and a connection's ways to
// lose servers and find them again serve here too.
func newInvalidations(loop *eventloop.Loop, cfg *pipeline.Config, obs pipeline.Observer, events events) *connection {
	c := newConnection(loop, cfg, obs, events)
	c.tracks = true
	return c
}

// identified handles the answer to CLIENT ID.
func (c *connection) identified(frame []byte) error {
	if _, ok := resp.Int(frame); !ok {
		return c.untracked(frame)
	}
	c.send(askTracking, nil, "CLIENT", "TRACKING", "ON", "BCAST", "REDIRECT", string(bytes.TrimSpace(frame[1:])))
	return nil
}

// tracked handles the answer to CLIENT TRACKING.
func (c *connection) tracked(frame []byte) error {
	if frame[0] != '+' {
		return c.untracked(frame)
	}
	c.subscribeAll()
	return nil
}

// untracked reports that the server does not know tracking or does not allow it.
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
// framed it, or nil for all keys. ok is false if the message is not the server's but was
// published by a client.
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
