package pubsub

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"time"

	"ringway/eventloop"
	"ringway/pipeline"
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

	// everything is MONITOR. It has no name, and its connection no other topic. To
	// unsubscribe from it closes the connection. Its messages are status replies.
	everything = TopicKinds
)

// String returns the word that Redis puts before "subscribe".
func (k TopicKind) String() string { return [...]string{"", "p", "s", "?"}[k] }

// named reports whether word is a verb about topics of the kind.
func (k TopicKind) named(word []byte, verb string) bool {
	rest, ok := bytes.CutPrefix(word, []byte(k.String()))
	return ok && string(rest) == verb
}

// Topic is something to subscribe to. It is identified by its address: subscribing to a
// name again takes another Topic, so that a late confirmation of the first one does not
// count for the second.
type Topic struct {
	Kind TopicKind
	Name string
}

// events is who a connection reports to, on the loop. The calls do not come from within
// subscribe and unsubscribe, but may call these.
type events interface {
	// confirmed reports that the topic's messages from now on will come.
	confirmed(t *Topic)
	// refused reports that the server answered with an error, which is valid only during
	// the call.
	refused(t *Topic, reply []byte)
	// unsubscribed reports that no more messages of the topic will come, where
	// unsubscribe has returned true.
	unsubscribed(t *Topic)
	// lost reports that no messages come until topics are confirmed again, and why.
	lost(err error)
	// unreachable reports that an attempt to connect has failed. Others follow.
	unreachable(f *pipeline.Failure)
	// message hands over a message as the server framed it, a RESP2 array, with the kind
	// and name of its topic. The bytes are valid only during the call.
	message(kind TopicKind, name, frame []byte)
}

// connection is a connection to one server for subscriptions only. It exists while there are
// topics; when it is lost it is made again and subscribes to all of them. It belongs to its
// loop.
type connection struct {
	// Static after construction.
	loop       *eventloop.Loop
	link       *pipeline.Link
	answerTime time.Duration // how long the server may take to answer
	events     events
	tracks     bool // see newInvalidations

	// Owned by the loop.
	topics       map[*Topic]struct{}
	unanswered   []request // oldest first
	asking       bool      // there is a connection, and subscribeAll has yet to ask for some topics
	markers      []func()  // of afterAnswers, until topics are asked for
	generation   int       // how often the connection was made
	silenceTimer *eventloop.Timer
}

// request is one that the server has yet to answer.
type request struct {
	verb  verb
	topic *Topic
	at    int64  // as eventloop.Loop.Now
	done  func() // askMarker: called when it is answered, or never will be
}

// verb says which request it is.
type verb uint8

const (
	askPing   verb = iota
	askMarker      // PING, for afterAnswers
	askSubscribe
	askUnsubscribe
	askClientID // CLIENT ID
	askTracking // CLIENT TRACKING
)

const (
	// pingAfter is how long a server may send nothing before it is pinged.
	pingAfter = 5 * time.Second
	// answerTime is how long an answer may take if the pool has no timeout.
	answerTime = 5 * time.Second
)

// newConnection returns a connection that is made at the first subscribe. The protocol in
// cfg is ignored: it is RESP2.
func newConnection(loop *eventloop.Loop, cfg *pipeline.Config, obs pipeline.Observer, events events) *connection {
	c := &connection{loop: loop, events: events, answerTime: answerTime, topics: map[*Topic]struct{}{}}
	if cfg.Timeout > 0 {
		c.answerTime = cfg.Timeout
	}
	c.link = pipeline.NewLink(loop, cfg, obs, c)
	c.silenceTimer = loop.NewTimer(c.checkSilence).OwnedBy(c.link)
	return c
}

// subscribe subscribes to t until unsubscribe. If it returns a failure, the server can't
// be reached now, and the subscription is made when it can. Else events gets the outcome.
func (c *connection) subscribe(t *Topic) *pipeline.Failure {
	c.topics[t] = struct{}{}
	if f := c.link.Down(); f != nil {
		return f
	}
	if c.link.Up() {
		c.ask(askSubscribe, t)
	} else {
		c.link.Connect()
	}
	return nil
}

// unsubscribe ends subscribe. It reports whether the server was asked: then events gets
// unsubscribed. The last answer of that kind closes the connection.
func (c *connection) unsubscribe(t *Topic) (asked bool) {
	if _, ok := c.topics[t]; !ok {
		return false
	}
	delete(c.topics, t)
	switch {
	case c.link.Up() && t.Kind != everything:
		c.ask(askUnsubscribe, t)
		return true
	case len(c.topics) == 0:
		c.close()
	}
	return false
}

// afterAnswers calls done when the server has answered for all topics of now, or can't be reached.
func (c *connection) afterAnswers(done func()) {
	switch {
	case len(c.topics) == 0 || c.link.Down() != nil:
		done()
	case c.link.Up() && !c.asking:
		c.ask(askMarker, nil)
		c.unanswered[len(c.unanswered)-1].done = done
	default:
		c.markers = append(c.markers, done)
	}
}

// endMarkers calls afterAnswers again for those that wait.
func (c *connection) endMarkers() {
	waiting := c.markers
	c.markers = nil
	for _, done := range waiting {
		c.afterAnswers(done)
	}
}

// close closes the connection and drops all topics, without a call of events for these.
func (c *connection) close() {
	clear(c.topics)
	left := c.dropUnanswered()
	c.link.Close()
	c.endMarkers()
	for _, t := range left {
		c.events.unsubscribed(t)
	}
}

// dropUnanswered drops the requests that await answers, and returns the topics that were
// being unsubscribed from. Markers wait for the next connection.
func (c *connection) dropUnanswered() (left []*Topic) {
	c.silenceTimer.Stop()
	c.asking = false
	for _, q := range c.unanswered {
		switch q.verb {
		case askUnsubscribe:
			left = append(left, q.topic)
		case askMarker:
			c.markers = append(c.markers, q.done)
		}
	}
	c.unanswered = nil
	return left
}

// Connected is pipeline.LinkHandler's. It subscribes to all topics without waiting for the
// answer to AUTH: if that is refused, so are these.
func (c *connection) Connected() {
	c.generation++
	c.asking = true
	if c.tracks {
		c.ask(askClientID, nil)
	} else {
		c.subscribeAll()
	}
	c.silenceTimer.After(c.answerTime)
}

// Lost is pipeline.LinkHandler's.
func (c *connection) Lost(err error) (again bool) {
	left := c.dropUnanswered()
	if len(c.topics) == 0 {
		c.endMarkers()
	} else {
		c.events.lost(err)
	}
	for _, t := range left {
		c.events.unsubscribed(t)
	}
	return len(c.topics) > 0
}

// Unreachable is pipeline.LinkHandler's.
func (c *connection) Unreachable(f *pipeline.Failure) {
	c.endMarkers()
	c.events.unreachable(f)
}

// subscribeAtOnce is how many topics are subscribed to in one turn.
const subscribeAtOnce = 1000

// subscribeAll subscribes to all topics, over several turns if they are many.
func (c *connection) subscribeAll() {
	c.subscribeSome(slices.Collect(maps.Keys(c.topics)), c.generation)
}

// subscribeSome subscribes to topics, unless the connection was lost since they were
// listed.
func (c *connection) subscribeSome(topics []*Topic, made int) {
	if !c.link.Up() || c.generation != made {
		return // that connection was lost
	}
	n := min(subscribeAtOnce, len(topics))
	for _, t := range topics[:n] {
		if _, ok := c.topics[t]; ok {
			c.ask(askSubscribe, t)
		}
	}
	if topics = topics[n:]; len(topics) > 0 {
		c.loop.Post(func() { c.subscribeSome(topics, made) })
		return
	}
	c.asking = false
	c.endMarkers()
}

// ask sends a request. Each topic gets its own, so that an error names its topic.
func (c *connection) ask(v verb, t *Topic) {
	switch v {
	case askPing, askMarker:
		c.send(v, t, "PING")
	case askSubscribe:
		if t.Kind == everything {
			c.send(v, t, "MONITOR")
		} else {
			c.send(v, t, t.Kind.String()+"subscribe", t.Name)
		}
	case askUnsubscribe:
		c.send(v, t, t.Kind.String()+"unsubscribe", t.Name)
	case askClientID:
		c.send(v, t, "CLIENT", "ID")
	}
}

// send sends a request and notes it as unanswered.
func (c *connection) send(v verb, t *Topic, words ...string) {
	c.unanswered = append(c.unanswered, request{verb: v, topic: t, at: c.loop.Now()})
	args := make([][]byte, len(words))
	for i, word := range words {
		args[i] = []byte(word)
	}
	c.link.Send(args...)
}

// checkSilence gives up a server that does not answer, and pings one that has sent
// nothing for a while: a connection that only listens would not notice that its server is
// gone.
func (c *connection) checkSilence() {
	if !c.link.Up() {
		return
	}
	since := c.loop.Now() - int64(c.answerTime)
	switch {
	case len(c.unanswered) > 0 && c.unanswered[0].at <= since && c.link.LastRead() <= since:
		c.link.Lose(pipeline.ErrTimeout)
		return
	case len(c.unanswered) == 0 && c.link.LastRead() <= c.loop.Now()-int64(pingAfter):
		c.ask(askPing, nil)
	}
	c.silenceTimer.After(c.answerTime)
}

var errUnexpected = fmt.Errorf("%w: an answer that nobody asked for", pipeline.ErrProtocol)

// Frame is pipeline.LinkHandler's: a message, or the answer to the oldest request.
func (c *connection) Frame(frame []byte) error {
	if frame[0] == '+' && '0' <= frame[1] && frame[1] <= '9' {
		c.events.message(everything, nil, frame)
		return nil
	}
	if frame[0] != '*' {
		return c.answered(frame)
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
		c.events.message(Channel, name, frame)
		return nil
	case "pmessage":
		c.events.message(Pattern, name, frame)
		return nil
	case "smessage":
		c.events.message(ShardChannel, name, frame)
		return nil
	}
	if len(c.unanswered) == 0 {
		return errUnexpected // such as a sunsubscribe of a Cluster server that gives a channel away
	}
	confirmed := false
	switch q := &c.unanswered[0]; q.verb {
	case askSubscribe:
		confirmed = q.topic.Kind.named(word, "subscribe") && string(name) == q.topic.Name
	case askUnsubscribe:
		confirmed = q.topic.Kind.named(word, "unsubscribe") && string(name) == q.topic.Name
	case askPing, askMarker:
		confirmed = string(word) == "pong"
	}
	if !confirmed {
		return errUnexpected
	}
	return c.answered(frame)
}

// answered handles the answer to the oldest request.
func (c *connection) answered(frame []byte) error {
	if len(c.unanswered) == 0 {
		return errUnexpected
	}
	q := c.unanswered[0]
	if c.unanswered = c.unanswered[1:]; len(c.unanswered) == 0 {
		c.unanswered = nil
	}
	if q.verb == askSubscribe && bytes.HasPrefix(frame, []byte("-NOAUTH")) {
		return fmt.Errorf("%w: %s", pipeline.ErrHandshake, bytes.TrimSpace(frame[1:])) // it is asked again later: it may want none then
	}
	c.link.SetAnswered()
	switch q.verb {
	case askClientID:
		return c.identified(frame)
	case askTracking:
		return c.tracked(frame)
	case askUnsubscribe:
		c.events.unsubscribed(q.topic)
		if len(c.topics) == 0 && len(c.unanswered) == 0 {
			c.close()
		}
	case askSubscribe:
		c.subscribed(q.topic, frame)
	case askMarker:
		q.done()
	}
	return nil
}

// subscribed handles the answer to a request to subscribe.
func (c *connection) subscribed(t *Topic, frame []byte) {
	if _, ok := c.topics[t]; !ok {
		return // unsubscribed meanwhile
	}
	if frame[0] == '-' {
		c.events.refused(t, frame)
	} else {
		c.events.confirmed(t)
	}
}
