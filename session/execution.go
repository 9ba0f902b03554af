package session

import (
	"bytes"
	"slices"
	"strings"

	"ringway/command"
	"ringway/join"
	"ringway/pipeline"
	"ringway/resp"
)

// execution is an EXEC whose reply is made of several: of the parts of several shards, and of
// requests that the proxy runs itself, such as INFO. WATCH with keys of several shards is one,
// too. docs/transactions.md says what is promised.
//
// The requests that the proxy runs are executed in their order: those in front of all others
// before the parts are sent, unless keys are watched, and the rest when the parts have
// executed theirs. Meanwhile they are the only ones under way (session.executing). Their
// replies are taken where they would enter the session's line (session.Reply).
type execution struct {
	s       *session
	tx      *transaction // nil for WATCH
	number  uint32       // of the request in the session's line
	entries []entry
	at      int // the entry whose reply is the next one

	// The parts. Those of one wave are sent together, and those of the next when all have
	// their outcome.
	parts   []*part // all of them, those of which keys are only watched included
	waves   [][]*part
	last    *part       // with watched keys, that was sent last
	left    int         // parts of the last wave without an outcome
	sent    bool        // all waves were sent, or will not be
	watched bool        // keys are watched
	check   *watchCheck // of keys on several shards, before the first part is sent; nil if it is done
	partial bool        // a part was executed

	alone     bool   // session.executing is this
	capturing bool   // a request that the proxy runs is under way
	running   bool   // its handler has not returned
	watching  bool   // this is a WATCH
	refused   []byte // the first error of a WATCH
	ended     bool
	reply     []byte // so far, in a buffer lent by the loop
	charged   int    // bytes of it that the client's account has
}

// isAlone reports whether no request is under way beside the one that is to be run: that may
// be part of an EXEC.
func (s *session) isAlone() bool { return s.executing != nil || s.replies.idle() }

// execute runs the EXEC of a transaction that is not sent as it is. Like handle, it reports
// false if it must wait.
func (s *session) execute(tx *transaction) bool {
	for p := range tx.all() {
		if conn := s.primaryConn(max(p.shard, 0)); conn.Full() {
			s.await(conn)
			return false
		}
	}
	if s.pauseDelays(tx) {
		s.conditions.pauseWaiters[s] = true
		return false
	}
	e := &execution{s: s, tx: tx, entries: tx.entries}
	if !e.acquire() {
		s.tx = nil
		s.unwatch()
		s.replyError(errNoDedicated)
		return true
	}
	if e.entries == nil {
		for range tx.first.queued {
			e.entries = append(e.entries, entry{part: &tx.first})
		}
	}
	e.plan()
	tx.execution = e
	tx.close()
	e.number = tx.number
	e.reply = resp.AppendArray(s.w.loop.Buffer(replyHeader), len(e.entries))
	if e.alone = e.watched || tx.isExclusive(); e.alone {
		s.executing = e
		s.closeWindow()
	}
	e.proceed()
	return true
}

// replyHeader is how many bytes the beginning of an array has at most.
const replyHeader = 16

// start runs a WATCH of several shards.
func (e *execution) start() {
	s := e.s
	e.number, e.alone, e.sent = s.push(), true, true
	s.executing = e
	s.closeWindow()
	e.proceed()
}

// acquire acquires dedicated connections for the parts that need one. It reports false if
// there are not enough of them.
func (e *execution) acquire() bool {
	s, tx := e.s, e.tx
	for p := range tx.all() {
		if len(p.scripts) == 0 && tx.selects < 0 || e.isWatched(p) {
			continue
		}
		conn, err := s.conns.Acquire(max(p.shard, 0))
		switch {
		case err == nil:
			p.conn, p.own = conn, true
		case tx.selects >= 0:
			e.releaseOwn()
			return false
		}
	}
	return true
}

// isWatched reports whether keys of a part are watched.
func (e *execution) isWatched(p *part) bool {
	for d := range e.s.watches() {
		if p.watchedBy(d) {
			return true
		}
	}
	return false
}

// releaseOwn gives the dedicated connections of parts back that were not sent.
func (e *execution) releaseOwn() {
	for p := range e.tx.all() {
		if p.own {
			p.own = false
			e.s.local.ReleaseDedicated(p.conn, false)
		}
	}
}

// plan makes the waves. What is watched goes first, one part after the other, so that a key
// that has changed is known before anything was executed: first the shards of which keys are
// only watched. All parts without watched keys go together, in the last wave.
func (e *execution) plan() {
	var only, watched [][]*part
	taken := map[*part]bool{}
	for d := range e.s.watches() {
		e.watched = true
		var of *part
		for p := range e.tx.all() {
			if p.watch == nil && p.watchedBy(d) {
				of = p
				break
			}
		}
		if of == nil {
			of = &part{tx: e.tx, shard: d.shard, bucket: d.slot, db: -1, unit: append([]byte(nil), requestMulti...)}
			only = append(only, []*part{of})
		} else {
			watched = append(watched, []*part{of})
		}
		of.watch, taken[of] = d, true
	}
	var rest []*part
	for p := range e.tx.all() {
		if !taken[p] {
			rest = append(rest, p)
		}
	}
	e.waves = append(only, watched...)
	if len(watched) > 1 {
		e.check = &watchCheck{e: e}
	}
	if len(rest) > 0 {
		e.waves = append(e.waves, rest)
	}
	e.parts = slices.Concat(e.waves...)
}

// proceed does what can be done now: it sends parts, runs requests, and answers at the end.
func (e *execution) proceed() {
	ran, had := 0, len(e.reply)
	for !e.ended && !e.capturing && e.left == 0 {
		switch {
		case !e.s.conn.Open():
			e.drop()
		case !e.sent && (e.watched || e.at == len(e.entries) || !e.entries[e.at].isLocal()):
			if !e.sendWave() {
				return
			}
		case e.at < len(e.entries) && e.entries[e.at].isLocal():
			if ran++; ran > portion || len(e.reply)-had > spillFrom {
				e.s.deferRun() // other clients are served first
				return
			}
			if !e.run(e.entries[e.at].own) {
				return
			}
		case e.at < len(e.entries):
			e.appendEntry(&e.entries[e.at])
			e.at++
		default:
			e.finish()
		}
	}
}

// isLocal reports whether the proxy runs the request.
func (en *entry) isLocal() bool { return en.own != nil && en.own.args != nil }

// sendWave sends the parts of the next wave, or ends the execution if the last one has shown
// that nothing more is to be sent. It reports false if it must wait for room.
func (e *execution) sendWave() bool {
	if p := e.last; p != nil && (p.aborted || p.failure != nil) {
		e.last = nil
		e.giveUp(p)
		return true
	}
	if e.check != nil {
		return e.checkWatches()
	}
	if len(e.waves) == 0 {
		e.sent = true
		e.checkFailed()
		return true
	}
	wave := e.waves[0]
	for _, p := range wave {
		if conn := e.s.primaryConn(max(p.shard, 0)); conn.Full() && e.alone {
			e.s.await(conn)
			return false
		}
	}
	e.waves = e.waves[1:]
	e.left = len(wave) + 1 // 1: this function, since a part may fail at once
	for _, p := range wave {
		e.noteReads(p)
		switch {
		case p.watch != nil:
			e.last = p
			p.send(p.watch.conn)
		case p.own:
			p.send(p.conn)
		default:
			p.send(e.s.primaryConn(max(p.shard, 0)))
		}
	}
	e.left--
	return true
}

// noteReads notes the keys that a part reads, if the transaction itself may have turned
// CLIENT TRACKING on.
func (e *execution) noteReads(p *part) {
	s, t := e.s, e.s.tracking
	if t == nil || !e.tx.tracks {
		return
	}
	defer s.w.resendParser.Release()
	for rest := p.unit; len(rest) > 0; {
		var state resp.RequestState
		n, err := s.w.resendParser.Parse(rest, &state, &s.w.limits)
		if n == 0 || err != nil {
			return
		}
		rest = rest[n:]
		args := s.w.resendParser.Args
		if cmd, problem := command.Lookup(args); problem == command.NoProblem && cmd.ArityOK(len(args)) && t.reads(cmd) {
			t.noteSent(e.number, t.note(t.keysOf(cmd, args)))
		}
	}
}

// collect takes the reply to a part's EXEC, or a piece of it.
func (e *execution) collect(p *part, b []byte, last bool) {
	if p.ended {
		return
	}
	if s := e.s; s.conn.Open() {
		if p.reply == nil {
			p.reply = s.w.loop.Buffer(len(b))
		} else if len(b) > cap(p.reply)-len(p.reply) {
			p.reply = s.w.loop.Grow(p.reply, len(b))
		}
		p.reply = append(p.reply, b...)
		s.replies.charge(len(b))
		s.checkOutputLimit()
	}
	if last {
		e.settle(p)
	}
}

// fail notes that there will be no reply to a part's EXEC.
func (e *execution) fail(p *part, f *pipeline.Failure) {
	if !p.ended {
		p.failure, p.executed, p.unknown = bytes.Clone(e.s.failureReply(f)), false, f.Sent
		e.settle(p)
	}
}

// settle notes the outcome of a part.
func (e *execution) settle(p *part) {
	s := e.s
	p.endRun()
	p.ended = true
	if p.own {
		p.own = false
		s.local.ReleaseDedicated(p.conn, p.failure == nil && e.tx.selects < 0)
	}
	if s.conn.Open() && p.failure == nil && !p.aborted {
		p.read()
	}
	e.partial = e.partial || p.elements != nil && p.queued > 0
	if e.left--; e.left > 0 {
		return
	}
	if e.alone {
		s.deferRun()
	} else {
		e.proceed()
	}
}

// read reads the reply to a part's EXEC.
func (p *part) read() {
	n, header, isArray := resp.ArrayLen(p.reply)
	switch {
	case resp.IsNull(p.reply):
		p.aborted = true
	case isArray && n == p.queued:
		p.elements = p.reply[header:]
	case p.reply[0] != '-':
		p.failure = replyUnexpected
	case p.queueError != nil && bytes.HasPrefix(p.reply, []byte("-EXECABORT")):
		p.failure = resp.AppendError(nil, "EXECABORT Transaction discarded because of: "+strings.TrimSpace(string(p.queueError[1:])))
	default:
		p.failure = bytes.Clone(p.reply)
	}
}

// giveUp ends the execution after a part with watched keys was not executed: nothing more is
// sent. If nothing was executed, the client gets what one Redis would say.
func (e *execution) giveUp(p *part) {
	waves := e.waves
	e.waves = nil
	switch {
	case !e.partial && p.aborted:
		e.end(e.s.protocol.AppendNullArray(nil))
	case !e.partial:
		e.end(p.failure)
	case p.aborted:
		e.end([]byte("-ERR Transaction executed in part: a watched key has changed on one shard after the part of another was executed\r\n"))
	default:
		for _, wave := range waves {
			for _, p := range wave {
				p.failure = []byte("-ERR not executed: the part of the transaction on another shard, where keys are watched, has failed\r\n")
			}
		}
	}
}

// checkFailed ends the execution if no part was executed. Then the client gets the first
// part's error, as it would from one Redis; but if a part may have been executed, that one's.
func (e *execution) checkFailed() {
	if e.partial {
		return
	}
	var failure []byte
	for p := range e.tx.all() {
		if p.failure != nil && (failure == nil || p.unknown) {
			failure = p.failure
		}
		if p.unknown {
			break
		}
	}
	if failure != nil {
		e.end(failure)
	}
}

// appendEntry appends the reply to a request that parts have executed.
func (e *execution) appendEntry(en *entry) {
	switch r := en.own; {
	case r == nil:
		e.append(en.part.next())
	case r.reply != nil:
		e.append(r.reply)
	case r.scanNext != nil:
		e.append(r.scanned())
	default:
		e.append(r.joined())
	}
}

// append appends to the reply.
func (e *execution) append(b []byte) {
	if e.reply == nil {
		e.reply = e.s.w.loop.Buffer(len(b))
	} else if len(b) > cap(e.reply)-len(e.reply) {
		e.reply = e.s.w.loop.Grow(e.reply, len(b))
	}
	e.reply = append(e.reply, b...)
}

// next returns the reply to the next request of the part, or the error that stands for it.
func (p *part) next() []byte {
	for p.elements != nil {
		n := resp.ElementLen(p.elements)
		if n == 0 {
			break
		}
		element := p.elements[:n]
		p.elements = p.elements[n:]
		hidden := len(p.hidden) > 0 && p.hidden[0] == p.taken
		p.taken++
		if !hidden {
			return element
		}
		p.hidden = p.hidden[1:]
	}
	if p.failure != nil {
		return p.failure
	}
	return replyUnexpected
}

// joined returns the reply to a request that was split, made of those to its fragments.
func (r *ownRequest) joined() []byte {
	replies := make([][]byte, len(r.fragments))
	var failed []byte
	for i, p := range r.fragments {
		if replies[i] = p.next(); replies[i][0] == '-' && failed == nil {
			failed = replies[i]
		}
	}
	if failed != nil {
		return failed
	}
	var reply []byte
	ok := false
	switch r.cmd.Join {
	case command.JoinSum:
		reply, ok = join.Sum(nil, replies)
	case command.JoinOK:
		reply, ok = replyOK, true
	case command.JoinArray:
		ok = true
		for i := range replies {
			var fits bool
			replies[i], fits = join.Elements(replies[i], r.keys[i])
			ok = ok && fits
		}
		if ok {
			reply, ok = join.InOrder(nil, replies, r.fragmentOf)
		}
	}
	if !ok {
		return replyUnexpected
	}
	return reply
}

// finish answers with what was collected.
func (e *execution) finish() {
	if e.watching {
		if e.refused != nil {
			e.end(e.refused)
		} else {
			e.end(replyOK)
		}
		return
	}
	if tx := e.tx; tx.selects >= 0 && tx.first.executed {
		e.s.db = tx.selects
		e.s.speak(e.s.protocol)
	}
	e.end(e.reply)
}

// end answers EXEC, once, and has the session go on.
func (e *execution) end(reply []byte) {
	s := e.s
	if e.ended {
		return
	}
	e.ended, e.sent = true, true
	if !e.watching {
		e.releaseOwn()
		e.releaseWatched()
	}
	if e.alone {
		s.executing = nil
		s.resume()
		s.deferRun() // messages may have waited for the reply
	}
	s.replies.refund(e.charged)
	for _, p := range e.parts {
		s.replies.refund(len(p.reply))
	}
	s.finish(e.number, reply)
	e.releaseBuffers()
}

// releaseWatched gives the connections back on which keys were watched. Those over which EXEC
// was answered have nothing watched any more.
func (e *execution) releaseWatched() {
	s := e.s
	if !e.watched {
		return
	}
	clean := true
	for _, p := range e.parts {
		clean = clean && (p.watch == nil || p.reply != nil && e.tx.selects < 0)
	}
	s.releaseWatches(clean)
}

// drop ends the execution of a client that is gone.
func (e *execution) drop() {
	if e.ended {
		return
	}
	e.ended, e.sent = true, true
	if e.s.executing == e {
		e.s.executing = nil
	}
	if e.tx != nil {
		e.releaseOwn()
	}
	e.releaseBuffers()
}

// releaseBuffers gives the loop's buffers back. Parts that are still under way collect nothing
// any more.
func (e *execution) releaseBuffers() {
	loop := e.s.w.loop
	for _, p := range e.parts {
		loop.Release(p.reply)
		p.reply, p.elements = nil, nil
	}
	loop.Release(e.reply)
	e.reply = nil
}
