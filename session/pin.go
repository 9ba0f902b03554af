package session

import (
	"errors"
	"time"

	"ringway/command"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// pin is a connection that the session has to itself.
type pin struct {
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

// alone is the Receiver of a request that must be answered before the session's
// next one is run: either of them goes over a pinned connection.
type alone struct {
	s      *session
	number uint32
	done   func() // called before the reply's last part is passed on

	// Where a server may refuse requests that another executes.
	raw      []byte // the request; nil elsewhere
	fresh    bool   // the pin was taken for this request
	patient  bool
	fenced   bool // it is a script
	retries  int
	slot     int   // of the pin that was given up for another
	skip     bool  // the next reply is ASKING's
	since    int64 // when it began to wait, as eventloop.Loop.Now
	sentAt   int64 // when it was sent last
	deadline int64 // until when it may be sent again
}

// hold keeps the session from running further requests until release.
func (s *session) hold() { s.window = 0 }

func (s *session) release() {
	s.window = s.w.conf.ClientPipeline
	if s.wary {
		s.window = 1
	}
}

// beWary keeps the session from running further requests until those under way
// are answered: a server may yet refuse them, and then they are sent otherwise, or
// elsewhere.
func (s *session) beWary() {
	if !s.replies.idle() {
		s.wary = true
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
func (a *alone) next() (number uint32) {
	a.s.hold()
	a.number = a.s.push()
	return a.number
}

// sent takes what sending came to: a failure if the request was refused.
func (a *alone) sent(f *pipeline.Failure) {
	if f != nil {
		a.Fail(a.number, f, nil)
	}
}

// Reply is pipeline.Receiver's.
func (a *alone) Reply(number uint32, b []byte, last bool) {
	if !a.s.conn.Open() {
		return // gone has seen to the pin
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
func (a *alone) Fail(number uint32, f *pipeline.Failure, _ []byte) {
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
	if a.patient && a.s.local.Follows() && errors.Is(f, pipeline.ErrSuspended) {
		a.s.finish(number, replyUnblocked)
		return
	}
	a.s.Fail(number, f, nil) // never sent elsewhere: the pin would not be there
}

// replyUnblocked is what Redis tells a client that is blocked when its server
// ceases to be primary.
var replyUnblocked = []byte("-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n")

// maxRetries is how often a request on a connection of its own follows -MOVED and
// -ASK.
const maxRetries = 16

// again sends the request to where it will be executed. It reports false if the
// reply, which is an error, is for the client.
func (a *alone) again(reply []byte) bool {
	s := a.s
	kind := pool.RefusalOf(reply)
	if now := s.w.loop.Now(); a.patient && now-a.sentAt > int64(waitedLong) {
		// It was accepted and has waited: what refuses it now is another change of primaries.
		a.retries, a.deadline = 0, now+int64(s.local.Conf().FailoverWait)
	}
	if a.retries++; kind == pool.NoRefusal || a.retries > maxRetries && kind <= pool.Ask || s.w.loop.Now() > a.deadline {
		return false
	}
	if a.fenced && (!pool.InOwnWords(reply) || kind <= pool.Ask && !s.local.Map().Slotted()) {
		return false
	}
	shard, asking, wait := s.local.Redirect(s.pin.shard, reply, a.fenced)
	a.slot = s.pin.slot
	s.dropPin(false)
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
func (a *alone) retry() {
	s := a.s
	shard := s.pin.shard
	a.slot = s.pin.slot
	s.dropPin(false)
	s.w.loop.NewTimer(func() {
		if owner, ok := s.ownerOf(s.local.Map(), a.raw); ok {
			shard = owner
		}
		a.send(shard, false)
	}).Of(a).After(retryAfter)
}

// send sends the request over a new pinned connection to a shard.
func (a *alone) send(shard int, asking bool) {
	s := a.s
	if !s.conn.Open() {
		return
	}
	conn, err := s.lanes.Pin(shard)
	if err != nil {
		a.end()
		s.finish(a.number, resp.AppendError(nil, errNoPin.Error()))
		return
	}
	// What was watched before can't be taken along.
	s.pin = s.newPin(shard, a.slot, conn)
	s.pin.spoilt = !a.fresh
	a.sentAt = s.w.loop.Now()
	var f *pipeline.Failure
	switch {
	case a.patient:
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
	if a.fenced && f == nil {
		conn.Fence()
	}
	a.sent(f)
}

// keep remembers a request where it may have to be sent again.
func (a *alone) keep(raw []byte) {
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

func (a *alone) end() {
	a.s.waits = 0
	a.s.proceed()
	if a.done != nil {
		a.done()
	}
}

var errNoPin = errors.New("ERR no connection is left for blocking commands and WATCH; try again, or raise pinned_connections")

// pinFor takes a pinned connection to the server that owns all keys of a request.
// One that the session has already must be to that server.
func (s *session) pinFor(cmd *command.Command, args [][]byte) error {
	shard, err := s.owner(cmd, args)
	switch {
	case err != nil:
		return err
	case s.pin != nil && s.pin.shard != shard && s.slotGone(s.local.Map()):
		return nil // its server will say where the slot is
	case s.pin != nil && s.pin.shard != shard:
		return errCrossShard
	case s.pin != nil:
		return nil
	}
	conn, err := s.lanes.Pin(shard)
	if err != nil { // pool.ErrNoPin
		return errNoPin
	}
	s.pin = s.newPin(shard, s.slotOf(cmd, args), conn)
	return nil
}

// newPin is a pin that has been taken just now.
func (s *session) newPin(shard, slot int, conn *pipeline.Conn) *pin {
	return &pin{shard: shard, slot: slot, conn: conn, user: s.user, protocol: s.protocol, db: s.db}
}

// slotOf returns the hash slot of a request's first key in a Cluster, else -1.
func (s *session) slotOf(cmd *command.Command, args [][]byte) int {
	m := s.local.Map()
	keys, err := cmd.Keys(args, s.w.keys[:0])
	if s.w.keys = keys[:0]; err != nil || len(keys) == 0 || !m.Slotted() {
		return -1
	}
	return m.Place(args[keys[0]])
}

// slotGone tells whether the slot for which the session has taken its pin is
// another server's by now.
func (s *session) slotGone(m *pool.Map) bool {
	return s.pin.slot >= 0 && m.Slotted() && m.ShardAt(s.pin.slot) != s.pin.shard
}

// dropPin gives the pinned connection back, if there is one. It is clean if the
// server holds no state for it any more.
func (s *session) dropPin(clean bool) {
	if p := s.pin; p != nil {
		s.pin = nil
		s.local.Unpin(p.conn, clean && !p.moved)
	}
}

// block runs a request that may block, over a connection of its own. Like
// handle, it reports false if the request must wait.
func (s *session) block(cmd *command.Command, args [][]byte, raw []byte) bool {
	if !s.replies.idle() {
		return false // what came before must be done before
	}
	if !s.ownPin() {
		return false
	}
	if s.beingReplaced(cmd, args) {
		return false
	}
	a := &alone{s: s, fresh: s.pin == nil, patient: true}
	a.keep(raw)
	if s.pin == nil { // else WATCH has it, and keeps it
		a.done = func() { s.dropPin(true) }
	}
	if err := s.pinFor(cmd, args); err != nil {
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
	if !s.replies.idle() || !s.ownPin() {
		return false
	}
	if s.beingReplaced(cmd, args) {
		return false
	}
	a := &alone{s: s, fresh: s.pin == nil}
	a.keep(raw)
	if err := s.pinFor(cmd, args); err != nil {
		s.replyError(err)
		return true
	}
	a.sent(s.pin.conn.Send(raw, a, a.next()))
	return true
}

// unwatch ends WATCH by giving its connection up: UNWATCH, and DISCARD.
func (s *session) unwatch() { s.dropPin(false) }
