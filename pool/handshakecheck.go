package pool

import (
	"time"

	"ringway/eventloop"
	"ringway/pipeline"
	"ringway/resp"
)

// Not every server has the protocol or the database that a client asks for, and its
// password may have changed. The reply to HELLO, SELECT or AUTH says so. The first time
// that a client on a loop asks, one of the connections that it would use is made to each
// shard's primary, and their handshakes decide. If any server refuses, the client is
// refused.

const (
	refusalFor  = 5 * time.Second // how long a refusal counts: servers are upgraded
	maxRefusals = 4096            // how many refusals a loop keeps
)

// HandshakeResult is what servers say to connections of a kind. The zero value says that
// they accept them.
type HandshakeResult struct {
	Refusal string            // a server's error to HELLO or SELECT, as it comes behind the "-"
	Failure *pipeline.Failure // why no server has answered; nil if one has
}

// HandshakeReceiver gets the result of a check, on the loop.
type HandshakeReceiver interface{ HandshakeChecked(t HandshakeResult) }

// knownRefusal is a server's refusal, which counts for a while.
type knownRefusal struct {
	text   string
	shard  int
	server *server // of the shard
	ends   uint32  // how many connections to it had ended by then
	until  int64   // as eventloop.Loop.Now
}

// holds reports whether the refusal still counts: not if the server may be another one,
// or was restarted.
func (r *knownRefusal) holds(l *Local) bool {
	return r != nil && l.loop.Now() < r.until && l.shardAt(r.shard).primary == r.server && r.server.attempts.Ends() == r.ends
}

// handshakeCheck is a check in progress: each round asks some servers.
type handshakeCheck struct {
	// Static after construction.
	l       *Local
	conns   *ConnSet
	timeout *eventloop.Timer

	// Owned by the loop.
	receivers []HandshakeReceiver
	ended     bool

	// Owned by the loop: the round.
	round       int            // its number, by which answers to earlier ones are known
	unanswered  int            // servers that have yet to answer
	onlyRefuser bool           // this round asks only the server that has refused before
	shut        *pipeline.Conn // a connection that takes no request, since its shard holds them
	accepted    bool           // a server has accepted the handshake
	refusal     *knownRefusal
	failure     *pipeline.Failure
}

// CheckHandshake finds out whether servers accept connections of a protocol and database,
// for an ACL user or, if user is nil, for the pool's own. It calls to when that is known,
// perhaps at once. The protocol and database that clients begin with need no check.
func (l *Local) CheckHandshake(user *User, protocol resp.Protocol, db int, to HandshakeReceiver) {
	k := kind{protocol, db, user}
	connSet, r := l.findConnSet(k), l.refusals[k]
	switch {
	case protocol == resp.RESP2 && db == l.Conf().RedisDB, connSet != nil && connSet.accepted:
		to.HandshakeChecked(HandshakeResult{})
	case connSet != nil && connSet.check != nil:
		connSet.check.receivers = append(connSet.check.receivers, to)
	case r.holds(l):
		to.HandshakeChecked(HandshakeResult{Refusal: r.text})
	default:
		hc := &handshakeCheck{l: l, conns: l.ConnSetAs(user, protocol, db), receivers: []HandshakeReceiver{to}}
		hc.conns.Retain()
		hc.conns.check = hc
		hc.timeout = l.loop.NewTimer(hc.tooLate).OwnedBy(hc)
		hc.begin(r)
	}
}

// begin asks the servers, and first only the one that has refused before.
func (hc *handshakeCheck) begin(before *knownRefusal) {
	limit := hc.l.Conf().ConnectTimeout
	if hc.l.Conf().Timeout > 0 {
		limit = min(limit, hc.l.Conf().Timeout)
	}
	hc.timeout.After(limit)
	if before != nil && before.shard < hc.l.Shards() && !hc.l.Absent(before.shard) {
		hc.onlyRefuser = true
		hc.ask(before.shard)
		return
	}
	hc.askAll()
}

// askAll begins a round with one server of each shard in use.
func (hc *handshakeCheck) askAll() {
	var shards []int
	for shard := range hc.l.Shards() {
		if !hc.l.Absent(shard) {
			shards = append(shards, shard)
		}
	}
	hc.ask(shards...)
}

// ask begins a round with the primaries of some shards.
func (hc *handshakeCheck) ask(shards ...int) {
	hc.round++
	hc.unanswered, hc.shut = len(shards), nil
	round := hc.round
	for _, shard := range shards {
		c := hc.conns.toPrimary(shard)
		if c.IsShut() {
			hc.unanswered--
			hc.shut = c
			continue
		}
		c.AfterHandshake(func(f *pipeline.Failure) {
			if round == hc.round && !hc.ended {
				hc.answered(shard, f)
			}
		})
	}
	if hc.unanswered == 0 {
		hc.l.loop.Defer(hc)
	}
}

// answered takes the answer of a server: nil if it has accepted the handshake.
func (hc *handshakeCheck) answered(shard int, f *pipeline.Failure) {
	hc.unanswered--
	if f == nil {
		hc.accepted = true
	} else if e, s := pipeline.HandshakeRefusal(f), hc.l.shards[shard].primary; e != nil && e.Lasting() && s != nil {
		hc.refusal = &knownRefusal{text: e.Reply, shard: shard, server: s}
	} else {
		hc.failure = f
	}
	if hc.unanswered == 0 || hc.refusal != nil {
		hc.l.loop.Defer(hc) // not now: the connection is in the middle of its work
	}
}

// RunDeferred is eventloop.Deferred's: it goes on when a round is over.
func (hc *handshakeCheck) RunDeferred() {
	switch {
	case hc.ended:
	case hc.refusal != nil:
		hc.end()
	case hc.unanswered > 0: // it was deferred in an earlier round
	case hc.onlyRefuser:
		hc.onlyRefuser = false
		hc.askAll()
	case !hc.accepted && hc.shut != nil:
		// It waits as a request would: for a primary, for failover_wait at most.
		hc.timeout.Stop()
		hc.shut.Wait(hc)
	default:
		hc.end()
	}
}

// ConnReady is pipeline.Waiter's.
func (hc *handshakeCheck) ConnReady() { hc.l.loop.Defer(checkAgain{hc}) }

// checkAgain asks the servers once more.
type checkAgain struct{ check *handshakeCheck }

// RunDeferred is eventloop.Deferred's.
func (a checkAgain) RunDeferred() {
	if !a.check.ended {
		a.check.failure = nil
		a.check.begin(nil)
	}
}

// tooLate is the timer's: the answers that have come decide.
func (hc *handshakeCheck) tooLate() {
	if hc.failure == nil {
		hc.failure = &pipeline.Failure{Cause: pipeline.ErrTimeout}
	}
	hc.end()
}

// end keeps what the servers have said, and tells the receivers.
func (hc *handshakeCheck) end() {
	if hc.ended {
		return
	}
	hc.ended = true
	hc.timeout.Stop()
	cs, l, result := hc.conns, hc.l, HandshakeResult{}
	cs.check = nil
	cs.Release()
	switch {
	case hc.refusal != nil:
		result.Refusal = hc.refusal.text
		hc.refusal.until, hc.refusal.ends = l.loop.Now()+int64(refusalFor), hc.refusal.server.attempts.Ends()
		if len(l.refusals) >= maxRefusals {
			clear(l.refusals)
		}
		l.refusals[cs.kind] = hc.refusal
		l.drop(cs)
	case hc.accepted:
		cs.accepted = true
		delete(l.refusals, cs.kind)
	default:
		result.Failure = hc.failure
	}
	for _, to := range hc.receivers {
		l.loop.Defer(handshakeDelivery{to, result})
	}
}

// Abandon is eventloop.Abandoner's: the check fails.
func (hc *handshakeCheck) Abandon() {
	hc.refusal, hc.accepted, hc.failure = nil, false, &pipeline.Failure{Cause: eventloop.ErrPanicked}
	hc.end()
}

// handshakeDelivery is a result on its way to its receiver.
type handshakeDelivery struct {
	to     HandshakeReceiver
	result HandshakeResult
}

// RunDeferred is eventloop.Deferred's.
func (d handshakeDelivery) RunDeferred() { d.to.HandshakeChecked(d.result) }

// Abandon is eventloop.Abandoner's.
func (d handshakeDelivery) Abandon() { abandon(d.to) }

// toPrimary returns a connection to a shard's primary, also while that refuses writes.
func (cs *ConnSet) toPrimary(shard int) *pipeline.Conn {
	if cs.primaryConns != nil {
		return cs.primaryConns[shard*cs.width]
	}
	return cs.connsTo(shard)[0]
}

// findConnSet returns the set of a kind if there is one, else nil.
func (l *Local) findConnSet(k kind) *ConnSet {
	for _, cs := range l.connSets {
		if cs.kind == k && !cs.Outdated() {
			return cs
		}
	}
	return nil
}

// drop closes a set that nobody uses: its connections would be made and refused over and
// over.
func (l *Local) drop(cs *ConnSet) {
	if !cs.isUnused(l.loop.Now()) {
		return
	}
	cs.close()
	for i := range l.connSets {
		if l.connSets[i] == cs {
			l.connSets = append(l.connSets[:i:i], l.connSets[i+1:]...)
			return
		}
	}
}

// forgetRefusals drops refusals that count no longer.
func (l *Local) forgetRefusals(before int64) {
	for k, r := range l.refusals {
		if r.until < before {
			delete(l.refusals, k)
		}
	}
}
