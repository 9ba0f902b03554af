package pool

import (
	"slices"
	"strings"
	"time"

	"ringway/eventloop"
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

	// Missed tells that messages of one of the listener's topics may have been lost:
	// the connection that they come over was, or its server is another one now.
	Missed()
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

// hub is what some of one loop's listeners are subscribed to in a pool: one connection
// per server, whatever their number. A listener has all its subscriptions in one, so
// that it gets messages in the order in which a server sent them.
type hub struct {
	l         *Local
	listeners int
	feeds     []*feed // for each shard; nil where there was no need
	topics    [pipeline.TopicKinds]map[string]*topic
	leaving   map[*pipeline.Topic]*leaving
	young     []*topic         // that may wait for servers which only scripts publish at, oldest first
	hurry     *eventloop.Timer // looks at young
}

// seat is a listener's place in a hub.
type seat struct {
	hub  *hub
	subs int
}

// leaving is a topic that has no listeners any more, while servers have yet to
// confirm that they know.
type leaving struct {
	feeds []*feed // theirs
	done  func()
}

// topic is what all listeners to one name share.
type topic struct {
	pipeline.Topic
	hub     *hub
	since   int64 // young: when hasten last looked at it, as eventloop.Loop.Now
	asked   int64 // since when somebody waits for it, the same
	young   bool  // it is in hub.young
	parts   []part
	subs    []*Subscription
	waiting int // subscriptions that await the outcome
	hops    int // how often servers have sent it on, since one confirmed it
}

// part is a topic at one server that it is subscribed to.
type part struct {
	server   int
	state    partState
	extra    bool   // the channel has another owner: here only scripts publish on it
	expected bool   // who publishes waits for it
	reply    []byte // failed: the error
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
	progress   int64 // when it last confirmed or refused something, as eventloop.Loop.Now
	late       bool  // somebody waited for it in vain
}

// hubFor returns the hub of a listener: of those that there may be, the one with the
// fewest.
func (l *Local) hubFor(to Listener) *hub {
	s := l.seats[to]
	if s == nil {
		var best *hub
		for _, h := range l.hubs {
			if best == nil || h.listeners < best.listeners {
				best = h
			}
		}
		if best == nil || best.listeners > 0 && len(l.hubs) < l.proxy.SubscriberConnections {
			best = newHub(l)
			l.hubs = append(l.hubs, best)
		}
		best.listeners++
		s = &seat{hub: best}
		l.seats[to] = s
	}
	s.subs++
	return s.hub
}

// unseat ends hubFor.
func (l *Local) unseat(from Listener) {
	s := l.seats[from]
	if s.subs--; s.subs == 0 {
		s.hub.listeners--
		delete(l.seats, from)
	}
}

func newHub(l *Local) *hub {
	h := &hub{l: l, leaving: map[*pipeline.Topic]*leaving{}}
	for kind := range h.topics {
		h.topics[kind] = map[string]*topic{}
	}
	h.hurry = l.loop.NewTimer(h.hasten)
	return h
}

// Join subscribes a listener to a channel or a pattern, at all servers at which
// messages for it may be published. If wait is true, Joined will be called; if
// not, the subscription is in force, or has failed if there is a reply.
func (l *Local) Join(kind pipeline.TopicKind, name string, to Listener) (sub *Subscription, wait bool, reply []byte) {
	h := l.hubFor(to)
	t := h.topics[kind][name]
	if t == nil {
		t = &topic{Topic: pipeline.Topic{Kind: kind, Name: name}, hub: h}
		h.topics[kind][name] = t
		shards, owner := l.listenAt(kind, name)
		t.parts = make([]part, 0, len(shards))
		for _, shard := range shards {
			h.ask(t, shard, owner)
		}
		if len(t.parts) > 1 && owner >= 0 {
			h.mayWait(t)
		}
	}
	sub = &Subscription{topic: t, index: len(t.subs), l: to}
	if t.subs = append(t.subs, sub); len(t.subs) > 1 {
		l.Audience.add(&t.Topic, 1)
	}
	settled, reply := t.outcome()
	if !settled {
		sub.waiting = true
		t.await()
	}
	return sub, !settled, reply
}

// await notes that one more subscription waits for the outcome.
func (t *topic) await() {
	if t.waiting++; t.waiting == 1 {
		t.asked = t.hub.l.loop.Now()
	}
	if slices.ContainsFunc(t.parts, t.hub.isHomeless) {
		t.hub.mayWait(t)
	}
}

// isHomeless reports whether a part waits for its shard to have a primary.
func (h *hub) isHomeless(p part) bool {
	return p.state == pending && h.l.shardAt(p.server).primary == nil
}

// listenAt lists the shards at which a topic is to be subscribed to: all, since scripts
// publish where they run. A Cluster passes messages on to all of its servers, so one is
// enough there, and more would double them. But what a server says of its own keys it
// says to nobody else. If there is an owner, not -1, PUBLISH goes to it alone.
func (l *Local) listenAt(kind pipeline.TopicKind, name string) (shards []int, owner int) {
	m := l.Map()
	ofKeys := kind != pipeline.ShardChannel && strings.HasPrefix(name, "__key") // "__keyspace@0__:", "__keyevent@0__:"
	if kind == pipeline.ShardChannel || m.Slotted() && !ofKeys {
		return []int{m.Index([]byte(name))}, -1
	}
	for shard := range l.Shards() {
		if !m.Slotted() || m.Serves(shard) {
			shards = append(shards, shard)
		}
	}
	if ofKeys || kind == pipeline.Pattern {
		return shards, -1
	}
	return shards, m.Index([]byte(name))
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
		h.noted(t, p)
		switch {
		case sh.primary != nil:
			f.join(t, p)
			t.settle()
		case t.waiting > 0:
			h.mayWait(t)
		}
	})
	f.missed("its primary is another one now")
}

// join asks for a topic.
func (f *feed) join(t *topic, p *part) {
	if failure := f.subscriber.Join(&t.Topic); failure != nil {
		p.state, p.reply = failed, failure.AppendReply(nil)
		return
	}
	f.hub.expect(t, p)
}

// ask has a topic subscribed to at one more server.
func (h *hub) ask(t *topic, server, owner int) {
	t.parts = append(t.parts, part{server: server, extra: owner >= 0 && owner != server})
	if f := h.feedOf(server); h.l.shardAt(server).primary != nil { // else it is pending until there is one
		f.join(t, &t.parts[len(t.parts)-1])
	}
}

// extraPatience is how long a subscription waits for a server that says nothing, and at
// which only scripts could publish on the channel.
const extraPatience = 100 * time.Millisecond

// mayWait has hasten look at a topic later.
func (h *hub) mayWait(t *topic) {
	if t.young {
		return
	}
	t.young, t.since = true, h.l.loop.Now()
	if h.young = append(h.young, t); len(h.young) == 1 {
		h.hurry.After(extraPatience)
	}
}

// hasten settles topics that wait only for servers that are late, and those that have
// waited for a primary for failover_wait.
func (h *hub) hasten() {
	now := h.l.loop.Now()
	for len(h.young) > 0 && h.young[0].since <= now-int64(extraPatience) {
		t := h.young[0]
		h.young[0] = nil
		h.young = h.young[1:]
		if t.young = false; t.waiting == 0 {
			continue
		}
		for i := range t.parts {
			h.lookAt(t, &t.parts[i], now)
		}
		if t.settle(); t.waiting > 0 {
			h.mayWait(t)
		}
	}
	if len(h.young) > 0 {
		h.hurry.After(time.Duration(h.young[0].since - now + int64(extraPatience)))
	}
}

// lookAt finds out whether a part of a topic has waited for long enough.
func (h *hub) lookAt(t *topic, p *part, now int64) {
	if !h.isHomeless(*p) {
		f := h.feedOf(p.server)
		f.late = f.late || p.state == pending && f.progress <= now-int64(extraPatience)
		return
	}
	if now-t.asked >= int64(h.l.conf.FailoverWait) {
		p.state, p.reply = failed, (&pipeline.Failure{Cause: ErrNoPrimary}).AppendReply(nil)
	}
}

// Leave ends a subscription. The last one of a topic ends that: if servers must
// confirm it, wait is true and done, if not nil, will be called.
func (l *Local) Leave(sub *Subscription, done func()) (wait bool) {
	t := sub.topic
	h := t.hub
	l.unseat(sub.l)
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
	delete(h.topics[t.Kind], t.Name)
	leaves := &leaving{done: done}
	for i := range t.parts {
		p := &t.parts[i]
		h.noted(t, p)
		if f := h.feedOf(p.server); f.subscriber.Leave(&t.Topic) && !p.extra {
			leaves.feeds = append(leaves.feeds, f)
		}
	}
	if len(leaves.feeds) == 0 || done == nil {
		return false
	}
	h.leaving[&t.Topic] = leaves
	return true
}

// Left is pipeline.Feed's.
func (f *feed) Left(pt *pipeline.Topic) {
	leaves := f.hub.leaving[pt]
	if leaves == nil {
		return
	}
	i := slices.Index(leaves.feeds, f)
	if i < 0 {
		return // it is not waited for
	}
	if leaves.feeds = slices.Delete(leaves.feeds, i, i+1); len(leaves.feeds) == 0 {
		delete(f.hub.leaving, pt)
		leaves.done()
	}
}

// outcome reports whether nothing about the topic is open, and if so the error if
// no server has confirmed it, or not the one that PUBLISH goes to.
func (t *topic) outcome() (settled bool, reply []byte) {
	listens, waits := false, false
	for i := range t.parts {
		p := &t.parts[i]
		switch {
		case p.extra:
			waits = waits || p.state == pending && t.hub.l.shardAt(p.server).primary != nil && !t.hub.feedOf(p.server).late
		case p.state == pending:
			return false, nil
		case p.state == confirmed:
			listens = true
		case p.state == failed:
			reply = p.reply
		}
	}
	if !listens {
		return true, reply
	}
	return !waits, nil
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
	f.progress, f.late = f.hub.l.loop.Now(), false
	if t, p := f.part(pt); t != nil {
		p.state, p.reply = confirmed, nil
		f.hub.noted(t, p)
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
	f.progress, f.late = l.loop.Now(), false
	if r, ok := l.redirection(l.shards[f.server], reply); ok && r.kind == Moved && t.hops < maxHops {
		t.hops++
		if l.learn(r).index != f.server {
			l.loop.Post(l.rehome)
			return
		}
	}
	p.state, p.reply = failed, append([]byte(nil), reply...)
	f.hub.noted(t, p)
	t.settle()
}

// Lost is pipeline.Feed's.
func (f *feed) Lost(err error) {
	f.each(func(_ *topic, p *part) { p.state = pending })
	f.missed(err.Error())
}

// missed counts that messages may have been lost, says so, and tells the listeners. What
// only scripts publish at the server is not worth that.
func (f *feed) missed(why string) {
	listeners := map[Listener]struct{}{}
	f.each(func(t *topic, p *part) {
		if !p.extra {
			for _, sub := range t.subs {
				listeners[sub.l] = struct{}{}
			}
		}
	})
	if len(listeners) == 0 {
		return
	}
	f.hub.l.missed(f.hub.l.shardAt(f.server).primary, len(listeners), why)
	for to := range listeners {
		to.Missed()
	}
}

// Unreachable is pipeline.Feed's.
func (f *feed) Unreachable(failure *pipeline.Failure) {
	reply := failure.AppendReply(nil)
	f.each(func(t *topic, p *part) {
		if p.state == pending {
			p.state, p.reply = failed, reply
			f.hub.noted(t, p)
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
	for _, h := range l.hubs {
		for kind, topics := range h.topics {
			for name, t := range topics {
				shards, owner := l.listenAt(pipeline.TopicKind(kind), name)
				h.move(t, shards, owner)
			}
		}
	}
}

// move has a topic subscribed to at the given shards and no others.
func (h *hub) move(t *topic, shards []int, owner int) {
	parts := t.parts
	t.parts = nil
	for _, p := range parts {
		h.noted(t, &p)
		if slices.Contains(shards, p.server) {
			p.extra = owner >= 0 && owner != p.server
			t.parts = append(t.parts, p)
		} else {
			h.feedOf(p.server).subscriber.Leave(&t.Topic)
		}
	}
	for _, shard := range shards {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.server == shard }) {
			h.ask(t, shard, owner)
		}
	}
	t.settle()
}

// closeSubscriptions closes the connections for good.
func (l *Local) closeSubscriptions() {
	l.Untrack()
	for _, h := range l.hubs {
		for _, f := range h.feeds {
			if f != nil {
				f.subscriber.Close()
			}
		}
	}
}
