package session

import (
	"errors"

	"ringway/command"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// dedicated is a connection to a server that one session has to itself, for what can't share a
// connection: blocking commands, WATCH, scripts not yet known to be quick, and writes during
// CLIENT PAUSE (docs/adr/0007). The pool lends at most pinned_connections of them.
type dedicated struct {
	shard     int
	slot      int       // in a Cluster: the hash slot of the keys that it was acquired for; -1 elsewhere
	placedBy  *pool.Map // in force when it was acquired; a redirection may have known better
	conn      *pipeline.Conn
	altered   bool       // it is not as acquired any more (dedicatedswitch.go), so it can't be lent again
	user      *pool.User // as whom it is authenticated
	protocol  resp.Protocol
	db        int
	watched   []byte // the first key of WATCH, for errors; nil if not known
	switching bool   // a dedicatedSwitch is under way
	watchLost bool   // the WATCH before was on another connection, and is lost: EXEC must abort
}

// awaitPrimary has the session wait if the primary of a request's shard is being replaced: a
// request that the old one still executes may be lost. It reports whether the request must wait.
func (s *session) awaitPrimary(cmd *command.Command, args [][]byte) bool {
	if !s.separateReads {
		return false
	}
	shard, err := s.owner(cmd, args)
	if err != nil {
		return false
	}
	conn := s.primaryConn(shard)
	if conn.Full() {
		s.await(conn)
		return true
	}
	return false
}

// errNoDedicated is the client's error when the pool has lent all its dedicated connections.
var errNoDedicated = errors.New("ERR no connection is left for blocking commands and WATCH; try again, or raise pinned_connections")

// dedicatedFor acquires a dedicated connection to the server that owns all keys of a request,
// as s.dedicated. If the session has one already, it must be to that server. The error is for
// the client.
func (s *session) dedicatedFor(cmd *command.Command, args [][]byte) error {
	shard, err := s.owner(cmd, args)
	switch {
	case err != nil:
		return err
	case s.dedicated != nil && s.dedicated.shard != shard && (s.slotGone(s.local.Map()) || s.dedicated.slot >= 0 && s.slotOf(cmd, args) == s.dedicated.slot):
		return nil // if its server answers -MOVED, retryRefused follows that
	case s.dedicated != nil && s.dedicated.shard != shard:
		return errCrossShard
	case s.dedicated != nil:
		return nil
	}
	conn, err := s.conns.Acquire(shard)
	if err != nil { // pool.ErrNoDedicated
		return errNoDedicated
	}
	s.dedicated = s.newDedicated(shard, s.slotOf(cmd, args), conn)
	return nil
}

// newDedicated describes a connection that has just been acquired for the session.
func (s *session) newDedicated(shard, slot int, conn *pipeline.Conn) *dedicated {
	return &dedicated{shard: shard, slot: slot, placedBy: s.local.Map(), conn: conn, user: s.user, protocol: s.protocol, db: s.db}
}

// acquireDedicated acquires a dedicated connection to a shard for the session. It reports
// false if none is left.
func (s *session) acquireDedicated(shard int) bool {
	conn, err := s.conns.Acquire(shard)
	if err != nil {
		return false
	}
	s.dedicated = s.newDedicated(shard, -1, conn)
	return true
}

// slotOf returns the hash slot of a request's first key in a Cluster, else -1.
func (s *session) slotOf(cmd *command.Command, args [][]byte) int {
	m := s.local.Map()
	keys, err := cmd.Keys(args, s.w.keys[:0])
	if s.w.keys = keys[:0]; err != nil || len(keys) == 0 || !m.Slotted() {
		return -1
	}
	return m.Bucket(args[keys[0]])
}

// slotGone reports whether the slot that the session's dedicated connection was acquired for
// belongs to another shard now.
func (s *session) slotGone(m *pool.Map) bool { return s.dedicated.slotGone(m) }

// slotGone reports whether the slot that d was acquired for belongs to another shard now. A Map that
// d is not newer than may say so, too: then a redirection has led to d before the next Map.
func (d *dedicated) slotGone(m *pool.Map) bool {
	return d.slot >= 0 && m.Slotted() && m != d.placedBy && m.ShardAt(d.slot) != d.shard
}

// releaseDedicated gives the session's dedicated connection back to the pool, if there is one.
// clean says that the server holds no state for it (WATCH, a request under way), so that it can
// be lent again; otherwise the pool closes it.
func (s *session) releaseDedicated(clean bool) {
	if d := s.dedicated; d != nil {
		s.dedicated = nil
		s.local.ReleaseDedicated(d.conn, clean && !d.altered)
	}
}

// block runs a request that may block, such as BLPOP, over a dedicated connection. Like handle,
// it reports false if the request must wait.
func (s *session) block(cmd *command.Command, args [][]byte, raw []byte) bool {
	if !s.replies.idle() {
		return false // earlier requests use other connections: their order would not be kept
	}
	if is, done := s.blockOnShards(cmd, args); is {
		return done
	}
	if !s.dedicatedReady() {
		return false
	}
	if s.awaitPrimary(cmd, args) {
		return false
	}
	a := &exclusive{s: s, fresh: s.dedicated == nil, untimed: true}
	a.keepForRetry(raw)
	if s.dedicated == nil { // else it is WATCH's, and stays
		a.done = func() { s.releaseDedicated(true) }
	}
	if err := s.dedicatedFor(cmd, args); err != nil {
		s.replyError(s.explain(err, cmd, args))
		return true
	}
	a.start()
	a.checkSent(s.sendBlocking(raw, a, false))
	return true
}

// watch runs WATCH over a dedicated connection, which the session keeps until EXEC, DISCARD or
// UNWATCH. The keys, and those of an earlier WATCH, must be on one shard. Like handle, it
// reports false if it must wait.
func (s *session) watch(cmd *command.Command, args [][]byte, raw []byte) bool {
	if !s.isAlone() || !s.dedicatedReady() {
		return false
	}
	if s.awaitPrimary(cmd, args) {
		return false
	}
	a := &exclusive{s: s, fresh: s.dedicated == nil}
	a.keepForRetry(raw)
	if err := s.dedicatedFor(cmd, args); err != nil {
		s.replyError(s.explain(err, cmd, args))
		return true
	}
	if a.fresh {
		s.dedicated.watched = clipped(args[1])
	}
	a.checkSent(s.dedicated.conn.Send(raw, a, a.start()))
	return true
}

// unwatch ends WATCH: the dedicated connections are closed, and with them what servers watched.
func (s *session) unwatch() { s.releaseWatches(false) }
