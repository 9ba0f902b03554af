package pool

import (
	"slices"
	"strings"

	"ringway/pipeline"
	"ringway/resp"
)

// Listener is a client with subscriptions. It is called on the loop.
type Listener interface {
	// Joined tells that a subscription for which Join said wait is settled. With
	// a reply, an error valid only during the call, it has failed, and the
	// listener must Leave it.
	Joined(sub *Subscription, reply []byte)

	// Message is given a message as a RESP2 array, valid only during the call, and
	// the subscription that it comes of. That may be one for which Joined has yet to
	// be called.
	Message(sub *Subscription, frame []byte)
}

// Subscription is one listener's share in a topic.
type Subscription struct {
	// Live is the listener's: its client knows of the subscription.
	Live bool

	topic   *topic
	index   int // in topic.subs
	l       Listener
	waiting bool // Joined has yet to be called
}

// Name returns the channel's name, or the pattern.
func (s *Subscription) Name() string { return s.topic.Name }

// hub is one loop's subscriptions in a pool: one connection per server,
// whatever the number of listeners.
type hub struct {
	l       *Local
	feeds   []*feed // for each shard; nil where there was no need
	topics  [pipeline.TopicKinds]map[string]*topic
	leaving map[*pipeline.Topic]*leaving
}

// leaving is a topic that has no listeners any more, while servers have yet to
// confirm that they know.
type leaving struct {
	left int // servers
	done func()
}

// topic is what all listeners to one name share.
type topic struct {
	pipeline.Topic
	parts   []part
	subs    []*Subscription
	waiting int // subscriptions that await the outcome
	hops    int // how often servers have sent it on, since one confirmed it
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
		h := &hub{l: l, leaving: map[*pipeline.Topic]*leaving{}}
		for kind := range h.topics {
			h.topics[kind] = map[string]*topic{}
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
		for _, shard := range l.listenAt(kind, name) {
			h.ask(t, shard)
		}
	}
	sub = &Subscription{topic: t, index: len(t.subs), l: to}
	if t.subs = append(t.subs, sub); len(t.subs) > 1 {
		l.Audience.add(&t.Topic, 1)
	}
	settled, reply := t.outcome()
	if !settled {
		sub.waiting = true
		t.waiting++
	}
	return sub, !settled, reply
}

// listenAt lists the shards at which a topic is to be subscribed to: the channel's
// owner, and for a pattern all of them. A Cluster passes messages on to all of
// its servers, so one is enough for a pattern there, and more would double them.
// But what a server says of its own keys it says to nobody else.
func (l *Local) listenAt(kind pipeline.TopicKind, name string) (shards []int) {
	m := l.Map()
	ofKeys := kind != pipeline.ShardChannel && strings.HasPrefix(name, "__key") // "__keyspace@0__:", "__keyevent@0__:"
	if !ofKeys && (kind != pipeline.Pattern || m.Slotted()) {
		return []int{m.Index([]byte(name))}
	}
	for shard := range l.Shards() {
		if !m.Slotted() || m.Serves(shard) {
			shards = append(shards, shard)
		}
	}
	return shards
}

// feedOf returns the feed of a shard's primary.
func (h *hub) feedOf(shard int) *feed {
	for len(h.feeds) <= shard {
		h.feeds = append(h.feeds, nil)
	}
	if h.feeds[shard] == nil {
		f := &feed{hub: h, server: shard}
		h.feeds[shard] = f
		f.aim(h.l.shardAt(shard).primary)
	}
	return h.feeds[shard]
}

// aim makes a subscriber to a server.
func (f *feed) aim(s *server) {
	cfg, obs := nowhere, pipeline.Observer(ignored{})
	if s != nil {
		cfg, obs = s.config(kind{protocol: resp.RESP2}, forAll), s
	}
	f.subscriber = pipeline.NewSubscriber(f.hub.l.loop, cfg, obs, f)
}

// retarget subscribes to everything that was subscribed to at a shard's primary
// at the one that it has now.
func (h *hub) retarget(sh *localShard) {
	if sh.index >= len(h.feeds) || h.feeds[sh.index] == nil {
		return
	}
	f := h.feeds[sh.index]
	f.subscriber.Close()
	f.aim(sh.primary)
	f.each(func(t *topic, p *part) {
		p.state = pending
		if sh.primary != nil {
			f.join(t, p)
			t.settle()
		}
	})
}

// join asks for a topic.
func (f *feed) join(t *topic, p *part) {
	if failure := f.subscriber.Join(&t.Topic); failure != nil {
		p.state, p.reply = failed, failure.AppendReply(nil)
	}
}

// ask has a topic subscribed to at one more server.
func (h *hub) ask(t *topic, server int) {
	p := part{server: server}
	if h.l.shardAt(server).primary == nil {
		t.parts = append(t.parts, p) // pending until there is one
		return
	}
	if f := h.feedOf(server).subscriber.Join(&t.Topic); f != nil {
		p.state, p.reply = failed, f.AppendReply(nil)
	}
	t.parts = append(t.parts, p)
}

// Leave ends a subscription. The last one of a topic ends that: if servers must
// confirm it, wait is true and done, if not nil, will be called.
func (l *Local) Leave(sub *Subscription, done func()) (wait bool) {
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
		l.Audience.add(&t.Topic, -1)
		return false
	}
	delete(l.hub.topics[t.Kind], t.Name)
	leaves := &leaving{done: done}
	for _, p := range t.parts {
		if l.hub.feedOf(p.server).subscriber.Leave(&t.Topic) {
			leaves.left++
		}
	}
	if leaves.left == 0 || done == nil {
		return false
	}
	l.hub.leaving[&t.Topic] = leaves
	return true
}

// Left is pipeline.Feed's.
func (f *feed) Left(pt *pipeline.Topic) {
	leaves := f.hub.leaving[pt]
	if leaves == nil {
		return
	}
	if leaves.left--; leaves.left == 0 {
		delete(f.hub.leaving, pt)
		leaves.done()
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
		t.hops = 0
		t.settle()
	}
}

// Refused is pipeline.Feed's.
func (f *feed) Refused(pt *pipeline.Topic, reply []byte) {
	t, p := f.part(pt)
	if t == nil {
		return
	}
	l := f.hub.l
	if r, ok := l.redirection(l.shards[f.server], reply); ok && r.kind == Moved && t.hops < maxHops {
		t.hops++
		if l.learn(r).index != f.server {
			l.loop.Post(l.rehome)
			return
		}
	}
	p.state, p.reply = failed, append([]byte(nil), reply...)
	t.settle()
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
		if i < len(t.subs) {
			sub := t.subs[i]
			sub.l.Message(sub, frame)
		}
	}
}

// rehome moves subscriptions to where they belong, after the Map was swapped.
func (l *Local) rehome() {
	l.ears.moved()
	if l.hub == nil {
		return
	}
	for kind, topics := range l.hub.topics {
		for name, t := range topics {
			l.hub.move(t, l.listenAt(pipeline.TopicKind(kind), name))
		}
	}
}

// move has a topic subscribed to at the given shards and no others.
func (h *hub) move(t *topic, shards []int) {
	parts := t.parts
	t.parts = nil
	for _, p := range parts {
		if slices.Contains(shards, p.server) {
			t.parts = append(t.parts, p)
		} else {
			h.feedOf(p.server).subscriber.Leave(&t.Topic)
		}
	}
	if len(t.parts) == len(parts) && len(parts) == len(shards) {
		return
	}
	for _, shard := range shards {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.server == shard }) {
			h.ask(t, shard)
		}
	}
	t.settle()
}

// closeSubscriptions closes the connections for good.
func (l *Local) closeSubscriptions() {
	l.Untrack()
	if l.hub != nil {
		for _, f := range l.hub.feeds {
			if f != nil {
				f.subscriber.Close()
			}
		}
	}
}
