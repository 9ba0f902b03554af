package session

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"time"

	"ringway/eventloop"
	"ringway/handover"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/pubsub"
	"ringway/resp"
)

// A subscriber goes to another process without a message lost or doubled. While it is here, the other process
// subscribes to the same topics. Then both subscribe to a marker, a channel of this session alone, and this one publishes
// on it once at each shard. A server sends each connection what is published there in the same order: so what
// comes before the marker on the old process's connection is what comes before it on the new one's. The old process
// delivers that, and the new one what comes behind.
//
// What comes behind the marker is kept by both: the new process delivers it when it has the client, or the old one
// if the client stays after all.

const (
	// cutWithin is how long a cut may take, during which the client's requests wait.
	cutWithin = time.Second
	// markedAgain is how long to wait until servers are asked for again that have not confirmed a marker.
	markedAgain = 2 * time.Millisecond
	// maxLater is how many bytes of messages may come behind the markers meanwhile.
	maxLater = 4 << 20
	// markerTries is how many names are tried for a marker of one shard of a Cluster.
	markerTries = 1 << 16
)

// cut is the state of a subscriber that goes to another process, or comes from one.
type cut struct {
	l       *subscriber
	markers []*pubsub.Subscription
	names   map[int]string   // of the markers, by shard; in the old process
	waiting int              // subscriptions that are unconfirmed
	seen    map[int]bool     // shards whose marker has come
	want    int              // how many of them there are
	later   []byte           // messages behind the markers
	timer   *eventloop.Timer // ends what takes too long

	// In the old process.
	departure *Departure // nil in the new one
	give      func(input []byte) error
	published bool
	given     bool // the new process is being given the client: neither reads it

	// In the new process.
	subscribe func() bool // requests the subscriptions; nil when all are requested
	ready     func(error) // called when they are confirmed; nil afterwards
	entered   bool        // the client is here
	lost      bool        // messages may have been missed
}

// errCut is why a subscriber can't move.
var errCut = errors.New("a server refuses its subscriptions")

// canCut reports whether a subscriber whose session is idle can begin its cut, or leave when that is complete.
func (g *giving) canCut(l *subscriber) bool {
	return l.pending == nil && len(l.backlog) == 0 && !l.ended && (l.cut == nil || l.cut.complete() && !l.cut.given)
}

// takeSubscriber begins the cut of a subscriber, or gives it to the other process if that is complete.
func (g *giving) takeSubscriber(s *session) {
	s.movingTo = g
	if s.sub.cut != nil {
		s.sub.cut.leave()
		return
	}
	if !s.held {
		s.held = true
		s.closeWindow()
	}
	fd, err := s.conn.Duplicate()
	if err != nil {
		s.stays, s.movingTo = true, nil
		s.letGo()
		return
	}
	d := &Departure{Record: s.record(), FD: fd, s: s, g: g, Withdrawn: func() {}}
	d.holders.Store(1)
	c := &cut{l: s.sub, departure: d, seen: map[int]bool{}, names: map[int]string{}}
	c.timer = s.w.loop.NewTimer(func() { c.giveUp("a marker has not come within " + cutWithin.String()) })
	s.sub.cut = c
	g.underWay++
	if why := c.mark(); why != "" {
		c.giveUp(why)
		return
	}
	c.timer.After(cutWithin)
	r := d.Record
	for kind, to := range map[pubsub.TopicKind]*[][]byte{pubsub.Channel: &r.Channels, pubsub.Pattern: &r.Patterns, pubsub.ShardChannel: &r.ShardChannels} {
		for name := range s.sub.subs[kind] {
			*to = append(*to, []byte(name))
		}
	}
	r.Cuts = c.want
	for _, name := range c.names {
		if !slices.Contains(r.Markers, name) {
			r.Markers = append(r.Markers, name)
		}
	}
	d.holders.Add(1)
	g.to(d)
}

// mark subscribes to the markers. It returns why that is not possible, or "".
func (c *cut) mark() (why string) {
	s := c.l.s
	shards := map[int]bool{}
	for _, subs := range c.l.subs {
		for _, sub := range subs {
			for _, shard := range sub.Shards() {
				shards[shard] = true
			}
		}
	}
	c.want = len(shards)
	one := newMarker()
	for shard := range shards {
		c.names[shard] = one
		for try := 0; s.local.Slotted() && s.local.ShardOf([]byte(c.names[shard])) != shard; try++ {
			if try == markerTries {
				return "no name of a marker was found for a shard of the Cluster"
			}
			c.names[shard] = newMarker()
		}
	}
	known := map[string]bool{}
	for _, name := range c.names {
		if known[name] {
			continue
		}
		known[name] = true
		sub, wait, reply := s.subscriptions.Subscribe(pubsub.Channel, name, c.l)
		c.markers = append(c.markers, sub)
		if reply != nil {
			return refusal(reply)
		}
		if wait {
			c.waiting++
		}
	}
	if c.want == 0 {
		return "no server has its subscriptions"
	}
	return ""
}

// refusal returns a server's error as a log has it.
func refusal(reply []byte) string { return "a server answers " + string(bytes.TrimSpace(reply)) }

// markerPrefix is what the names of markers begin with.
const markerPrefix = "__ringway:marker:"

// newMarker returns the name of a channel that nobody else has.
func newMarker() string {
	var b [12]byte
	rand.Read(b[:])
	return markerPrefix + hex.EncodeToString(b[:])
}

// subscribed is told the outcome of a subscription.
func (c *cut) subscribed(sub *pubsub.Subscription, reply []byte) {
	switch c.waiting--; {
	case reply != nil && c.departure != nil:
		c.giveUp(refusal(reply))
	case reply != nil:
		c.refuse()
	case c.departure != nil:
		c.publish()
	default:
		c.checkReady()
	}
}

// cutAccepted goes on when the other process has subscribed to all that the session is subscribed to.
func (s *session) cutAccepted(d *Departure, give func(input []byte) error) {
	if s.sub == nil || s.sub.cut == nil || s.sub.cut.departure != d {
		return // it was withdrawn
	}
	s.sub.cut.give = give
	s.sub.cut.publish()
}

// publish publishes the markers, when both processes are subscribed to them.
func (c *cut) publish() {
	if c.published || c.give == nil || c.waiting > 0 || !c.isMarked(c.publish) {
		return
	}
	c.published = true
	s := c.l.s
	conns := s.local.ConnSet(resp.RESP2, s.local.Conf().RedisDB)
	for shard, name := range c.names {
		request := resp.AppendRequest(nil, [][]byte{[]byte("PUBLISH"), []byte(name), strconv.AppendInt(nil, int64(shard), 10)})
		conn := conns.Conn(shard, s.info.id)
		if conn.Full() || conn.Send(request, markerReply{c}, 0) != nil {
			c.abort(false)
			return
		}
	}
}

// markerReply is the Receiver of the reply to a marker's PUBLISH.
type markerReply struct{ c *cut }

// Reply implements pipeline.Receiver.
func (m markerReply) Reply(_ uint32, b []byte, _ bool) {
	c := m.c
	switch {
	case len(b) == 0 || b[0] != '-' || c.l.cut != c:
	case bytes.HasPrefix(b, []byte("-NOPERM")), bytes.HasPrefix(b, []byte("-ERR")):
		c.giveUp(refusal(b))
	default: // such as -MOVED: another try may succeed
		c.abort(false)
	}
}

// Fail implements pipeline.Receiver.
func (m markerReply) Fail(uint32, *pipeline.Failure, []byte) {
	if c := m.c; c.l.cut == c {
		c.abort(false)
	}
}

// isMarked reports whether all servers have confirmed the markers. If not, again is called a moment later.
func (c *cut) isMarked(again func()) bool {
	for _, m := range c.markers {
		if !m.Everywhere() {
			c.l.s.w.loop.NewTimer(func() {
				if c.l.cut == c {
					again()
				}
			}).After(markedAgain)
			return false
		}
	}
	return true
}

// complete reports whether the markers of all shards have come.
func (c *cut) complete() bool { return len(c.seen) >= c.want }

// takes handles a message of a shard. It reports false if the message is to be delivered now.
func (c *cut) takes(sub *pubsub.Subscription, shard int, frame []byte) bool {
	if slices.Contains(c.markers, sub) {
		c.seen[shard] = true
		if c.complete() {
			c.completed()
		}
		return true
	}
	switch behind := c.seen[shard] || c.complete(); {
	case c.departure != nil && !behind, c.entered && behind:
		return false
	case behind:
		c.later = append(c.later, frame...)
		if len(c.later) > maxLater {
			c.overflow()
		}
	}
	return true
}

// completed is called when the last marker has come.
func (c *cut) completed() {
	switch {
	case c.departure != nil:
		c.l.s.deferRun()
	case c.entered:
		c.arrived()
	}
}

// overflow is called when too much has come behind the markers.
func (c *cut) overflow() {
	if c.departure != nil {
		c.abort(false)
		return
	}
	c.later, c.lost = nil, true
}

// missed is told that messages may have been lost. It reports whether that is the cut's concern alone.
func (c *cut) missed() bool {
	switch {
	case c.departure != nil:
		c.abort(false)
		return false
	case c.entered:
		return false
	}
	c.lost = true
	return true
}

// leave gives the client to the other process. It is not read any more.
func (c *cut) leave() {
	s, d := c.l.s, c.departure
	c.given = true
	c.timer.Stop()
	input := s.conn.TakeUnread()
	s.conn.Pause()
	s.endListening() // nothing more is written to the client
	go func() {
		err := c.give(input)
		s.w.loop.Post(func() {
			switch {
			case !s.conn.Open(): // the client has left meanwhile
				d.end()
			case err == nil:
				s.cutLeft(d)
			default:
				c.given = false
				s.listenAgain(d.Record)
				s.conn.PutUnread(input)
				s.conn.Resume()
				s.endCut(d, false)
			}
		})
	}()
}

// cutLeft ends the departure: the other process has the client.
func (s *session) cutLeft(d *Departure) {
	eventloop.CloseFD(s.conn.Detach().FD) // d.FD is another descriptor
	d.g.w.detach(s)
	s.leaveTopics()
	s.useConns(nil)
	s.setUser(s.proxyUser, nil)
	s.left()
	d.end()
}

// end ends the departure of a subscriber, whichever way it has gone.
func (d *Departure) end() {
	d.release()
	d.over()
}

// abort has the session stay: it withdraws the departure, and delivers what has come behind the markers. With
// forGood the session is not offered again.
func (c *cut) abort(forGood bool) {
	if c.given {
		return // it is decided elsewhere
	}
	c.departure.Withdrawn()
	c.l.s.endCut(c.departure, forGood)
}

// giveUp has the session stay until it is drained.
func (c *cut) giveUp(why string) {
	s := c.l.s
	s.w.logOnce.staysSubscribed(s.poolName, why)
	c.abort(true)
}

// endCut ends the cut of a session that stays.
func (s *session) endCut(d *Departure, forGood bool) {
	if s.sub == nil || s.sub.cut == nil || s.sub.cut.departure != d || s.sub.cut.given {
		return
	}
	c := s.sub.cut
	s.sub.cut = nil
	c.end()
	if s.stays, s.movingTo = forGood, nil; s.conn.Open() {
		if len(c.later) > 0 {
			s.sub.deliver(c.later)
		}
		s.letGo()
	}
	d.end()
}

// end stops listening to the markers.
func (c *cut) end() {
	c.timer.Stop()
	for _, m := range c.markers {
		c.l.s.subscriptions.Unsubscribe(m, nil)
	}
	c.markers = nil
}

// dropCut is called when the session ends.
func (l *subscriber) dropCut() {
	c := l.cut
	if c == nil {
		return
	}
	l.cut = nil
	c.end()
	if d := c.departure; d != nil && !c.given {
		d.Withdrawn()
		d.end()
	}
}

// Arrival of a subscriber: what the new process does.

// Arriving is a subscriber that another process has offered. It belongs to its loop.
type Arriving struct {
	s *session
	r *handover.Record
}

// Prepare subscribes to what a session of another process is subscribed to. ready is called on the loop when that is
// done, or with the reason why it can't be, which has given the client and the user back. user is as for Receive,
// and the client is counted.
func (w *Worker) Prepare(index int, r *handover.Record, user *pool.User, ready func(*Arriving, error)) {
	s := w.sessionOf(index, r, user)
	a := &Arriving{s, r}
	s.sub = newSubscriber(s)
	c := &cut{l: s.sub, seen: map[int]bool{}, want: r.Cuts}
	c.timer = w.loop.NewTimer(c.force)
	s.sub.cut = c
	c.ready = func(err error) {
		if err != nil {
			a.Drop()
			ready(nil, err)
			return
		}
		ready(a, nil)
	}
	names := map[pubsub.TopicKind][][]byte{pubsub.Channel: r.Channels, pubsub.Pattern: r.Patterns, pubsub.ShardChannel: r.ShardChannels}
	c.subscribe = func() bool {
		n := 0
		for kind := range names {
			for ; len(names[kind]) > 0; names[kind] = names[kind][1:] {
				if n++; n > portion {
					return false
				}
				if c.ready == nil || !c.join(kind, string(names[kind][0]), false) {
					return true // it was refused
				}
			}
		}
		for _, name := range r.Markers { // last: when a server has confirmed it, so it has all others
			if !c.join(pubsub.Channel, name, true) {
				return true
			}
		}
		c.subscribe = nil
		c.checkReady()
		return true
	}
	w.inPortions(c.subscribe)
}

// join subscribes to a topic. It reports false if that is refused.
func (c *cut) join(kind pubsub.TopicKind, name string, marker bool) bool {
	sub, wait, reply := c.l.s.subscriptions.Subscribe(kind, name, c.l)
	if marker {
		c.markers = append(c.markers, sub)
	} else {
		c.l.subs[kind][name] = sub
		sub.Live = true
	}
	if wait {
		c.waiting++
	}
	if reply != nil {
		c.refuse()
	}
	return reply == nil
}

// checkReady says that the session could be here, when all subscriptions are confirmed.
func (c *cut) checkReady() {
	if ready := c.ready; ready != nil && c.subscribe == nil && c.waiting == 0 && c.isMarked(c.checkReady) {
		c.ready = nil
		if c.lost {
			ready(errCut)
			return
		}
		ready(nil)
	}
}

// refuse says that the session can't be here.
func (c *cut) refuse() {
	if ready := c.ready; ready != nil {
		c.ready = nil
		ready(errCut)
	}
}

// Enter goes on with the session, whose client's socket is fd. input is what the client has sent and that has not
// run.
func (a *Arriving) Enter(fd int, input []byte) {
	s := a.s
	c := s.sub.cut
	if !s.enter(eventloop.Socket{FD: fd}) {
		s.leaveTopics()
		return
	}
	s.lastActive = s.w.loop.Now() - a.r.Idle
	c.entered = true
	if c.lost {
		c.arrived()
		s.sub.Missed()
	} else if c.complete() {
		c.arrived()
	} else {
		c.timer.After(cutWithin)
	}
	if s.conn.Open() {
		s.listenAgain(a.r)
		s.present(input)
	}
}

// arrived ends the cut in the new process: all further messages are delivered.
func (c *cut) arrived() {
	c.l.cut = nil
	c.end()
	c.flush()
}

// flush delivers what has come behind the markers.
func (c *cut) flush() {
	if later := c.later; len(later) > 0 && c.l.s.conn.Open() {
		c.later = nil
		c.l.deliver(later)
	}
}

// force is called when a marker does not come, such as that of a shard that has failed.
func (c *cut) force() {
	if c.l.cut == c {
		c.arrived()
		c.l.Missed()
	}
}

// Drop ends the session, which stays in the other process.
func (a *Arriving) Drop() {
	s := a.s
	s.leaveTopics()
	s.setUser(s.proxyUser, nil)
	s.useConns(nil)
	s.left()
}

// leaveTopics ends all subscriptions of a session that is not here any more, or not yet.
func (s *session) leaveTopics() {
	l := s.sub
	if l == nil {
		return // the session has ended already
	}
	l.ended, s.sub = true, nil
	if l.cut != nil {
		l.cut.end()
		l.cut.ready, l.cut = nil, nil
	}
	l.leaveAll()
}
