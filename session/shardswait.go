package session

import (
	"bytes"
	"fmt"
	"time"
	"unsafe"

	"ringway/command"
	"ringway/eventloop"
	"ringway/pipeline"
	"ringway/resp"
)

// A request that blocks on keys of several shards, such as BLPOP or XREAD BLOCK, can't be sent to
// one server. Nor can each shard's part be sent to its server: two servers might pop an element,
// and there is one client to take it. So nothing blocks at the servers. The loop inspects each key,
// over connections on which the servers report later changes (waitedkeys.go), and takes without
// blocking from keys that have something. If another client was faster, the request goes on
// waiting.
//
// Who waits longest on this loop is served first. Waiting costs the servers next to nothing.

// shardsWait is one such request. It is the Receiver of the requests that take.
type shardsWait struct {
	s      *session
	number uint32
	want   blockingRequest
	waits  *keyWaits
	atOnce bool // it does not wait, but its keys must be inspected first: XREADGROUP without BLOCK

	places      []place // one for each key, in the order of the request
	names       [][]byte
	size        int  // bytes that the request takes while it waits, about
	joined      int  // how many of the places are in line
	left        int  // how many have left again
	uninspected int  // how many keys have yet to be inspected
	waited      bool // all keys were inspected, and nothing was there
	expired     bool
	timeout     *eventloop.Timer // nil if the request waits for ever

	taking   []int // the keys that are taken from now, or as soon as there is room at the connections
	versions []int // of their states when the requests were sent
	underWay int   // requests without reply
	replies  [][]byte
	failures []*pipeline.Failure
}

// blockingRequest is what a request wants of its keys: a blockingPop or a blockingRead. Keys are
// named by their indexes in the request.
type blockingRequest interface {
	// inspection says how key i is inspected. name is its name.
	inspection(i int, name []byte) inspection
	// inspected is called when key i has been inspected for the first time.
	inspected(i int, state *keyState)
	// problem returns the error that key i's state is for the client, nil for none. waited says that
	// the request waits already.
	problem(i int, name []byte, state *keyState, waited bool) []byte
	// ready reports whether it is worth while to take from key i.
	ready(i int, state *keyState, waited bool) bool
	// takesAll reports whether all keys that are ready are taken from, not only the first.
	takesAll() bool
	// takes returns how much of keyState.length is taken: 0 if others can take the same.
	takes() int
	// writes reports whether CLIENT PAUSE WRITE holds the requests back.
	writes() bool
	// request takes from key i without blocking.
	request(i int, name []byte) []byte
	// reply returns the reply for the client that is made of the replies to requests for some keys;
	// nil if nothing was there.
	reply(names, replies [][]byte) []byte
	// nothing is called when nothing was at key i, though it was ready: another client was faster.
	// state is nil if it was replaced since the request was sent, so that it may be newer.
	nothing(i int, state *keyState)
	// giveBack returns requests that undo the one for a key with the given reply.
	giveBack(name, reply []byte) [][]byte
}

// maxWaitKeys bounds the keys of one request, each of which costs a request to a server and some
// hundred bytes.
const maxWaitKeys = 16384

const (
	// inspectionGrace is how much longer than its timeout a request waits for its keys to be
	// inspected: one Redis looks at them first, however busy it is.
	inspectionGrace = time.Second
	// fullPause is how long a request waits for room at its servers' connections.
	fullPause = 5 * time.Millisecond
)

var errTooManyWaitKeys = fmt.Errorf("ERR too many keys: a request that blocks on keys of several shards may name %d", maxWaitKeys)

// waitsOverShards reports whether a request of the command, whose keys are on several shards, may
// wait for them in the proxy.
func waitsOverShards(cmd *command.Command) bool {
	return poppers[cmd.Name].verb != "" || cmd.Name == "xread" || cmd.Name == "xreadgroup"
}

// blockOnShards runs a request that blocks on keys of several shards. It reports whether it
// is one, and if so what handle reports.
func (s *session) blockOnShards(cmd *command.Command, args [][]byte) (is, done bool) {
	if !waitsOverShards(cmd) {
		return false, false
	}
	if _, err := s.owner(cmd, args); err != errCrossShard {
		return false, false
	}
	if s.user != nil { // the keys are inspected as the pool's own user
		switch denial, wait, sure := s.checkKeys(cmd, args); {
		case wait:
			return true, false
		case !sure:
			return false, false
		case denial != nil:
			s.reply(denial)
			return true, true
		}
	}
	positions, err := cmd.Keys(args, s.w.keys[:0])
	s.w.keys = positions[:0]
	if err == nil && len(positions) > maxWaitKeys {
		err = errTooManyWaitKeys
	}
	w := &shardsWait{s: s}
	var timeout time.Duration
	if err == nil {
		timeout, err = w.parse(cmd, args, positions)
	}
	if err != nil {
		s.replyError(err)
		return true, true
	}
	w.start(timeout)
	return true, true
}

// parse reads the request. timeout is 0 for none.
func (w *shardsWait) parse(cmd *command.Command, args [][]byte, positions []int) (timeout time.Duration, err error) {
	for _, i := range positions {
		w.names = append(w.names, bytes.Clone(args[i]))
		w.size += bytesPerKey + 2*len(args[i])
	}
	if poppers[cmd.Name].verb != "" {
		var pop *blockingPop
		if pop, timeout, err = parseBlockingPop(cmd, args, positions); err == nil {
			w.want = pop
		}
		return timeout, err
	}
	read, err := parseBlockingRead(args, positions, w.s.protocol, w.s.local.Version())
	if err != nil {
		return 0, err
	}
	w.want, w.atOnce = read, !read.blocks
	return read.timeout, nil
}

// refusal returns the text of the error for the client if the servers can't report changes.
func (w *shardsWait) refusal() string {
	m, other := w.s.local.Map(), w.names[0]
	for _, name := range w.names {
		if m.Bucket(name) != m.Bucket(w.names[0]) {
			other = name
		}
	}
	return crossSlot(w.s.local.Conf(), m.Ring(), w.names[0], other).Error() + "; to wait for keys of several shards, the proxy needs servers with CLIENT TRACKING, since Redis 6"
}

// start has the request wait.
func (w *shardsWait) start(timeout time.Duration) {
	s := w.s
	w.number = s.push()
	s.closeWindow()
	s.shardsWait, w.waits = w, s.keyWaits(s.db)
	if w.expired = w.atOnce; w.atOnce {
		if timeout = s.local.Conf().Timeout; timeout > 0 && s.local.Follows() {
			timeout += s.local.Conf().FailoverWait
		}
	} else {
		s.blockedSince = s.w.loop.Now()
	}
	if timeout > 0 {
		w.timeout = s.w.loop.NewTimer(w.timedOut).OwnedBy(s)
		w.timeout.After(timeout)
	}
	w.places, w.uninspected = make([]place, len(w.names)), len(w.names)
	s.w.inPortions(w.join)
}

// join is a task: the request joins those that wait for its keys.
func (w *shardsWait) join() (done bool) {
	for n := 0; n < portion && w.s.shardsWait == w && w.joined < len(w.places); n++ {
		i := w.joined
		w.joined++
		w.places[i] = place{w: w, index: i}
		w.waits.key(w.want.inspection(i, w.names[i])).join(&w.places[i])
	}
	return w.s.shardsWait != w || w.joined == len(w.places)
}

// inspected notes that a key has been inspected since the request came.
func (w *shardsWait) inspected(p *place) {
	if w.s.shardsWait != w || p.inspected {
		return
	}
	p.inspected = true
	w.want.inspected(p.index, &p.k.state)
	if w.uninspected--; w.uninspected == 0 && w.taking == nil {
		w.next()
	}
}

// concerns reports whether what a key has concerns the request, which waits.
func (w *shardsWait) concerns(i int) bool {
	state := &w.places[i].k.state
	return w.want.ready(i, state, true) || w.want.problem(i, w.names[i], state, true) != nil
}

// offered has the request, which waits, take from a key that concerns it.
func (w *shardsWait) offered(i int) {
	if problem := w.want.problem(i, w.names[i], &w.places[i].k.state, true); problem != nil {
		w.end(problem)
		return
	}
	w.take([]int{i})
}

// next takes from keys that have something. If there are none, the request waits.
func (w *shardsWait) next() {
	var ready []int
	for i := range w.places {
		state := &w.places[i].k.state
		if problem := w.want.problem(i, w.names[i], state, w.waited); problem != nil {
			w.end(problem)
			return
		}
		if w.want.ready(i, state, w.waited) {
			if ready = append(ready, i); !w.want.takesAll() {
				break
			}
		}
	}
	switch {
	case ready != nil:
		w.take(ready)
	case w.expired:
		w.end(w.s.protocol.AppendNullArray(nil))
	default:
		w.waited = true
	}
}

// take takes from keys without blocking, as soon as there is room at the connections.
func (w *shardsWait) take(keys []int) {
	s := w.s
	w.taking = keys
	conns := make([]*pipeline.Conn, len(keys))
	full := w.want.writes() && s.conditions.paused != 0
	for j, i := range keys {
		conns[j] = s.primaryConn(s.local.Map().Index(w.names[i]))
		full = full || conns[j].Full()
	}
	if full {
		s.w.loop.NewTimer(w.takeAgain).OwnedBy(s).After(fullPause)
		return
	}
	w.underWay, w.replies, w.failures = len(keys), make([][]byte, len(keys)), make([]*pipeline.Failure, len(keys))
	w.versions = w.versions[:0]
	for _, i := range keys {
		k := w.places[i].k
		k.state.length -= w.want.takes()
		w.versions = append(w.versions, k.version)
	}
	for j, i := range keys {
		if f := conns[j].Send(w.want.request(i, w.names[i]), w, uint32(j)); f != nil {
			w.Fail(uint32(j), f, nil)
		}
	}
}

// takeAgain goes on when there may be room at the connections.
func (w *shardsWait) takeAgain() {
	w.taking = nil
	switch {
	case w.s.shardsWait != w:
	case w.expired && !w.atOnce:
		w.end(w.s.protocol.AppendNullArray(nil))
	default:
		w.next()
	}
}

// Reply implements pipeline.Receiver; the tag is an index of taking.
func (w *shardsWait) Reply(tag uint32, b []byte, last bool) {
	loop, reply := w.s.w.loop, w.replies[tag]
	if reply == nil {
		reply = loop.Buffer(len(b))
	} else if len(b) > cap(reply)-len(reply) {
		reply = loop.Grow(reply, len(b))
	}
	w.replies[tag] = append(reply, b...)
	w.s.replies.charge(len(b))
	if last {
		w.countDown()
	}
}

// Fail implements pipeline.Receiver.
func (w *shardsWait) Fail(tag uint32, f *pipeline.Failure, _ []byte) {
	w.failures[tag] = f
	w.countDown()
}

// countDown goes on when all requests are answered.
func (w *shardsWait) countDown() {
	if w.underWay--; w.underWay > 0 {
		return
	}
	taken, replies := w.taking, w.replies
	w.taking, w.replies = nil, nil
	for j, reply := range replies {
		w.s.replies.refund(len(reply))
		if w.failures[j] != nil {
			w.s.w.loop.Release(reply)
			replies[j] = nil // a part of one
		}
	}
	w.took(taken, replies, w.failures)
	for _, reply := range replies {
		w.s.w.loop.Release(reply)
	}
}

// took goes on with what came of requests that took from keys: a reply, or a failure.
func (w *shardsWait) took(keys []int, replies [][]byte, failures []*pipeline.Failure) {
	var names [][]byte
	for _, i := range keys {
		names = append(names, w.names[i])
	}
	if w.s.shardsWait != w {
		for j, reply := range replies {
			if reply != nil && reply[0] != '-' && !resp.IsNull(reply) {
				w.giveBack(names[j], reply)
			}
		}
		return
	}
	if reply := w.want.reply(names, replies); reply != nil {
		w.tookSomething(keys)
		w.end(reply)
		return
	}
	for _, f := range failures {
		if f != nil && f.Sent {
			w.end(f.AppendReply(nil))
			return
		}
	}
	w.waited = true
	for j, i := range keys {
		k := w.places[i].k
		if f := failures[j]; f != nil { // nothing was taken: it counts as a failure to inspect
			k.state = keyState{}
			if k.inspectionFailed(nil, f); w.s.shardsWait != w {
				return
			}
			continue
		}
		state := &k.state
		if k.version != w.versions[j] {
			state = nil
		}
		w.want.nothing(i, state)
	}
	w.next()
}

// tookSomething has the keys inspected from which entries were read for a group, if others wait for
// them as well: the server does not report that as a change.
func (w *shardsWait) tookSomething(keys []int) {
	for _, i := range keys {
		if k := w.places[i].k; k.what.kind == ofGroup && k.first != k.last {
			k.inspect()
		}
	}
}

// giveBack puts back what was popped for a client that is gone.
func (w *shardsWait) giveBack(key, reply []byte) {
	conn := w.s.local.ConnSetAs(w.s.user, resp.RESP2, w.s.db).Conn(w.s.local.Map().Index(key), w.s.info.id)
	for _, request := range w.want.giveBack(key, reply) {
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

// timedOut ends the request, unless it is about to get something. Keys that were not inspected
// yet have a moment more: with a short timeout, what they have is to be had.
func (w *shardsWait) timedOut() {
	late := w.expired
	w.expired = true
	switch {
	case w.isTaking():
	case w.atOnce:
		w.end((&pipeline.Failure{Cause: pipeline.ErrTimeout}).AppendReply(nil))
	case w.uninspected > 0 && !late:
		w.timeout.After(inspectionGrace)
	default:
		w.end(w.s.protocol.AppendNullArray(nil))
	}
}

// unblock ends the request as CLIENT UNBLOCK does.
func (w *shardsWait) unblock(asError bool) {
	switch {
	case w.isTaking():
		w.expired = true // unless it gets something
	case asError:
		w.end([]byte("-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"))
	default:
		w.end(w.s.protocol.AppendNullArray(nil))
	}
}

// isTaking reports whether requests of the client are under way that may get something.
func (w *shardsWait) isTaking() bool { return w.taking != nil }

// isIdle reports whether the request waits, and nothing is on the way for the client.
func (w *shardsWait) isIdle() bool { return w.s.shardsWait == w && w.waited && w.taking == nil }

// bytesPerKey is what each key of a request that waits takes beside its name, about.
const bytesPerKey = int(unsafe.Sizeof(place{})+unsafe.Sizeof(waitedKey{})+unsafe.Sizeof([]byte{})) + 64 // of maps and lists

// end answers the request.
func (w *shardsWait) end(reply []byte) {
	s := w.s
	w.leave()
	s.blockedSince = 0
	s.answerAndResume(w.number, reply)
}

// leave ends the wait. If something is being taken, it is given back when it comes.
func (w *shardsWait) leave() {
	w.s.shardsWait = nil
	if w.timeout != nil {
		w.timeout.Stop()
	}
	w.s.w.inPortions(w.leavePlaces)
}

// leavePlaces is a task: the request leaves its places among those that wait for keys.
func (w *shardsWait) leavePlaces() (done bool) {
	for n := 0; n < portion && w.left < w.joined; n++ {
		p := &w.places[w.left]
		w.left++
		p.k.leave(p)
	}
	return w.left == w.joined
}
