package session

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"ringway/command"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// transaction is what a client has queued since MULTI. The requests wait in the proxy, and
// EXEC sends them to their shard as one unit of bytes, MULTI and EXEC included. So a
// transaction needs no connection of its own, and one that is never finished reaches no
// server. The price is that an error which a server gives while queueing, such as -OOM,
// comes with EXEC. docs/adr/0007-transactions-and-pins.md has the reasons.
type transaction struct {
	s *session

	// What is queued.
	m            *pool.Map      // by which the server of the first key was found; nil if there was no key
	server       int            // the shard of the keys so far; -1 if there were none
	unit         []byte         // the bytes of MULTI and of the queued requests
	queued       int            // how many requests
	failed       bool           // a request was refused, so EXEC aborts
	reason       string         // why, if the proxy refused it and Redis would not; else ""
	writes       bool           // a request may change something, so that CLIENT PAUSE holds it back
	scripts      []*scriptSpeed // of its scripts that have not been seen to be quick
	pauses       pause          // the effect of CLIENT PAUSE and UNPAUSE among the requests
	monitorLines string         // what MONITOR will show of the requests
	selects      int            // the database after a SELECT among the requests; -1 if there is none
	onDedicated  bool           // it is sent over a dedicated connection, though nothing is watched
	run          *scriptRun     // its scripts, while EXEC is under way; nil if all are known to be quick
	keysRead     [][]byte       // keys for CLIENT TRACKING to note
	marked       bool           // a marker must follow EXEC: a reply to a script may not end where it should
	publishes    []message      // messages that it publishes, without their text
	evalshas     unitScripts    // of its EVALSHA

	// After EXEC.
	number     uint32 // of the request EXEC in the session's line
	left       int    // replies of the unit that are to come: MULTI's, +QUEUED for each request, EXEC's
	ended      bool   // EXEC was answered
	executed   bool   // EXEC's reply is the array of the requests' replies
	midReply   bool   // a part of the current reply, a large one, has come already
	multiError []byte // the error that MULTI got; nil for none

	// For pools whose primaries change (pool.Local.Follows).
	conn    *pipeline.Conn
	refusal []byte // the error with which the server refused to queue a request
	resent  bool   // it was refused, and sent to another server
}

var (
	requestMulti = resp.AppendRequest(nil, [][]byte{[]byte("MULTI")})
	requestExec  = resp.AppendRequest(nil, [][]byte{[]byte("EXEC")})

	replyQueued  = []byte("+QUEUED\r\n")
	replyAborted = []byte("-EXECABORT Transaction discarded because of previous errors.\r\n")

	errNested      = errors.New("ERR MULTI calls can not be nested")
	errWatchInside = errors.New("ERR WATCH inside MULTI is not allowed")
	errNoMulti     = errors.New("ERR Command not allowed inside a transaction")
	errTooLong     = errors.New("ERR the transaction is longer than max_request allows")
)

// transact runs MULTI, EXEC, DISCARD, WATCH and UNWATCH. Like handle, it reports
// false if the request must wait.
func (s *session) transact(cmd *command.Command, args [][]byte, raw []byte) bool {
	switch cmd.Name {
	case "multi":
		if s.tx != nil {
			s.replyError(errNested)
			return true
		}
		s.tx = &transaction{s: s, server: -1, selects: -1, unit: append([]byte(nil), requestMulti...)}
	case "exec":
		return s.exec()
	case "discard":
		if s.tx == nil {
			s.replyError(errors.New("ERR DISCARD without MULTI"))
			return true
		}
		s.tx = nil
		s.unwatch()
	case "watch":
		if s.tx != nil {
			s.replyError(errWatchInside)
			return true
		}
		return s.watch(cmd, args, raw)
	case "unwatch":
		if s.tx != nil {
			s.queue(cmd, args, raw)
			return true
		}
		s.unwatch()
	}
	s.reply(replyOK)
	return true
}

// queue adds a request to the open transaction, and answers it.
func (s *session) queue(cmd *command.Command, args [][]byte, raw []byte) {
	if cmd.Name == "select" {
		if reply := s.queueSelect(cmd, args, raw); reply != nil {
			s.reply(reply)
		}
		return
	}
	s.reply(s.tx.take(cmd, args, raw))
}

// take adds a request to the transaction, and returns the reply: +QUEUED, or an error that
// Redis gives to a request that it does not queue. What only the proxy refuses is answered
// like a queued request, and fails at EXEC (refuse).
func (tx *transaction) take(cmd *command.Command, args [][]byte, raw []byte) (reply []byte) {
	switch {
	case cmd.Flags&command.FlagNoMulti != 0:
		tx.failed = true
		return resp.AppendError(nil, errNoMulti.Error())
	case tx.reason != "":
		// It will not be executed, so nothing of it is kept.
	default:
		if err := tx.add(cmd, args, raw); err != nil {
			tx.refuse(err.Error())
		}
	}
	return replyQueued
}

// add appends a request to the unit. It returns an error, and adds nothing, if the request
// may not be part of a transaction, or belongs to another shard than the others. args and
// raw are valid only during the call.
func (tx *transaction) add(cmd *command.Command, args [][]byte, raw []byte) error {
	if !allowedInside(cmd, tx.s.local.Shards()) && !tx.onOneShard(cmd, args) && (cmd.Name != "select" || tx.s.local.Conf().Databases == 1) {
		return tx.notAllowed(cmd, args)
	}
	if len(tx.unit)+len(raw) > int(tx.s.w.conf.MaxRequest) {
		return errTooLong
	}
	if cmd.Route != command.Local && cmd.Route != command.Transaction {
		if tx.m == nil {
			tx.m = tx.s.local.Map()
		}
		server, err := tx.s.ownerOn(tx.m, tx.s.policy, cmd, args)
		switch {
		case err == errCrossShard || err == nil && tx.server >= 0 && server != tx.server:
			return tx.otherShard(cmd, args)
		case err != nil:
			return err
		}
		tx.server = server
	}
	tx.unit = append(tx.unit, raw...)
	tx.marked = tx.marked || cmd.NeedsMarker()
	if kind, channel := publishesOn(cmd, args); channel != nil {
		tx.publishes = append(tx.publishes, message{kind, string(channel)})
	}
	if t := tx.s.tracking; t != nil && t.reads(cmd) {
		for _, key := range t.keysOf(cmd, args) {
			tx.keysRead = append(tx.keysRead, bytes.Clone(key))
		}
	}
	tx.queued++
	tx.writes = tx.writes || pausable(cmd)
	tx.pauses.note(cmd, args)
	if cmd.IsScript() {
		sc := tx.s.scripts.scriptOf(cmd, args)
		if p := tx.s.scripts.speedOf(cmd, args, sc); !p.quick {
			tx.scripts = append(tx.scripts, p)
		}
		if sc != nil && namesScript(cmd) && !slices.Contains(tx.evalshas.named, sc) {
			tx.evalshas.named = append(tx.evalshas.named, sc)
		}
	}
	return nil
}

// allowedInside reports whether a command may be queued in a transaction of a pool with so
// many servers. Of the commands that the proxy usually answers itself, these are those to
// which a server gives the same answer over a shared connection.
func allowedInside(cmd *command.Command, servers int) bool {
	switch cmd.Route {
	case command.Refused, command.NotYet, command.PubSub:
		return false
	case command.AllShards, command.DefaultShard, command.ScanShards:
		if servers > 1 {
			return false // it concerns more than one shard
		}
	case command.Local:
		name, _, _ := strings.Cut(cmd.Name, "|")
		return name == "ping" || name == "echo" || name == "time" || name == "command"
	}
	return true
}

// exec runs EXEC. Like handle, it reports false if it must wait. The unit goes over the
// shared connection, if nothing makes the server delay it or keeps state: then it goes over
// a dedicated one, which WATCH has acquired or exec acquires.
func (s *session) exec() bool {
	tx := s.tx
	switch {
	case tx == nil:
		s.replyError(errors.New("ERR EXEC without MULTI"))
		return true
	case (s.dedicated != nil || s.pauseDelays(tx) || len(tx.scripts) > 0 || tx.selects >= 0) && !s.replies.idle():
		return false // requests on the shared connection must be answered first
	case tx.failed:
		s.tx = nil
		s.unwatch()
		s.reply(tx.aborted())
		return true
	case s.dedicated != nil:
		return s.execWatched()
	case tx.queued == 0:
		s.tx = nil
		s.reply([]byte("*0\r\n"))
		return true
	}
	if (s.subscriptions.Subscribing() || s.publishBy != 0) && slices.ContainsFunc(tx.publishes, func(m message) bool { return s.awaitsSubscription(m.kind, m.channel) }) {
		return false
	}
	tx.followSlots()
	conn := s.primaryConn(max(tx.server, 0))
	if conn.Full() {
		s.await(conn)
		return false
	}
	if s.pauseDelays(tx) || len(tx.scripts) > 0 || tx.selects >= 0 {
		tx.onDedicated = s.acquireDedicated(max(tx.server, 0))
		switch {
		case tx.onDedicated:
			s.closeWindow()
			if s.pauseDelays(tx) {
				s.blockedSince = s.w.loop.Now()
			}
			conn = s.dedicated.conn
		case tx.selects >= 0:
			s.tx = nil
			s.replyError(errNoDedicated)
			return true
		case s.pauseDelays(tx):
			s.conditions.pauseWaiters[s] = true
			return false
		}
	}
	tx.send(conn)
	return true
}

// followSlots looks the server up again if slots of a Cluster have moved since the first key
// was queued. The client's next requests go by the new map, and would overtake an EXEC that
// the old server redirects.
func (tx *transaction) followSlots() {
	m := tx.s.local.Map()
	if tx.server < 0 || !m.Slotted() || m == tx.m {
		return
	}
	if shard, ok := tx.s.ownerOf(m, tx.unit); ok {
		tx.server, tx.m = shard, m
	}
}

// execWatched runs EXEC after WATCH. Like handle, it reports false if it must wait. If the
// watching connection was lost, the keys may have changed unseen: then the transaction is
// aborted as if they had.
func (s *session) execWatched() bool {
	tx := s.tx
	if tx.server >= 0 && tx.server != s.dedicated.shard && !s.dedicated.watchLost && !s.slotGone(tx.m) {
		s.tx = nil
		s.unwatch()
		s.replyError(errCrossShard)
		return true
	}
	if conn := s.primaryConn(s.dedicated.shard); s.separateReads && conn.Full() {
		s.await(conn) // the primary is being replaced: what it executes now would be lost
		return false
	}
	if !s.dedicatedReady() {
		return false
	}
	if !s.dedicated.conn.Up() || s.dedicated.watchLost || s.slotGone(s.local.Map()) {
		s.tx = nil
		s.unwatch()
		s.reply(s.protocol.AppendNullArray(nil))
		return true
	}
	s.closeWindow()
	tx.send(s.dedicated.conn)
	return true
}

// send sends the whole unit, EXEC included, over conn, and closes the transaction to
// further requests.
func (tx *transaction) send(conn *pipeline.Conn) {
	s := tx.s
	s.tx = nil
	s.notePause(tx.pauses)
	if len(tx.scripts) > 0 {
		tx.run = s.conditions.beginRun(max(tx.server, 0), s.w.loop.Now(), tx.scripts...)
	}
	if s.sub != nil {
		s.sub.causes()
	}
	tx.number = s.push()
	if t := s.tracking; t != nil && tx.keysRead != nil {
		t.noteSent(tx.number, t.note(tx.keysRead))
	}
	tx.left = tx.queued + 2
	if s.local.SawTryAgain() {
		s.closeWindow()
	}
	tx.unit = append(tx.unit, requestExec...)
	tx.bringScripts(conn)
	tx.conn = conn
	if tx.marked {
		conn.ProbeMarkerSupport()
	}
	if f := conn.SendUnit(tx.unit, tx.left, tx, 0); f != nil {
		tx.end(func() { s.finish(tx.number, s.failureReply(f)) })
	} else if tx.marked {
		conn.SendMarker()
	}
	if !s.local.Follows() {
		tx.unit = nil
	}
}

// Reply is pipeline.Receiver's. The replies are those to MULTI, to each queued request and to
// EXEC; only the last one goes to the client, or the error of MULTI in its place.
func (tx *transaction) Reply(_ uint32, b []byte, last bool) {
	begins := !tx.midReply
	isError := b[0] == '-' && begins
	tx.midReply = !last
	if tx.left > 1 {
		if last {
			if tx.left == tx.queued+2 && isError {
				tx.multiError = append([]byte(nil), b...)
			}
			if isError && tx.refusal == nil && tx.s.local.Follows() && pool.RefusalOf(b) != pool.NoRefusal {
				tx.refusal = append([]byte(nil), b...)
			}
			tx.left--
		}
		return
	}
	if isError && tx.s.local.Follows() && tx.resend(b) {
		return
	}
	if begins {
		tx.executed = tx.multiError == nil && b[0] == '*' && !resp.IsNull(b)
	}
	tx.noteScripts(b)
	if tx.multiError != nil {
		b, last = tx.multiError, true
	}
	if !last {
		if !tx.ended && tx.s.conn.Open() {
			tx.s.Reply(tx.number, b, false)
		}
		return
	}
	tx.end(func() { tx.s.finish(tx.number, b) })
}

// resend sends the transaction to the server that will execute it, after EXEC got an error
// because its server refused a request as no primary, or no owner of the slot. It reports
// false if the error is for the client. reply is the error.
func (tx *transaction) resend(reply []byte) bool {
	s := tx.s
	if tx.refusal != nil && bytes.HasPrefix(reply, []byte("-EXECABORT")) {
		reply = tx.refusal
	}
	if pool.RefusalOf(reply) == pool.NoRefusal || !s.conn.Open() {
		return false
	}
	if s.dedicated != nil && s.dedicated.conn == tx.conn && !tx.onDedicated {
		// The watched keys are on another server, where they may have changed.
		tx.end(func() { s.finish(tx.number, s.protocol.AppendNullArray(nil)) })
		return true
	}
	if tx.resent {
		return false
	}
	tx.resent = true
	if pool.RefusalOf(reply) == pool.Demoted && (!tx.marked || pool.InRedisWords(reply)) {
		tx.conn.ReviewReplies() // reads behind it must not see the state before it
	}
	tx.left, tx.multiError, tx.refusal = tx.queued+2, nil, nil
	r := pipeline.Request{Bytes: tx.unit, Replies: tx.left, Receiver: tx, Marked: tx.marked}
	if !s.conns.Resend(max(tx.server, 0), s.info.id, r, reply) {
		tx.end(func() { s.finish(tx.number, reply) })
	}
	return true
}

// Fail is pipeline.Receiver's. It is called for each request of the unit that has no reply.
// All fail for one reason, and only the first call has an effect.
func (tx *transaction) Fail(_ uint32, f *pipeline.Failure, _ []byte) {
	tx.end(func() { tx.s.Fail(tx.number, f, nil) })
}

// end ends the transaction, once: it gives a dedicated connection back, answers EXEC by
// calling answer, and has the session go on.
func (tx *transaction) end(answer func()) {
	s := tx.s
	if tx.run != nil {
		s.endRun(tx.run, tx.left == 1 && tx.multiError == nil)
	}
	if tx.ended || !s.conn.Open() {
		return
	}
	tx.ended = true
	if tx.selects >= 0 {
		s.dedicated.altered = true
		if tx.executed {
			s.db = tx.selects
			s.speak(s.protocol)
		}
	}
	s.blockedSince = 0
	if s.dedicated != nil {
		s.releaseDedicated(true) // clean: EXEC has ended WATCH, or the connection is lost
	}
	if s.window == 0 {
		s.resume()
	}
	answer()
}
