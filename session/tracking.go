package session

import (
	"slices"
	"strings"

	"ringway/command"
	"ringway/pubsub"
	"ringway/resp"
)

// CLIENT TRACKING (https://redis.io/docs/latest/develop/reference/client-side-caching/) is
// done by the proxy rather than by the servers, because clients share connections to
// servers. While a loop has a client that tracks, it listens to all shards, and each
// announces every key that changes (pubsub.Local.Track). The proxy knows which client has
// read which key. docs/adr/0012-tracking.md has the reasons.
//
// The law is that no client keeps a value that has changed. Four rules follow:
//
//   - a key is noted before the request that reads it is sent;
//   - an invalidation that comes while replies are under way is sent behind them;
//   - a key of a shard that can't be listened to is invalidated right behind its reply;
//   - when the connection to a shard is lost, all keys are invalidated.

// tracker is the clients of one pool on one loop that track, and what they have read.
type tracker struct {
	// Static after construction.
	w             *Worker
	subscriptions *pubsub.Local

	// Owned by the loop.
	clients  map[*tracking]struct{}
	keys     *trackedKeys
	prefixes *prefixes
	starting []*tracking // clients whose CLIENT TRACKING ON waits until all shards are listened to
}

// tracking is the CLIENT TRACKING of one client, from ON to OFF. It has ended when s is nil.
type tracking struct {
	s *session

	// What the client has asked for, and whether it has the answer.
	number    uint32 // of the request CLIENT TRACKING ON
	confirmed bool   // that request was answered with +OK
	bcast     bool
	optin     bool
	optout    bool
	noloop    bool
	redirect  *trackingRedirect // nil: invalidations go to the client itself
	caching   bool              // CLIENT CACHING was called, and holds for the next request
	prefixes  []string          // of BCAST, sorted; none begins with another

	// What the client has read.
	readKeys readKeys
	hasRead  bool   // a request whose keys were noted was sent
	lastRead uint32 // the number of the last one

	delayed []delayedInvalidation // invalidations that wait for replies that are under way, in order
}

// delayedInvalidation is an invalidation that waits for a reply.
type delayedInvalidation struct {
	behind  uint32 // the number of the request behind whose reply it is sent
	payload []byte // as for invalidate
}

func newTracker(w *Worker, subscriptions *pubsub.Local) *tracker {
	return &tracker{w: w, subscriptions: subscriptions, clients: map[*tracking]struct{}{}, keys: newTrackedKeys(), prefixes: newPrefixes()}
}

// start begins t. The client's request is answered when all shards are listened to, or one
// has refused.
func (tr *tracker) start(t *tracking) {
	s := t.s
	s.tracking = t
	s.updatePolicy()
	tr.clients[t] = struct{}{}
	tr.starting = append(tr.starting, t)
	tr.subscriptions.Track(tr)
	tr.TrackingChanged()
}

// TrackingChanged is pubsub.InvalidationReceiver's: it answers the clients in starting, if it
// is certain by now whether all shards can be listened to.
func (tr *tracker) TrackingChanged() {
	if len(tr.starting) == 0 {
		return
	}
	settled, refusal := tr.subscriptions.TrackingSettled()
	if !settled {
		return
	}
	waiting := tr.starting
	tr.starting = nil
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
		t.confirmed = refusal == nil
		s.answerAndResume(t.number, reply)
	}
}

// untrack ends the client's tracking, if there is any.
func (s *session) untrack() {
	t := s.tracking
	if t == nil {
		return
	}
	s.tracking = nil
	s.updatePolicy()
	t.s = nil
	for _, p := range t.delayed {
		s.replies.refund(len(p.payload))
	}
	if t.delayed != nil {
		s.deferRun()
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

// forget removes what a client has read, and prefixes that it has named, in portions: there
// may be many.
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

// runTracked runs a request of a client that tracks, and notes the keys that it reads. Like
// handle, it reports false if the request must wait.
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
		t.noteSent(number, stale)
	}
	if s.tx == nil && !strings.HasPrefix(cmd.Name, "client|") {
		t.caching = false
	}
	return true
}

// reads reports whether the keys of a request are to be noted. Only the server knows what a
// script reads, so all its keys count as read.
func (t *tracking) reads(cmd *command.Command) bool {
	if !cmd.IsReadonly() && !cmd.IsScript() {
		return false
	}
	return t.bcast || !t.optin && !t.optout || t.caching == t.optin
}

// keysOf returns the keys of a request, as slices of args.
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

// staleness is those keys of a request that can't be noted, and so are invalidated right
// behind its reply.
type staleness struct {
	keys []byte // an array of bulk strings, or nil for none
	all  bool   // invalidate all keys: one of them is longer than maxTopic
}

// note notes keys that are about to be read. It returns those that it can't note, because
// their shard can't be listened to.
func (t *tracking) note(keys [][]byte) (stale staleness) {
	s := t.s
	m := s.local.Map()
	var untracked [][]byte
	for _, key := range keys {
		switch {
		case len(key) > maxTopic:
			stale.all = true
		case !s.subscriptions.Tracks(m.Index(key)):
			if !t.bcast || t.prefixOf(key) {
				untracked = append(untracked, key)
			}
		case !t.bcast:
			s.tracker.keys.note(t, key)
		}
	}
	if untracked != nil {
		stale.keys = resp.AppendRequest(nil, untracked)
	}
	return stale
}

// noteSent is called when the request whose keys were noted has been sent, with its number
// and what note returned.
func (t *tracking) noteSent(number uint32, stale staleness) {
	t.hasRead, t.lastRead = true, number
	switch {
	case stale.all:
		t.delay(number, nil)
	case stale.keys != nil:
		t.delay(number, stale.keys)
	}
	t.s.tracker.trimKeys()
}

// prefixOf reports whether key begins with one of the prefixes. Since none of them begins
// with another, only the last one that sorts before key can be it.
func (t *tracking) prefixOf(key []byte) bool {
	i, found := slices.BinarySearch(t.prefixes, string(key))
	return found || i > 0 && strings.HasPrefix(string(key), t.prefixes[i-1])
}

// trimKeys invalidates arbitrary keys while more are noted than tracking_keys allows, as
// Redis does with tracking-table-max-keys. It is called after the request that reads was
// sent, so that an invalidation of its keys goes behind its reply.
func (tr *tracker) trimKeys() {
	for tr.keys.pairs > tr.w.conf.TrackingKeys && len(tr.keys.byName) > 0 {
		tr.invalidate(tr.keys.any())
	}
}

// invalidate sends an invalidation of key to the clients that have read it, and forgets it.
func (tr *tracker) invalidate(key []byte) {
	readers := tr.keys.take(key)
	if readers == nil {
		return
	}
	payload := resp.AppendBulk(resp.AppendArray(nil, 1), key)
	for _, t := range readers {
		t.invalidate(payload)
	}
}

// Invalidated is pubsub.InvalidationReceiver's: keys have changed, an array of bulk strings, or
// nil if any key may have.
func (tr *tracker) Invalidated(keys []byte) {
	if keys == nil {
		tr.keys.clear()
		for t := range tr.clients {
			t.invalidate(nil)
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

// invalidate sends an invalidation to the client, or to the one that it has named with
// REDIRECT: at once, or behind the replies that are under way. payload is an array of bulk
// strings, or nil for all keys; it is the caller's.
func (t *tracking) invalidate(payload []byte) {
	s := t.s
	if s == nil || !t.confirmed || !s.conn.Open() {
		return
	}
	if s.replies.idle() && len(t.delayed) == 0 {
		t.send(payload)
		return
	}
	t.delay(s.replies.latest(), slices.Clone(payload))
}

// delay has an invalidation sent behind the reply to the request with the number behind.
// payload belongs to t from now on. The client's next requests wait meanwhile, or the
// replies to them would put the invalidation off for ever.
func (t *tracking) delay(behind uint32, payload []byte) {
	s := t.s
	if s.replies.answered(behind) {
		t.send(payload)
		return
	}
	if n := len(t.delayed); payload == nil && n > 0 && t.delayed[n-1].payload == nil && t.delayed[n-1].behind == behind {
		return
	}
	t.delayed = append(t.delayed, delayedInvalidation{behind, payload})
	s.replies.charge(len(payload))
	s.blocked = true
	s.checkOutputLimit()
}

// flush sends the invalidations whose replies have left. It reports false if there are
// others.
func (t *tracking) flush() bool {
	s := t.s
	for len(t.delayed) > 0 && s.replies.answered(t.delayed[0].behind) {
		p := t.delayed[0]
		t.delayed = t.delayed[1:]
		s.replies.refund(len(p.payload))
		t.send(p.payload)
	}
	if len(t.delayed) == 0 {
		t.delayed = nil
	}
	return len(t.delayed) == 0
}

// sendOverdue sends the invalidations that wait behind a blocking request, which may take
// for ever, unless a request that reads is under way. It is called on each tick.
func (t *tracking) sendOverdue() {
	s := t.s
	if len(t.delayed) == 0 || s.dedicated == nil || t.hasRead && !s.replies.answered(t.lastRead) || s.replies.midReply() {
		return
	}
	for i := range t.delayed {
		t.delayed[i].behind = s.replies.head - 1
	}
	t.flush()
}

// send sends an invalidation now. A client that speaks RESP2 and has named no other client
// gets none, as in Redis.
func (t *tracking) send(payload []byte) {
	switch s := t.s; {
	case t.redirect != nil:
		t.redirect.send(payload)
	case s.protocol == resp.RESP3:
		s.conn.Append(appendInvalidation(nil, payload, resp.RESP3))
		s.checkOutputLimit()
	}
}

// appendInvalidation appends an invalidation as a client gets it: a push of type
// "invalidate" in RESP3, and a message on Redis's channel for invalidations in RESP2.
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
