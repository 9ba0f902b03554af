package session

import (
	"errors"
	"time"

	"ringway/command"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// dedicated is a connection that the session has to itself.
type dedicated struct {
	shard    int
	slot     int // in a Cluster: the hash slot of the keys that it was taken for; -1 elsewhere
	conn     *pipeline.Conn
	moved    bool       // its database, or its user, is another one than at first
	user     *pool.User // whose connection it is
	protocol resp.Protocol
	db       int
	enters   bool // it is about to become another user's
	spoilt   bool // keys that it watches have gone to another shard
}

// exclusive is the Receiver of a request that must be answered before the session's
// next one is run: either of them goes over a dedicated connection.
type exclusive struct {
	s      *session
	number uint32
	done   func() // called before the reply's last part is passed on

	// Where a server may refuse requests that another executes.
	raw      []byte // the request; nil elsewhere
	fresh    bool   // the dedicated connection was taken for this request
	untimed  bool
	marked   bool // it is a script
	retries  int
	slot     int   // of the dedicated connection that was given up for another
	skip     bool  // the next reply is ASKING's
	since    int64 // when it began to wait, as eventloop.Loop.Now
	sentAt   int64 // when it was sent last
	deadline int64 // until when it may be sent again
}

// hold keeps the session from running further requests until release.
func (s *session) hold() { s.window = 0 }

func (s *session) release() {
	s.window = s.w.conf.ClientPipeline
	if s.serial {
		s.window = 1
	}
}

// beSerial keeps the session from running further requests until those under way
// are answered: a server may yet refuse them, and then they are sent otherwise, or
// elsewhere.
func (s *session) beSerial() {
	if !s.replies.idle() {
		s.serial = true
		s.window = min(s.window, 1)
	}
}

// proceed ends hold, and has the session go on with what waits.
func (s *session) proceed() {
	s.release()
	if s.blocked || s.eof {
		s.settle()
	}
}

// next takes the request's place in the line, and holds the session.
func (a *exclusive) next() (number uint32) {
	a.s.hold()
	a.number = a.s.push()
	return a.number
}

// sent takes what sending came to: a failure if the request was refused.
func (a *exclusive) sent(f *pipeline.Failure) {
	if f != nil {
		a.Fail(a.number, f, nil)
	}
}

// Reply is pipeline.Receiver's.
func (a *exclusive) Reply(number uint32, b []byte, last bool) {
	if !a.s.conn.Open() {
		return // gone has seen to the dedicated connection
	}
	if a.skip {
		a.skip = !last
		return
	}
	if last && b[0] == '-' && a.raw != nil && a.again(b) {
		return
	}
	if last {
		a.end()
	}
	a.s.Reply(number, b, last)
}

// Fail is pipeline.Receiver's.
func (a *exclusive) Fail(number uint32, f *pipeline.Failure, _ []byte) {
	if !a.s.conn.Open() {
		return
	}
	if a.skip {
		a.skip = false
		return
	}
	// A shard of a Cluster without a primary has lost its slots to another.
	again := errors.Is(f, pool.ErrNoPrimary) || !errors.As(f, new(pipeline.Refusal))
	if e := pipeline.HandshakeRefusal(f); e != nil && e.Lasting() {
		again = false
	}
	if a.raw != nil && a.fresh && !f.Sent && a.s.w.loop.Now() < a.deadline && again {
		a.retry()
		return
	}
	a.end()
	if a.untimed && a.s.local.Follows() && errors.Is(f, pipeline.ErrSuspended) {
		a.s.finish(number, replyUnblocked)
		return
	}
	a.s.Fail(number, f, nil) // never sent elsewhere: the dedicated connection would not be there
}

// replyUnblocked is what Redis tells a client that is blocked when its server
// ceases to be primary.
var replyUnblocked = []byte("-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n")

// maxRetries is how often a request on a connection of its own follows -MOVED and
// -ASK.
const maxRetries = 16

// again sends the request to where it will be executed. It reports false if the
// reply, which is an error, is for the client.
func (a *exclusive) again(reply []byte) bool {
	s := a.s
	kind := pool.RefusalOf(reply)
	if now := s.w.loop.Now(); a.untimed && now-a.sentAt > int64(waitedLong) {
		// It was accepted and has waited: what refuses it now is another change of primaries.
		a.retries, a.deadline = 0, now+int64(s.local.Conf().FailoverWait)
	}
	if a.retries++; kind == pool.NoRefusal || a.retries > maxRetries && kind <= pool.Ask || s.w.loop.Now() > a.deadline {
		return false
	}
	if a.marked && (!pool.InRedisWords(reply) || kind <= pool.Ask && !s.local.Map().Slotted()) {
		return false
	}
	shard, asking, wait := s.local.Redirect(s.dedicated.shard, reply, a.marked)
	a.slot = s.dedicated.slot
	s.releaseDedicated(false)
	if wait > 0 {
		s.w.loop.NewTimer(func() { a.send(shard, asking) }).Of(a).After(wait)
	} else {
		a.send(shard, asking)
	}
	return true
}

// waitedLong is how much later than its sending a refusal comes that does not
// belong to it, but to what has changed while the request was blocked.
const waitedLong = time.Second

// retryAfter is how long a request waits of which nothing was sent, since its
// server could not be reached.
const retryAfter = 50 * time.Millisecond

// retry sends the request again that was not sent, to whoever serves its keys
// then.
func (a *exclusive) retry() {
	s := a.s
	shard := s.dedicated.shard
	a.slot = s.dedicated.slot
	s.releaseDedicated(false)
	s.w.loop.NewTimer(func() {
		if owner, ok := s.ownerOf(s.local.Map(), a.raw); ok {
			shard = owner
		}
		a.send(shard, false)
	}).Of(a).After(retryAfter)
}

// send sends the request over a new dedicated connection to a shard.
func (a *exclusive) send(shard int, asking bool) {
	s := a.s
	if !s.conn.Open() {
		return
	}
	conn, err := s.conns.Acquire(shard)
	if err != nil {
		a.end()
		s.finish(a.number, resp.AppendError(nil, errNoDedicated.Error()))
		return
	}
	// What was watched before can't be taken along.
	s.dedicated = s.newDedicated(shard, a.slot, conn)
	s.dedicated.spoilt = !a.fresh
	a.sentAt = s.w.loop.Now()
	var f *pipeline.Failure
	switch {
	case a.untimed:
		f = s.sendBlocking(s.w.shortenWait(a.raw, time.Duration(a.sentAt-a.since)), a, asking)
	case asking:
		a.skip = true
		f = conn.SendUnit(append(append([]byte(nil), pool.RequestAsking...), a.raw...), 2, a, a.number)
		if f != nil {
			a.skip = false
		}
	default:
		f = conn.Send(a.raw, a, a.number)
	}
	if a.marked && f == nil {
		conn.Fence()
	}
	a.sent(f)
}

// keep remembers a request where it may have to be sent again.
func (a *exclusive) keep(raw []byte) {
	if s := a.s; s.local.Follows() {
		a.raw = append([]byte(nil), raw...)
		a.since = s.w.loop.Now()
		a.sentAt = a.since
		a.deadline = a.since + int64(s.local.Conf().FailoverWait)
	}
}

// beingReplaced has the session wait if the primary that a request is for is
// being replaced: what it executes now would be lost.
func (s *session) beingReplaced(cmd *command.Command, args [][]byte) bool {
	if !s.readsApart {
		return false
	}
	shard, err := s.owner(cmd, args)
	if err != nil {
		return false
	}
	conn := s.to(shard)
	if conn.Full() {
		s.await(conn)
		return true
	}
	return false
}

func (a *exclusive) end() {
	a.s.waits = 0
	a.s.proceed()
	if a.done != nil {
		a.done()
	}
}

var errNoDedicated = errors.New("ERR no connection is left for blocking commands and WATCH; try again, or raise pinned_connections")

// dedicatedFor takes a dedicated connection to the server that owns all keys of a request.
// One that the session has already must be to that server.
func (s *session) dedicatedFor(cmd *command.Command, args [][]byte) error {
	shard, err := s.owner(cmd, args)
	switch {
	case err != nil:
		return err
	case s.dedicated != nil && s.dedicated.shard != shard && s.slotGone(s.local.Map()):
		return nil // its server will say where the slot is
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

// newDedicated is a dedicated connection that has been taken just now.
func (s *session) newDedicated(shard, slot int, conn *pipeline.Conn) *dedicated {
	return &dedicated{shard: shard, slot: slot, conn: conn, user: s.user, protocol: s.protocol, db: s.db}
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

// slotGone tells whether the slot for which the session has taken its dedicated connection is
// another server's by now.
func (s *session) slotGone(m *pool.Map) bool {
	return s.dedicated.slot >= 0 && m.Slotted() && m.ShardAt(s.dedicated.slot) != s.dedicated.shard
}

// releaseDedicated gives the dedicated connection back, if there is one. It is clean if the
// server holds no state for it any more.
func (s *session) releaseDedicated(clean bool) {
	if p := s.dedicated; p != nil {
		s.dedicated = nil
		s.local.ReleaseDedicated(p.conn, clean && !p.moved)
	}
}

// block runs a request that may block, over a connection of its own. Like
// handle, it reports false if the request must wait.
func (s *session) block(cmd *command.Command, args [][]byte, raw []byte) bool {
	if !s.replies.idle() {
		return false // what came before must be done before
	}
	if !s.dedicatedIsOwn() {
		return false
	}
	if s.beingReplaced(cmd, args) {
		return false
	}
	a := &exclusive{s: s, fresh: s.dedicated == nil, untimed: true}
	a.keep(raw)
	if s.dedicated == nil { // else WATCH has it, and keeps it
		a.done = func() { s.releaseDedicated(true) }
	}
	if err := s.dedicatedFor(cmd, args); err != nil {
		s.replyError(err)
		return true
	}
	a.next()
	a.sent(s.sendBlocking(raw, a, false))
	return true
}

// watch runs WATCH. Its keys, and those of an earlier WATCH, must be on one
// shard. Like handle, it reports false if it must wait.
func (s *session) watch(cmd *command.Command, args [][]byte, raw []byte) bool {
	if !s.replies.idle() || !s.dedicatedIsOwn() {
		return false
	}
	if s.beingReplaced(cmd, args) {
		return false
	}
	a := &exclusive{s: s, fresh: s.dedicated == nil}
	a.keep(raw)
	if err := s.dedicatedFor(cmd, args); err != nil {
		s.replyError(err)
		return true
	}
	a.sent(s.dedicated.conn.Send(raw, a, a.next()))
	return true
}

// unwatch ends WATCH by giving its connection up: UNWATCH, and DISCARD.
func (s *session) unwatch() { s.releaseDedicated(false) }
