package session

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ringway/command"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// transaction is what a client has queued since MULTI. The requests wait here,
// and EXEC sends them all to their shard as one unit: so a transaction needs no
// connection of its own, and one that is never finished reaches no server. The
// price is that an error which a server would give while queueing (-OOM, say)
// comes with EXEC.
type transaction struct {
	s       *session
	m       *pool.Map // by which the first key was placed
	server  int       // of the keys so far; -1 if there were none
	unit    []byte    // MULTI and the requests
	queued  int
	failed  bool       // a request was refused: EXEC aborts
	reason  error      // that the proxy refused it, other than a Redis would; nil for none
	writes  bool       // a request may change something, so that CLIENT PAUSE holds it back
	scripts []*proof   // of its scripts, those that have yet to show that they are quick
	pauses  pause      // what CLIENT PAUSE and UNPAUSE among the requests come to
	shown   string     // of its requests, what MONITOR shows
	selects int        // the database that SELECT leaves; -1 if there is none
	apart   bool       // sent over a connection of its own, though nothing is watched
	run     *scriptRun // its scripts under way
	reads   [][]byte   // keys that CLIENT TRACKING is to note
	marked  bool       // a request's reply may not end where it should
	publish []message  // that it publishes, without what they say

	// After EXEC.
	number   uint32 // the request in the session
	left     int    // replies to come
	ended    bool   // EXEC was answered
	executed bool   // EXEC was, and its reply is the requests'
	partly   bool   // the reply that comes now is a large one, of which a part has been seen
	broken   []byte // the error that MULTI got

	// Where a server may refuse requests that another executes.
	conn    *pipeline.Conn
	refusal []byte // what a request got that was to be queued
	resent  bool   // it was refused and sent elsewhere
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

// queue takes a request into the transaction.
func (s *session) queue(cmd *command.Command, args [][]byte, raw []byte) {
	if cmd.Name == "select" {
		if reply := s.queueSelect(cmd, args, raw); reply != nil {
			s.reply(reply)
		}
		return
	}
	s.reply(s.tx.take(cmd, args, raw))
}

// take takes a request into the transaction, and returns what the client is told.
func (tx *transaction) take(cmd *command.Command, args [][]byte, raw []byte) (reply []byte) {
	if err := tx.add(cmd, args, raw); err != nil {
		tx.failed = true
		tx.reason = cmp.Or(tx.reason, err) // the first is what the others follow from
		return resp.AppendError(nil, tx.s.errorText(err))
	}
	return replyQueued
}

// add appends a request to the unit, if it belongs to the same shard as the
// others.
func (tx *transaction) add(cmd *command.Command, args [][]byte, raw []byte) error {
	if !allowedInside(cmd, tx.s.local.Shards()) && (cmd.Name != "select" || tx.s.local.Conf().Databases == 1) {
		return errNoMulti
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
		case err != nil:
			return err
		case tx.server >= 0 && server != tx.server:
			return errCrossShard
		}
		tx.server = server
	}
	tx.unit = append(tx.unit, raw...)
	tx.marked = tx.marked || cmd.NeedsMarker()
	if kind, channel := publishesOn(cmd, args); channel != nil {
		tx.publish = append(tx.publish, message{kind, string(channel)})
	}
	if t := tx.s.tracking; t != nil && t.reads(cmd) {
		for _, key := range t.keysOf(cmd, args) {
			tx.reads = append(tx.reads, bytes.Clone(key))
		}
	}
	tx.queued++
	tx.writes = tx.writes || pausable(cmd)
	tx.pauses.note(cmd, args)
	if cmd.IsScript() {
		if p := tx.s.scripts.proof(cmd, args); !p.quick {
			tx.scripts = append(tx.scripts, p)
		}
	}
	return nil
}

// allowedInside tells whether a command can be part of a transaction at a
// server. Of those that the proxy answers by itself, that is what means the
// same on a shared connection.
func allowedInside(cmd *command.Command, servers int) bool {
	switch cmd.Route {
	case command.Refused, command.NotYet, command.PubSub:
		return false
	case command.AllShards, command.DefaultShard, command.ScanShards:
		if servers > 1 {
			return false // not one shard's business
		}
	case command.Local:
		name, _, _ := strings.Cut(cmd.Name, "|")
		return name == "ping" || name == "echo" || name == "time" || name == "command"
	}
	return cmd.Flags&command.FlagNoMulti == 0
}

// exec runs EXEC. Like handle, it reports false if it must wait.
func (s *session) exec() bool {
	tx := s.tx
	switch {
	case tx == nil:
		s.replyError(errors.New("ERR EXEC without MULTI"))
		return true
	case (s.dedicated != nil || s.heldBack(tx) || len(tx.scripts) > 0 || tx.selects >= 0) && !s.replies.idle():
		return false // the other connection must be done first
	case tx.failed:
		s.tx = nil
		s.unwatch()
		if tx.reason != nil {
			// Most client libraries show what EXEC got, and nothing of what came before.
			s.replyError(fmt.Errorf("EXECABORT Transaction discarded because of: %s", s.errorText(tx.reason)))
			return true
		}
		s.reply(replyAborted)
		return true
	case s.dedicated != nil:
		return s.execWatched()
	case tx.queued == 0:
		s.tx = nil
		s.reply([]byte("*0\r\n"))
		return true
	}
	if (s.subscriptions.Subscribing() || s.publishBy != 0) && slices.ContainsFunc(tx.publish, func(m message) bool { return s.awaitsSubscriber(m.kind, m.channel) }) {
		return false
	}
	tx.followSlots()
	conn := s.primaryConn(max(tx.server, 0))
	if conn.Full() {
		s.await(conn)
		return false
	}
	if s.heldBack(tx) || len(tx.scripts) > 0 || tx.selects >= 0 {
		tx.apart = s.acquireDedicated(max(tx.server, 0))
		switch {
		case tx.apart:
			s.closeWindow()
			if s.heldBack(tx) {
				s.waits = s.w.loop.Now()
			}
			conn = s.dedicated.conn
		case tx.selects >= 0:
			s.tx = nil
			s.replyError(errNoDedicated)
			return true
		case s.heldBack(tx):
			s.conditions.pauseWaiters[s] = true
			return false
		}
	}
	tx.send(conn)
	return true
}

// followSlots finds the server anew if slots of a Cluster have moved since the
// first key was queued: what the client sends next must not overtake EXEC.
func (tx *transaction) followSlots() {
	m := tx.s.local.Map()
	if tx.server < 0 || !m.Slotted() || m == tx.m {
		return
	}
	if shard, ok := tx.s.ownerOf(m, tx.unit); ok {
		tx.server, tx.m = shard, m
	}
}

// execWatched runs EXEC after WATCH. If the connection that watches was lost,
// the keys may have changed unseen: then the transaction is aborted.
func (s *session) execWatched() bool {
	tx := s.tx
	if tx.server >= 0 && tx.server != s.dedicated.shard && !s.dedicated.watchLost && !s.slotGone(tx.m) {
		s.tx = nil
		s.unwatch()
		s.replyError(errCrossShard)
		return true
	}
	if conn := s.primaryConn(s.dedicated.shard); s.readsApart && conn.Full() {
		s.await(conn) // the primary is being replaced, and what it executes now would be lost
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

// send sends the whole transaction, EXEC included.
func (tx *transaction) send(conn *pipeline.Conn) {
	s := tx.s
	s.tx = nil
	s.notePause(tx.pauses)
	if len(tx.scripts) > 0 {
		tx.run = s.conditions.begin(max(tx.server, 0), s.w.loop.Now(), tx.scripts...)
	}
	tx.number = s.push()
	if t := s.tracking; t != nil && tx.reads != nil {
		t.sent(tx.number, t.note(tx.reads))
	}
	tx.left = tx.queued + 2
	if s.local.SawTryAgain() {
		s.closeWindow()
	}
	tx.unit = append(tx.unit, requestExec...)
	tx.conn = conn
	if tx.marked {
		conn.ProbeMarkerSupport()
	}
	if f := conn.SendUnit(tx.unit, tx.left, tx, 0); f != nil {
		tx.end(func() { s.finish(tx.number, f.AppendReply(s.w.failure[:0])) })
	} else if tx.marked {
		conn.SendMarker()
	}
	if !s.local.Follows() {
		tx.unit = nil
	}
}

// Reply is pipeline.Receiver's: the reply to MULTI, to a queued request, or to
// EXEC, of which only the last one is for the client.
func (tx *transaction) Reply(_ uint32, b []byte, last bool) {
	begins := !tx.partly
	isError := b[0] == '-' && begins
	tx.partly = !last
	if tx.left > 1 {
		if last {
			if tx.left == tx.queued+2 && isError {
				tx.broken = append([]byte(nil), b...)
			}
			if isError && tx.refusal == nil && tx.s.local.Follows() && pool.RefusalOf(b) != pool.NoRefusal {
				tx.refusal = append([]byte(nil), b...)
			}
			tx.left--
		}
		return
	}
	if isError && tx.s.local.Follows() && tx.again(b) {
		return
	}
	if begins {
		tx.executed = tx.broken == nil && b[0] == '*' && !resp.IsNull(b)
	}
	if tx.broken != nil {
		b, last = tx.broken, true
	}
	if !last {
		if !tx.ended && tx.s.conn.Open() {
			tx.s.Reply(tx.number, b, false)
		}
		return
	}
	tx.end(func() { tx.s.finish(tx.number, b) })
}

// again sends the transaction to where it will be executed, after EXEC was
// answered with an error since its server refused a request. It reports false if
// the error is for the client.
func (tx *transaction) again(reply []byte) bool {
	s := tx.s
	if tx.refusal != nil && bytes.HasPrefix(reply, []byte("-EXECABORT")) {
		reply = tx.refusal
	}
	if pool.RefusalOf(reply) == pool.NoRefusal || !s.conn.Open() {
		return false
	}
	if s.dedicated != nil && s.dedicated.conn == tx.conn && !tx.apart {
		// The keys that were watched are elsewhere, and may have changed there.
		tx.end(func() { s.finish(tx.number, s.protocol.AppendNullArray(nil)) })
		return true
	}
	if tx.resent {
		return false
	}
	tx.resent = true
	if pool.RefusalOf(reply) == pool.Demoted && (!tx.marked || pool.InRedisWords(reply)) {
		tx.conn.ReviewReplies() // reads behind it must not see the state from before it
	}
	tx.left, tx.broken, tx.refusal = tx.queued+2, nil, nil
	r := pipeline.Request{Bytes: tx.unit, Replies: tx.left, Receiver: tx, Marked: tx.marked}
	if !s.conns.Resend(max(tx.server, 0), s.info.id, r, reply) {
		tx.end(func() { s.finish(tx.number, reply) })
	}
	return true
}

// Fail is pipeline.Receiver's. It is called for each request of the unit that
// has no reply; they fail for one reason.
func (tx *transaction) Fail(_ uint32, f *pipeline.Failure, _ []byte) {
	tx.end(func() { tx.s.Fail(tx.number, f, nil) })
}

// end answers EXEC, once, and lets the session go on.
func (tx *transaction) end(answer func()) {
	s := tx.s
	if tx.run != nil {
		s.endRun(tx.run, tx.left == 1 && tx.broken == nil)
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
	s.waits = 0
	if s.dedicated != nil {
		s.releaseDedicated(true) // EXEC has ended WATCH, or the connection is lost
	}
	if s.window == 0 {
		s.resume()
	}
	answer()
}
