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

	// everything is MONITOR. It has no name, and a connection with it no other topic; to
	// leave it closes the connection. Its messages are status replies.
	everything = TopicKinds
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

// events is who a connection reports to, on the loop. The calls come from outside of
// join and leave, but they may call these.
type events interface {
	// confirmed says that what is published from now on will be heard.
	confirmed(t *Topic)
	// refused says that the server answered with an error, which is valid only
	// during the call.
	refused(t *Topic, reply []byte)
	// left says that what is published from now on will not be sent, after leave
	// has promised it.
	left(t *Topic)
	// lost says that nothing is heard until topics are confirmed again, and why.
	lost(err error)
	// unreachable says that an attempt to connect has failed. Others follow.
	unreachable(f *pipeline.Failure)
	// message is given a message as the server framed it, a RESP2 array, with the
	// kind and name of its topic. The bytes are valid only during the call.
	message(kind TopicKind, name, frame []byte)
}

// connection is a connection to one server for nothing but subscriptions. It is
// there while there are topics, and when it was lost it comes back by itself and
// subscribes to all of them again. It belongs to its loop.
type connection struct {
	// Static after construction.
	loop   *eventloop.Loop
	link   *pipeline.Link
	limit  time.Duration // how long the server may take to answer
	events events
	tracks bool // see newInvalidations

	topics map[*Topic]struct{}
	asked  []question       // awaiting answers, oldest first
	made   int              // how often it was made
	watch  *eventloop.Timer // looks for a server that is silent
}

// question is a request that the server has yet to answer.
type question struct {
	verb  verb
	topic *Topic
	at    int64 // as eventloop.Loop.Now
}

type verb uint8

const (
	pings verb = iota
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

// newConnection returns a connection that is made when the first topic is joined. The
// protocol in cfg is of no concern.
func newConnection(loop *eventloop.Loop, cfg *pipeline.Config, obs pipeline.Observer, events events) *connection {
	c := &connection{loop: loop, events: events, limit: patience, topics: map[*Topic]struct{}{}}
	if cfg.Timeout > 0 {
		c.limit = cfg.Timeout
	}
	c.link = pipeline.NewLink(loop, cfg, obs, c)
	c.watch = loop.NewTimer(c.check).OwnedBy(c.link)
	return c
}

// join subscribes to t until leave. If it returns a failure, the server can't be
// reached now; t is subscribed to when it can. Else events will be told.
func (c *connection) join(t *Topic) *pipeline.Failure {
	c.topics[t] = struct{}{}
	if f := c.link.Down(); f != nil {
		return f
	}
	if c.link.Up() {
		c.ask(joins, t)
	} else {
		c.link.Connect()
	}
	return nil
}

// leave ends join. It reports whether the server is asked to forget t: then events
// will be told. The last answer of that kind closes the connection.
func (c *connection) leave(t *Topic) (asked bool) {
	if _, ok := c.topics[t]; !ok {
		return false
	}
	delete(c.topics, t)
	switch {
	case c.link.Up() && t.Kind != everything:
		c.ask(leaves, t)
		return true
	case len(c.topics) == 0:
		c.close()
	}
	return false
}

// close closes the connection and forgets all topics, of which events is not told.
func (c *connection) close() {
	clear(c.topics)
	left := c.forgetAsked()
	c.link.Close()
	for _, t := range left {
		c.events.left(t)
	}
}

// forgetAsked ends what awaits answers, and returns the topics that were to be left.
func (c *connection) forgetAsked() (left []*Topic) {
	c.watch.Stop()
	for _, q := range c.asked {
		if q.verb == leaves {
			left = append(left, q.topic)
		}
	}
	c.asked = nil
	return left
}

// Connected is pipeline.LinkHandler's. Everything is subscribed to without waiting for
// the answer to AUTH: nothing here does harm if that is refused.
func (c *connection) Connected() {
	c.made++
	if c.tracks {
		c.ask(identifies, nil)
	} else {
		c.joinAll()
	}
	c.watch.After(c.limit)
}

// Lost is pipeline.LinkHandler's.
func (c *connection) Lost(err error) (again bool) {
	left := c.forgetAsked()
	c.events.lost(err)
	for _, t := range left {
		c.events.left(t)
	}
	return len(c.topics) > 0
}

// Unreachable is pipeline.LinkHandler's.
func (c *connection) Unreachable(f *pipeline.Failure) { c.events.unreachable(f) }

// joinAtOnce is how many topics are asked for in one turn.
const joinAtOnce = 1000

// joinAll asks for all topics, over some turns if they are many.
func (c *connection) joinAll() {
	c.joinSome(slices.Collect(maps.Keys(c.topics)), c.made)
}

func (c *connection) joinSome(topics []*Topic, made int) {
	if !c.link.Up() || c.made != made {
		return // that connection was lost
	}
	n := min(joinAtOnce, len(topics))
	for _, t := range topics[:n] {
		if _, ok := c.topics[t]; ok {
			c.ask(joins, t)
		}
	}
	if topics = topics[n:]; len(topics) > 0 {
		c.loop.Post(func() { c.joinSome(topics, made) })
	}
}

// ask sends a request, one for each topic so that an error names its own.
func (c *connection) ask(v verb, t *Topic) {
	switch v {
	case pings:
		c.send(v, t, "PING")
	case joins:
		if t.Kind == everything {
			c.send(v, t, "MONITOR")
		} else {
			c.send(v, t, t.Kind.String()+"subscribe", t.Name)
		}
	case leaves:
		c.send(v, t, t.Kind.String()+"unsubscribe", t.Name)
	case identifies:
		c.send(v, t, "CLIENT", "ID")
	}
}

func (c *connection) send(v verb, t *Topic, words ...string) {
	c.asked = append(c.asked, question{verb: v, topic: t, at: c.loop.Now()})
	args := make([][]byte, len(words))
	for i, word := range words {
		args[i] = []byte(word)
	}
	c.link.Send(args...)
}

// check gives up a server that does not answer, and asks one that is silent
// whether it is there: a connection that only listens would never know.
func (c *connection) check() {
	if !c.link.Up() {
		return
	}
	since := c.loop.Now() - int64(c.limit)
	switch {
	case len(c.asked) > 0 && c.asked[0].at <= since && c.link.LastRead() <= since:
		c.link.Lose(pipeline.ErrTimeout)
		return
	case len(c.asked) == 0 && c.link.LastRead() <= c.loop.Now()-int64(quietFor):
		c.ask(pings, nil)
	}
	c.watch.After(c.limit)
}

var errUnexpected = fmt.Errorf("%w: an answer that nobody asked for", pipeline.ErrProtocol)

// Frame is pipeline.LinkHandler's: a message, or the answer to the oldest question.
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
	if len(c.asked) == 0 {
		return errUnexpected // a server of a Cluster that gives a channel away
	}
	confirmed := false
	switch q := &c.asked[0]; q.verb {
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
	return c.answered(frame)
}

// answered takes the answer to the oldest question.
func (c *connection) answered(frame []byte) error {
	if len(c.asked) == 0 {
		return errUnexpected
	}
	q := c.asked[0]
	if c.asked = c.asked[1:]; len(c.asked) == 0 {
		c.asked = nil
	}
	if q.verb == joins && bytes.HasPrefix(frame, []byte("-NOAUTH")) {
		return fmt.Errorf("%w: %s", pipeline.ErrHandshake, bytes.TrimSpace(frame[1:])) // it may want none later
	}
	c.link.SetAnswered()
	switch q.verb {
	case identifies:
		return c.identified(frame)
	case trackings:
		return c.tracked(frame)
	case leaves:
		c.events.left(q.topic)
		if len(c.topics) == 0 && len(c.asked) == 0 {
			c.close()
		}
	case joins:
		c.joined(q.topic, frame)
	}
	return nil
}

// joined takes the answer to a request to subscribe.
func (c *connection) joined(t *Topic, frame []byte) {
	if _, ok := c.topics[t]; !ok {
		return // left meanwhile
	}
	if frame[0] == '-' {
		c.events.refused(t, frame)
	} else {
		c.events.confirmed(t)
	}
}
