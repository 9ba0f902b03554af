package server

import (
	"slices"
	"strings"

	"github.com/tidwall/redcon"

	"ringway/command"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// subscriber is what a session listens to. It is there from the first
// subscription to the last.
type subscriber struct {
	s       *session
	subs    [pipeline.TopicKinds]map[string]*pool.Subscription
	push    []byte       // scratch: a message as RESP3 wants it
	backlog []byte       // messages that came while a reply was passed on in parts
	asking  *subscribing // the request that waits for servers, if there is one
}

// subscribing is a request to subscribe that waits for servers to confirm it.
// The session is held meanwhile, so it is the only one in the line.
type subscribing struct {
	number uint32
	kind   pipeline.TopicKind
	names  []string
	failed map[string][]byte // errors, by name
	left   int               // names without an outcome
}

func newSubscriber(s *session) *subscriber {
	l := &subscriber{s: s}
	for k := range l.subs {
		l.subs[k] = map[string]*pool.Subscription{}
	}
	return l
}

// kindOf returns what a command is about, and whether it unsubscribes.
func kindOf(cmd *command.Command) (kind pipeline.TopicKind, leaves bool) {
	switch cmd.Name {
	case "psubscribe", "punsubscribe":
		kind = pipeline.Pattern
	case "ssubscribe", "sunsubscribe":
		kind = pipeline.ShardChannel
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
		s.replyError(errGuestListens) // the subscriptions that clients share are the pool's own user's
		return true
	}
	if leaves {
		s.unsubscribe(kind, args[1:])
		return true
	}
	if s.head != s.tail {
		return false
	}
	if s.sub == nil {
		s.sub = newSubscriber(s)
	}
	a := &subscribing{kind: kind, failed: map[string][]byte{}}
	for _, arg := range args[1:] {
		name := string(arg)
		a.names = append(a.names, name)
		if s.sub.subs[kind][name] != nil {
			continue
		}
		if s.sub.total() >= s.w.conf.ClientSubscriptions {
			a.failed[name] = replyTooManySubscriptions
			continue
		}
		sub, wait, reply := s.local.Join(kind, name, s.sub)
		switch {
		case wait:
			a.left++
		case reply != nil:
			s.local.Leave(sub, nil)
			a.failed[name] = append([]byte(nil), reply...)
			continue
		}
		s.sub.subs[kind][name] = sub
	}
	if a.left == 0 {
		s.reply(s.sub.confirm(a))
		s.changed()
		return true
	}
	a.number = s.push()
	s.sub.asking = a
	s.hold()
	return true
}

var replyTooManySubscriptions = []byte("-ERR this client has as many subscriptions as client_subscriptions allows\r\n")

// Joined is pool.Listener's.
func (l *subscriber) Joined(sub *pool.Subscription, reply []byte) {
	a := l.asking
	if reply != nil {
		for name, have := range l.subs[a.kind] {
			if have == sub {
				a.failed[name] = append([]byte(nil), reply...)
				delete(l.subs[a.kind], name)
			}
		}
		l.s.local.Leave(sub, nil)
	}
	if a.left--; a.left > 0 {
		return
	}
	s := l.s
	l.asking = nil
	s.proceed()
	text := l.confirm(a)
	s.changed()
	s.finish(a.number, text)
}

// confirm returns the confirmations of a request, and has messages delivered
// from now on.
func (l *subscriber) confirm(a *subscribing) (dst []byte) {
	word := a.kind.String() + "subscribe"
	count := l.count(a.kind)
	for i, name := range a.names {
		if sub := l.subs[a.kind][name]; sub != nil && !sub.Live && !slices.Contains(a.names[:i], name) {
			count-- // told of one after the other
		}
	}
	for i, name := range a.names {
		sub := l.subs[a.kind][name]
		if sub == nil {
			dst = append(dst, a.failed[name]...)
			continue
		}
		if !sub.Live && !slices.Contains(a.names[:i], name) {
			count++
		}
		dst = l.s.appendSubscribed(dst, word, name, count)
	}
	for _, name := range a.names {
		if sub := l.subs[a.kind][name]; sub != nil {
			sub.Live = true
		}
	}
	return dst
}

// count is the number that Redis gives with a confirmation: channels and patterns
// together, and shard channels by themselves.
func (l *subscriber) count(kind pipeline.TopicKind) int {
	if kind == pipeline.ShardChannel {
		return len(l.subs[kind])
	}
	return len(l.subs[pipeline.Channel]) + len(l.subs[pipeline.Pattern])
}

func (l *subscriber) total() int {
	return l.count(pipeline.Channel) + l.count(pipeline.ShardChannel)
}

// unsubscribe leaves the topics that are named, or all of a kind. From here on
// nothing is delivered; but the confirmation waits for those of the servers, so
// that whoever sees it and publishes is told of one receiver less.
func (s *session) unsubscribe(kind pipeline.TopicKind, args [][]byte) {
	word := kind.String() + "unsubscribe"
	var names []string
	for _, arg := range args {
		names = append(names, string(arg))
	}
	var dst []byte
	l := s.sub
	if l == nil {
		l = &subscriber{s: s}
	}
	if len(names) == 0 {
		for name := range l.subs[kind] {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		dst = s.appendPushHead(dst, 3)
		dst = s.appendNull(redcon.AppendBulkString(dst, word))
		dst = redcon.AppendInt(dst, int64(l.count(kind)))
	}
	left, number := 0, uint32(0)
	done := func() {
		if left--; left == 0 && s.conn.Open() {
			s.proceed()
			s.finish(number, dst)
		}
	}
	for _, name := range names {
		if sub := l.subs[kind][name]; sub != nil {
			delete(l.subs[kind], name)
			if s.local.Leave(sub, done) {
				left++
			}
		}
		dst = s.appendSubscribed(dst, word, name, l.count(kind))
	}
	s.changed()
	if left == 0 {
		s.reply(dst)
		return
	}
	number = s.push()
	s.hold()
}

// unsubscribeAll leaves everything, without a word: RESET, and the session's end.
func (s *session) unsubscribeAll() {
	if s.sub == nil {
		return
	}
	for _, subs := range s.sub.subs {
		for _, sub := range subs {
			s.local.Leave(sub, nil)
		}
		clear(subs)
	}
	s.changed()
}

// changed follows a change of the subscriptions or of the protocol: RESP2 has
// no way to tell a message from a reply, so a subscriber may do little else.
func (s *session) changed() {
	if s.sub != nil && s.monitor == nil && s.sub.total() == 0 && s.sub.asking == nil && len(s.sub.backlog) == 0 {
		s.sub = nil
	}
	s.policy = s.w.policyOf(s.local)
	if s.tracking != nil && s.policy.unsettled != nil {
		s.policy = s.policy.unsettled
	}
	if s.sub != nil && s.sub.total() > 0 && s.protocol == resp.RESP2 {
		s.policy = s.policy.listening
	}
}

// listening tells whether the session is in what Redis calls subscriber mode.
func (s *session) listening() bool { return s.sub != nil && s.policy.listening == nil }

// Message is pool.Listener's.
func (l *subscriber) Message(frame []byte) {
	if l.s.protocol == resp.RESP3 {
		l.push = append(append(l.push[:0], '>'), frame[1:]...)
		frame = l.push
	}
	l.deliver(frame)
}

// deliver sends something that is no reply. It goes out at once, but not into the
// middle of a reply: then it waits, and with it further requests, so that an end
// is near.
func (l *subscriber) deliver(frame []byte) {
	s := l.s
	if !s.conn.Open() {
		return
	}
	if !s.midReply() && len(l.backlog) == 0 {
		s.conn.Write(frame)
		s.checkOutput()
		return
	}
	l.backlog = append(l.backlog, frame...)
	s.far += len(frame)
	s.blocked = true
	s.checkOutput()
}

// flushBacklog sends the messages that waited for the end of a reply. It reports
// false if that has not come.
func (s *session) flushBacklog() bool {
	l := s.sub
	if len(l.backlog) == 0 {
		return true
	}
	if s.midReply() {
		return false
	}
	s.far -= len(l.backlog)
	s.conn.Append(l.backlog)
	l.backlog = nil
	s.changed()
	return true
}

func (s *session) appendPushHead(dst []byte, n int) []byte {
	if s.protocol == resp.RESP3 {
		return appendHeader(dst, '>', n)
	}
	return appendHeader(dst, '*', n)
}

func (s *session) appendSubscribed(dst []byte, word, name string, count int) []byte {
	dst = s.appendPushHead(dst, 3)
	dst = redcon.AppendBulkString(redcon.AppendBulkString(dst, word), name)
	return redcon.AppendInt(dst, int64(count))
}

// listeningPolicy derives what a subscriber may do from what the pool permits.
func listeningPolicy(p *policy) *policy {
	l := &policy{verdicts: slices.Clone(p.verdicts), defaultServer: p.defaultServer}
	for id, v := range l.verdicts {
		cmd := command.ByID(id)
		if v == permitted && cmd.Route != command.PubSub && !slices.Contains([]string{"ping", "quit", "reset"}, cmd.Name) {
			l.verdicts[id] = outOfPlace
		}
	}
	return l
}

// appendOutOfPlace appends the error for a command that is not for subscribers.
func appendOutOfPlace(dst []byte, cmd *command.Command) []byte {
	return resp.AppendError(dst, "ERR Can't execute '"+cmd.Name+
		"': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context")
}
