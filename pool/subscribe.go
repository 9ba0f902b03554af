package pool

import (
	"ringway/pipeline"
	"ringway/resp"
)

// Listener is a client with subscriptions. It is called on the loop.
type Listener interface {
	// Joined tells that a subscription for which Join said wait is settled. With
	// a reply, an error valid only during the call, it has failed, and the
	// listener must Leave it.
	Joined(sub *Subscription, reply []byte)

	// Message is given a message as a RESP2 array, valid only during the call.
	Message(frame []byte)
}

// Subscription is one listener's share in a topic.
type Subscription struct {
	// Live tells that messages are wanted. The listener sets it when it has told
	// its client, so that no message comes before that.
	Live bool

	topic   *topic
	index   int // in topic.subs
	l       Listener
	waiting bool // Joined has yet to be called
}

// hub is one loop's subscriptions in a pool: one connection per server,
// whatever the number of listeners.
type hub struct {
	l      *Local
	feeds  []*feed // for each server
	topics [pipeline.TopicKinds]map[string]*topic
}

// topic is what all listeners to one name share.
type topic struct {
	pipeline.Topic
	parts   []part
	subs    []*Subscription
	waiting int // subscriptions that await the outcome
}

// part is a topic at one server that it is subscribed to: the channel's owner,
// or for a pattern each of them.
type part struct {
	server int
	state  partState
	reply  []byte // failed: the error
}

type partState uint8

const (
	pending partState = iota
	confirmed
	failed
)

// feed is what one server has to say.
type feed struct {
	hub        *hub
	server     int
	subscriber *pipeline.Subscriber
}

func (l *Local) subscriptions() *hub {
	if l.hub == nil {
		h := &hub{l: l}
		for kind := range h.topics {
			h.topics[kind] = map[string]*topic{}
		}
		for i, s := range l.servers {
			f := &feed{hub: h, server: i}
			f.subscriber = pipeline.NewSubscriber(l.loop, &s.configs[resp.RESP2], s, f)
			h.feeds = append(h.feeds, f)
		}
		l.hub = h
	}
	return l.hub
}

// Join subscribes a listener to a channel, at the server that the ring names for
// it, or to a pattern, at all servers. If wait is true, Joined will be called; if
// not, the subscription is in force, or has failed if there is a reply.
func (l *Local) Join(kind pipeline.TopicKind, name string, to Listener) (sub *Subscription, wait bool, reply []byte) {
	h := l.subscriptions()
	t := h.topics[kind][name]
	if t == nil {
		t = &topic{Topic: pipeline.Topic{Kind: kind, Name: name}}
		h.topics[kind][name] = t
		if kind == pipeline.Pattern {
			for server := range h.feeds {
				h.ask(t, server)
			}
		} else {
			h.ask(t, l.Ring().Index([]byte(name)))
		}
	}
	sub = &Subscription{topic: t, index: len(t.subs), l: to}
	t.subs = append(t.subs, sub)
	settled, reply := t.outcome()
	if !settled {
		sub.waiting = true
		t.waiting++
	}
	return sub, !settled, reply
}

// ask has a topic subscribed to at one more server.
func (h *hub) ask(t *topic, server int) {
	p := part{server: server}
	if f := h.feeds[server].subscriber.Join(&t.Topic); f != nil {
		p.state, p.reply = failed, f.AppendReply(nil)
	}
	t.parts = append(t.parts, p)
}

// Leave ends a subscription. The last one of a topic ends that.
func (l *Local) Leave(sub *Subscription) {
	t := sub.topic
	if sub.waiting {
		sub.waiting = false
		t.waiting--
	}
	last := len(t.subs) - 1
	t.subs[sub.index] = t.subs[last]
	t.subs[sub.index].index = sub.index
	t.subs[last] = nil
	t.subs = t.subs[:last]
	if last > 0 {
		return
	}
	delete(l.hub.topics[t.Kind], t.Name)
	for _, p := range t.parts {
		l.hub.feeds[p.server].subscriber.Leave(&t.Topic)
	}
}

// outcome tells whether nothing about the topic is open, and if so the error if
// no server has confirmed it.
func (t *topic) outcome() (settled bool, reply []byte) {
	listens := false
	for i := range t.parts {
		switch p := &t.parts[i]; p.state {
		case pending:
			return false, nil
		case confirmed:
			listens = true
		case failed:
			reply = p.reply
		}
	}
	if listens {
		reply = nil
	}
	return true, reply
}

// settle tells who waits for the outcome, if there is one. They may leave.
func (t *topic) settle() {
	settled, reply := t.outcome()
	if !settled || t.waiting == 0 {
		return
	}
	for i := len(t.subs) - 1; i >= 0; i-- {
		if i >= len(t.subs) {
			continue
		}
		if sub := t.subs[i]; sub.waiting {
			sub.waiting = false
			t.waiting--
			sub.l.Joined(sub, reply)
		}
	}
}

// part returns the part of a topic at the feed's server, if the topic is still
// the one of its name.
func (f *feed) part(pt *pipeline.Topic) (*topic, *part) {
	t := f.hub.topics[pt.Kind][pt.Name]
	if t == nil || &t.Topic != pt {
		return nil, nil
	}
	for i := range t.parts {
		if t.parts[i].server == f.server {
			return t, &t.parts[i]
		}
	}
	return nil, nil
}

// Confirmed is pipeline.Feed's.
func (f *feed) Confirmed(pt *pipeline.Topic) {
	if t, p := f.part(pt); t != nil {
		p.state, p.reply = confirmed, nil
		t.settle()
	}
}

// Refused is pipeline.Feed's.
func (f *feed) Refused(pt *pipeline.Topic, reply []byte) {
	if t, p := f.part(pt); t != nil {
		p.state, p.reply = failed, append([]byte(nil), reply...)
		t.settle()
	}
}

// Lost is pipeline.Feed's.
func (f *feed) Lost() { f.each(func(_ *topic, p *part) { p.state = pending }) }

// Unreachable is pipeline.Feed's.
func (f *feed) Unreachable(failure *pipeline.Failure) {
	reply := failure.AppendReply(nil)
	f.each(func(t *topic, p *part) {
		if p.state == pending {
			p.state, p.reply = failed, reply
			t.settle()
		}
	})
}

// each calls fn for everything at the feed's server.
func (f *feed) each(fn func(*topic, *part)) {
	for _, topics := range f.hub.topics {
		for _, t := range topics {
			if _, p := f.part(&t.Topic); p != nil {
				fn(t, p)
			}
		}
	}
}

// Message is pipeline.Feed's. A listener that is closed meanwhile leaves, which
// puts the last one, already served, in its place.
func (f *feed) Message(kind pipeline.TopicKind, name, frame []byte) {
	t := f.hub.topics[kind][string(name)]
	if t == nil {
		return // left meanwhile
	}
	for i := len(t.subs) - 1; i >= 0; i-- {
		if i < len(t.subs) && t.subs[i].Live {
			t.subs[i].l.Message(frame)
		}
	}
}

// rehome moves channels to their owners in the ring, after it was swapped.
func (l *Local) rehome() {
	if l.hub == nil {
		return
	}
	ring := l.Ring()
	for _, kind := range []pipeline.TopicKind{pipeline.Channel, pipeline.ShardChannel} {
		for name, t := range l.hub.topics[kind] {
			owner := ring.Index([]byte(name))
			old := t.parts[0].server
			if owner == old {
				continue
			}
			t.parts = t.parts[:0]
			l.hub.feeds[old].subscriber.Leave(&t.Topic)
			l.hub.ask(t, owner)
			t.settle()
		}
	}
}

// closeSubscriptions closes the connections for good.
func (l *Local) closeSubscriptions() {
	if l.hub != nil {
		for _, f := range l.hub.feeds {
			f.subscriber.Close()
		}
	}
}
