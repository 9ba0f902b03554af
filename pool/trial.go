package pool

import (
	"time"

	"ringway/eventloop"
	"ringway/pipeline"
	"ringway/resp"
)

// Not every server has the protocol or the database that a client asks for. A client
// is told so when it asks: the first time that one on a loop does, the connections that
// it would use are made, one to each shard's primary, and their handshake shows it. If
// any server refuses, clients do not get what only the others have.

const (
	refusalFor  = 5 * time.Second // how long a refusal is believed: servers are upgraded
	maxDeclined = 4096            // how many of them a loop keeps
)

// Trial is what came of trying connections of a kind. One that has neither says that
// servers take them.
type HandshakeResult struct {
	Refusal string            // a server's error to HELLO or SELECT, as it comes behind the "-"
	Failure *pipeline.Failure // why no server has answered
}

// Tried is who is told what came of a trial, on the loop.
type HandshakeReceiver interface{ HandshakeChecked(t HandshakeResult) }

// declined is a refusal that is believed for a while.
type declined struct {
	text   string
	shard  int
	server *server // of the shard
	ends   uint32  // of its connections, until then
	until  int64   // as eventloop.Loop.Now
}

// holds reports whether the server may be believed to refuse still: not if it may be
// another one by now.
func (r *declined) holds(l *Local) bool {
	return r != nil && l.loop.Now() < r.until && l.shardAt(r.shard).primary == r.server && r.server.attempts.Ends() == r.ends
}

// trial is a question under way.
type trial struct {
	l     *Local
	conns *ConnSet
	told  []HandshakeReceiver
	late  *eventloop.Timer
	round int // to know what comes of an earlier one

	left    int            // servers that have yet to answer in this round
	first   bool           // only the one is asked that has refused before
	shut    *pipeline.Conn // to a primary that is being replaced
	taken   bool           // a server has taken the handshake
	refusal *declined
	failure *pipeline.Failure
	ended   bool
}

// Try tells whether servers take connections of a protocol and database, for an ACL user
// or, nil, for the pool's own: at once if that is known. What clients begin with needs
// no trial.
func (l *Local) CheckHandshake(user *User, protocol resp.Protocol, db int, told HandshakeReceiver) {
	k := kind{protocol, db, user}
	lanes, r := l.findConnSet(k), l.declined[k]
	switch {
	case protocol == resp.RESP2 && db == l.conf.RedisDB, lanes != nil && lanes.taken:
		told.HandshakeChecked(HandshakeResult{})
	case lanes != nil && lanes.trial != nil:
		lanes.trial.told = append(lanes.trial.told, told)
	case r.holds(l):
		told.HandshakeChecked(HandshakeResult{Refusal: r.text})
	default:
		t := &trial{l: l, conns: l.ConnSetAs(user, protocol, db), told: []HandshakeReceiver{told}}
		t.conns.Retain()
		t.conns.trial = t
		t.late = l.loop.NewTimer(t.tooLate).OwnedBy(t)
		t.begin(r)
	}
}

// begin asks the servers: first the one that has refused before.
func (t *trial) begin(before *declined) {
	limit := t.l.conf.ConnectTimeout
	if t.l.conf.Timeout > 0 {
		limit = min(limit, t.l.conf.Timeout)
	}
	t.late.After(limit)
	if before != nil && before.shard < t.l.Shards() && !t.l.Absent(before.shard) {
		t.first = true
		t.ask(before.shard)
		return
	}
	t.askAll()
}

func (t *trial) askAll() {
	var shards []int
	for shard := range t.l.Shards() {
		if !t.l.Absent(shard) {
			shards = append(shards, shard)
		}
	}
	t.ask(shards...)
}

func (t *trial) ask(shards ...int) {
	t.round++
	t.left, t.shut = len(shards), nil
	round := t.round
	for _, shard := range shards {
		c := t.conns.toPrimary(shard)
		if c.IsShut() {
			t.left--
			t.shut = c
			continue
		}
		c.AfterHandshake(func(f *pipeline.Failure) {
			if round == t.round && !t.ended {
				t.met(shard, f)
			}
		})
	}
	if t.left == 0 {
		t.l.loop.Defer(t)
	}
}

// met takes what a server has answered.
func (t *trial) met(shard int, f *pipeline.Failure) {
	t.left--
	if f == nil {
		t.taken = true
	} else if e, s := pipeline.HandshakeRefusal(f), t.l.shards[shard].primary; e != nil && e.Lasting() && s != nil {
		t.refusal = &declined{text: e.Reply, shard: shard, server: s}
	} else {
		t.failure = f
	}
	if t.left == 0 || t.refusal != nil {
		t.l.loop.Defer(t) // the connection is in the middle of something
	}
}

// RunDeferred is eventloop.Deferred's: it goes on when a round is over.
func (t *trial) RunDeferred() {
	switch {
	case t.ended:
	case t.refusal != nil:
		t.end()
	case t.left > 0: // it was for an earlier round
	case t.first:
		t.first = false
		t.askAll()
	case !t.taken && t.shut != nil:
		// Like a request: until there is a primary, or none in failover_wait.
		t.late.Stop()
		t.shut.Wait(t)
	default:
		t.end()
	}
}

// ConnReady is pipeline.Waiter's.
func (t *trial) ConnReady() { t.l.loop.Defer(again{t}) }

// again asks the servers once more.
type again struct{ t *trial }

// RunDeferred is eventloop.Deferred's.
func (a again) RunDeferred() {
	if !a.t.ended {
		a.t.failure = nil
		a.t.begin(nil)
	}
}

// tooLate ends a trial in which a server does not answer: those that have decide.
func (t *trial) tooLate() {
	if t.failure == nil {
		t.failure = &pipeline.Failure{Cause: pipeline.ErrTimeout}
	}
	t.end()
}

// end keeps what the servers have said, and tells it.
func (t *trial) end() {
	if t.ended {
		return
	}
	t.ended = true
	t.late.Stop()
	n, l, result := t.conns, t.l, HandshakeResult{}
	n.trial = nil
	n.Release()
	switch {
	case t.refusal != nil:
		result.Refusal = t.refusal.text
		t.refusal.until, t.refusal.ends = l.loop.Now()+int64(refusalFor), t.refusal.server.attempts.Ends()
		if len(l.declined) >= maxDeclined {
			clear(l.declined)
		}
		l.declined[n.kind] = t.refusal
		l.drop(n)
	case t.taken:
		n.taken = true
		delete(l.declined, n.kind)
	default:
		result.Failure = t.failure
	}
	for _, to := range t.told {
		l.loop.Defer(verdict{to, result})
	}
}

// Abandon is eventloop.Abandoner's.
func (t *trial) Abandon() {
	t.refusal, t.taken, t.failure = nil, false, &pipeline.Failure{Cause: eventloop.ErrPanicked}
	t.end()
}

// verdict is on its way to who has asked.
type verdict struct {
	to HandshakeReceiver
	t  HandshakeResult
}

// RunDeferred is eventloop.Deferred's.
func (v verdict) RunDeferred() { v.to.HandshakeChecked(v.t) }

// Abandon is eventloop.Abandoner's.
func (v verdict) Abandon() { abandon(v.to) }

// toPrimary is the connection that a client may use to a shard's primary, also while
// that takes no writes.
func (n *ConnSet) toPrimary(shard int) *pipeline.Conn {
	if n.fallback != nil {
		return n.fallback[shard*n.width]
	}
	return n.of(shard)[0]
}

// findConnSet returns the connection sets of a kind if there are any, else nil.
func (l *Local) findConnSet(k kind) *ConnSet {
	for _, n := range l.shared {
		if n.kind == k {
			return n
		}
	}
	return nil
}

// drop closes connection sets that nobody uses: refused connections would be made again and again.
func (l *Local) drop(n *ConnSet) {
	if !n.isUnused(l.loop.Now()) {
		return
	}
	n.close()
	for i := range l.shared {
		if l.shared[i] == n {
			l.shared = append(l.shared[:i:i], l.shared[i+1:]...)
			return
		}
	}
}

// forgetDeclined drops refusals that came before a time.
func (l *Local) forgetDeclined(before int64) {
	for k, r := range l.declined {
		if r.until < before {
			delete(l.declined, k)
		}
	}
}
