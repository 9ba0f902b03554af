package session

import (
	"slices"
	"strings"

	"ringway/command"
	"ringway/pubsub"
	"ringway/resp"
)

// CLIENT TRACKING is done here rather than by the servers, for connections to
// them are shared. While a loop has a client that tracks, it listens to all
// shards: each tells of every key that changes (pubsub.Local.Track). Which client
// has read which key is known here.
//
// No client may keep a value that has changed since. So a key is noted before the
// request to read it is sent; what is invalidated while replies are under way is
// told behind them; where a shard can't be heard, a key that was read is
// invalidated as soon as it was; and when one is lost, everything is.

// tracker is one loop's clients of a pool that track.
type tracker struct {
	w             *Worker
	subscriptions *pubsub.Local
	clients       map[*tracking]struct{}
	keys          *trackedKeys
	prefixes      *prefixes
	waiting       []*tracking // are to be told that they track as soon as all shards are heard
}

// tracking is what one client tracks. It is over when s is nil.
type tracking struct {
	s        *session
	live     bool // the client was told that it tracks
	bcast    bool
	optin    bool
	optout   bool
	noloop   bool
	caching  bool     // CLIENT CACHING was called for the next request
	prefixes []string // of BCAST, sorted; none begins with another
	notes    notes
	redirect *redirect

	number  uint32 // of the request that waits to be answered
	reader  bool   // a request that reads was sent
	lastOne uint32 // its number
	backlog []push // for after replies that are under way
}

// push is an invalidation that waits.
type push struct {
	behind  uint32 // number of the request behind whose reply it goes
	payload []byte
}

func newTracker(w *Worker, subscriptions *pubsub.Local) *tracker {
	return &tracker{w: w, subscriptions: subscriptions, clients: map[*tracking]struct{}{}, keys: newTrackedKeys(), prefixes: newPrefixes()}
}

// start has a client track, and answers it when all shards are heard, or can't be.
func (tr *tracker) start(t *tracking) {
	s := t.s
	s.tracking = t
	s.changed()
	tr.clients[t] = struct{}{}
	tr.waiting = append(tr.waiting, t)
	tr.subscriptions.Track(tr)
	tr.TrackingChanged()
}

// TrackingChanged is pubsub.InvalidationReceiver's.
func (tr *tracker) TrackingChanged() {
	if len(tr.waiting) == 0 {
		return
	}
	settled, refusal := tr.subscriptions.TrackingSettled()
	if !settled {
		return
	}
	waiting := tr.waiting
	tr.waiting = nil
	for _, t := range waiting {
		s := t.s
		if s == nil {
			continue
		}
		reply := replyOK
		if refusal != nil {
			reply = refusal
			s.untrack()
		}
		t.live = refusal == nil
		s.answerAndResume(t.number, reply)
	}
}

// untrack ends what the client tracks.
func (s *session) untrack() {
	t := s.tracking
	if t == nil {
		return
	}
	s.tracking = nil
	s.changed()
	t.s = nil
	for _, p := range t.backlog {
		s.replies.refund(len(p.payload))
	}
	if t.backlog != nil {
		s.settle()
	}
	if t.redirect != nil {
		t.redirect.end()
	}
	tr := s.tracker
	delete(tr.clients, t)
	if len(tr.clients) == 0 {
		tr.subscriptions.Untrack()
	}
	tr.forget(t, t.prefixes)
}

// forget forgets what a client has read and prefixes that it has named.
func (tr *tracker) forget(t *tracking, prefixes []string) {
	tr.w.inPortions(func() bool {
		n := min(portion, len(prefixes))
		for _, p := range prefixes[:n] {
			tr.prefixes.remove(t, p)
		}
		prefixes = prefixes[n:]
		return tr.keys.forget(t, portion) && len(prefixes) == 0
	})
}

// runTracked runs a request of a client that tracks. Like handle, it reports false if
// the request must wait.
func (s *session) runTracked(cmd *command.Command, args [][]byte, raw []byte) bool {
	t, number := s.tracking, s.replies.tail
	var stale staleness
	reads := s.tx == nil && t.reads(cmd)
	if reads {
		stale = t.note(t.keysOf(cmd, args))
	}
	if !s.runUnderConditions(cmd, args, raw) {
		return false
	}
	if reads && s.replies.tail != number {
		t.sent(number, stale)
	}
	if s.tx == nil && !strings.HasPrefix(cmd.Name, "client|") {
		t.caching = false
	}
	return true
}

// reads tells whether keys of a request are to be noted. What a script reads is
// known to the server alone, so all its keys may be.
func (t *tracking) reads(cmd *command.Command) bool {
	if !cmd.IsReadonly() && !cmd.IsScript() {
		return false
	}
	return t.bcast || !t.optin && !t.optout || t.caching == t.optin
}

// keysOf returns the keys of a request, as parts of args.
func (t *tracking) keysOf(cmd *command.Command, args [][]byte) (keys [][]byte) {
	s := t.s
	at, err := cmd.Keys(args, s.w.keys[:0])
	s.w.keys = at[:0]
	if err != nil {
		return nil
	}
	for _, k := range at {
		keys = append(keys, args[k])
	}
	return keys
}

// staleness is what of a request's keys can't be noted, and so is invalidated right
// behind the reply.
type staleness struct {
	keys []byte // an array of bulk strings, or nil for none
	all  bool   // everything is: a key is too long to be kept, or to be told
}

// note notes keys that are about to be read, but those of shards that can't be heard.
func (t *tracking) note(keys [][]byte) (stale staleness) {
	s := t.s
	m := s.local.Map()
	var unheard [][]byte
	for _, key := range keys {
		switch {
		case len(key) > maxTopic:
			stale.all = true
		case !s.subscriptions.Tracks(m.Index(key)):
			if !t.bcast || t.prefixOf(key) {
				unheard = append(unheard, key)
			}
		case !t.bcast:
			s.tracker.keys.note(t, key)
		}
	}
	if unheard != nil {
		stale.keys = resp.AppendRequest(nil, unheard)
	}
	return stale
}

// sent tells the number of the request whose keys were noted.
func (t *tracking) sent(number uint32, stale staleness) {
	t.reader, t.lastOne = true, number
	switch {
	case stale.all:
		t.wait(number, nil)
	case stale.keys != nil:
		t.wait(number, stale.keys)
	}
	t.s.tracker.trim()
}

// prefixOf reports whether a key begins with one of the prefixes. Of those that sort
// before it, only the last one can be one.
func (t *tracking) prefixOf(key []byte) bool {
	i, found := slices.BinarySearch(t.prefixes, string(key))
	return found || i > 0 && strings.HasPrefix(string(key), t.prefixes[i-1])
}

// trim invalidates keys, any, while more are noted than may be. It is called when the
// request that reads was sent, so that its reply comes before.
func (tr *tracker) trim() {
	for tr.keys.notes > tr.w.conf.TrackingKeys && len(tr.keys.byName) > 0 {
		tr.invalidate(tr.keys.any())
	}
}

// invalidate tells those who have read a key.
func (tr *tracker) invalidate(key []byte) {
	readers := tr.keys.take(key)
	if readers == nil {
		return
	}
	payload := resp.AppendBulk(resp.AppendArray(nil, 1), key)
	for _, t := range readers {
		t.push(payload)
	}
}

// Invalidated is pubsub.InvalidationReceiver's.
func (tr *tracker) Invalidated(keys []byte) {
	if keys == nil {
		tr.keys.clear()
		for t := range tr.clients {
			t.push(nil)
		}
		return
	}
	tr.prefixes.invalidated(keys)
	if len(tr.keys.byName) == 0 {
		return
	}
	for r, _ := resp.ReadArray(keys); r.Len() > 0; {
		element, _ := r.Next()
		key, _ := resp.Bulk(element)
		tr.invalidate(key)
	}
}

// push tells the client, or whom it has named, that keys have changed: an array of
// bulk strings, or nil for all keys.
func (t *tracking) push(payload []byte) {
	s := t.s
	if s == nil || !t.live || !s.conn.Open() {
		return
	}
	if s.replies.idle() && len(t.backlog) == 0 {
		t.tell(payload)
		return
	}
	t.wait(s.replies.latest(), slices.Clone(payload))
}

// wait has an invalidation told behind the reply to a request. The client's
// further requests wait, too, so that this is soon.
func (t *tracking) wait(behind uint32, payload []byte) {
	s := t.s
	if s.replies.answered(behind) {
		t.tell(payload)
		return
	}
	if n := len(t.backlog); payload == nil && n > 0 && t.backlog[n-1].payload == nil && t.backlog[n-1].behind == behind {
		return
	}
	t.backlog = append(t.backlog, push{behind, payload})
	s.replies.charge(len(payload))
	s.blocked = true
	s.checkOutputLimit()
}

// flush tells what has waited. It reports false if a reply that is under way must
// end first.
func (t *tracking) flush() bool {
	s := t.s
	for len(t.backlog) > 0 && s.replies.answered(t.backlog[0].behind) {
		p := t.backlog[0]
		t.backlog = t.backlog[1:]
		s.replies.refund(len(p.payload))
		t.tell(p.payload)
	}
	if len(t.backlog) == 0 {
		t.backlog = nil
	}
	return len(t.backlog) == 0
}

// tellOverdue tells what waits behind a request that may take for ever, unless it is one
// that reads. It is called now and then.
func (t *tracking) tellOverdue() {
	s := t.s
	if len(t.backlog) == 0 || s.dedicated == nil || t.reader && !s.replies.answered(t.lastOne) || s.replies.midReply() {
		return
	}
	for i := range t.backlog {
		t.backlog[i].behind = s.replies.head - 1
	}
	t.flush()
}

// tell sends an invalidation.
func (t *tracking) tell(payload []byte) {
	switch s := t.s; {
	case t.redirect != nil:
		t.redirect.tell(payload)
	case s.protocol == resp.RESP3:
		s.conn.Append(appendInvalidation(nil, payload, resp.RESP3))
		s.checkOutputLimit()
	}
}

// appendInvalidation appends a message as a client gets it: a push of its own in
// RESP3, and a published message in RESP2.
func appendInvalidation(dst, payload []byte, protocol resp.Protocol) []byte {
	if protocol == resp.RESP3 {
		dst = resp.AppendBulkString(protocol.AppendPush(dst, 2), "invalidate")
	} else {
		dst = resp.AppendBulkString(protocol.AppendPush(dst, 3), "message")
		dst = resp.AppendBulkString(dst, pubsub.InvalidationChannel)
	}
	if payload == nil {
		return protocol.AppendNull(dst)
	}
	return append(dst, payload...)
}
