package pubsub

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"ringway/pipeline"
	"ringway/resp"
)

// KeyWatch reads keys at a pool's servers, and learns once that a key has changed since.
// Requests that block on keys of several shards wait with it.
//
// A server remembers which keys a connection with CLIENT TRACKING has read, and tells that
// connection once when such a key changes, expires or is evicted; see
// https://redis.io/docs/latest/develop/reference/client-side-caching/. So each shard has one
// connection in RESP3, and nothing passes over it while nothing happens. Servers need
// CLIENT TRACKING and RESP3, which Redis has since 6.0.
//
// It belongs to its loop.
type KeyWatch struct {
	l      *Local
	db     int
	to     KeyWatcher
	shards []*watchedShard
}

// KeyWatcher learns what a KeyWatch finds out. It is called on the loop, and never from
// within Send.
type KeyWatcher interface {
	// KeyChanged is given a key that has changed since a request of Send has read it, valid only
	// during the call.
	KeyChanged(key []byte)

	// WatchLost says that changes of the shard's keys may have been missed.
	WatchLost(shard int)
}

// ErrNoTracking is why no request can be sent: the server does not have RESP3 or CLIENT
// TRACKING, or does not allow it.
var ErrNoTracking = errors.New("the server does not let a connection track keys")

// WatchKeys returns a KeyWatch for a database, which has no connection until it is used.
func (l *Local) WatchKeys(db int, to KeyWatcher) *KeyWatch {
	w := &KeyWatch{l: l, db: db, to: to}
	l.keyWatches = append(l.keyWatches, w)
	return w
}

// Send sends a request that reads the keys which are to be watched, such as LLEN, to the
// primary of the shard that owns them. received is called later with the server's reply, valid
// only during the call; or with an error: ErrNoTracking, or one of package pipeline's if the
// server can't be reached or the connection was lost.
//
// With asking the request goes behind ASKING: the shard's server is one to which the keys' slot is
// being moved.
func (w *KeyWatch) Send(shard int, args [][]byte, asking bool, received func(reply []byte, err error)) {
	for len(w.shards) <= shard {
		w.shards = append(w.shards, &watchedShard{w: w, index: len(w.shards)})
	}
	request := watchRequest{resp.AppendRequest(nil, args), asking, received}
	w.shards[shard].send(request)
}

// CloseStalled ends connections on which a server has left a request without a reply for
// limit: whatever it had to report may be lost with them.
func (w *KeyWatch) CloseStalled(limit time.Duration) {
	for _, s := range w.shards {
		due := s.sent > 0 || s.handshakeLeft > 0
		if due && s.link != nil && s.link.Up() && w.l.loop.Now()-max(s.link.LastRead(), s.sentAt) > int64(limit) {
			s.link.Lose(pipeline.ErrTimeout)
		}
	}
}

// Close closes the connections. No reply is received any more.
func (w *KeyWatch) Close() {
	for _, s := range w.shards {
		s.requests = nil
		s.hangUp()
	}
	w.l.keyWatches = slices.DeleteFunc(w.l.keyWatches, func(other *KeyWatch) bool { return other == w })
}

// watchedShard is the connection to one shard's primary.
type watchedShard struct {
	w     *KeyWatch
	index int
	link  *pipeline.Link // nil while there is none

	requests      []watchRequest // in the order of their replies
	sent          int            // how many of them were sent
	handshakeLeft int            // handshake replies still to come
	used          bool           // a request was sent over this connection
	sentAt        int64          // when the first of the requests without reply was sent, as eventloop.Loop.Now
	idle          bool           // no connection is wanted until there is a request
	refused       int64          // when the server last refused to track, as eventloop.Loop.Now; 0 if it has not
}

// refusalHolds is for how long a server that refused to track gets no request.
const refusalHolds = 10 * time.Second

// watchRequest is a request of Send.
type watchRequest struct {
	encoded  []byte
	asking   bool // behind ASKING, whose reply has yet to come
	received func(reply []byte, err error)
}

func (s *watchedShard) send(request watchRequest) {
	if s.link == nil {
		if err := s.connect(); err != nil {
			s.w.l.loop.Post(func() { request.received(nil, err) })
			return
		}
	}
	switch f := s.link.Down(); {
	case f != nil:
		s.w.l.loop.Post(func() { request.received(nil, f) })
		return
	case s.refused != 0 && s.w.l.loop.Now()-s.refused < int64(refusalHolds):
		s.w.l.loop.Post(func() { request.received(nil, ErrNoTracking) })
		return
	}
	s.link.Connect()
	s.requests = append(s.requests, request)
	s.flush()
}

// connect begins a connection to the primary that there is now.
func (s *watchedShard) connect() error {
	cfg, obs, err := s.w.l.servers.Primary(s.index)
	if err != nil {
		return err
	}
	s.link = pipeline.NewLink(s.w.l.loop, cfg, obs, s)
	s.link.Connect()
	return nil
}

// flush sends the requests, once the connection tracks.
func (s *watchedShard) flush() {
	if s.handshakeLeft > 0 || !s.link.Up() {
		return
	}
	if s.sent == 0 {
		s.sentAt = s.w.l.loop.Now()
	}
	for ; s.sent < len(s.requests); s.sent++ {
		if s.requests[s.sent].asking {
			s.link.Send([]byte("ASKING"))
		}
		s.link.SendEncoded(s.requests[s.sent].encoded)
		s.used = true
	}
}

// Connected is pipeline.LinkHandler's.
func (s *watchedShard) Connected() {
	s.sent, s.used, s.handshakeLeft, s.idle = 0, false, 2, false
	s.sentAt = s.w.l.loop.Now()
	s.link.Send([]byte("HELLO"), []byte("3"))
	s.link.Send([]byte("CLIENT"), []byte("TRACKING"), []byte("ON"))
	if s.w.db != 0 {
		s.handshakeLeft++
		s.link.Send([]byte("SELECT"), strconv.AppendInt(nil, int64(s.w.db), 10))
	}
}

// Frame is pipeline.LinkHandler's.
func (s *watchedShard) Frame(frame []byte) error {
	switch {
	case frame[0] == '>':
		s.push(frame)
	case s.handshakeLeft > 0:
		s.link.SetAnswered() // nothing is wrong with a server that refuses
		if frame[0] == '-' {
			return s.turnedDown(frame)
		}
		if s.handshakeLeft--; s.handshakeLeft == 0 {
			s.refused = 0
			s.flush()
		}
	case s.sent == 0:
		return pipeline.ErrProtocol
	case s.requests[0].asking:
		s.requests[0].asking = false // ASKING's own reply
	default:
		if frame[0] == '-' {
			s.w.l.servers.FollowMoved(s.index, frame) // the pool learns who owns the slot
		}
		request := s.requests[0]
		s.requests[0] = watchRequest{}
		s.requests = s.requests[1:]
		s.sent--
		request.received(frame, nil)
	}
	return nil
}

// turnedDown ends a connection whose handshake has failed, until there is a request again. It
// returns why: ErrNoTracking if the server will say the same next time.
func (s *watchedShard) turnedDown(reply []byte) error {
	err := fmt.Errorf("%w: %s", pipeline.ErrTurnedAway, bytes.TrimSpace(reply[1:]))
	word, _, _ := bytes.Cut(reply[1:], []byte(" "))
	switch string(word) {
	case "ERR", "NOPROTO", "NOPERM", "NOAUTH":
		s.refused, err = s.w.l.loop.Now(), ErrNoTracking
	}
	s.idle = true
	s.fail(err)
	return err
}

// push passes on the keys of an invalidation.
func (s *watchedShard) push(frame []byte) {
	keys, ok := keysOfPush(frame)
	switch {
	case !ok:
	case keys == nil:
		s.w.to.WatchLost(s.index)
	default:
		for _, key := range keys {
			s.w.to.KeyChanged(key)
		}
	}
}

// keysOfPush returns the keys of an invalidation, nil for all keys, as slices of frame. ok is
// false for other pushes.
func keysOfPush(frame []byte) (keys [][]byte, ok bool) {
	push, ok := resp.ReadPush(frame)
	if !ok || push.Len() != 2 {
		return nil, false
	}
	kind, _ := push.Next()
	if name, _ := resp.Bulk(kind); string(name) != "invalidate" {
		return nil, false
	}
	what, _ := push.Next()
	if resp.IsNull(what) {
		return nil, true
	}
	list, ok := resp.ReadArray(what)
	if !ok {
		return nil, false
	}
	keys = make([][]byte, 0, min(list.Len(), 64))
	for element, more := list.Next(); more; element, more = list.Next() {
		if key, ok := resp.Bulk(element); ok {
			keys = append(keys, key)
		}
	}
	return keys, true
}

// Lost is pipeline.LinkHandler's.
func (s *watchedShard) Lost(err error) (again bool) {
	used := s.used
	s.fail(err)
	if used {
		s.w.to.WatchLost(s.index)
	}
	return s.link != nil && !s.idle
}

// Unreachable is pipeline.LinkHandler's.
func (s *watchedShard) Unreachable(f *pipeline.Failure) { s.fail(f) }

// fail gives all requests an error for a reply.
func (s *watchedShard) fail(err error) {
	requests := s.requests
	s.requests, s.sent, s.handshakeLeft = nil, 0, 0
	for _, r := range requests {
		r.received(nil, err)
	}
}

func (s *watchedShard) hangUp() {
	if s.link != nil {
		s.link.Close()
		s.link = nil
	}
}

// primaryChanged has the next request go to the primary that there is now.
func (s *watchedShard) primaryChanged() {
	if s.link == nil {
		return
	}
	s.hangUp()
	s.fail(pipeline.ErrSuspended)
	s.w.to.WatchLost(s.index)
}
