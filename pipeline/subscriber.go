package pipeline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"ringway/eventloop"
	"ringway/resp"
)

// TopicKind is how a Topic selects messages.
type TopicKind uint8

// The kinds of topics.
const (
	Channel      TopicKind = iota // SUBSCRIBE
	Pattern                       // PSUBSCRIBE
	ShardChannel                  // SSUBSCRIBE
	TopicKinds                    // how many there are

	// Everything is MONITOR. It has no name, and a Subscriber of it no other topic;
	// Leave closes the connection. Its messages are status replies.
	Everything = TopicKinds
)

// String returns the word that Redis puts before "subscribe".
func (k TopicKind) String() string { return [...]string{"", "p", "s", "?"}[k] }

// named reports whether word is a verb about topics of the kind.
func (k TopicKind) named(word []byte, verb string) bool {
	rest, ok := bytes.CutPrefix(word, []byte(k.String()))
	return ok && string(rest) == verb
}

// Topic is one thing to listen to. It is known by its address: subscribing to a
// name again takes a Topic of its own, so that a late confirmation of the first
// is not taken for one of the second.
type Topic struct {
	Kind TopicKind
	Name string
}

// Feed is who a Subscriber tells what it hears, on the loop. The calls come from
// outside of Join and Leave, but they may call these.
type Feed interface {
	// Confirmed tells that what is published from now on will be heard.
	Confirmed(t *Topic)
	// Refused tells that the server answered with an error, which is valid only
	// during the call.
	Refused(t *Topic, reply []byte)
	// Left tells that what is published from now on will not be sent, after Leave
	// has promised it.
	Left(t *Topic)
	// Lost tells that nothing is heard until topics are Confirmed again, and why.
	Lost(err error)
	// Unreachable tells that an attempt to connect has failed. Others follow.
	Unreachable(f *Failure)
	// Message is given a message as the server framed it, a RESP2 array, with the
	// kind and name of its topic. The bytes are valid only during the call.
	Message(kind TopicKind, name, frame []byte)
}

// Subscriber is a connection to one server for nothing but subscriptions. It is
// there while there are topics, and when it was lost it comes back by itself and
// subscribes to all of them again. It belongs to its loop.
type Subscriber struct {
	// Static after construction.
	loop *eventloop.Loop
	cfg  *Config
	obs  Observer
	feed Feed

	topics map[*Topic]struct{}
	conn   *eventloop.Conn // nil unless ready
	state  state           // idle, dialing, ready or down
	scan   resp.ReplyState
	asked  []question // awaiting answers, oldest first
	tracks bool       // after NewTracker
	proven bool       // the server has answered something on this connection

	cause    error // down: why
	attempts uint32
	attempt  *eventloop.Timer // down: until the next one
	backoff  time.Duration
	watch    *eventloop.Timer // ready: looks for a server that is silent
	lastRead int64
}

// question is a request that the server has yet to answer.
type question struct {
	verb  verb
	topic *Topic
	at    int64 // as eventloop.Loop.Now
}

type verb uint8

const (
	greets verb = iota
	pings
	joins
	leaves
	identifies // CLIENT ID
	trackings  // CLIENT TRACKING
)

const (
	// quietFor is how long a server may have nothing to say before it is pinged.
	quietFor = 5 * time.Second
	// patience is how long an answer may take if there is no timeout.
	patience = 5 * time.Second
)

// NewSubscriber returns a subscriber that connects when the first topic is
// joined. The caller keeps cfg as it is; its protocol is of no concern.
func NewSubscriber(loop *eventloop.Loop, cfg *Config, obs Observer, feed Feed) *Subscriber {
	s := &Subscriber{loop: loop, cfg: cfg, obs: obs, feed: feed, topics: map[*Topic]struct{}{}}
	s.attempt = loop.NewTimer(func() { s.connect() }).Of(s)
	s.watch = loop.NewTimer(s.check).Of(s)
	return s
}

// Join subscribes to t until Leave. If it returns a failure, the server can't be
// reached now; t is subscribed to when it can. Else the feed will be told.
func (s *Subscriber) Join(t *Topic) *Failure {
	s.topics[t] = struct{}{}
	switch s.state {
	case idle:
		s.connect()
	case ready:
		s.ask(joins, t)
	case down:
		return &Failure{Cause: s.cause, Server: s.cfg.Name}
	}
	return nil
}

// Leave ends Join. It reports whether the server is asked to forget t: then the
// feed will be told. The last answer of that kind closes the connection.
func (s *Subscriber) Leave(t *Topic) (asked bool) {
	if _, ok := s.topics[t]; !ok {
		return false
	}
	delete(s.topics, t)
	switch {
	case s.state == ready && t.Kind != Everything:
		s.ask(leaves, t)
		return true
	case len(s.topics) == 0:
		s.Close()
	}
	return false
}

// Close closes the connection and forgets all topics, of which the feed is not
// told.
func (s *Subscriber) Close() {
	clear(s.topics)
	left := s.disconnect()
	s.attempt.Stop()
	s.attempts++
	s.state, s.backoff = idle, 0
	for _, t := range left {
		s.feed.Left(t)
	}
}

func (s *Subscriber) connect() {
	s.state = dialing
	s.attempts++
	number := s.attempts
	s.loop.Dial(s.cfg.target(), func(sock eventloop.Socket, err error) {
		switch {
		case number == s.attempts && s.state == dialing:
			s.connected(sock, err)
		case err == nil:
			sock.Close()
		}
	})
}

// connected authenticates and subscribes to everything, without waiting for
// answers: nothing here does harm if AUTH is refused.
func (s *Subscriber) connected(sock eventloop.Socket, err error) {
	if err == nil {
		if s.conn, err = s.loop.AttachSocket(sock, s); err != nil {
			sock.Close()
		}
	}
	if err != nil {
		s.attemptFailed(err)
		return
	}
	s.conn.Urgent() // what the server can't get rid of in time it drops, with the connection
	s.state, s.scan, s.proven, s.lastRead = ready, resp.ReplyState{}, false, s.loop.Now()
	if s.cfg.Auth != nil {
		s.ask(greets, nil)
	}
	if s.tracks {
		s.ask(identifies, nil)
	} else {
		s.joinAll()
	}
	s.watch.After(s.limit())
}

// joinAtOnce is how many topics are asked for in one turn.
const joinAtOnce = 1000

// joinAll asks for all topics, over some turns if they are many.
func (s *Subscriber) joinAll() {
	s.joinSome(slices.Collect(maps.Keys(s.topics)), s.conn)
}

func (s *Subscriber) joinSome(topics []*Topic, conn *eventloop.Conn) {
	if s.conn != conn {
		return // that connection was lost
	}
	n := min(joinAtOnce, len(topics))
	for _, t := range topics[:n] {
		if _, ok := s.topics[t]; ok {
			s.ask(joins, t)
		}
	}
	if topics = topics[n:]; len(topics) > 0 {
		s.loop.Post(func() { s.joinSome(topics, conn) })
	}
}

func (s *Subscriber) limit() time.Duration {
	if s.cfg.Timeout > 0 {
		return s.cfg.Timeout
	}
	return patience
}

// ask sends a request, one for each topic so that an error names its own.
func (s *Subscriber) ask(v verb, t *Topic) {
	var args [][]byte
	switch v {
	case greets:
		args = s.cfg.auth()
	case pings:
		args = [][]byte{[]byte("PING")}
	case joins:
		if args = [][]byte{[]byte(t.Kind.String() + "subscribe"), []byte(t.Name)}; t.Kind == Everything {
			args = [][]byte{[]byte("MONITOR")}
		}
	case leaves:
		args = [][]byte{[]byte(t.Kind.String() + "unsubscribe"), []byte(t.Name)}
	case identifies:
		args = [][]byte{[]byte("CLIENT"), []byte("ID")}
	}
	s.send(v, t, args)
}

func (s *Subscriber) send(v verb, t *Topic, args [][]byte) {
	s.asked = append(s.asked, question{verb: v, topic: t, at: s.loop.Now()})
	s.conn.Append(resp.AppendRequest(nil, args))
}

// check gives up a server that does not answer, and asks one that is silent
// whether it is there: a subscriber that only listens would never know.
func (s *Subscriber) check() {
	if s.state != ready {
		return
	}
	now := s.loop.Now()
	switch {
	case len(s.asked) > 0 && s.asked[0].at <= now-int64(s.limit()) && s.lastRead <= now-int64(s.limit()):
		s.lost(ErrTimeout)
		return
	case len(s.asked) == 0 && s.lastRead <= now-int64(quietFor):
		s.ask(pings, nil)
	}
	s.watch.After(s.limit())
}

// attemptFailed tries again after a while.
func (s *Subscriber) attemptFailed(err error) {
	s.state, s.cause = down, err
	s.backoff = min(max(2*s.backoff, firstBackoff), lastBackoff)
	s.attempt.After(s.backoff/2 + rand.N(s.backoff/2))
	if !isLocal(err) {
		s.obs.Failed(err)
	}
	s.feed.Unreachable(&Failure{Cause: err, Server: s.cfg.Name})
}

// Peer is Conn.Peer's.
func (s *Subscriber) Peer() netip.Addr {
	if s.conn == nil {
		return netip.Addr{}
	}
	return s.conn.Peer()
}

// Renew makes the connection anew, for a server whose name has come to mean
// another address. What is published meanwhile is not heard.
func (s *Subscriber) Renew() {
	if s.proven {
		s.lost(io.EOF)
	}
}

// EOF is eventloop.Handler's.
func (s *Subscriber) EOF() { s.lost(io.EOF) }

// Closed is eventloop.Handler's.
func (s *Subscriber) Closed(err error) { s.lost(err) }

// Drained is eventloop.Handler's.
func (s *Subscriber) Drained() {}

// Abandon is eventloop.Abandoner's.
func (s *Subscriber) Abandon() { s.lost(eventloop.ErrPanicked) }

// lost handles the end of the connection: at once the next attempt, unless the
// server has not answered anything on this one.
func (s *Subscriber) lost(err error) {
	if s.state != ready {
		return
	}
	left := s.disconnect()
	s.state = idle
	s.feed.Lost(err)
	for _, t := range left {
		s.feed.Left(t)
	}
	switch {
	case len(s.topics) == 0 || s.state != idle:
	case s.proven:
		s.connect()
	default:
		s.attemptFailed(err)
	}
}

// disconnect closes the socket and returns the topics that were to be left.
func (s *Subscriber) disconnect() (left []*Topic) {
	s.watch.Stop()
	for _, q := range s.asked {
		if q.verb == leaves {
			left = append(left, q.topic)
		}
	}
	s.asked = nil
	if s.conn != nil {
		s.conn.Close()
		s.conn = nil
	}
	return left
}

// Data is eventloop.Handler's. A frame is handled when it is complete.
func (s *Subscriber) Data(b []byte) (n int) {
	s.lastRead = s.loop.Now()
	for n < len(b) {
		size, done, err := s.scan.Scan(b[n:], &s.cfg.Replies)
		if err != nil {
			s.lost(fmt.Errorf("%w: %w", ErrProtocol, err))
			return n
		}
		if !done {
			s.scan.Restart()
			return n
		}
		if err := s.handle(b[n : n+size]); err != nil {
			s.lost(err)
			return n
		}
		if s.conn == nil {
			return n
		}
		n += size
	}
	return n
}

var errUnexpected = fmt.Errorf("%w: an answer that nobody asked for", ErrProtocol)

// handle handles one frame: a message, or the answer to the oldest question.
func (s *Subscriber) handle(frame []byte) error {
	if frame[0] == '+' && '0' <= frame[1] && frame[1] <= '9' {
		s.feed.Message(Everything, nil, frame)
		return nil
	}
	if frame[0] != '*' {
		return s.answered(frame)
	}
	elements, ok := resp.ReadArray(frame)
	if !ok {
		return errUnexpected
	}
	first, _ := elements.Next()
	second, _ := elements.Next()
	word, _ := resp.Bulk(first)
	name, _ := resp.Bulk(second)
	switch string(word) {
	case "message":
		s.feed.Message(Channel, name, frame)
		return nil
	case "pmessage":
		s.feed.Message(Pattern, name, frame)
		return nil
	case "smessage":
		s.feed.Message(ShardChannel, name, frame)
		return nil
	}
	if len(s.asked) == 0 {
		return errUnexpected // a server of a Cluster that gives a channel away
	}
	confirmed := false
	switch q := &s.asked[0]; q.verb {
	case joins:
		confirmed = q.topic.Kind.named(word, "subscribe") && string(name) == q.topic.Name
	case leaves:
		confirmed = q.topic.Kind.named(word, "unsubscribe") && string(name) == q.topic.Name
	case pings:
		confirmed = string(word) == "pong"
	}
	if !confirmed {
		return errUnexpected
	}
	return s.answered(frame)
}

// answered takes the answer to the oldest question.
func (s *Subscriber) answered(frame []byte) error {
	if len(s.asked) == 0 {
		return errUnexpected
	}
	if !s.proven {
		if err := turnsAway(frame); err != nil {
			return err
		}
	}
	q := s.asked[0]
	if s.asked = s.asked[1:]; len(s.asked) == 0 {
		s.asked = nil
	}
	refused := frame[0] == '-'
	if q.verb == greets {
		if refused {
			return fmt.Errorf("%w: %s", ErrHandshake, bytes.TrimSpace(frame[1:]))
		}
		return nil
	}
	if !s.proven {
		s.proven, s.backoff = true, 0
		s.obs.Succeeded()
	}
	switch q.verb {
	case identifies:
		return s.identified(frame)
	case trackings:
		return s.tracked(frame)
	}
	if q.verb == leaves {
		s.feed.Left(q.topic)
		if len(s.topics) == 0 && len(s.asked) == 0 {
			s.Close()
		}
		return nil
	}
	if q.verb != joins {
		return nil
	}
	if _, ok := s.topics[q.topic]; !ok {
		return nil // left meanwhile
	}
	switch {
	case refused && bytes.HasPrefix(frame, []byte("-NOAUTH")):
		return errors.New("the server wants a password")
	case refused:
		s.feed.Refused(q.topic, frame)
	default:
		s.feed.Confirmed(q.topic)
	}
	return nil
}
