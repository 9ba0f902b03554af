package session

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"ringway/command"
	"ringway/eventloop"
	"ringway/pipeline"
	"ringway/pubsub"
	"ringway/resp"
)

// A request that blocks on keys of several shards, such as BLPOP, can't be sent to one
// server. Nor can each shard's part be sent to its server: two servers might pop an element,
// and there is one client to take it. So nothing blocks at the servers. The loop asks how
// many elements each key has, over connections on which the servers report later changes
// (pubsub.KeyWatch), and pops without blocking from the first key that has some. If another
// client was faster, the request goes on waiting.
//
// Who waits longest on this loop is served first. Waiting costs the servers next to nothing.

// shardsWait is one such request. It is the Receiver of its pops.
type shardsWait struct {
	s      *session
	number uint32
	pop    *blockingPop
	keys   []*waitedKey // in the order of the request
	counts []int        // elements of each, as far as is known; wrongType
	left   int          // keys that were not counted yet

	wrong   []byte           // the server's error for a key of another type
	popping bool             // a pop is under way
	part    []byte           // of its reply
	timeout *eventloop.Timer // nil if the request waits for ever
	expired bool
}

// maxWaitKeys bounds the keys of one request, each of which costs a request to a server.
const maxWaitKeys = 1024

// Counts of a key that holds something else, and of one that has yet to be counted.
const (
	wrongType = -1
	uncounted = -2
)

// keyWaits are the requests of one pool's and database's clients that wait this way on a
// loop. It is the pubsub.KeyWatcher.
type keyWaits struct {
	sh    *shared
	watch *pubsub.KeyWatch
	keys  map[waitedName]*waitedKey
}

// waitedName names a key and how its elements are counted.
type waitedName struct{ count, key string }

// waitedKey is a key on which requests wait.
type waitedKey struct {
	of    *keyWaits
	name  waitedName
	shard int
	waits []*shardsWait // longest first

	asked  int64 // when it was last counted, as eventloop.Loop.Now
	asking bool  // it is being counted
	round  int   // how often it was asked for, to know a late answer
	again  bool  // it has changed meanwhile
	failed int64 // since when it can't be counted, as eventloop.Loop.Now; 0 if it can
	later  bool  // a timer will have it counted again
}

const (
	// countAgainAfter is how long after a failure keys are counted again.
	countAgainAfter = 200 * time.Millisecond
	// countPatience is for how long a failure may last before the requests fail.
	countPatience = 5 * time.Second
	// countGrace is how much longer than its timeout a request waits for its keys to be counted.
	countGrace = 100 * time.Millisecond
	// recountEvery is how often a key is counted on which requests wait, in case a report
	// was lost.
	recountEvery = 10 * time.Second
	// recountMost is how many keys of a database are counted again in one turn.
	recountMost = 1024
)

// blockOnShards runs a request that blocks on keys of several shards. It reports whether it
// is one, and if so what handle reports.
func (s *session) blockOnShards(cmd *command.Command, args [][]byte) (is, done bool) {
	if _, err := s.owner(cmd, args); err != errCrossShard || s.user != nil {
		return false, false // an ACL user's rights to keys without elements are not known here
	}
	pop, err := parseBlockingPop(cmd, args)
	switch {
	case pop == nil && err == nil, pop != nil && len(pop.keys) > maxWaitKeys:
		return false, false
	case err != nil:
		s.replyError(err)
		return true, true
	}
	w := &shardsWait{s: s, pop: pop, number: s.push()}
	s.closeWindow()
	s.blockedSince, s.shardsWait = s.w.loop.Now(), w
	if pop.timeout > 0 {
		w.timeout = s.w.loop.NewTimer(w.timedOut).OwnedBy(s)
		w.timeout.After(pop.timeout)
	}
	waits := s.keyWaits(s.db)
	w.counts, w.left = slices.Repeat([]int{uncounted}, len(pop.keys)), len(pop.keys)
	for _, key := range pop.keys {
		k := waits.key(waitedName{pop.count, string(key)})
		if n := len(k.waits); n == 0 || k.waits[n-1] != w { // else the request names the key twice
			k.waits = append(k.waits, w)
		}
		w.keys = append(w.keys, k)
	}
	for _, k := range w.keys {
		k.ask()
	}
	return true, true
}

// keyWaits returns those of a database, which is made if need be.
func (sh *shared) keyWaits(db int) *keyWaits {
	ws := sh.waits[db]
	if ws == nil {
		ws = &keyWaits{sh: sh, keys: map[waitedName]*waitedKey{}}
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
		ws.watch.CloseStalled(countPatience)
		due := 0
		for _, k := range ws.keys {
			if !k.asking && now-k.asked >= int64(recountEvery) {
				k.ask()
				if due++; due == recountMost {
					break // the others with the next ticks
				}
			}
		}
	}
}

func (ws *keyWaits) key(name waitedName) *waitedKey {
	k := ws.keys[name]
	if k == nil {
		k = &waitedKey{of: ws, name: name}
		ws.keys[name] = k
	}
	return k
}

// KeyChanged implements pubsub.KeyWatcher.
func (ws *keyWaits) KeyChanged(key []byte) {
	for _, count := range countCommands {
		if k := ws.keys[waitedName{count, string(key)}]; k != nil {
			k.ask()
		}
	}
}

// WatchLost implements pubsub.KeyWatcher.
func (ws *keyWaits) WatchLost(shard int) {
	var lost []*waitedKey
	for _, k := range ws.keys {
		if k.shard == shard && !k.later {
			lost = append(lost, k)
		}
	}
	ws.sh.w.inPortions(func() (done bool) {
		n := min(portion, len(lost))
		for _, k := range lost[:n] {
			if ws.keys[k.name] == k {
				k.ask()
			}
		}
		lost = lost[n:]
		return len(lost) == 0
	})
}

// ask has the key counted, and its server report the next change.
func (k *waitedKey) ask() {
	shard := k.of.sh.local.Map().Index([]byte(k.name.key))
	if k.asking && shard == k.shard {
		k.again = true
		return
	}
	k.asking, k.again, k.asked, k.shard = true, false, k.of.sh.w.loop.Now(), shard
	k.round++
	round := k.round
	k.of.watch.Ask(shard, [][]byte{[]byte(k.name.count), []byte(k.name.key)}, func(reply []byte, err error) {
		if round == k.round { // else the key has another owner by now
			k.answered(reply, err)
		}
	})
}

func (k *waitedKey) answered(reply []byte, err error) {
	k.asking = false
	if k.of.keys[k.name] != k {
		return // nobody waits any more
	}
	n, ok := resp.Int(reply)
	switch {
	case ok && n >= 0:
	case err == nil && bytes.HasPrefix(reply, []byte("-WRONGTYPE ")):
		n = wrongType
	default:
		k.countFailed(reply, err)
		return
	}
	k.failed = 0
	k.count(int(n), reply)
	if k.again {
		k.ask()
	}
}

// count tells the waiting requests how many elements there are: as many of them as that go
// and get one. reply is the server's.
func (k *waitedKey) count(n int, reply []byte) {
	waits := append([]*shardsWait(nil), k.waits...) // which change meanwhile
	for _, w := range waits {
		if w.counted(k, n, reply) {
			n--
		}
	}
}

// countFailed counts the key again later, or fails the requests that wait for it if it can't
// be counted for too long. If the servers can't report changes, the client gets CROSSSLOT.
func (k *waitedKey) countFailed(reply []byte, err error) {
	now := k.of.sh.w.loop.Now()
	if bytes.HasPrefix(reply, []byte("-ASK ")) || bytes.HasPrefix(reply, []byte("-TRYAGAIN ")) {
		k.failed = 0 // its slot is being moved, which may take long
		k.askLater()
		return
	}
	if k.failed == 0 {
		k.failed = now
	}
	refused := errors.Is(err, pubsub.ErrNoTracking)
	if !refused && now-k.failed < int64(countPatience) {
		k.askLater()
		return
	}
	for _, w := range append([]*shardsWait(nil), k.waits...) {
		switch f := (*pipeline.Failure)(nil); {
		case w.popping, w.s.shardsWait != w: // its own end comes, or has come
		case refused:
			w.end(resp.AppendError(nil, w.s.errorText(errCrossShard)))
		case errors.As(err, &f):
			w.end(f.AppendReply(nil))
		case err != nil:
			w.end(resp.AppendError(nil, "ERR "+err.Error()))
		case reply[0] == '-':
			w.end(append([]byte(nil), reply...))
		default:
			w.end([]byte("-ERR unexpected reply of a server to " + k.name.count + "\r\n"))
		}
	}
}

// askLater counts the key again after a moment. Requests whose time is over do not wait for
// that.
func (k *waitedKey) askLater() {
	for _, w := range append([]*shardsWait(nil), k.waits...) {
		if w.expired && !w.popping && w.s.shardsWait == w {
			w.end(w.s.protocol.AppendNullArray(nil))
		}
	}
	if k.later {
		return
	}
	k.later = true
	k.of.sh.w.loop.NewTimer(func() {
		if k.later = false; k.of.keys[k.name] == k {
			k.ask()
		}
	}).After(countAgainAfter)
}

// counted notes how many elements a key has. It reports whether the request goes for one of
// them.
func (w *shardsWait) counted(k *waitedKey, n int, reply []byte) bool {
	if w.s.shardsWait != w {
		return false // it has ended meanwhile
	}
	for i, key := range w.keys {
		if key != k {
			continue
		}
		switch {
		case w.counts[i] == uncounted:
			w.left--
		case n == wrongType:
			continue // Redis goes on waiting if a key becomes another type
		}
		if w.counts[i] = n; n == wrongType && w.wrong == nil {
			w.wrong = append([]byte(nil), reply...)
		}
	}
	if w.left > 0 || w.popping {
		return false
	}
	return w.next() == k
}

// next pops from the first key that has elements, and returns it; nil if there is none.
func (w *shardsWait) next() *waitedKey {
	for i, n := range w.counts {
		switch {
		case n == wrongType:
			w.end(w.wrong)
			return nil
		case n > 0:
			w.popFrom(i)
			return w.keys[i]
		}
	}
	if w.expired {
		w.end(w.s.protocol.AppendNullArray(nil))
	}
	return nil
}

func (w *shardsWait) popFrom(i int) {
	key := []byte(w.keys[i].name.key)
	conn := w.s.primaryConn(w.s.local.Map().Index(key))
	w.popping = true
	if conn.Full() {
		w.s.w.loop.NewTimer(w.popAgain).OwnedBy(w.s).After(fullPause)
		return
	}
	if f := conn.Send(w.pop.request(key), w, uint32(i)); f != nil {
		w.Fail(uint32(i), f, nil)
	}
}

// fullPause is how long a pop waits for room at its server's connection.
const fullPause = 5 * time.Millisecond

// popAgain goes on when there may be room at the connection.
func (w *shardsWait) popAgain() {
	w.popping = false
	switch {
	case w.s.shardsWait != w:
	case w.expired:
		w.end(w.s.protocol.AppendNullArray(nil))
	default:
		w.next()
	}
}

// Reply implements pipeline.Receiver; tag is the key's index.
func (w *shardsWait) Reply(tag uint32, b []byte, last bool) {
	if !last || w.part != nil {
		w.part = append(w.part, b...)
		if !last {
			return
		}
		b, w.part = w.part, nil
	}
	w.popped(int(tag), b)
}

// popped goes on with the reply to a pop; nil stands for nothing.
func (w *shardsWait) popped(i int, reply []byte) {
	w.popping = false
	key := []byte(w.keys[i].name.key)
	got := w.pop.reply(key, reply)
	switch {
	case w.s.shardsWait != w:
		if got != nil && reply[0] != '-' {
			w.giveBack(key, reply)
		}
	case got != nil:
		w.end(got)
	default: // another client was faster, and the server reports what that has changed
		w.counts[i] = 0
		w.next()
	}
}

// giveBack puts back what was popped for a client that is gone.
func (w *shardsWait) giveBack(key, reply []byte) {
	conn := w.s.local.ConnSetAs(w.s.user, resp.RESP2, w.s.db).Conn(w.s.local.Map().Index(key), w.s.info.id)
	for _, request := range w.pop.giveBack(key, reply) {
		if f := conn.Send(request, putBack{w.s, string(key)}, 0); f != nil {
			putBack{w.s, string(key)}.failed(f.Error())
		}
	}
}

// putBack is the Receiver of a request that puts something back.
type putBack struct {
	s   *session
	key string
}

// Reply implements pipeline.Receiver.
func (p putBack) Reply(_ uint32, b []byte, _ bool) {
	if b[0] == '-' {
		p.failed(string(bytes.TrimSpace(b)))
	}
}

// Fail implements pipeline.Receiver.
func (p putBack) Fail(_ uint32, f *pipeline.Failure, _ []byte) { p.failed(f.Error()) }

// Abandon implements eventloop.Abandoner.
func (putBack) Abandon() {}

func (p putBack) failed(why string) {
	p.s.w.log.Warn("element lost: popped for a client that had left, and could not be put back", "pool", p.s.poolName, "key", p.key, "err", why)
}

// Fail implements pipeline.Receiver.
func (w *shardsWait) Fail(tag uint32, f *pipeline.Failure, _ []byte) {
	w.popping, w.part = false, nil
	switch {
	case w.s.shardsWait != w:
	case f.Sent:
		w.end(f.AppendReply(nil))
	default: // nothing was popped: it counts as a failure to count
		w.counts[tag] = 0
		w.keys[tag].countFailed(nil, f)
	}
}

// timedOut ends the request, unless it is about to get something. Keys that were not counted
// yet have a moment more: with a short timeout, what they have is to be had.
func (w *shardsWait) timedOut() {
	late := w.expired
	w.expired = true
	switch {
	case w.popping:
	case w.left > 0 && !late:
		w.timeout.After(countGrace)
	default:
		w.end(w.s.protocol.AppendNullArray(nil))
	}
}

// unblock ends the request as CLIENT UNBLOCK does.
func (w *shardsWait) unblock(asError bool) {
	switch {
	case w.popping:
		w.expired = true // unless it gets something
	case asError:
		w.end([]byte("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"))
	default:
		w.end(w.s.protocol.AppendNullArray(nil))
	}
}

// isIdle reports whether nothing is on the way for the client: its keys are counted, and
// nothing is being popped.
func (w *shardsWait) isIdle() bool { return w.left == 0 && !w.popping }

// end answers the request.
func (w *shardsWait) end(reply []byte) {
	s := w.s
	w.leave()
	s.blockedSince = 0
	s.answerAndResume(w.number, reply)
}

// leave ends the wait. If a pop is under way, what comes is given back.
func (w *shardsWait) leave() {
	w.s.shardsWait = nil
	if w.timeout != nil {
		w.timeout.Stop()
	}
	for _, k := range w.keys {
		if i := slices.Index(k.waits, w); i >= 0 {
			k.waits = slices.Delete(k.waits, i, i+1)
		}
		if len(k.waits) == 0 && k.of.keys[k.name] == k {
			delete(k.of.keys, k.name)
		}
	}
}
