package session

import (
	"bytes"
	"container/list"
	"errors"
	"time"

	"ringway/pipeline"
	"ringway/pubsub"
	"ringway/resp"
)

// keyWaits are the keys of one database for which requests of a loop's clients wait
// (shardswait.go). It is the pubsub.KeyWatcher.
type keyWaits struct {
	sh    *shared
	watch *pubsub.KeyWatch
	keys  map[string][]*waitedKey // by name; one for each way in which the key is inspected
	byAge *list.List              // of the same *waitedKey, the one first that was inspected longest ago
}

// waitedKey is a key for which requests wait.
type waitedKey struct {
	of      *keyWaits
	what    inspection
	state   keyState
	version int // how often state has been replaced
	byAge   *list.Element

	first, last *place   // the requests that wait, longest first
	joined      []*place // those that came after the inspection under way was sent
	awaiting    []*place // those that the inspection under way will tell for the first time what the key has

	shard      int   // that was asked
	owner      int   // that owned the key then: another one while the slot is being moved
	inspecting bool  // its state is being asked for
	round      int   // how often it was, to know a late reply
	again      bool  // it has changed meanwhile
	since      int64 // when it was last asked for, as eventloop.Loop.Now
	failed     int64 // since when the key can't be inspected, likewise; 0 if it can
	later      bool  // a timer will have it inspected again
}

// place is a request's place among those that wait for a key.
type place struct {
	w          *shardsWait
	index      int        // of the key in the request
	k          *waitedKey // nil when the request has left
	prev, next *place
	inspected  bool // since the request came
}

const (
	// inspectAgainAfter is how long after a failure a key is inspected again.
	inspectAgainAfter = 200 * time.Millisecond
	// inspectionPatience is for how long a failure may last before the requests fail.
	inspectionPatience = 5 * time.Second
	// reinspectEvery is how often a key for which requests wait is inspected in any case: a report
	// may have been lost, or the server reports no such change.
	reinspectEvery = 10 * time.Second
	// reinspectMost is how many keys of a database are inspected again in one turn.
	reinspectMost = 1024
)

// keyWaits returns those of a database, which is made if need be.
func (sh *shared) keyWaits(db int) *keyWaits {
	ws := sh.waits[db]
	if ws == nil {
		ws = &keyWaits{sh: sh, keys: map[string][]*waitedKey{}, byAge: list.New()}
		ws.watch = sh.subscriptions.WatchKeys(db, ws)
		sh.waits[db] = ws
	}
	return ws
}

// checkWaits closes the connections of databases in which nothing waits, and finds out where a
// connection is dead, over which nothing would be reported. It is called now and then.
func (sh *shared) checkWaits() {
	now := sh.w.loop.Now()
	for db, ws := range sh.waits {
		if len(ws.keys) == 0 {
			ws.watch.Close()
			delete(sh.waits, db)
			continue
		}
		ws.watch.CloseStalled(inspectionPatience)
		for range min(reinspectMost, ws.byAge.Len()) {
			k := ws.byAge.Front().Value.(*waitedKey)
			if now-k.since < int64(reinspectEvery) {
				break
			}
			ws.byAge.MoveToBack(k.byAge)
			if !k.inspecting {
				k.inspect()
			}
		}
	}
}

// databasesSwapped has all keys inspected on all loops: servers do not report that a key has
// another value because SWAPDB was run.
func (sh *shared) databasesSwapped() {
	sh.eachLoop(func(peer *shared) {
		for _, ws := range peer.waits {
			ws.inspectAgain(func(*waitedKey) bool { return true })
		}
	})
}

// key returns the key that is inspected in the given way. It is made if need be.
func (ws *keyWaits) key(what inspection) *waitedKey {
	for _, k := range ws.keys[what.key] {
		if k.what == what {
			return k
		}
	}
	k := &waitedKey{of: ws, what: what, since: ws.sh.w.loop.Now()}
	ws.keys[what.key] = append(ws.keys[what.key], k)
	k.byAge = ws.byAge.PushBack(k)
	return k
}

// drop removes a key for which nothing waits any more.
func (ws *keyWaits) drop(k *waitedKey) {
	ws.byAge.Remove(k.byAge)
	k.byAge = nil
	all := ws.keys[k.what.key]
	if len(all) == 1 {
		delete(ws.keys, k.what.key)
		return
	}
	for i := range all {
		if all[i] == k {
			all[i] = all[len(all)-1]
			ws.keys[k.what.key] = all[:len(all)-1]
			return
		}
	}
}

// KeyChanged implements pubsub.KeyWatcher.
func (ws *keyWaits) KeyChanged(key []byte) {
	for _, k := range ws.keys[string(key)] {
		k.inspect()
	}
}

// WatchLost implements pubsub.KeyWatcher.
func (ws *keyWaits) WatchLost(shard int) {
	ws.inspectAgain(func(k *waitedKey) bool { return k.shard == shard && !k.later })
}

// inspectAgain has keys inspected, in portions.
func (ws *keyWaits) inspectAgain(which func(k *waitedKey) bool) {
	var keys []*waitedKey
	for e := ws.byAge.Front(); e != nil; e = e.Next() {
		if k := e.Value.(*waitedKey); which(k) {
			keys = append(keys, k)
		}
	}
	ws.sh.w.inPortions(func() (done bool) {
		n := min(portion, len(keys))
		for _, k := range keys[:n] {
			if k.isWaitedFor() {
				k.inspect()
			}
		}
		keys = keys[n:]
		return len(keys) == 0
	})
}

// isWaitedFor reports whether requests wait for the key.
func (k *waitedKey) isWaitedFor() bool { return k.byAge != nil }

// join adds a request to those that wait, and has it told what the key has.
func (k *waitedKey) join(p *place) {
	p.k = k
	if p.prev = k.last; p.prev != nil {
		p.prev.next = p
	} else {
		k.first = p
	}
	k.last = p
	k.joined = append(k.joined, p)
	k.inspect()
}

// leave removes a request from those that wait.
func (k *waitedKey) leave(p *place) {
	if p.prev != nil {
		p.prev.next = p.next
	} else {
		k.first = p.next
	}
	if p.next != nil {
		p.next.prev = p.prev
	} else {
		k.last = p.prev
	}
	p.k, p.prev, p.next = nil, nil, nil
	if k.first == nil {
		k.of.drop(k)
	}
}

// inspect has the server that owns the key say what it has, and report the next change.
func (k *waitedKey) inspect() {
	owner := k.of.sh.local.Map().Index([]byte(k.what.key))
	if k.inspecting && owner == k.owner {
		k.again = true
		return
	}
	k.owner = owner
	k.inspectAt(owner, false)
}

// inspectAt asks the given shard. With asking it is one to which the key's slot is being moved.
func (k *waitedKey) inspectAt(shard int, asking bool) {
	k.inspecting, k.again, k.since, k.shard = true, false, k.of.sh.w.loop.Now(), shard
	k.of.byAge.MoveToBack(k.byAge)
	k.awaiting, k.joined = append(k.awaiting, k.joined...), k.joined[:0]
	k.round++
	round, requests := k.round, k.what.requests()
	var state keyState
	var failure []byte
	var lost error
	for n, request := range requests {
		k.of.watch.Send(shard, request, asking, func(reply []byte, err error) {
			switch {
			case round != k.round || !k.isWaitedFor(): // the key has another owner by now, or nobody waits
				return
			case err != nil:
				lost = err
			case !k.what.read(&state, n, reply) && failure == nil:
				failure = bytes.Clone(reply)
			}
			if n < len(requests)-1 {
				return
			}
			if k.inspecting = false; lost != nil || failure != nil {
				k.inspectionFailed(failure, lost)
				return
			}
			k.inspected(state)
		})
	}
}

// inspected tells the requests that wait what the key has.
func (k *waitedKey) inspected(state keyState) {
	k.failed, k.state = 0, state
	k.version++
	awaiting := k.awaiting
	k.awaiting = nil
	k.offer()
	for _, p := range awaiting {
		if p.k == k {
			p.w.inspected(p)
		}
	}
	if k.again && k.isWaitedFor() {
		k.inspect()
	}
}

// offer lets requests that wait take what there is, those first that have waited longest.
func (k *waitedKey) offer() {
	if k.what.kind != ofStream && k.state.length <= 0 && (k.what.kind != ofGroup || k.state.problem == nil) {
		return // nothing is there, and nobody is to be told
	}
	var takers []*place
	left := k.state.length
	for p := k.first; p != nil; p = p.next {
		if !p.w.isIdle() || !p.w.concerns(p.index) {
			continue
		}
		takers = append(takers, p)
		if n := p.w.want.takes(); n > 0 && k.state.problem == nil {
			if left -= n; left <= 0 {
				break
			}
		}
	}
	k.of.sh.w.inPortions(func() (done bool) {
		n := min(portion, len(takers))
		for _, p := range takers[:n] {
			if p.k == k && p.w.isIdle() && p.w.concerns(p.index) {
				p.w.offered(p.index)
			}
		}
		takers = takers[n:]
		return len(takers) == 0
	})
}

// inspectionFailed has the key inspected again later, or fails the requests that wait for it if it
// can't be inspected for too long. If the servers can't report changes, the client gets CROSSSLOT.
// The failure is an error reply, or err.
func (k *waitedKey) inspectionFailed(reply []byte, err error) {
	local := k.of.sh.local
	if bytes.HasPrefix(reply, []byte("-ASK ")) && k.shard == k.owner {
		if to, asking, _ := local.Redirect(k.shard, reply, false); asking {
			k.inspectAt(to, true)
			return
		}
	}
	now := k.of.sh.w.loop.Now()
	if k.failed == 0 {
		k.failed = now
	}
	refused := errors.Is(err, pubsub.ErrNoTracking)
	final := refused || now-k.failed >= int64(inspectionPatience)
	for _, w := range k.waiting() {
		switch f := (*pipeline.Failure)(nil); {
		case w.isTaking() || w.s.shardsWait != w: // its own end comes, or has come
		case !final && !(w.atOnce && !local.Follows()):
			if w.expired && !w.atOnce {
				w.end(w.s.protocol.AppendNullArray(nil))
			}
		case refused:
			w.end(resp.AppendError(nil, w.refusal()))
		case errors.As(err, &f):
			w.end(f.AppendReply(nil))
		case err != nil:
			w.end(resp.AppendError(nil, "ERR "+err.Error()))
		case reply[0] == '-':
			w.end(reply)
		default:
			w.end(resp.AppendError(nil, "ERR unexpected reply of a server to "+string(k.what.requests()[0][0])))
		}
	}
	k.inspectLater()
}

// waiting returns the requests that wait, longest first. A request that names the key several
// times is there as often.
func (k *waitedKey) waiting() (waits []*shardsWait) {
	for p := k.first; p != nil; p = p.next {
		waits = append(waits, p.w)
	}
	return waits
}

// inspectLater has the key inspected again after a moment, if requests still wait for it.
func (k *waitedKey) inspectLater() {
	if k.later || !k.isWaitedFor() {
		return
	}
	k.later = true
	k.of.sh.w.loop.NewTimer(func() {
		if k.later = false; k.isWaitedFor() {
			k.inspect()
		}
	}).After(inspectAgainAfter)
}
