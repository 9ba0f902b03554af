// Package session is one client: its requests on their way from the first byte to the
// last byte of their replies.
//
// A session reads requests, finds out what each needs (package command), sends
// them to the servers that own their keys (package pool) or answers by itself,
// and puts the replies back into the order of the requests. All of that happens
// on the event loop that the session belongs to, without a lock and without a
// word to another goroutine.
//
// Package server makes one Worker for each loop, and gives it the clients that it has
// accepted:
//
//	for _, w := range session.NewWorkers(loops, pools, &cfg.Proxy, host, log) {
//		…
//		loop.Post(func() { w.Adopt(fd, pool, id, addr, local) })
//	}
package session

import (
	"errors"

	"ringway/command"
	"ringway/eventloop"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// session is one client. All of it is owned by the event loop of its worker; it moves to
// another one only while nothing of it is under way (quiet).
//
// Its requests are numbered from the first on, and their replies leave in that order
// (replies).
type session struct {
	*shared     // with the other sessions of its loop and pool
	index   int // in Worker.sessions

	// The client.
	conn       *eventloop.Conn
	info       *clientInfo
	lastActive int64  // when it last sent something, as eventloop.Loop.Now
	lastBusy   int64  // when it was last seen waiting, or sent something, likewise; only if idle clients are closed
	wrote      uint64 // what it had been sent then
	inKernel   int    // bytes that the kernel held for it when that was last looked at

	// Who it is, and how it is spoken to.
	user       *pool.User // the ACL user; nil for the pool's own
	wantAuth   bool       // AUTH has yet to come
	wrong      int        // wrong credentials one after the other
	db         int        // the database that is selected
	protocol   resp.Protocol
	conns      *pool.ConnSet // the shared connections to servers, of that user, database and protocol
	readsApart bool          // reads may take other connections than writes
	policy     *policy       // what becomes of each command
	limits     *resp.Limits

	// Its requests.
	parse     resp.RequestState
	window    int      // how many may be without reply at once; 0 while the session is held
	serial    bool     // nothing may overtake what is under way: window is 1 until it is answered
	blocked   bool     // requests wait in the connection's buffer until there is room
	awaited   int      // calls of ConnReady that are to come
	queued    *inQueue // who waits for them; nil if nothing ever did
	settling  bool     // RunDeferred will be called
	publishBy int64    // until when a message waits, as eventloop.Loop.Now; 0 if none does
	ran       uint16   // 1 + the command.Command.ID of the last request; 0 before the first

	// Its replies.
	replies       replies
	sizes         sizes  // of the replies, as far as they are known
	unsized       bool   // the reply to the current request may be of any size
	mutes         bool   // CLIENT REPLY has been used: some requests get no reply
	muting        bool   // the current one gets none
	silent        bool   // none does: CLIENT REPLY OFF
	skip          int    // CLIENT REPLY SKIP: requests, the current one included, until muting ends
	interjections []byte // what is no reply and waits for the end of one

	// What it has begun; nil or 0 where it has not.
	tx          *transaction // MULTI
	dedicated   *dedicated   // a connection of its own
	waits       int64        // since when what was sent last over that may block, as eventloop.Loop.Now
	replicaWait *replicaWait // WAIT or WAITAOF
	monitor     *monitoring  // MONITOR
	sub         *subscriber  // subscriptions
	tracking    *tracking    // CLIENT TRACKING
	targets     int          // invalidations of so many other clients go to this one

	// Its end, here or at all.
	closing    bool        // no further request is read; close when all is answered
	eof        bool        // the client will send no more, and all was read
	halfClosed *halfClosed // since the client has ended its side
	moving     *Worker     // to this one, when nothing is under way
}

func newSession(sh *shared, info *clientInfo) *session {
	s := &session{
		shared: sh, info: info, policy: sh.policy(), sizes: newSizes(sh.w.conf.ClientPipeline),
		limits: &sh.w.limits, lastActive: sh.w.loop.Now(), window: sh.w.conf.ClientPipeline, readsApart: sh.local.Follows(),
	}
	s.replies.w = sh.w
	s.db = sh.local.Conf().RedisDB
	s.speak(resp.RESP2)
	return s
}

// speak changes the protocol of the replies.
func (s *session) speak(protocol resp.Protocol) {
	s.protocol = protocol
	s.useConns(s.local.ConnSetAs(s.user, protocol, s.db))
}

// useConns has the session use other connections, or none from now on.
func (s *session) useConns(lanes *pool.ConnSet) {
	if lanes != nil {
		lanes.Retain()
	}
	if s.conns != nil {
		s.conns.Release()
	}
	s.conns = lanes
}

// Data is eventloop.Handler's: it runs the requests in b, as far as they are
// complete and there is room for them.
func (s *session) Data(b []byte) (n int) {
	if s.blocked {
		// What is to be read first already waits. Only now that the client goes
		// on sending is it worth the system call to keep it from that.
		s.conn.Pause()
		return 0
	}
	s.lastActive = s.w.loop.Now()
	s.w.noteWork(s, len(b))
	return s.run(b)
}

// Need is eventloop.Expecter's.
func (s *session) Need() int { return s.parse.Need() }

func (s *session) run(b []byte) (n int) {
	s.w.effort = 0
	for n < len(b) && !s.closing {
		if !s.hasRoom() {
			s.blocked = true
			if s.replies.idle() {
				s.settle() // no reply is going to come and unblock it
			}
			return n
		}
		size, err := s.w.parser.Parse(b[n:], &s.parse, s.limits)
		if size == 0 {
			if err != nil {
				s.refuse(err)
				return len(b)
			}
			return n
		}
		if cmd := s.plain(); cmd != nil {
			ran, ok := s.runBatch(b[n:], size, cmd)
			if n += ran; !ok {
				s.blocked = true
				return n
			}
			continue
		}
		skip, muting := s.skip, s.muting
		if len(s.w.parser.Args) > 0 && !s.handle(b[n:n+size]) {
			s.skip, s.muting = skip, muting // CLIENT REPLY SKIP has yet to meet it
			s.blocked = true
			return n
		}
		if n += size; s.w.effort >= maxEffort && n < len(b) {
			s.blocked = true
			s.settle()
			return n
		}
	}
	if s.closing {
		return len(b)
	}
	return n
}

// hasRoom reports whether one more request may be taken.
func (s *session) hasRoom() bool {
	unanswered := s.replies.awaited()
	if unanswered >= s.window {
		return false
	}
	waiting := s.waiting()
	if s.w.tight && unanswered+waiting > 0 {
		return false
	}
	return unanswered < 2 && waiting == 0 || s.mayAsk(1) && int64(waiting+s.sizes.expected()) < s.w.conf.ClientOutput
}

// hasRoomFor reports whether so many requests may be taken at once, some of which
// may have replies of any size.
func (s *session) hasRoomFor(n, unsized int) bool {
	return s.replies.awaited()+n <= s.window && !s.w.tight && s.mayAsk(unsized) &&
		int64(s.waiting()+s.sizes.expected()+unsized*s.sizes.largest()) < s.w.conf.ClientOutput
}

// waiting is how many bytes of replies wait for the client to take them.
func (s *session) waiting() int { return s.conn.Waiting() + s.replies.bytes() }

// refuse answers a request that broke the protocol. Everything before it is
// still answered; then the connection is closed.
func (s *session) refuse(err error) {
	s.closing = true
	s.w.once.hint(s.poolName, err)
	if perr := (*resp.ProtocolError)(nil); errors.As(err, &perr) {
		s.reply(resp.AppendError(s.w.scratch[:0], "ERR "+perr.Error()))
	}
	s.settle()
}

// handle runs one request, raw, whose arguments are the parser's. It reports
// false if the request must wait for room in a server's queue: then nothing of
// it was done.
func (s *session) handle(raw []byte) bool {
	args := s.w.parser.Args
	s.unsized = true
	cmd, problem := s.w.lookUp()
	if problem != command.NoProblem || !cmd.ArityOK(len(args)) || s.policy.verdicts[cmd.ID] > checked || s.wantAuth && cmd.Flags&command.FlagNoAuth == 0 {
		if problem == command.UnknownCommand {
			if known, done := s.runModuleCommand(args, raw); known {
				return done
			}
		}
		s.refuseCommand(cmd, problem, args)
		return true
	}
	raw = s.begin(args, raw)
	s.ran, s.unsized = uint16(cmd.ID)+1, !cmd.ReplyIsSmall(args)
	if s.policy.verdicts[cmd.ID] == checked {
		return s.check(cmd, args, raw)
	}
	return s.route(cmd, args, raw)
}

// begin does what is to be done before a request is run. It returns the request
// as servers like it.
func (s *session) begin(args [][]byte, raw []byte) []byte {
	if s.w.parser.Inline {
		raw = resp.AppendRequest(s.w.inline[:0], args)
		s.w.inline = raw[:0]
	}
	if s.skip > 0 {
		s.skip--
		s.muting = s.silent || s.skip > 0
	}
	return raw
}

// route runs a request that may be run as its command's route says, or queues it
// in the transaction. Like handle, it reports false if the request must wait.
func (s *session) route(cmd *command.Command, args [][]byte, raw []byte) bool {
	if s.tx != nil && cmd.Route != command.Transaction && cmd.Name != "quit" && cmd.Name != "reset" {
		s.queue(cmd, args, raw)
		return true
	}
	switch cmd.Route {
	case command.OneShard:
		return s.forward(cmd, args, raw)
	case command.Split:
		return s.split(cmd, args, raw)
	case command.Local:
		if aboutServer(cmd) && s.local.Shards() == 1 && !s.listening() {
			return s.send(0, raw)
		}
		return s.answer(cmd, args)
	case command.Transaction:
		return s.transact(cmd, args, raw)
	case command.Dedicated:
		return s.block(cmd, args, raw)
	case command.AllShards:
		if cmd.IsBlocking() {
			return s.waitReplicas(cmd, raw)
		}
		return s.broadcast(cmd, args, raw)
	case command.DefaultShard:
		return s.send(s.shardOfDebug(cmd, args), raw)
	case command.ScanShards:
		return s.scan(args, raw)
	case command.PubSub:
		return s.pubsub(cmd, args)
	}
	s.reply(command.AppendDenied(s.w.scratch[:0], cmd, args))
	return true
}

// refuseCommand answers a request that names no command, has the wrong number of
// arguments, comes before AUTH, or that the pool does not permit. It fails the transaction that it is part of.
func (s *session) refuseCommand(cmd *command.Command, problem command.Problem, args [][]byte) {
	if s.tx != nil {
		s.tx.failed = true
	}
	dst := s.w.scratch[:0]
	switch {
	case problem == command.UnknownCommand:
		dst = command.AppendUnknown(dst, args)
	case problem == command.UnknownSubcommand:
		dst = command.AppendUnknownSubcommand(dst, args)
	case !cmd.ArityOK(len(args)):
		dst = command.AppendArity(dst, cmd)
	case s.wantAuth && cmd.Flags&command.FlagNoAuth == 0:
		dst = append(dst, "-NOAUTH Authentication required.\r\n"...)
	case s.policy.verdicts[cmd.ID] == guarded:
		dst = command.AppendGuarded(dst, cmd)
	case s.policy.verdicts[cmd.ID] == notSubscribed:
		dst = appendNotSubscribed(dst, cmd)
	default:
		dst = command.AppendForbidden(dst, cmd)
	}
	if problem == command.NoProblem && cmd.ArityOK(len(args)) {
		s.deny(cmd, dst)
		return
	}
	s.reply(dst)
}

// settle asks for RunDeferred at the end of this turn.
func (s *session) settle() {
	if !s.settling {
		s.settling = true
		s.w.loop.Defer(s)
	}
}

// await has the session go on when a server connection has room. Until then it
// can't move to another loop, since it is this one that tells it.
func (s *session) await(conn *pipeline.Conn) {
	if s.queued == nil {
		s.queued = &inQueue{s}
	}
	conn.Wait(s.queued)
	s.awaited++
}

// inQueue waits for a server connection in its session's place: a server that hangs
// keeps who waits for it, and need not keep the sessions of clients that are gone.
type inQueue struct{ s *session }

// ConnReady is pipeline.Waiter's.
func (q *inQueue) ConnReady() {
	if s := q.s; s != nil {
		s.awaited--
		s.settle()
	}
}

// RunDeferred is eventloop.Deferred's: it goes on with what could not be done
// in the middle of something else.
func (s *session) RunDeferred() {
	s.settling = false
	if !s.conn.Open() {
		return
	}
	if s.tracking != nil && !s.tracking.flush() || s.interjections != nil && !s.flushInterjections() || s.sub != nil && !s.flushBacklog() {
		return // the rest of the reply is to come, and will settle again
	}
	if s.serial && s.replies.idle() {
		s.serial = false
		if s.window > 0 {
			s.openWindow()
		}
	}
	if s.blocked && !s.closing {
		if !s.hasRoom() {
			s.settleAfterWrite()
			return
		}
		s.blocked = false
		s.conn.Redeliver()
		if s.blocked || !s.conn.Open() {
			return
		}
		if s.conn.Paused() && !s.eof {
			s.conn.Resume()
		}
	}
	if s.eof && !s.closing {
		s.closing = true // what is left is no complete request
	}
	if !s.replies.idle() {
		return
	}
	switch {
	case s.closing && s.conn.Waiting() == 0:
		s.closeWritten()
	case s.closing:
		s.settleAfterWrite()
	case s.moving != nil && s.conn.Waiting() > 0:
		s.settleAfterWrite()
	case s.moving != nil && s.w.tasksPosted:
		s.moving = nil // a chore may be about all of the loop's sessions
	case s.moving != nil:
		s.move()
	}
}

// settleAfterWrite settles again when the output has been written: after this
// turn's, or when the client takes what it has not taken so far.
func (s *session) settleAfterWrite() {
	if s.conn.Waiting() > 0 && !s.conn.Stalled() {
		s.settle()
	}
}

// Drained is eventloop.Handler's.
func (s *session) Drained() {
	if s.blocked || s.closing || s.eof || s.moving != nil {
		s.settle()
	}
}

// Closed is eventloop.Handler's.
func (s *session) Closed(error) { s.gone() }

// close closes the client's connection at once.
func (s *session) close() {
	s.conn.Close()
	s.gone()
}

// closeWritten closes the client's connection once the kernel has what it takes of the
// output.
func (s *session) closeWritten() {
	s.conn.CloseWritten()
	s.gone()
}

// gone releases what the session holds. Replies that are still to come find
// the connection closed and are dropped.
func (s *session) gone() {
	defer s.w.remove(s) // even if something here panics: its place is another client's
	s.closing = true
	if s.sub != nil || s.tracking != nil || s.tx != nil {
		s.w.host.Freed()
	}
	s.releaseDedicated(false)
	s.endMonitor()
	delete(s.w.publishers, s)
	s.unsubscribeAll()
	s.untrack()
	delete(s.conditions.pauseWaiters, s)
	if s.queued != nil {
		s.queued.s = nil
	}
	s.setUser(nil)
	if s.conns != nil {
		s.conns.Release() // nothing is sent any more
	}
	if s.replicaWait != nil {
		s.replicaWait.abandon()
	}
	s.replies.drop()
}

// quiet reports whether nothing of the session is under way.
func (s *session) quiet() bool {
	return s.replies.idle() && s.conn.Waiting() == 0 && s.conn.Unread() == 0 && s.halfClosed == nil && !s.closing && s.parse.Need() == 0 &&
		!s.rooted() && s.awaited == 0
}

// rooted reports whether the session has something of its loop, for as long as its
// client likes.
func (s *session) rooted() bool {
	return s.dedicated != nil || s.tx != nil || s.sub != nil || s.tracking != nil || s.targets != 0
}
