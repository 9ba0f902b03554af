package pipeline

import (
	"bytes"

	"ringway/eventloop"
	"ringway/resp"
)

// TrackingTopic is the one topic of a tracker: the channel on which Redis tells
// a connection in RESP2 which keys are not what they were.
const TrackingTopic = "__redis__:invalidate"

// NewTracker returns a Subscriber that is told of every key of its server that
// changes, expires or is evicted, whoever changes it. It is to join TrackingTopic,
// a Channel, and nothing else. InvalidatedKeys reads the messages.
//
// The connection has the server redirect the invalidations to the connection
// itself. That is what CLIENT TRACKING offers in RESP2, and so all that a
// Subscriber knows of losing servers and finding them again is of use here too.
func NewTracker(loop *eventloop.Loop, cfg *Config, obs Observer, feed Feed) *Subscriber {
	s := NewSubscriber(loop, cfg, obs, feed)
	s.tracks = true
	return s
}

// identified goes on when the server has said which number the connection has.
func (s *Subscriber) identified(frame []byte) error {
	if _, ok := resp.Int(frame); !ok {
		return s.untracked(frame)
	}
	id := bytes.TrimSpace(frame[1:])
	s.send(trackings, nil, [][]byte{[]byte("CLIENT"), []byte("TRACKING"), []byte("ON"), []byte("BCAST"), []byte("REDIRECT"), id})
	return nil
}

// tracked goes on when the server has answered CLIENT TRACKING.
func (s *Subscriber) tracked(frame []byte) error {
	if frame[0] != '+' {
		return s.untracked(frame)
	}
	s.joinAll()
	return nil
}

// untracked tells of a server that does not know tracking or does not allow it.
func (s *Subscriber) untracked(frame []byte) error {
	if frame[0] != '-' {
		return errUnexpected
	}
	for t := range s.topics {
		s.feed.Refused(t, frame)
	}
	return nil
}

// InvalidatedKeys reads a message on TrackingTopic: an array of keys as the server
// framed it, or nil if it is about all keys. It reports false if the message is
// none of the server's, but one that a client has published.
func InvalidatedKeys(frame []byte) (keys []byte, ok bool) {
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
