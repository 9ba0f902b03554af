package session

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"ringway/command"
	"ringway/join"
	"ringway/pubsub"
	"ringway/resp"
	"ringway/stats"
)

// subscriber is the subscriptions of a session, and its MONITOR. It exists from the first
// SUBSCRIBE until the last topic is left. It receives from the loop's shared subscriptions
// (pubsub.Listener).
type subscriber struct {
	s             *session
	subs          [pubsub.TopicKinds]map[string]*pubsub.Subscription // by kind and name
	scratch       []byte                                             // for a message in RESP3's form
	backlog       []byte                                             // messages that wait for the end of a reply that is under way
	pending       *subscribing                                       // the SUBSCRIBE that is not answered yet; nil for none
	overSoftSince int64                                              // since when more than pubsub_output_soft_limit waits for the client, as eventloop.Loop.Now; 0 if less does
	cause         uint32                                             // the number in the line of the last request that may publish
	cut           *cut                                               // the session is about to go to another process, or comes from one; else nil
	ended         bool                                               // all topics are left, or will be in some turns; nothing is delivered
}

// subscribing is a SUBSCRIBE, PSUBSCRIBE or SSUBSCRIBE that is not answered yet. The session
// runs nothing else meanwhile, so the request is alone in the line of replies. A message on
// one of its topics that comes before the answer waits for it.
type subscribing struct {
	number      uint32 // in the session's line
	kind        pubsub.TopicKind
	names       []string          // in the order of the request
	requested   int               // how many names, from the first, were requested from pubsub
	reported    int               // how many names, from the first, the client has the outcome of
	outstanding int               // requested names whose outcome the servers have yet to tell
	added       int               // subscriptions that are new
	count       int               // the number in the last confirmation
	failed      map[string][]byte // errors, by name
	messages    []byte            // messages that wait for the answer
	endMany     func()            // ends pubsub.Local.SubscribingMany; nil if the names are few
}

func newSubscriber(s *session) *subscriber {
	l := &subscriber{s: s}
	for k := range l.subs {
		l.subs[k] = map[string]*pubsub.Subscription{}
	}
	return l
}

// kindOf returns the kind of topic that a command is about, and whether it unsubscribes.
func kindOf(cmd *command.Command) (kind pubsub.TopicKind, leaves bool) {
	switch cmd.Name {
	case "psubscribe", "punsubscribe":
		kind = pubsub.Pattern
	case "ssubscribe", "sunsubscribe":
		kind = pubsub.ShardChannel
	}
	return kind, strings.Contains(cmd.Name, "unsub")
}

// pubsub runs the commands that subscribe and unsubscribe. Like handle, it reports false if
// the request must wait: subscribing waits for all earlier replies. So its confirmation is
// the next thing that the client reads, and messages can follow at once.
func (s *session) pubsub(cmd *command.Command, args [][]byte) bool {
	kind, leaves := kindOf(cmd)
	defer func(muting bool) { s.muting = muting }(s.muting)
	s.muting = s.executing != nil // Redis confirms even with CLIENT REPLY OFF; EXEC takes the confirmation
	if s.isServersUser() && !leaves {
		s.replyError(errUserListens) // clients share subscriptions, which belong to the pool's own user
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
	if !s.isAlone() {
		return false
	}
	if s.sub == nil {
		s.sub = newSubscriber(s)
	}
	l, a := s.sub, &subscribing{number: s.push(), kind: kind, names: copyNames(args[1:]), failed: map[string][]byte{}}
	l.pending = a
	s.closeWindow()
	if len(a.names) > portion {
		a.endMany = s.subscriptions.SubscribingMany()
	}
	s.w.inPortions(func() bool { return l.subscribe(a) })
	return true
}

var errLongTopic = errors.New("ERR channel or pattern is longer than 65536 bytes")

var replyTooManySubscriptions = []byte("-ERR this client has as many subscriptions as client_subscriptions allows\r\n")

// maxTopic is how many bytes the name of a channel or a pattern may have: each is in memory
// for as long as it has a subscriber.
const maxTopic = 64 << 10

// copyNames copies arguments, all into one piece of memory. A name that outlives the request
// must be copied again, or it keeps all of them in memory.
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

// subscribe is the task of a request to subscribe. It requests all names from pubsub, in
// portions, and confirms them to the client, in portions, when all have an outcome. It
// reports true when it is done, or waits for servers: then Subscribed starts it again.
func (l *subscriber) subscribe(a *subscribing) (done bool) {
	if a.endMany != nil && (l.ended || a.requested == len(a.names)) {
		a.endMany()
		a.endMany = nil
	}
	if l.ended || l.pending != a {
		return true
	}
	if a.requested < len(a.names) {
		for _, name := range a.names[a.requested:min(a.requested+portion, len(a.names))] {
			l.join(a, name)
			a.requested++
		}
	}
	switch {
	case a.requested < len(a.names), a.endMany != nil:
		return false
	case a.outstanding > 0:
		return true
	}
	if a.reported == 0 {
		l.backlog, a.messages = append(l.backlog, a.messages...), nil
	}
	text := l.confirm(a)
	if a.reported < len(a.names) {
		l.s.Reply(a.number, text, false)
		return false
	}
	s := l.s
	l.pending = nil
	s.resume()
	if len(l.backlog) > 0 {
		s.deferRun()
	}
	s.updatePolicy()
	s.finish(a.number, text)
	return true
}

// join requests one name from pubsub.
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
		a.outstanding++
	case reply != nil:
		l.s.subscriptions.Unsubscribe(sub, nil)
		a.failed[name] = append([]byte(nil), reply...)
		return
	}
	l.subs[a.kind][name] = sub
	a.added++
}

// Subscribed is pubsub.Listener's: the servers have confirmed a topic, or refused it with reply.
func (l *subscriber) Subscribed(sub *pubsub.Subscription, reply []byte) {
	if l.cut != nil && !l.ended {
		l.cut.subscribed(sub, reply)
		return
	}
	a := l.pending
	if l.ended || a == nil {
		return // unsubscribeAll will leave it
	}
	if reply != nil {
		a.failed[sub.Name()] = append([]byte(nil), reply...)
		delete(l.subs[a.kind], sub.Name())
		a.added--
		l.s.subscriptions.Unsubscribe(sub, nil)
	}
	if a.outstanding--; a.outstanding == 0 && a.requested == len(a.names) && a.endMany == nil {
		l.s.w.inPortions(func() bool { return l.subscribe(a) })
	}
}

// confirm returns the next portion of a request's confirmations. Messages on their topics
// are delivered from now on.
func (l *subscriber) confirm(a *subscribing) (dst []byte) {
	word := a.kind.String() + "subscribe"
	if a.reported == 0 {
		a.count = l.count(a.kind) - a.added
	}
	for _, name := range a.names[a.reported:min(a.reported+portion, len(a.names))] {
		a.reported++
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

// count returns the number that Redis gives with a confirmation: channels and patterns are
// counted together, shard channels by themselves.
func (l *subscriber) count(kind pubsub.TopicKind) int {
	if kind == pubsub.ShardChannel {
		return len(l.subs[kind])
	}
	return len(l.subs[pubsub.Channel]) + len(l.subs[pubsub.Pattern])
}

// total returns how many topics of all kinds the session is subscribed to.
func (l *subscriber) total() int {
	return l.count(pubsub.Channel) + l.count(pubsub.ShardChannel)
}

// unsubscribing is an UNSUBSCRIBE, PUNSUBSCRIBE or SUNSUBSCRIBE that is not answered yet. The
// session runs nothing else meanwhile.
type unsubscribing struct {
	l           *subscriber
	number      uint32
	kind        pubsub.TopicKind
	names       []string // those that are still to leave
	outstanding int      // topics that the servers have yet to confirm
	reply       []byte   // the confirmations so far
}

// unsubscribe leaves the named topics, or all topics of a kind if there are no names.
// Messages stop at once. The client's confirmation waits for the servers', so that a client
// that sees it and publishes gets a count of one receiver less.
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

// leave is the task of a request to unsubscribe: it leaves one portion of the topics.
func (u *unsubscribing) leave() (done bool) {
	l, s := u.l, u.l.s
	if l.ended {
		return true
	}
	word, n := u.kind.String()+"unsubscribe", min(portion, len(u.names))
	for _, name := range u.names[:n] {
		if sub := l.subs[u.kind][name]; sub != nil {
			delete(l.subs[u.kind], name)
			if s.subscriptions.Unsubscribe(sub, u.confirmed) {
				u.outstanding++
			}
		}
		u.reply = s.appendSubscribed(u.reply, word, name, l.count(u.kind))
	}
	if u.names = u.names[n:]; len(u.names) > 0 {
		return false
	}
	s.updatePolicy()
	u.finish()
	return true
}

// confirmed is called when the servers have confirmed that a topic is left.
func (u *unsubscribing) confirmed() {
	u.outstanding--
	u.finish()
}

// finish answers the request when all of its topics are left and confirmed.
func (u *unsubscribing) finish() {
	if s := u.l.s; u.outstanding == 0 && len(u.names) == 0 && s.conn.Open() {
		s.resume()
		s.finish(u.number, u.reply)
	}
}

// unsubscribeAll drops all subscriptions without replying, for RESET and at the session's
// end. Messages stop at once; the servers are told in portions, over some turns.
func (s *session) unsubscribeAll() {
	l := s.sub
	if l == nil {
		return
	}
	l.dropCut()
	l.ended, s.sub = true, nil
	if s.replies.refund(len(l.backlog)); len(l.backlog) > 0 && s.conn.Open() {
		s.conn.Append(l.backlog)
	}
	l.leaveAll()
	s.updatePolicy()
}

// leaveAll unsubscribes from all topics, in portions.
func (l *subscriber) leaveAll() {
	w, subscriptions := l.s.w, l.s.subscriptions
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
}

// updatePolicy chooses the policy again after a change of the subscriptions, the protocol,
// the user, tracking or the pool's conditions. In RESP2 a message can't be told from a
// reply, so a subscriber may run few commands (policy.subscriberMode).
func (s *session) updatePolicy() {
	s.updateLimits()
	if s.sub != nil && s.monitor == nil && s.sub.total() == 0 && s.sub.pending == nil && len(s.sub.backlog) == 0 {
		s.sub = nil
	}
	s.policy = s.policyOf(s.proxyUser)
	switch {
	case s.tracking != nil && s.policy.checking != nil:
		s.policy = s.policy.checking
	case s.isServersUser() && s.policy.restricted != nil:
		s.policy = s.policy.restricted
	}
	if s.sub != nil && s.sub.total() > 0 && s.protocol == resp.RESP2 {
		s.policy = s.policy.subscriberMode
	}
}

// inSubscriberMode reports whether the session is in what Redis calls subscriber mode.
func (s *session) inSubscriberMode() bool { return s.sub != nil && s.policy.subscriberMode == nil }

// Message is pubsub.Listener's: frame is a published message as an array in RESP2's form,
// valid only during the call.
func (l *subscriber) Message(sub *pubsub.Subscription, shard int, frame []byte) {
	if l.ended {
		return
	}
	if l.s.protocol == resp.RESP3 {
		l.scratch = append(append(l.scratch[:0], '>'), frame[1:]...)
		frame = l.scratch
	}
	switch a := l.pending; {
	case l.cut != nil && l.cut.takes(sub, shard, frame):
	case sub.Live, a != nil && a.reported > 0:
		l.deliver(frame)
	case a != nil:
		a.messages = append(a.messages, frame...)
		l.s.replies.charge(len(frame))
		l.checkBacklog()
	}
}

// Missed is pubsub.Listener's: a connection was lost, and messages may have been.
func (l *subscriber) Missed() {
	if l.cut != nil && l.cut.missed() {
		return
	}
	if s := l.s; !l.ended && s.conn.Open() && s.w.conf.OnLostSubscription == "close" {
		s.closeFor(stats.ClosedMissedData)
	}
}

// checkBacklog closes a client that does not read its messages. The limits are those of
// Redis's client-output-buffer-limit pubsub: a hard one, and a soft one that holds when it is
// exceeded for pubsub_output_soft_time.
func (l *subscriber) checkBacklog() {
	s := l.s
	s.checkOutputLimit()
	if !s.conn.Open() || s.monitor != nil {
		return
	}
	waiting, now := s.waiting(), s.w.loop.Now()
	switch {
	case waiting <= int(s.w.conf.PubSubOutputSoft):
		l.overSoftSince = 0
	case l.overSoftSince == 0:
		l.overSoftSince = now
	}
	if waiting > int(s.w.conf.PubSubOutputLimit) || l.overSoftSince != 0 && now-l.overSoftSince > int64(s.w.conf.PubSubOutputTime) {
		s.w.log.Warn("client closed: it does not read its messages; see pubsub_output_limit",
			"pool", s.poolName, "client", s.info.addr, "waiting", waiting)
		s.closeFor(stats.ClosedOutput)
	}
}

// causes notes that the request which is run next may publish.
func (l *subscriber) causes() { l.cause = l.s.replies.tail }

// causing reports whether a request is under way that may have caused the messages that come now.
// Since 7.2 Redis gives the reply to a client's request before the messages to that client which it
// causes; earlier versions give it behind them, or inside EXEC's reply.
func (l *subscriber) causing() bool {
	return l.s.protocol == resp.RESP3 && l.s.replies.awaits(l.cause) && join.AtLeastVersion(l.s.local.Version(), "7.2")
}

// deliver sends a message: at once, or at the end of the reply that is under way or due before
// it. In that case the client's next requests wait as well, so that their replies don't put the message
// off. frame stays the caller's.
func (l *subscriber) deliver(frame []byte) {
	s := l.s
	if !s.conn.Open() {
		return
	}
	if !s.replies.midReply() && s.executing == nil && len(l.backlog) == 0 && !l.causing() {
		s.conn.Write(frame)
		l.checkBacklog()
		return
	}
	l.backlog = append(l.backlog, frame...)
	s.replies.charge(len(frame))
	s.blocked = true
	l.checkBacklog()
}

// flushBacklog sends the messages that waited for the end of a reply. It reports false if
// that end has not come.
func (s *session) flushBacklog() bool {
	l := s.sub
	if len(l.backlog) == 0 {
		return true
	}
	if s.replies.midReply() || s.executing != nil || l.causing() {
		return false
	}
	s.replies.refund(len(l.backlog))
	s.conn.Append(l.backlog)
	l.backlog = nil
	s.updatePolicy()
	return true
}

// appendSubscribed appends a confirmation: word is subscribe, unsubscribe or one of their
// variants.
func (s *session) appendSubscribed(dst []byte, word, name string, count int) []byte {
	dst = s.protocol.AppendPush(dst, 3)
	dst = resp.AppendBulkString(resp.AppendBulkString(dst, word), name)
	return resp.AppendInt(dst, int64(count))
}

// subscriberPolicy returns p for clients in subscriber mode: of what the pool permits, they
// may only run what Redis lets them.
func subscriberPolicy(p *policy) *policy {
	l := &policy{verdicts: slices.Clone(p.verdicts), defaultServer: p.defaultServer}
	for id, v := range l.verdicts {
		cmd := command.ByID(id)
		if v <= checked && cmd.Route != command.PubSub && !slices.Contains([]string{"ping", "quit", "reset"}, cmd.Name) {
			l.verdicts[id] = notWhileSubscribed
		}
	}
	return l
}

// appendNotWhileSubscribed appends Redis's error for a command that is refused in subscriber
// mode.
func appendNotWhileSubscribed(dst []byte, cmd *command.Command) []byte {
	return resp.AppendError(dst, "ERR Can't execute '"+cmd.Name+
		"': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
}
