package pubsub

import (
	"slices"
	"strings"
	"time"

	"ringway/eventloop"
	"ringway/pipeline"
)

// hub is what some of one loop's listeners are subscribed to in a pool: one connection
// per server, whatever their number. A listener has all its subscriptions in one, so
// that it gets messages in the order in which a server sent them.
type hub struct {
	l         *Local
	listeners int
	feeds     []*feed // for each shard; nil where there was no need
	topics    [TopicKinds]map[string]*topic
	leaving   map[*Topic]*leaving
	watched   []*topic         // that may wait for servers which only scripts publish at, oldest first
	lateTimer *eventloop.Timer // looks at watched
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
	Topic
	hub     *hub
	since   int64 // watched: when settleLate last looked at it, as eventloop.Loop.Now
	asked   int64 // since when somebody waits for it, the same
	watched bool  // it is in hub.watched
	parts   []part
	subs    []*Subscription
	waiting int // subscriptions that await the outcome
	hops    int // how often servers have sent it on, since one confirmed it
}

// part is a topic at the primary of a shard that it is subscribed to.
type part struct {
	server      int // its shard
	state       partState
	scriptsOnly bool   // the channel has another owner: here only scripts publish on it
	expected    bool   // who publishes waits for it
	reply       []byte // failed: the error
}

type partState uint8

const (
	pending partState = iota
	confirmed
	failed
)

// feed is what the primary of one shard has to say.
type feed struct {
	hub       *hub
	server    int
	conn      *connection // nil while no primary is known
	noPrimary error       // then: why
	progress  int64       // when it last confirmed or refused something, as eventloop.Loop.Now
	late      bool        // somebody waited for it in vain
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
	h := &hub{l: l, leaving: map[*Topic]*leaving{}}
	for kind := range h.topics {
		h.topics[kind] = map[string]*topic{}
	}
	h.lateTimer = l.loop.NewTimer(h.settleLate)
	return h
}

// await notes that one more subscription waits for the outcome.
func (t *topic) await() {
	if t.waiting++; t.waiting == 1 {
		t.asked = t.hub.l.loop.Now()
	}
	if slices.ContainsFunc(t.parts, t.hub.waitsForPrimary) {
		t.hub.watch(t)
	}
}

// waitsForPrimary reports whether a part waits for its shard to have a primary.
func (h *hub) waitsForPrimary(p part) bool {
	return p.state == pending && h.feedOf(p.server).conn == nil
}

// listenAt lists the shards at which a topic is to be subscribed to: all, since scripts
// publish where they run. A Cluster passes messages on to all of its servers, so one is
// enough there, and more would double them. But what a server says of its own keys it
// says to nobody else. If there is an owner, not -1, PUBLISH goes to it alone.
func (l *Local) listenAt(kind TopicKind, name string) (shards []int, owner int) {
	slotted := l.servers.Slotted()
	ofKeys := kind != ShardChannel && strings.HasPrefix(name, "__key") // "__keyspace@0__:", "__keyevent@0__:"
	if kind == ShardChannel || slotted && !ofKeys {
		return []int{l.servers.ShardOf([]byte(name))}, -1
	}
	for shard := range l.servers.Shards() {
		if !slotted || !l.servers.Absent(shard) {
			shards = append(shards, shard)
		}
	}
	if ofKeys || kind == Pattern {
		return shards, -1
	}
	return shards, l.servers.ShardOf([]byte(name))
}

// feedOf returns the feed of a shard's primary.
func (h *hub) feedOf(shard int) *feed {
	for len(h.feeds) <= shard {
		h.feeds = append(h.feeds, nil)
	}
	if h.feeds[shard] == nil {
		f := &feed{hub: h, server: shard}
		h.feeds[shard] = f
		f.aim()
	}
	return h.feeds[shard]
}

// aim makes a connection to the shard's primary, if there is one.
func (f *feed) aim() {
	cfg, obs, err := f.hub.l.servers.Primary(f.server)
	if f.conn, f.noPrimary = nil, err; err == nil {
		f.conn = newConnection(f.hub.l.loop, cfg, obs, f)
	}
}

// primaryChanged subscribes to everything that was subscribed to at a shard's primary
// at the one that it has now.
func (h *hub) primaryChanged(shard int) {
	if shard >= len(h.feeds) || h.feeds[shard] == nil {
		return
	}
	f := h.feeds[shard]
	f.close()
	f.aim()
	f.each(func(t *topic, p *part) {
		p.state = pending
		h.noted(t, p)
		switch {
		case f.conn != nil:
			f.join(t, p)
			t.settle()
		case t.waiting > 0:
			h.watch(t)
		}
	})
	f.missed("its primary is another one now")
}

func (f *feed) close() {
	if f.conn != nil {
		f.conn.close()
	}
}

// leave ends join. It reports whether left will be called.
func (f *feed) leave(t *topic) (asked bool) {
	return f.conn != nil && f.conn.leave(&t.Topic)
}

// join asks for a topic.
func (f *feed) join(t *topic, p *part) {
	if failure := f.conn.join(&t.Topic); failure != nil {
		p.state, p.reply = failed, failure.AppendReply(nil)
		return
	}
	f.hub.expect(t, p)
}

// ask has a topic subscribed to at one more server.
func (h *hub) ask(t *topic, server, owner int) {
	t.parts = append(t.parts, part{server: server, scriptsOnly: owner >= 0 && owner != server})
	if f := h.feedOf(server); f.conn != nil { // else it is pending until there is one
		f.join(t, &t.parts[len(t.parts)-1])
	}
}

// maxHops is how many times servers may send one subscription on: more than a Cluster
// that is sane needs.
const maxHops = 16

// scriptsPatience is how long a subscription waits for a server that says nothing, and at
// which only scripts could publish on the channel.
const scriptsPatience = 100 * time.Millisecond

// watch has settleLate look at a topic later.
func (h *hub) watch(t *topic) {
	if t.watched {
		return
	}
	t.watched, t.since = true, h.l.loop.Now()
	if h.watched = append(h.watched, t); len(h.watched) == 1 {
		h.lateTimer.After(scriptsPatience)
	}
}

// settleLate settles topics that wait only for servers that are late, and those that have
// waited for a primary for failover_wait.
func (h *hub) settleLate() {
	now := h.l.loop.Now()
	for len(h.watched) > 0 && h.watched[0].since <= now-int64(scriptsPatience) {
		t := h.watched[0]
		h.watched[0] = nil
		h.watched = h.watched[1:]
		if t.watched = false; t.waiting == 0 {
			continue
		}
		for i := range t.parts {
			h.lookAt(t, &t.parts[i], now)
		}
		if t.settle(); t.waiting > 0 {
			h.watch(t)
		}
	}
	if len(h.watched) > 0 {
		h.lateTimer.After(time.Duration(h.watched[0].since - now + int64(scriptsPatience)))
	}
}

// lookAt finds out whether a part of a topic has waited for long enough.
func (h *hub) lookAt(t *topic, p *part, now int64) {
	if !h.waitsForPrimary(*p) {
		f := h.feedOf(p.server)
		f.late = f.late || p.state == pending && f.progress <= now-int64(scriptsPatience)
		return
	}
	if now-t.asked >= int64(h.l.conf.FailoverWait) {
		p.state, p.reply = failed, (&pipeline.Failure{Cause: h.feedOf(p.server).noPrimary}).AppendReply(nil)
	}
}

// left is events'.
func (f *feed) left(pt *Topic) {
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
		case p.scriptsOnly:
			f := t.hub.feedOf(p.server)
			waits = waits || p.state == pending && f.conn != nil && !f.late
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

// settle hands the outcome, if there is one, to who waits for it. They may leave.
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
			sub.l.Subscribed(sub, reply)
		}
	}
}

// part returns the part of a topic at the feed's server, if the topic is still
// the one of its name.
func (f *feed) part(pt *Topic) (*topic, *part) {
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

// confirmed is events'.
func (f *feed) confirmed(pt *Topic) {
	f.progress, f.late = f.hub.l.loop.Now(), false
	if t, p := f.part(pt); t != nil {
		p.state, p.reply = confirmed, nil
		f.hub.noted(t, p)
		t.hops = 0
		t.settle()
	}
}

// refused is events'.
func (f *feed) refused(pt *Topic, reply []byte) {
	t, p := f.part(pt)
	if t == nil {
		return
	}
	l := f.hub.l
	f.progress, f.late = l.loop.Now(), false
	if t.hops < maxHops {
		if to, ok := l.servers.FollowMoved(f.server, reply); ok {
			t.hops++
			if to != f.server {
				l.loop.Post(l.MapChanged)
				return
			}
		}
	}
	p.state, p.reply = failed, append([]byte(nil), reply...)
	f.hub.noted(t, p)
	t.settle()
}

// lost is events'.
func (f *feed) lost(err error) {
	f.each(func(_ *topic, p *part) { p.state = pending })
	f.missed(err.Error())
}

// missed counts that messages may have been lost, says so, and tells the listeners. What
// only scripts publish at the server is not worth that.
func (f *feed) missed(why string) {
	listeners := map[Listener]struct{}{}
	f.each(func(t *topic, p *part) {
		if !p.scriptsOnly {
			for _, sub := range t.subs {
				listeners[sub.l] = struct{}{}
			}
		}
	})
	if len(listeners) == 0 {
		return
	}
	addr := ""
	if f.conn != nil {
		addr = f.conn.link.Addr()
	}
	f.hub.l.missed(addr, len(listeners), why)
	for to := range listeners {
		to.Missed()
	}
}

// unreachable is events'.
func (f *feed) unreachable(failure *pipeline.Failure) {
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

// message is events'. A listener that is closed meanwhile leaves, which
// puts the last one, already served, in its place.
func (f *feed) message(kind TopicKind, name, frame []byte) {
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

// move has a topic subscribed to at the given shards and no others.
func (h *hub) move(t *topic, shards []int, owner int) {
	parts := t.parts
	t.parts = nil
	for _, p := range parts {
		h.noted(t, &p)
		if slices.Contains(shards, p.server) {
			p.scriptsOnly = owner >= 0 && owner != p.server
			t.parts = append(t.parts, p)
		} else {
			h.feedOf(p.server).leave(t)
		}
	}
	for _, shard := range shards {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.server == shard }) {
			h.ask(t, shard, owner)
		}
	}
	t.settle()
}
