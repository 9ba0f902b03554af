package session

import (
	"bytes"
	"errors"
	"slices"

	"ringway/command"
	"ringway/conf"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// transaction is what a client has queued since MULTI. The requests wait in the proxy, and
// EXEC sends them to their shard as one unit of bytes, MULTI and EXEC included. So a
// transaction needs no connection of its own, and one that is never finished reaches no
// server. The price is that an error which a server gives while queueing, such as -OOM,
// comes with EXEC. docs/adr/0007-transactions-and-pins.md has the reasons.
//
// Nearly all transactions are of one shard, and have no request that the proxy runs itself:
// their EXEC is passed on as it is. For others, execution.go makes one reply of several.
type transaction struct {
	s *session

	// What is queued.
	m            *pool.Map // by which the shard of the first key was found; nil if there was no key
	first        part      // for the first shard, and for requests that need no certain one
	parts        []*part   // for other shards
	byBucket     map[int]*part
	queued       int       // how many requests
	entries      []entry   // all requests, in order; nil while first has them all
	size         int       // bytes of all requests
	failed       bool      // a request was refused, so EXEC aborts
	reason       string    // why, if the proxy refused it and Redis would not; else ""
	writes       bool      // a request may change something, so that CLIENT PAUSE holds it back
	hasScripts   bool      // there are scripts that have not been seen to be quick
	hasLocal     bool      // there are requests that the proxy runs
	tracks       bool      // CLIENT TRACKING or CACHING is among these
	pauses       pause     // the effect of CLIENT PAUSE and UNPAUSE among the requests
	monitorLines string    // what MONITOR will show of the requests
	selects      int       // the database after a SELECT among the requests; -1 if there is none
	keysRead     [][]byte  // keys for CLIENT TRACKING to note
	publishes    []message // messages that it publishes, without their text
	publishers   []*part   // the parts with scripts that may publish

	// After EXEC.
	number      uint32     // of the request EXEC in the session's line
	onDedicated bool       // it was sent over a dedicated connection, though nothing is watched
	execution   *execution // nil if first is all of it
}

// entry is one request of a transaction: one of a part's, or else own.
type entry struct {
	part *part
	own  *ownRequest
}

// ownRequest is a request of a transaction that no server gets as it is.
type ownRequest struct {
	cmd  *command.Command
	args [][]byte // copied; nil for a request that is split

	// Of one that is split: for each fragment its part, and for each key its fragment.
	fragments  []*part
	keys       []int // of each fragment
	fragmentOf []uint16

	scanNext func(own uint64) (cursor uint64, ok bool) // of a SCAN (scaninside.go)

	reply []byte // if not nil, the request is not executed and this is its reply
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
			s.refuseNested(cmd, errNested)
			return true
		}
		s.tx = newTransaction(s)
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
			s.refuseNested(cmd, errWatchInside)
			return true
		}
		if s.local.Conf().Transactions == conf.PerShard && s.local.Shards() > 1 {
			return s.watchPerShard(cmd, args, raw)
		}
		if s.perShard() {
			return s.watchPerShard(cmd, args, raw)
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

// add adds a request to what is queued. It returns an error, and adds nothing, if the request
// can't be executed with the others. args and raw are valid only during the call.
func (tx *transaction) add(cmd *command.Command, args [][]byte, raw []byte) error {
	s := tx.s
	if tx.size+len(raw) > int(s.w.conf.MaxRequest) {
		return errTooLong
	}
	p := &tx.first
	switch {
	case tx.runsHere(cmd):
		tx.addOwn(&ownRequest{cmd: cmd, args: cloneArgs(args)}, len(raw))
		tx.hasLocal = true
		tx.tracks = tx.tracks || cmd.Name == "client|tracking" || cmd.Name == "client|caching"
		return nil
	case tx.scansInside(cmd, args):
		return tx.addScan(cmd, args, len(raw))
	case !allowedInside(cmd, s.local.Shards()) && !tx.onOneShard(cmd, args):
		return tx.notAllowed(cmd, args)
	case cmd.Route != command.Local && cmd.Route != command.Transaction:
		var err error
		if p, err = tx.partOf(cmd, args); err != nil || p == nil {
			if p == nil && err == nil {
				tx.note(cmd, args, len(raw))
			}
			return err
		}
	}
	if p != &tx.first || tx.entries != nil {
		tx.addEntry(entry{part: p})
	}
	p.add(raw)
	p.marked = p.marked || cmd.NeedsMarker()
	if cmd.IsScript() {
		sc := s.scripts.scriptOf(cmd, args)
		if speed := s.scripts.speedOf(cmd, args, sc); !speed.quick {
			p.scripts = append(p.scripts, speed)
			tx.hasScripts = true
		}
		if (sc == nil || sc.publishes) && !slices.Contains(tx.publishers, p) {
			tx.publishers = append(tx.publishers, p)
		}
		if sc != nil && namesScript(cmd) && !slices.Contains(p.evalshas.named, sc) {
			p.evalshas.named = append(p.evalshas.named, sc)
		}
	}
	tx.note(cmd, args, len(raw))
	return nil
}

// note notes of a request that was added what EXEC must know.
func (tx *transaction) note(cmd *command.Command, args [][]byte, size int) {
	if kind, channel := publishesOn(cmd, args); channel != nil {
		tx.publishes = append(tx.publishes, message{kind, string(channel)})
	}
	if t := tx.s.tracking; t != nil && t.reads(cmd) {
		for _, key := range t.keysOf(cmd, args) {
			tx.keysRead = append(tx.keysRead, bytes.Clone(key))
		}
	}
	tx.queued++
	tx.size += size
	tx.writes = tx.writes || pausable(cmd)
	tx.pauses.note(cmd, args)
}

// runsHere reports whether the proxy runs a command itself, at EXEC.
func (tx *transaction) runsHere(cmd *command.Command) bool {
	switch cmd.Route {
	case command.PubSub:
		return true
	case command.Local:
		return !aboutServer(cmd) && (cmd.Name != "select" || tx.s.local.Conf().Databases == 1)
	case command.AllShards, command.DefaultShard:
		return tx.s.answersAboutUsers(cmd) || cmd.Group == "pubsub" && tx.s.local.Shards() > 1 // subscriptions have nothing to do with keys
	}
	return false
}

// allowedInside reports whether a command that servers execute may be queued in a transaction
// of a pool with so many shards.
func allowedInside(cmd *command.Command, shards int) bool {
	switch cmd.Route {
	case command.Refused, command.NotYet:
		return false
	case command.AllShards, command.DefaultShard, command.ScanShards:
		return shards == 1 // else it concerns more than one shard
	}
	return true
}

// exec runs EXEC. Like handle, it reports false if it must wait. The unit goes over the
// shared connection, if nothing makes the server delay it or keeps state: then it goes over
// a dedicated one, which WATCH has acquired or exec acquires.
func (s *session) exec() bool {
	tx := s.tx
	s.restoreWatch()
	switch {
	case tx == nil:
		s.replyError(errors.New("ERR EXEC without MULTI"))
		return true
	case (s.dedicated != nil || tx.isExclusive()) && !s.replies.idle():
		return false // requests on the shared connection must be answered first
	case tx.failed:
		s.tx = nil
		s.unwatch()
		s.reply(tx.aborted())
		return true
	case tx.publishesWait():
		return false
	case s.dedicated == nil && tx.queued == 0:
		s.tx = nil
		s.reply([]byte("*0\r\n"))
		return true
	}
	tx.followSlots()
	if s.dedicated != nil {
		return s.execWatched()
	}
	if tx.entries != nil || tx.selects >= 0 {
		return s.execute(tx)
	}
	shard := max(tx.first.shard, 0)
	conn := s.primaryConn(shard)
	if conn.Full() {
		s.await(conn)
		return false
	}
	if s.pauseDelays(tx) || tx.hasScripts {
		tx.onDedicated = s.acquireDedicated(shard)
		switch {
		case tx.onDedicated:
			s.closeWindow()
			if s.pauseDelays(tx) {
				s.blockedSince = s.w.loop.Now()
			}
			conn = s.dedicated.conn
		case s.pauseDelays(tx):
			s.conditions.pauseWaiters[s] = true
			return false
		}
	}
	tx.send(conn)
	return true
}

// isExclusive reports whether nothing else of the session may be under way while the
// transaction is executed.
func (tx *transaction) isExclusive() bool {
	return tx.s.pauseDelays(tx) || tx.hasScripts || tx.selects >= 0 || tx.hasLocal || tx.entries != nil && tx.s.local.SlotsMove()
}

// followSlots looks the shards up again if slots of a Cluster have moved since the first key
// was queued. The client's next requests go by the new map, and would overtake an EXEC that
// the old server redirects; and WATCH may have followed -MOVED to the new server already.
func (tx *transaction) followSlots() {
	m := tx.s.local.Map()
	if tx.m == nil || !m.Slotted() || m == tx.m {
		return
	}
	tx.m = m
	for p := range tx.all() {
		if p.bucket >= 0 {
			p.shard = m.ShardAt(p.bucket)
		}
	}
}

// execWatched runs EXEC after WATCH. Like handle, it reports false if it must wait. If a
// watching connection was lost, the keys may have changed unseen: then the transaction is
// aborted as if they had.
func (s *session) execWatched() bool {
	tx := s.tx
	if p := &tx.first; !tx.perShard() && p.shard >= 0 && !p.watchedBy(s.dedicated) && !s.dedicated.watchLost && !s.slotGone(tx.m) {
		s.tx = nil
		err := crossSlot(s.local.Conf(), s.local.Map().Ring(), s.dedicated.watched, tx.firstKey())
		s.unwatch()
		s.replyError(tx.withSetting(err))
		return true
	}
	for d := range s.watches() {
		if conn := s.primaryConn(d.shard); s.separateReads && conn.Full() {
			s.await(conn) // the primary is being replaced: what it executes now would be lost
			return false
		}
		if !s.isReady(d) {
			return false
		}
	}
	for d := range s.watches() {
		if !d.conn.Up() || d.watchLost || d.slotGone(s.local.Map()) {
			s.tx = nil
			s.unwatch()
			s.reply(s.protocol.AppendNullArray(nil))
			return true
		}
	}
	if tx.entries != nil || tx.selects >= 0 || s.otherWatches != nil || tx.first.shard >= 0 && !tx.first.watchedBy(s.dedicated) {
		return s.execute(tx)
	}
	s.closeWindow()
	tx.send(s.dedicated.conn)
	return true
}

// send sends a transaction of one part over conn, and closes it to further requests.
func (tx *transaction) send(conn *pipeline.Conn) {
	tx.close()
	if tx.s.local.SlotsMove() {
		tx.s.closeWindow()
	}
	tx.first.send(conn)
}

// close ends what follows MULTI: EXEC takes its position in the line.
func (tx *transaction) close() {
	s := tx.s
	s.tx = nil
	s.notePause(tx.pauses)
	if s.sub != nil {
		s.sub.causes()
	}
	tx.number = s.push()
	if t := s.tracking; t != nil && tx.keysRead != nil {
		t.noteSent(tx.number, t.note(tx.keysRead))
	}
}
