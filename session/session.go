// Package session handles clients: the way of each request from its first byte to the last
// byte of its reply.
//
// A session is one client. It reads requests, looks up what each needs (package command),
// sends it to the servers that own its keys (package pool) or answers it itself, and puts
// the replies back into the order of the requests. All of that happens on one event loop,
// without locks and without other goroutines.
//
// Three types hold what there is to know:
//
//   - session: one client;
//   - shared: what the sessions of one pool on one loop have in common, such as connections
//     to servers, subscriptions and tracked keys;
//   - Worker: all sessions of one loop, and their scratch buffers.
//
// A reader may follow a request through session.run (frames requests), handle (looks them
// up), route (chooses by the kind of command), send (picks the connection), and back
// through Reply and type replies (the line of replies).
//
// Package server makes one Worker for each loop, calls its Tick ten times a second, and
// gives it the clients that it accepts:
//
//	workers := session.NewWorkers(loops, pools, &cfg.Proxy, host, log)
//	for i, loop := range loops {
//		tick := loop.NewTimer(…) // calls workers[i].Tick every session.TickEvery
//		go loop.Run()
//	}
//	…
//	loops[i].Post(func() { workers[i].Adopt(client) }) // for each client
package session

import (
	"errors"

	"ringway/acl"
	"ringway/audit"
	"ringway/command"
	"ringway/eventloop"
	"ringway/limit"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
	"ringway/stats"
)

// session is one client. All of it is owned by its Worker's event loop. It moves to another
// loop, or process, only while nothing of it is under way (isIdle).
//
// Its requests are numbered from the first on, and their replies leave in that order (type
// replies). It handles the connection's events (eventloop.Handler) and receives the replies
// of requests that go to one server (pipeline.Receiver); requests that need more have a
// Receiver of their own.
type session struct {
	*shared     // with the other sessions of its pool on this loop; another one after a move
	index   int // in Worker.sessions

	// The client.
	conn        *eventloop.Conn
	info        *clientInfo
	lastActive  int64  // when the client last sent something, as eventloop.Loop.Now
	lastBusy    int64  // when it was last not idle, likewise; only kept if idle clients are closed (closeIdle)
	lastWritten uint64 // how many bytes it had been sent by then
	inKernel    int    // bytes that the kernel held for it when last asked (Worker.Unlent)

	// Who the client is, and how it speaks.
	proxyUser     *acl.User      // the user of the proxy; nil in pools without users, and for ACL users of the servers
	user          *pool.User     // the ACL user that servers see; nil for the pool's own
	wantAuth      bool           // AUTH has yet to come
	loginTurn     loginTurn      // whether its login waits
	authFailures  int            // how many wrong credentials in a row
	keysVerdict   *rightsVerdict // whether the ACL user may run the current request (checkKeys); else nil
	db            int            // the database that is selected
	protocol      resp.Protocol
	conns         *pool.ConnSet // the shared connections to servers, for that user, database and protocol
	separateReads bool          // primaries may change, so reads may go over other connections than writes (sendRead)
	userGroup     *limit.Group  // the clients of its user, as whose it is counted; nil if that has no limits
	network       *limit.Group  // likewise of its network
	policy        *policy       // which commands are permitted, refused or checked first
	limits        *resp.Limits

	// Its requests.
	budget         *budget // what bounds them; nil without limits (limits.go)
	parse          resp.RequestState
	window         int         // how many may be without reply at once; 0 while the window is closed (closeWindow)
	serial         bool        // nothing may overtake the requests under way: window is 1 until they are answered
	blocked        bool        // requests wait in the connection's buffer until there is room
	pendingWakeups int         // calls back that are to come, on this loop, such as ConnReady
	waiter         *connWaiter // waits for a connection's room; nil if the session never has
	deferred       bool        // RunDeferred will be called at the end of the turn
	evalshas       evalshas    // the last of them, if these were EVALSHA
	newInput       bool        // bytes have come since the last PUBLISH asked other loops (awaitsLoops)
	roundAwaited   uint64      // the number of the round that a PUBLISH waits for (loopRounds); 0 if none does
	publishMark    uint64      // what awaitsMarked waits for; 0 if it does not wait
	announced      func()      // ends announceSubscriptions; nil if it is not under way
	publishBy      int64       // until when a PUBLISH waits for subscribers, as eventloop.Loop.Now; 0 if none does
	arrived        uint32      // when the requests came that are run now, as stats.Time
	resuming       bool        // they came in an earlier turn: Data is given them again
	lastCommand    uint16      // 1 + the command.Command.ID of the last request; 0 before the first

	// Its replies.
	replies       replies
	reading       *reading // a reply that the client may be slow to read
	sizes         sizes    // of the last replies
	unsized       bool     // the reply to the current request may be of any size
	replyModeUsed bool     // CLIENT REPLY has been used: some requests may get no reply
	muting        bool     // the current request gets none
	replyOff      bool     // CLIENT REPLY OFF: no request does
	replySkip     int      // CLIENT REPLY SKIP: how many requests, the current one included, until muting ends
	notices       bool     // CLIENT MAINT_NOTIFICATIONS ON
	toldFailover  bool     // it was told FAILING_OVER
	movingUntil   int64    // it was told MOVING, and its connection is kept until then, as eventloop.Loop.Now; 0 if it was not
	outOfBand     []byte   // pushes and messages that wait for the end of a reply that is under way

	// What the client has begun; nil or 0 where it has not.
	tx            *transaction // between MULTI and EXEC
	dedicated     *dedicated   // a connection to a server that no other session uses
	otherWatches  []*dedicated // those on which keys of other shards are watched (watches.go)
	executing     *execution   // an EXEC beside which nothing else is under way
	blockedSince  int64        // since when the last request on it may block, as eventloop.Loop.Now
	blocking      *exclusive   // that request, if it can be moved (moveBlocked)
	replicaWait   *replicaWait // a WAIT or WAITAOF under way
	shardsWait    *shardsWait  // a BLPOP or the like under way, with keys on several shards
	monitor       *monitoring  // MONITOR
	sub           *subscriber  // subscriptions
	tracking      *tracking    // CLIENT TRACKING
	redirectsHere int          // how many other clients' invalidations go to this one (CLIENT TRACKING REDIRECT)

	// The session's end, or its move to another loop.
	closing     bool              // no further request is read, and the connection is closed when all are answered
	eof         bool              // the client has sent its last byte, and all was read
	closeReason stats.CloseReason // why it is closed, or will be
	leaveAt     int64             // when its turn to be closed comes, while the Worker drains, as eventloop.Loop.Now
	halfClosed  *halfClosed       // set when the client has ended its side
	movingTo    destination       // where to move when nothing is under way; nil if it stays
	held        bool              // the window is closed so that such a moment comes (giving.hold)
	stays       bool              // another process has refused it
}

// newSession returns a session of sh's pool, without a connection to its client yet (attach).
func newSession(sh *shared, info *clientInfo) *session {
	s := &session{
		shared: sh, info: info, sizes: newSizes(sh.w.conf.ClientPipeline),
		limits: &sh.w.limits, lastActive: sh.w.loop.Now(), window: sh.w.conf.ClientPipeline, separateReads: sh.local.Follows(),
	}
	s.replies.w, s.replies.stats = sh.w, sh.stats
	s.db = sh.local.Conf().RedisDB
	s.begins()
	s.speak(resp.RESP2)
	return s
}

// speak sets the protocol of the replies, and takes the shared connections for it.
func (s *session) speak(protocol resp.Protocol) {
	s.protocol = protocol
	s.useConns(s.local.ConnSetAs(s.user, protocol, s.db))
}

// useConns sets the shared connections that the session uses from now on; nil for none. The
// pool counts users, and closes connections that nobody has used for a while.
func (s *session) useConns(conns *pool.ConnSet) {
	if conns != nil {
		conns.Retain()
	}
	if s.conns != nil {
		s.conns.Release()
	}
	s.conns = conns
}

// Data is eventloop.Handler's: it runs the requests in b, as far as they are complete and
// there is room for them, and returns how many bytes that were. The loop keeps the rest and
// delivers it again with what comes next. b is valid only during the call.
func (s *session) Data(b []byte) (n int) {
	if s.blocked {
		s.newInput = true
		s.announceSubscriptions()
		// Earlier requests wait already. Pausing costs a system call, so it is done only
		// now that the client sends more.
		s.conn.Pause()
		return 0
	}
	s.lastActive = s.w.loop.Now()
	if !s.resuming {
		s.arrived, s.newInput = stats.Time(s.lastActive), true
	}
	s.w.noteWork(s, len(b))
	n = s.run(b)
	if s.budget != nil {
		s.settled(n)
	}
	if s.stats != nil {
		s.stats.Clients.BytesIn += uint64(n)
	}
	return n
}

// Need is eventloop.Expecter's: how many bytes the request needs that has come in part, as
// far as its headers say.
func (s *session) Need() int { return s.parse.Need() }

// run runs the requests in b until one is incomplete, must wait, or was enough work for one
// turn. Then blocked is set, and RunDeferred goes on when there is room.
//
// Plain requests take the short way of a batch (runBatch), all others that of handle.
func (s *session) run(b []byte) (n int) {
	s.w.effort, s.w.ran = 0, 0
	for n < len(b) && !s.closing {
		if !s.hasRoom() || s.budget != nil && !s.mayRun(n) {
			s.blocked = true
			s.announceSubscriptions()
			if s.replies.idle() && !s.isDelayed() {
				s.deferRun() // no reply will come and unblock it
			}
			return n
		}
		size, err := s.w.parser.Parse(b[n:], &s.parse, s.limits)
		if size == 0 {
			if err != nil {
				if n == 0 && err == resp.ErrTLS && s.beginsTLS() {
					return 0
				}
				s.refuse(err)
				return len(b)
			}
			return n
		}
		if s.budget != nil && s.budget.refusing != nil && s.refuseByLimit() {
			n += size
			continue
		}
		if cmd := s.plain(); cmd != nil && size < s.big.requestFrom {
			ran, ok := s.runBatch(b[n:], size, cmd)
			if n += ran; !ok {
				s.w.recent.size = 0
				s.blocked = true
				return n
			}
			continue
		}
		skip, muting := s.replySkip, s.muting
		s.w.unread = len(b) - n - size
		if len(s.w.parser.Args) > 0 && !s.handle(b[n:n+size]) {
			s.replySkip, s.muting = skip, muting // begin has counted a request that did not run
			s.blocked = true
			return n
		}
		s.w.ran++
		if n += size; s.w.effort >= maxEffort && n < len(b) {
			s.blocked = true
			s.deferRun()
			return n
		}
	}
	if s.closing {
		return len(b)
	}
	return n
}

// hasRoom reports whether one more request may be run. The bounds are the window
// (client_pipeline), the process's memory (Worker.Restrict), and client_output for the
// replies that wait or are expected. While no byte waits for the client it may have two
// requests without reply whatever is expected: else it could never ask for a large reply.
func (s *session) hasRoom() bool {
	unanswered := s.replies.unanswered()
	if unanswered >= s.window {
		return false
	}
	waiting := s.waiting()
	if s.w.tight && unanswered+waiting > 0 {
		return false
	}
	return unanswered < 2 && waiting == 0 || s.hasRoomForUnsized(1) && int64(waiting+s.sizes.expected()) < s.w.conf.ClientOutput
}

// hasRoomFor reports whether n more requests may be run at once, of which unsized may have
// replies of any size.
func (s *session) hasRoomFor(n, unsized int) bool {
	return s.replies.unanswered()+n <= s.window && !s.w.tight && s.hasRoomForUnsized(unsized) &&
		int64(s.waiting()+s.sizes.expected()+unsized*s.sizes.largest()) < s.w.conf.ClientOutput
}

// waiting returns how many bytes wait for the client: those of its output, and of replies
// whose turn has not come.
func (s *session) waiting() int { return s.conn.Waiting() + s.replies.bytes() }

// refuse answers a request that breaks the protocol. The requests before it are still
// answered; then the connection is closed, as by Redis.
func (s *session) refuse(err error) {
	s.closing, s.closeReason = true, stats.ClosedProtocol
	s.w.logOnce.wrongProtocol(s.poolName, err)
	if perr := (*resp.ProtocolError)(nil); errors.As(err, &perr) {
		s.reply(resp.AppendError(s.w.scratch[:0], "ERR "+perr.Error()))
	}
	s.deferRun()
}

// handle runs one request, whose bytes are raw and whose arguments are the parser's. It
// reports false if the request must wait, for room in a server's queue say: then nothing of
// it was done, and it is run again from the start when there may be room. Both raw and the
// arguments are valid only during the call.
func (s *session) handle(raw []byte) bool {
	args := s.w.parser.Args
	s.unsized, s.w.recent.size = true, 0
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
	s.lastCommand, s.unsized = uint16(cmd.ID)+1, !cmd.ReplyIsSmall(args)
	s.noteKeys(cmd, args, len(raw))
	if len(raw) >= s.big.requestFrom {
		return s.runBig(cmd, args, raw)
	}
	return s.runPermitted(cmd, args, raw)
}

// runPermitted runs a request of a command that the pool permits. Like handle, it reports false if the
// request must wait.
func (s *session) runPermitted(cmd *command.Command, args [][]byte, raw []byte) bool {
	if s.policy.verdicts[cmd.ID] != permitted {
		return s.check(cmd, args, raw)
	}
	return s.route(cmd, args, raw)
}

// lookUp finds the command of the parser's request, as command.Lookup does. The parser
// notices a request that begins with the same bytes as the one before (RequestParser.Known);
// its command is known without a look-up.
func (w *Worker) lookUp() (*command.Command, command.Problem) {
	if w.parser.Known > 0 {
		return command.ByID(w.parser.Known - 1), command.NoProblem
	}
	cmd, problem := command.Lookup(w.parser.Args)
	if problem == command.NoProblem && cmd.NamedByFirst() {
		w.parser.Known = cmd.ID + 1
	}
	return cmd, problem
}

// begin counts a request for CLIENT REPLY SKIP. It returns the request as it goes to
// servers: an inline one is encoded as an array first.
func (s *session) begin(args [][]byte, raw []byte) []byte {
	if s.w.parser.Inline {
		raw = resp.AppendRequest(s.w.inline[:0], args)
		s.w.inline = raw[:0]
	}
	if s.replySkip > 0 {
		s.replySkip--
		s.muting = s.replyOff || s.replySkip > 0
	}
	return raw
}

// route runs a permitted request by its command's route (column route of
// command/commands.tsv), or queues it in the open transaction. Like handle, it reports false
// if the request must wait.
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
		if cmd.Name == "ping" && s.leavingPing() {
			s.reply(replyLeaving)
			return true
		}
		if aboutServer(cmd) && s.local.Shards() == 1 && !s.inSubscriberMode() {
			return s.send(0, raw)
		}
		if cmd.Name == "ping" && !s.conns.Connected() && !s.inSubscriberMode() {
			s.pingServers(raw, ping(s, cmd, args, nil))
			return true
		}
		return s.answer(cmd, args)
	case command.Transaction:
		return s.transact(cmd, args, raw)
	case command.Dedicated:
		return s.block(cmd, args, raw)
	case command.AllShards:
		switch {
		case s.answersAboutUsers(cmd):
			return s.answer(cmd, args)
		case cmd.IsBlocking():
			return s.waitReplicas(cmd, raw)
		}
		if prefix, one := onePrefix(s.local.Map(), cmd, args); one {
			if m := s.local.Map(); !m.Slotted() {
				return s.sendKind(m.Index(prefix), raw, kindsOf(cmd))
			}
			return s.keysOfOneSlot(cmd, raw, prefix)
		}
		return s.broadcast(cmd, args, raw)
	case command.DefaultShard:
		if s.answersAboutUsers(cmd) {
			return s.answer(cmd, args)
		}
		return s.send(s.shardOfDebug(cmd, args), raw)
	case command.ScanShards:
		return s.scan(cmd, args, raw)
	case command.PubSub:
		return s.pubsub(cmd, args)
	}
	s.reply(command.AppendDenied(s.w.scratch[:0], cmd, args))
	return true
}

// refuseCommand answers a request that names no command, has the wrong number of arguments,
// comes before AUTH, or is not permitted by the pool. As in Redis it fails the transaction
// that it is part of.
func (s *session) refuseCommand(cmd *command.Command, problem command.Problem, args [][]byte) {
	if s.tx != nil {
		s.tx.failed = true
	}
	dst := s.w.scratch[:0]
	s.lastCommand = 0
	if problem == command.NoProblem {
		s.lastCommand = uint16(cmd.ID) + 1
	}
	switch {
	case problem == command.UnknownCommand:
		dst = command.AppendUnknown(dst, args)
	case problem == command.UnknownSubcommand:
		dst = command.AppendUnknownSubcommand(dst, args)
	case !cmd.ArityOK(len(args)):
		dst = command.AppendArity(dst, cmd)
	case s.wantAuth && cmd.Flags&command.FlagNoAuth == 0:
		s.audit(cmd, "", audit.NotAuthenticated)
		dst = append(dst, "-NOAUTH Authentication required.\r\n"...)
	case s.policy.verdicts[cmd.ID] == guarded:
		s.audit(cmd, s.userName(), audit.DeniedCommand)
		dst = command.AppendGuarded(dst, cmd)
	case s.policy.verdicts[cmd.ID] == notByUser && s.tx != nil && cmd.Flags&command.FlagNoMulti != 0:
		dst = resp.AppendError(dst, errNoMulti.Error())
	case s.policy.verdicts[cmd.ID] == notByUser:
		s.logDenial(acl.DeniedCommand, cmd.Name, s.proxyUser.Name)
		s.audit(cmd, s.proxyUser.Name, audit.NoPermission)
		dst = resp.AppendError(dst, acl.DeniedCommand.Reply(cmd))
	case s.policy.verdicts[cmd.ID] == notWhileSubscribed:
		dst = appendNotWhileSubscribed(dst, cmd)
	default:
		s.audit(cmd, s.userName(), audit.DeniedCommand)
		dst = command.AppendForbidden(dst, cmd)
	}
	if problem != command.NoProblem || !cmd.ArityOK(len(args)) {
		s.reply(dst)
		return
	}
	if v := s.policy.verdicts[cmd.ID]; s.tx != nil && (v == guarded || v == forbidden) && cmd.Route != command.Transaction && !s.wantAuth {
		s.refuseQueued(dst)
		return
	}
	s.deny(cmd, dst)
}

// deferRun has the loop call RunDeferred at the end of this turn, once.
func (s *session) deferRun() {
	if !s.deferred {
		s.deferred = true
		s.w.loop.Defer(s)
	}
}

// await has the session go on when conn has room (ConnReady). Until then the session can't
// move to another loop: conn calls back on this one.
func (s *session) await(conn *pipeline.Conn) {
	if s.waiter == nil {
		s.waiter = &connWaiter{s}
	}
	conn.Wait(s.waiter)
	s.pendingWakeups++
}

// connWaiter waits for room in a server's connection on behalf of a session. The connection
// keeps it until there is room. It is apart from the session, and cut off when the client is
// gone, so that a server that hangs does not keep sessions in memory.
type connWaiter struct{ s *session }

// ConnReady is pipeline.Waiter's: the connection may have room.
func (q *connWaiter) ConnReady() {
	if s := q.s; s != nil {
		s.pendingWakeups--
		s.deferRun()
	}
}

// RunDeferred is eventloop.Deferred's. It does at the end of a turn what could not be done
// in the middle of another call. In this order: it writes invalidations, pushes and messages
// that waited for the end of a reply; it runs requests that waited for room; when all
// requests are answered, it closes or moves the session if that is due.
func (s *session) RunDeferred() {
	s.deferred = false
	if !s.conn.Open() {
		return
	}
	if s.executing != nil {
		s.executing.proceed()
	}
	if s.tracking != nil && !s.tracking.flush() || s.outOfBand != nil && !s.flushOutOfBand() || s.sub != nil && !s.flushBacklog() {
		return // the rest of the reply will call deferRun again
	}
	if s.serial && s.replies.idle() {
		s.serial = false
		if s.window > 0 {
			s.openWindow()
		}
	}
	if s.held && s.replies.idle() && s.conn.Waiting() == 0 && !s.closing {
		if s.halfClosed == nil {
			s.move() // requests that wait go along
			return
		}
		s.letGo()
	}
	if s.blocked && !s.closing {
		if !s.hasRoom() {
			s.deferRunAfterWrite()
			return
		}
		s.blocked, s.resuming = false, true
		if s.announced != nil {
			s.w.loop.AfterPoll(s.announced) // what the connection was paused for is read by then
			s.announced = nil
		}
		s.conn.Redeliver()
		s.resuming = false
		if s.blocked || !s.conn.Open() {
			return
		}
		if s.conn.Paused() && !s.eof {
			s.conn.Resume()
		}
	}
	if s.eof && !s.closing {
		s.closing = true // the unread rest is no complete request
	}
	if !s.replies.idle() {
		return
	}
	switch {
	case s.closing && s.conn.Waiting() == 0:
		s.closeWritten()
	case s.closing:
		s.deferRunAfterWrite()
	case s.movingTo != nil && s.conn.Waiting() > 0:
		s.deferRunAfterWrite()
	case s.movingTo != nil && s.w.tasksPosted:
		s.movingTo = nil // a task may walk over the loop's sessions; the next HandOver tries again
	case s.movingTo != nil:
		s.move()
	}
}

// deferRunAfterWrite has RunDeferred called again when this turn's output has been written.
// If the client does not take its output, Drained does that later.
func (s *session) deferRunAfterWrite() {
	if s.conn.Waiting() > 0 && !s.conn.Stalled() {
		s.deferRun()
	}
}

// Drained is eventloop.Handler's: all output has been written.
func (s *session) Drained() {
	if s.reading != nil {
		s.hasRead()
	}
	if s.blocked || s.closing || s.eof || s.movingTo != nil {
		s.deferRun()
	}
}

// Closed is eventloop.Handler's: the connection was lost.
func (s *session) Closed(error) {
	if s.stats != nil && s.closeReason == stats.ClosedByClient {
		s.stats.Clients.Broken++
	}
	s.cleanUp()
}

// close closes the client's connection at once.
func (s *session) close() {
	s.conn.Close()
	s.cleanUp()
}

// closeFor is close with the reason, for the statistics.
func (s *session) closeFor(reason stats.CloseReason) {
	s.closeReason = reason
	s.close()
}

// closeWritten closes the client's connection after it has written as much of the output as
// the kernel takes.
func (s *session) closeWritten() {
	s.conn.CloseWritten()
	s.cleanUp()
}

// cleanUp releases what the session holds, after its connection was closed. Replies that
// are still to come find the connection closed and are dropped.
func (s *session) cleanUp() {
	defer s.w.remove(s) // even if something here panics: else the client would be counted for ever
	s.closing = true
	if s.stats != nil {
		s.stats.Clients.Closed[s.closeReason]++
	}
	if s.sub != nil || s.tracking != nil || s.tx != nil {
		s.w.host.Freed()
	}
	s.releaseWatches(false)
	if s.executing != nil {
		s.executing.drop()
	}
	s.endMonitor()
	delete(s.w.publishers, s)
	if s.announced != nil {
		s.announced()
	}
	s.unsubscribeAll()
	s.untrack()
	delete(s.conditions.pauseWaiters, s)
	if s.waiter != nil {
		s.waiter.s = nil
	}
	s.setUser(s.proxyUser, nil)
	if s.conns != nil {
		s.conns.Release() // nothing is sent any more
	}
	if s.shardsWait != nil {
		s.shardsWait.leave()
	}
	if s.replicaWait != nil {
		s.replicaWait.abandon()
	}
	s.replies.drop()
}
