package session

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"ringway/command"
	"ringway/pubsub"
	"ringway/resp"
)

// subscriber is what a session listens to. It is there from the first
// subscription to the last.
type subscriber struct {
	s       *session
	subs    [pubsub.TopicKinds]map[string]*pubsub.Subscription
	push    []byte       // scratch: a message as RESP3 wants it
	backlog []byte       // messages that came while a reply was passed on in parts
	asking  *subscribing // the request that waits for servers, if there is one
	behind  int64        // since when more waits for the client than pubsub_output_soft_limit, as eventloop.Loop.Now; 0 if it does not
	over    bool         // the session has left everything, or will have in some turns
}

// subscribing is a request to subscribe until it is answered. The session is held
// meanwhile, so it is the only one in the line. What is published on a topic that is
// confirmed already, while others are not, waits for the answer.
type subscribing struct {
	number uint32
	kind   pubsub.TopicKind
	names  []string
	asked  int               // names, from the first, that were asked for
	told   int               // names that the client has the outcome of
	left   int               // names that were asked for and have no outcome
	fresh  int               // subscriptions that it has brought
	count  int               // subscriptions that the client was told of
	failed map[string][]byte // errors, by name
	early  []byte            // messages
	asks   func()            // ends SubscribingMany; nil if the names are few
}

func newSubscriber(s *session) *subscriber {
	l := &subscriber{s: s}
	for k := range l.subs {
		l.subs[k] = map[string]*pubsub.Subscription{}
	}
	return l
}

// kindOf returns what a command is about, and whether it unsubscribes.
func kindOf(cmd *command.Command) (kind pubsub.TopicKind, leaves bool) {
	switch cmd.Name {
	case "psubscribe", "punsubscribe":
		kind = pubsub.Pattern
	case "ssubscribe", "sunsubscribe":
		kind = pubsub.ShardChannel
	}
	return kind, strings.Contains(cmd.Name, "unsub")
}

// pubsub runs the commands that subscribe and unsubscribe. Like handle, it reports
// false if the request must wait: subscribing waits for all earlier replies, so
// that its confirmation is the next thing that the client reads, and messages
// can follow it at once.
func (s *session) pubsub(cmd *command.Command, args [][]byte) bool {
	kind, leaves := kindOf(cmd)
	defer func(muting bool) { s.muting = muting }(s.muting)
	s.muting = false // Redis confirms even to those who want no replies
	if s.user != nil && !leaves {
		s.replyError(errUserListens) // the subscriptions that clients share are the pool's own user's
		return true
	}
	if slices.ContainsFunc(args[1:], func(name []byte) bool { return len(name) > maxTopic }) {
		s.replyError(errLongTopic)
		return true
	}
	if leaves {
		s.unsubscribe(kind, copyNames(args[1:]))
		return true
	}
	if !s.replies.idle() {
		return false
	}
	if s.sub == nil {
		s.sub = newSubscriber(s)
	}
	l, a := s.sub, &subscribing{number: s.push(), kind: kind, names: copyNames(args[1:]), failed: map[string][]byte{}}
	l.asking = a
	s.closeWindow()
	if len(a.names) > portion {
		a.asks = s.subscriptions.SubscribingMany()
	}
	s.w.inPortions(func() bool { return l.subscribe(a) })
	return true
}

var errLongTopic = errors.New("ERR channel or pattern is longer than 65536 bytes")

var replyTooManySubscriptions = []byte("-ERR this client has as many subscriptions as client_subscriptions allows\r\n")

// maxTopic is how long the name of a channel may be, or a pattern: each is kept for as
// long as somebody listens.
const maxTopic = 64 << 10

// copyNames copies arguments, all into one piece of memory. What is kept must be copied again.
func copyNames(args [][]byte) []string {
	size := 0
	for _, arg := range args {
		size += len(arg)
	}
	var b strings.Builder
	b.Grow(size)
	for _, arg := range args {
		b.Write(arg)
	}
	text, names := b.String(), make([]string, len(args))
	for i, arg := range args {
		names[i], text = text[:len(arg)], text[len(arg):]
	}
	return names
}

// subscribe is the chore of a request to subscribe: all names are asked for, and
// when all have an outcome the client is told. It reports true also where it is to
// go on when servers have answered.
func (l *subscriber) subscribe(a *subscribing) (done bool) {
	if a.asks != nil && (l.over || a.asked == len(a.names)) {
		a.asks()
		a.asks = nil
	}
	if l.over || l.asking != a {
		return true
	}
	if a.asked < len(a.names) {
		for _, name := range a.names[a.asked:min(a.asked+portion, len(a.names))] {
			l.join(a, name)
			a.asked++
		}
	}
	switch {
	case a.asked < len(a.names), a.asks != nil:
		return false
	case a.left > 0:
		return true
	}
	if a.told == 0 {
		l.backlog, a.early = append(l.backlog, a.early...), nil
	}
	text := l.confirm(a)
	if a.told < len(a.names) {
		l.s.Reply(a.number, text, false)
		return false
	}
	s := l.s
	l.asking = nil
	s.resume()
	if len(l.backlog) > 0 {
		s.settle()
	}
	s.changed()
	s.finish(a.number, text)
	return true
}

// join asks for one name.
func (l *subscriber) join(a *subscribing, name string) {
	if l.subs[a.kind][name] != nil {
		return
	}
	name = strings.Clone(name)
	if l.total() >= l.s.w.conf.ClientSubscriptions {
		a.failed[name] = replyTooManySubscriptions
		return
	}
	sub, wait, reply := l.s.subscriptions.Subscribe(a.kind, name, l)
	switch {
	case wait:
		a.left++
	case reply != nil:
		l.s.subscriptions.Unsubscribe(sub, nil)
		a.failed[name] = append([]byte(nil), reply...)
		return
	}
	l.subs[a.kind][name] = sub
	a.fresh++
}

// Subscribed is pubsub.Listener's.
func (l *subscriber) Subscribed(sub *pubsub.Subscription, reply []byte) {
	a := l.asking
	if l.over || a == nil {
		return // it will be left
	}
	if reply != nil {
		a.failed[sub.Name()] = append([]byte(nil), reply...)
		delete(l.subs[a.kind], sub.Name())
		a.fresh--
		l.s.subscriptions.Unsubscribe(sub, nil)
	}
	if a.left--; a.left == 0 && a.asked == len(a.names) && a.asks == nil {
		l.s.w.inPortions(func() bool { return l.subscribe(a) })
	}
}

// confirm returns the next confirmations of a request, and has messages delivered
// from now on.
func (l *subscriber) confirm(a *subscribing) (dst []byte) {
	word := a.kind.String() + "subscribe"
	if a.told == 0 {
		a.count = l.count(a.kind) - a.fresh
	}
	for _, name := range a.names[a.told:min(a.told+portion, len(a.names))] {
		a.told++
		sub := l.subs[a.kind][name]
		if sub == nil {
			dst = append(dst, a.failed[name]...)
			continue
		}
		if !sub.Live {
			sub.Live = true
			a.count++
		}
		dst = l.s.appendSubscribed(dst, word, name, a.count)
	}
	return dst
}

// count is the number that Redis gives with a confirmation: channels and patterns
// together, and shard channels by themselves.
func (l *subscriber) count(kind pubsub.TopicKind) int {
	if kind == pubsub.ShardChannel {
		return len(l.subs[kind])
	}
	return len(l.subs[pubsub.Channel]) + len(l.subs[pubsub.Pattern])
}

func (l *subscriber) total() int {
	return l.count(pubsub.Channel) + l.count(pubsub.ShardChannel)
}

// unsubscribing is a request to unsubscribe until it is answered. The session is held
// meanwhile.
type unsubscribing struct {
	l      *subscriber
	number uint32
	kind   pubsub.TopicKind
	names  []string // those that are still to be left
	left   int      // topics that servers have yet to confirm
	reply  []byte
}

// unsubscribe leaves the topics that are named, or all of a kind. When a topic was left
// nothing is delivered; but the confirmation waits for those of the servers, so
// that whoever sees it and publishes is told of one receiver less.
func (s *session) unsubscribe(kind pubsub.TopicKind, names []string) {
	l := s.sub
	if l == nil {
		l = &subscriber{s: s}
	}
	if len(names) == 0 {
		names = slices.Collect(maps.Keys(l.subs[kind]))
	}
	u := &unsubscribing{l: l, number: s.push(), kind: kind, names: names}
	if len(names) == 0 {
		u.reply = s.protocol.AppendPush(u.reply, 3)
		u.reply = s.protocol.AppendNull(resp.AppendBulkString(u.reply, kind.String()+"unsubscribe"))
		u.reply = resp.AppendInt(u.reply, int64(l.count(kind)))
	}
	s.closeWindow()
	s.w.inPortions(u.leave)
}

// leave is the chore of a request to unsubscribe.
func (u *unsubscribing) leave() (done bool) {
	l, s := u.l, u.l.s
	if l.over {
		return true
	}
	word, n := u.kind.String()+"unsubscribe", min(portion, len(u.names))
	for _, name := range u.names[:n] {
		if sub := l.subs[u.kind][name]; sub != nil {
			delete(l.subs[u.kind], name)
			if s.subscriptions.Unsubscribe(sub, u.confirmed) {
				u.left++
			}
		}
		u.reply = s.appendSubscribed(u.reply, word, name, l.count(u.kind))
	}
	if u.names = u.names[n:]; len(u.names) > 0 {
		return false
	}
	s.changed()
	u.finish()
	return true
}

// confirmed is called when the servers have forgotten a topic.
func (u *unsubscribing) confirmed() {
	u.left--
	u.finish()
}

func (u *unsubscribing) finish() {
	if s := u.l.s; u.left == 0 && len(u.names) == 0 && s.conn.Open() {
		s.resume()
		s.finish(u.number, u.reply)
	}
}

// unsubscribeAll leaves everything, without a word: RESET, and the session's end.
// From here on nothing is delivered, but that servers know may take some turns.
func (s *session) unsubscribeAll() {
	l := s.sub
	if l == nil {
		return
	}
	l.over, s.sub = true, nil
	if s.replies.refund(len(l.backlog)); len(l.backlog) > 0 && s.conn.Open() {
		s.conn.Append(l.backlog)
	}
	w, subscriptions := s.w, s.subscriptions
	w.inPortions(func() (done bool) {
		n := 0
		for _, subs := range l.subs {
			for name, sub := range subs {
				if n++; n > portion {
					return false
				}
				delete(subs, name)
				subscriptions.Unsubscribe(sub, nil)
			}
		}
		return true
	})
	s.changed()
}

// changed follows a change of the subscriptions or of the protocol: RESP2 has
// no way to tell a message from a reply, so a subscriber may do little else.
func (s *session) changed() {
	if s.sub != nil && s.monitor == nil && s.sub.total() == 0 && s.sub.asking == nil && len(s.sub.backlog) == 0 {
		s.sub = nil
	}
	s.policy = s.shared.policy()
	switch {
	case s.tracking != nil && s.policy.checking != nil:
		s.policy = s.policy.checking
	case s.user != nil && s.policy.restricted != nil:
		s.policy = s.policy.restricted
	}
	if s.sub != nil && s.sub.total() > 0 && s.protocol == resp.RESP2 {
		s.policy = s.policy.listening
	}
}

// listening tells whether the session is in what Redis calls subscriber mode.
func (s *session) listening() bool { return s.sub != nil && s.policy.listening == nil }

// Message is pubsub.Listener's.
func (l *subscriber) Message(sub *pubsub.Subscription, frame []byte) {
	if l.over {
		return
	}
	if l.s.protocol == resp.RESP3 {
		l.push = append(append(l.push[:0], '>'), frame[1:]...)
		frame = l.push
	}
	switch a := l.asking; {
	case sub.Live, a != nil && a.told > 0:
		l.deliver(frame)
	case a != nil:
		a.early = append(a.early, frame...)
		l.s.replies.charge(len(frame))
		l.checkBacklog()
	}
}

// Missed is pubsub.Listener's.
func (l *subscriber) Missed() {
	if s := l.s; !l.over && s.conn.Open() && s.w.conf.OnLostSubscription == "close" {
		s.close()
	}
}

// checkBacklog closes a client that does not read its messages, at Redis's limits for
// clients that are subscribed.
func (l *subscriber) checkBacklog() {
	s := l.s
	s.checkOutputLimit()
	if !s.conn.Open() || s.monitor != nil {
		return
	}
	waiting, now := s.waiting(), s.w.loop.Now()
	switch {
	case waiting <= int(s.w.conf.PubSubOutputSoft):
		l.behind = 0
	case l.behind == 0:
		l.behind = now
	}
	if waiting > int(s.w.conf.PubSubOutputLimit) || l.behind != 0 && now-l.behind > int64(s.w.conf.PubSubOutputTime) {
		s.w.log.Warn("client closed: it does not read its messages; see pubsub_output_limit",
			"pool", s.poolName, "client", s.info.addr, "waiting", waiting)
		s.close()
	}
}

// deliver sends something that is no reply. It goes out at once, but not into the
// middle of a reply: then it waits, and with it further requests, so that an end
// is near.
func (l *subscriber) deliver(frame []byte) {
	s := l.s
	if !s.conn.Open() {
		return
	}
	if !s.replies.midReply() && len(l.backlog) == 0 {
		s.conn.Write(frame)
		l.checkBacklog()
		return
	}
	l.backlog = append(l.backlog, frame...)
	s.replies.charge(len(frame))
	s.blocked = true
	l.checkBacklog()
}

// flushBacklog sends the messages that waited for the end of a reply. It reports
// false if that has not come.
func (s *session) flushBacklog() bool {
	l := s.sub
	if len(l.backlog) == 0 {
		return true
	}
	if s.replies.midReply() {
		return false
	}
	s.replies.refund(len(l.backlog))
	s.conn.Append(l.backlog)
	l.backlog = nil
	s.changed()
	return true
}

func (s *session) appendSubscribed(dst []byte, word, name string, count int) []byte {
	dst = s.protocol.AppendPush(dst, 3)
	dst = resp.AppendBulkString(resp.AppendBulkString(dst, word), name)
	return resp.AppendInt(dst, int64(count))
}

// listeningPolicy derives what a subscriber may do from what the pool permits.
func listeningPolicy(p *policy) *policy {
	l := &policy{verdicts: slices.Clone(p.verdicts), defaultServer: p.defaultServer}
	for id, v := range l.verdicts {
		cmd := command.ByID(id)
		if v <= checked && cmd.Route != command.PubSub && !slices.Contains([]string{"ping", "quit", "reset"}, cmd.Name) {
			l.verdicts[id] = notSubscribed
		}
	}
	return l
}

// appendNotSubscribed appends the error for a command that is not for subscribers.
func appendNotSubscribed(dst []byte, cmd *command.Command) []byte {
	return resp.AppendError(dst, "ERR Can't execute '"+cmd.Name+
		"': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
}
