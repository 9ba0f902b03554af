package pubsub

import (
	"slices"
	"strings"
	"time"

	"ringway/eventloop"
	"ringway/pipeline"
)

// hub is the subscriptions of some of one loop's listeners: one connection to each server,
// whatever their number. All subscriptions of a listener are in one hub, so that it gets
// messages in the order in which a server sent them.
type hub struct {
	l             *Local
	listeners     int
	feeds         []*feed // by shard; nil where none is needed
	topics        [TopicKinds]map[string]*topic
	unsubscribing map[*Topic]*unsubscribing
	watched       []*topic         // that settleLate looks at, oldest first
	lateTimer     *eventloop.Timer // settleLate's
}

// membership says in which hub a listener is.
type membership struct {
	hub  *hub
	subs int // its subscriptions
}

// unsubscribing is a topic without listeners of which servers have yet to confirm the end.
type unsubscribing struct {
	feeds []*feed // of these servers
	done  func()
}

// topic is what all listeners to one name in a hub share.
type topic struct {
	Topic
	hub          *hub
	parts        []part
	subs         []*Subscription
	waiting      int   // how many of these are unconfirmed
	waitingSince int64 // since when there are any, as eventloop.Loop.Now
	watched      bool  // it is in hub.watched
	watchedSince int64 // since when, as eventloop.Loop.Now
	hops         int   // how often servers have redirected it since one confirmed it
}

// part is a topic at one shard's primary.
type part struct {
	shard       int
	state       partState
	scriptsOnly bool              // the channel has another owner: here only scripts publish on it
	counted     *unconfirmedTopic // PUBLISH and scripts wait for it, see countPending; nil if not
	reply       []byte            // failed: the error
}

// partState is the state of a part, or of an invalidationListener.
type partState uint8

const (
	pending partState = iota
	confirmed
	failed
)

// feed is what a hub gets from the primary of one shard.
type feed struct {
	hub       *hub
	shard     int
	conn      *connection // nil while no primary is known
	noPrimary error       // why not
	progress  int64       // when it last confirmed or refused a topic, as eventloop.Loop.Now
	late      bool        // a topic has waited for it for scriptsWait
	removed   bool        // the pool's configuration no longer has the server
}

// joinHub returns the hub of a listener and counts one more subscription there. A new
// listener gets the hub with the fewest, or a further one while there may be more.
func (l *Local) joinHub(to Listener) *hub {
	s := l.members[to]
	if s == nil {
		var best *hub
		for _, h := range l.hubs {
			if best == nil || h.listeners < best.listeners {
				best = h
			}
		}
		if best == nil || best.listeners > 0 && len(l.hubs) < l.settings.Proxy().SubscriberConnections {
			best = newHub(l)
			l.hubs = append(l.hubs, best)
		}
		best.listeners++
		s = &membership{hub: best}
		l.members[to] = s
	}
	s.subs++
	return s.hub
}

// leaveHub ends joinHub.
func (l *Local) leaveHub(from Listener) {
	s := l.members[from]
	if s.subs--; s.subs == 0 {
		s.hub.listeners--
		delete(l.members, from)
	}
}

// newHub returns a hub without listeners.
func newHub(l *Local) *hub {
	h := &hub{l: l, unsubscribing: map[*Topic]*unsubscribing{}}
	for kind := range h.topics {
		h.topics[kind] = map[string]*topic{}
	}
	h.lateTimer = l.loop.NewTimer(h.settleLate)
	return h
}

// addWaiting counts one more subscription that waits for the outcome.
func (t *topic) addWaiting() {
	if t.waiting++; t.waiting == 1 {
		t.waitingSince = t.hub.l.loop.Now()
	}
	if slices.ContainsFunc(t.parts, t.hub.waitsForPrimary) {
		t.hub.watch(t)
	}
}

// waitsForPrimary reports whether a part waits until its shard has a primary.
func (h *hub) waitsForPrimary(p part) bool {
	return p.state == pending && h.feedOf(p.shard).conn == nil
}

// shardsFor returns the shards at which a topic is subscribed to: all of them, since
// scripts publish where they run. In a Cluster, whose servers pass messages on to each
// other, it is one shard: more would double the messages. Keyspace notifications are not
// passed on, so they need all shards there too. If PUBLISH goes to one of several shards,
// that is the owner; else owner is -1.
func (l *Local) shardsFor(kind TopicKind, name string) (shards []int, owner int) {
	slotted := l.servers.Slotted()
	ofKeys := kind != ShardChannel && strings.HasPrefix(name, "__key") // "__keyspace@0__:", "__keyevent@0__:"
	if slotted && !ofKeys {
		return []int{l.servers.ShardOf([]byte(name))}, -1
	}
	for shard := range l.servers.Shards() {
		if !slotted && !l.servers.Removed(shard) || slotted && !l.servers.Absent(shard) {
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
		f := &feed{hub: h, shard: shard}
		h.feeds[shard] = f
		f.connect()
	}
	return h.feeds[shard]
}

// connect makes a connection to the shard's primary if one is known.
func (f *feed) connect() {
	cfg, obs, err := f.hub.l.servers.Primary(f.shard)
	if f.conn, f.noPrimary = nil, err; err == nil {
		f.conn = newConnection(f.hub.l.loop, cfg, obs, f)
	}
}

// primaryChanged subscribes at the new primary of a shard to all topics that were
// subscribed to at the old one. A server that the configuration no longer has keeps its
// connection: the last topic's end closes it, when all messages of before have come.
func (h *hub) primaryChanged(shard int) {
	if shard >= len(h.feeds) || h.feeds[shard] == nil {
		return
	}
	f := h.feeds[shard]
	was := f.removed
	if f.removed = h.l.servers.Removed(shard); f.conn != nil && (was || f.removed) {
		return // it has no topics, and a server that comes back is the same one
	}
	f.close()
	f.connect()
	f.each(func(t *topic, p *part) {
		p.state = pending
		h.uncountPending(p)
		switch {
		case f.conn != nil:
			f.subscribe(t, p)
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

// unsubscribe ends subscribe. It reports whether unsubscribed will be called.
func (f *feed) unsubscribe(t *topic) (asked bool) {
	return f.conn != nil && f.conn.unsubscribe(&t.Topic)
}

// subscribe subscribes to a topic at the server.
func (f *feed) subscribe(t *topic, p *part) {
	if failure := f.conn.subscribe(&t.Topic); failure != nil {
		p.state, p.reply = failed, failure.AppendReply(nil)
		return
	}
	f.hub.countPending(t, p)
}

// addPart subscribes to a topic at one more shard.
func (h *hub) addPart(t *topic, shard, owner int) {
	t.parts = append(t.parts, part{shard: shard, scriptsOnly: owner >= 0 && owner != shard})
	if f := h.feedOf(shard); f.conn != nil { // else the part is pending until there is one
		f.subscribe(t, &t.parts[len(t.parts)-1])
	}
}

// maxHops is how often servers may redirect one subscription: more than a Cluster in good
// order needs.
const maxHops = 16

// scriptsWait is how long a subscription waits for a server that does not answer and at
// which only scripts could publish on the channel.
const scriptsWait = 100 * time.Millisecond

// watch makes settleLate look at a topic after scriptsWait.
func (h *hub) watch(t *topic) {
	if t.watched {
		return
	}
	t.watched, t.watchedSince = true, h.l.loop.Now()
	if h.watched = append(h.watched, t); len(h.watched) == 1 {
		h.lateTimer.After(scriptsWait)
	}
}

// settleLate settles topics that wait only for late servers, and those that have waited
// for a primary for failover_wait.
func (h *hub) settleLate() {
	now := h.l.loop.Now()
	for len(h.watched) > 0 && h.watched[0].watchedSince <= now-int64(scriptsWait) {
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
		h.lateTimer.After(time.Duration(h.watched[0].watchedSince - now + int64(scriptsWait)))
	}
}

// lookAt marks a part's feed as late, or fails the part, if it has waited for long
// enough.
func (h *hub) lookAt(t *topic, p *part, now int64) {
	if !h.waitsForPrimary(*p) {
		f := h.feedOf(p.shard)
		f.late = f.late || p.state == pending && f.progress <= now-int64(scriptsWait)
		return
	}
	if now-t.waitingSince >= int64(h.l.settings.Conf().FailoverWait) {
		p.state, p.reply = failed, (&pipeline.Failure{Cause: h.feedOf(p.shard).noPrimary}).AppendReply(nil)
	}
}

// unsubscribed is events'.
func (f *feed) unsubscribed(pt *Topic) {
	ending := f.hub.unsubscribing[pt]
	if ending == nil {
		return
	}
	i := slices.Index(ending.feeds, f)
	if i < 0 {
		return // nobody waits for this one
	}
	if ending.feeds = slices.Delete(ending.feeds, i, i+1); len(ending.feeds) == 0 {
		delete(f.hub.unsubscribing, pt)
		ending.done()
	}
}

// outcome reports whether the topic waits for no server any more. Then reply is the error
// if no server has confirmed it, or if the one that PUBLISH goes to has not.
func (t *topic) outcome() (settled bool, reply []byte) {
	listens, waits := false, false
	for i := range t.parts {
		p := &t.parts[i]
		switch {
		case p.scriptsOnly:
			f := t.hub.feedOf(p.shard)
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

// settle reports the outcome, if there is one, to the listeners that wait for it. They
// may unsubscribe meanwhile.
func (t *topic) settle() {
	settled, reply := t.outcome()
	if !settled || t.waiting == 0 {
		return
	}
	for i := len(t.subs) - 1; i >= 0; i-- {
		if i >= len(t.subs) {
			continue
		}
		if sub := t.subs[i]; sub.unconfirmed {
			sub.unconfirmed = false
			t.waiting--
			sub.l.Subscribed(sub, reply)
		}
	}
}

// part returns the topic of a Topic and its part at the feed's server; nil if the topic
// of that name is another one by now.
func (f *feed) part(pt *Topic) (*topic, *part) {
	t := f.hub.topics[pt.Kind][pt.Name]
	if t == nil || &t.Topic != pt {
		return nil, nil
	}
	for i := range t.parts {
		if t.parts[i].shard == f.shard {
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
		f.hub.uncountPending(p)
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
		if to, ok := l.servers.FollowMoved(f.shard, reply); ok {
			t.hops++
			if to != f.shard {
				l.loop.Post(l.MapChanged)
				return
			}
		}
	}
	p.state, p.reply = failed, append([]byte(nil), reply...)
	f.hub.uncountPending(p)
	t.settle()
}

// lost is events'.
func (f *feed) lost(err error) {
	f.each(func(_ *topic, p *part) { p.state = pending })
	f.missed(err.Error())
}

// missed reports that messages may have been lost: to the log, the count and the
// listeners. Topics on which only scripts publish at this server do not count.
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
			f.hub.uncountPending(p)
			t.settle()
		}
	})
}

// each calls fn for each topic at the feed's server.
func (f *feed) each(fn func(*topic, *part)) {
	for _, topics := range f.hub.topics {
		for _, t := range topics {
			if _, p := f.part(&t.Topic); p != nil {
				fn(t, p)
			}
		}
	}
}

// message is events'. A listener that is closed by its message unsubscribes, which puts
// the last subscription, already served, in its place; so it runs from the last to the
// first.
func (f *feed) message(kind TopicKind, name, frame []byte) {
	t := f.hub.topics[kind][string(name)]
	if t == nil {
		return // unsubscribed meanwhile
	}
	for i := len(t.subs) - 1; i >= 0; i-- {
		if i < len(t.subs) {
			sub := t.subs[i]
			sub.l.Message(sub, f.shard, frame)
		}
	}
}

// move subscribes to a topic at the given shards and unsubscribes at all others.
func (h *hub) move(t *topic, shards []int, owner int) {
	parts := t.parts
	t.parts = nil
	for _, p := range parts {
		waits := p.counted != nil
		h.uncountPending(&p)
		if slices.Contains(shards, p.shard) {
			p.scriptsOnly = owner >= 0 && owner != p.shard
			if waits {
				h.countPending(t, &p)
			}
			t.parts = append(t.parts, p)
		} else {
			h.feedOf(p.shard).unsubscribe(t)
		}
	}
	for _, shard := range shards {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.shard == shard }) {
			h.addPart(t, shard, owner)
		}
	}
	t.settle()
}
