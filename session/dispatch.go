package session

import (
	"errors"
	"strings"

	"ringway/command"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// forward sends a request whole to the shard that owns its keys, over a shared connection. What
// needs more goes to the file that does it: a blocking command, a script, PUBLISH, a set
// operation over several shards. Like handle, it reports false if the request must wait.
func (s *session) forward(cmd *command.Command, args [][]byte, raw []byte) bool {
	server := 0
	if cmd.SoleKey > 0 {
		server = s.local.Map().Index(args[cmd.SoleKey])
	} else {
		if cmd.IsBlocking() && cmd.Blocks(args) {
			return s.block(cmd, args, raw)
		}
		var err error
		if server, err = s.owner(cmd, args); err != nil {
			switch {
			case err == errCrossShard && cmd.Gathers():
				return s.gather(cmd, args)
			case err == errCrossShard && cmd.IsBlocking():
				return s.block(cmd, args, raw) // XREADGROUP without BLOCK
			}
			s.replyError(s.explain(err, cmd, args))
			return true
		}
		if s.sub != nil && (cmd.IsScript() || cmd.Flags&command.FlagPubSub != 0) {
			s.sub.causes()
		}
		if cmd.IsScript() {
			return s.runScript(cmd, args, raw, server)
		}
		if cmd.NeedsMarker() {
			return s.sendMarked(server, raw)
		}
		if cmd.Flags&command.FlagPubSub != 0 {
			if kind, channel := publishesOn(cmd, args); channel != nil && s.publishWaits(kind, channel) {
				return false
			}
		}
		if cmd.Flags&command.FlagPubSub != 0 && s.subscriptions.AnyShared() {
			return s.sendCounting(cmd, args, raw, server)
		}
		if s.local.SlotsMove() {
			return s.sendMultiKey(server, s.separateReads && cmd.IsReadonly(), raw, kindsOf(cmd))
		}
	}
	return s.forwardTo(cmd, server, raw)
}

// forwardTo sends a request whole to a shard. Like handle, it reports false if
// the request must wait.
func (s *session) forwardTo(cmd *command.Command, shard int, raw []byte) bool {
	if s.mayReadReplica(cmd) {
		return s.sendRead(shard, raw, kindsOf(cmd))
	}
	return s.sendKind(shard, raw, kindsOf(cmd))
}

// kinds are the types of reply that pipeline.Conn checks for, by command.ReplyType.
var kinds = [command.ReplyTypes]pipeline.Kinds{
	command.ReplyAny: pipeline.AnyKind, command.ReplyStatus: pipeline.KindStatus, command.ReplyInteger: pipeline.KindInteger,
	command.ReplyString: pipeline.KindString, command.ReplyAggregate: pipeline.KindAggregate,
	command.ReplyStatusOrString: pipeline.KindStatus | pipeline.KindString, command.ReplyStringsMaybeMany: pipeline.KindString | pipeline.KindAggregate,
}

// kindsOf returns the types that a reply to the command can have.
func kindsOf(cmd *command.Command) pipeline.Kinds { return kinds[cmd.ReplyType()] }

// mayReadReplica reports whether a request may go to a replica. Requests of clients that track
// may not: an invalidation comes when the primary has changed, and a replica could still
// return the old value, which the client would then keep.
func (s *session) mayReadReplica(cmd *command.Command) bool {
	return s.separateReads && s.tracking == nil && cmd.IsReadonly()
}

// primaryConn returns the shared connection to a shard's primary that this client uses. A client
// always uses the same one, which keeps its requests in order.
func (s *session) primaryConn(shard int) *pipeline.Conn { return s.conns.Conn(shard, s.info.id) }

// send sends a request to a shard's primary over the shared connection. Like handle, it reports
// false if the request must wait.
func (s *session) send(shard int, raw []byte) bool {
	return s.sendKind(shard, raw, pipeline.AnyKind)
}

// sendKind is send for a request whose reply has one of the given types.
func (s *session) sendKind(shard int, raw []byte, kinds pipeline.Kinds) bool {
	conn := s.primaryConn(shard)
	if s.full(conn) {
		s.await(conn)
		return false
	}
	s.sendAs(s.push(), conn, raw, kinds)
	return true
}

// sendRead is send for a request that only reads. It may go to a replica, is sent a second time
// elsewhere if its reply is late (hedge_after), and need not wait while the primary is being
// replaced.
func (s *session) sendRead(shard int, raw []byte, kinds pipeline.Kinds) bool {
	conn := s.conns.ReadConn(shard, s.info.id)
	if conn.FullForReads() || s.laden(conn) {
		s.await(conn)
		return false
	}
	if s.local.Conf().HedgeAfter == 0 {
		s.sendAs(s.push(), conn, raw, kinds)
		return true
	}
	number := s.push()
	if f := s.conns.SendHedged(conn, shard, s.info.id, raw, s, number); f != nil {
		s.finish(number, s.failureReply(f))
	}
	return true
}

// sendAs sends the request that has the given number in the line, and whose reply has one of the
// given types.
func (s *session) sendAs(number uint32, conn *pipeline.Conn, raw []byte, kinds pipeline.Kinds) {
	if f := conn.SendKind(raw, s, number, kinds); f != nil {
		s.finish(number, s.failureReply(f))
		return
	}
	s.expect(conn, 1)
}

// shardOfDebug returns the shard of a request that names no key: the default shard. Subcommands
// of DEBUG about a key are the exception.
func (s *session) shardOfDebug(cmd *command.Command, args [][]byte) int {
	if cmd.Name == "debug" && len(args) > 2 {
		switch strings.ToLower(string(args[1])) {
		case "object", "sdslen", "ziplist", "listpack", "quicklist", "htstats-key":
			return s.local.Map().Index(args[2])
		}
	}
	return s.defaultServer()
}

// sendMarked is send for a request, such as a script, that may produce more or fewer replies than
// one. A marker behind it shows where its reply ends.
func (s *session) sendMarked(shard int, raw []byte) bool {
	conn := s.primaryConn(shard)
	if conn.Full() {
		s.await(conn)
		return false
	}
	number := s.push()
	if f := conn.SendMarked(raw, s, number); f != nil {
		s.finish(number, s.failureReply(f))
	}
	return true
}

// Errors that a proxy gives and one Redis does not, in the style of Redis's.
var (
	errUserListens = errors.New("NOPERM subscriptions are not supported for ACL users other than the pool's own")
	errDatabase    = errors.New("ERR DB index is out of range")
)

// owner returns the shard that owns all keys of a request; without keys, the default shard. The
// error is for the client.
func (s *session) owner(cmd *command.Command, args [][]byte) (server int, err error) {
	return s.ownerOn(s.local.Map(), s.policy, cmd, args)
}

// ownerOn is owner by a Map that the caller has loaded before, which makes several look-ups
// consistent.
func (sh *shared) ownerOn(m *pool.Map, policy *policy, cmd *command.Command, args [][]byte) (server int, err error) {
	keys, err := cmd.Keys(args, sh.w.keys[:0])
	sh.w.keys = keys[:0]
	servers := sh.local.Shards()
	switch reach := cmd.Reach(args); {
	case err != nil && servers > 1:
		return 0, err
	case reach == command.ReachDatabase && !hasDatabase(sh.local.Conf(), cmd.Database(args)):
		return 0, errDatabase
	case reach == command.ReachPatterns && servers > 1:
		if err := checkSort(m, sh.local.Conf(), args); err != nil {
			return 0, err
		}
	}
	switch {
	case servers == 1: // whose own error is the right one for a request without proper keys
		return 0, nil
	case cmd.Flags&command.FlagPubSub != 0:
		return m.Index(args[1]), nil // the channel of PUBLISH or SPUBLISH
	case len(keys) == 0:
		if shard, one := patternShard(m, cmd, args); one {
			return shard, nil
		}
		return policy.defaultShard(sh.local), nil
	}
	return sameShard(m, args, keys)
}

// sameShard returns the shard that owns all keys, or an error if there is none. In a Cluster the
// keys must even have the same hash slot. keys are indexes of args.
func sameShard(m *pool.Map, args [][]byte, keys []int) (shard int, err error) {
	bucket := m.Bucket(args[keys[0]])
	for _, k := range keys[1:] {
		if m.Bucket(args[k]) != bucket {
			return 0, errCrossShard
		}
	}
	return m.ShardAt(bucket), nil
}

// replyError answers the current request with an error.
func (s *session) replyError(err error) {
	s.reply(resp.AppendError(s.w.scratch[:0], s.errorText(err)))
}

// errorText returns the text of an error, with what the client can do about it in this pool.
func (s *session) errorText(err error) string {
	if err == errCrossShard { // by a caller that has no keys to name
		err = crossSlot(s.local.Conf(), nil, nil, nil)
	}
	return err.Error()
}

// resend sends a request that had failed before it was sent, if the server that owns its key now
// may be up: the former one may have been ejected meanwhile. It reports whether it did.
func (s *session) resend(number uint32, f *pipeline.Failure, request []byte) bool {
	if errors.Is(f, pipeline.ErrTimeout) {
		return false // its timeout includes the time that it was queued
	}
	shard, ok := s.ownerOf(s.local.Map(), request)
	if !ok {
		return false
	}
	conn := s.primaryConn(shard)
	return conn.Up() && !conn.Full() && conn.SendMarked(request, s, number) == nil // marked, since it may be a script
}

// onlyReads reports whether a request reads and does nothing else. The pool asks it about bytes
// that it retries.
func (w *Worker) onlyReads(request []byte) bool {
	defer w.resendParser.Release()
	var state resp.RequestState
	if n, err := w.resendParser.Parse(request, &state, &w.limits); n != len(request) || err != nil {
		return false
	}
	cmd, problem := command.Lookup(w.resendParser.Args)
	return problem == command.NoProblem && cmd.IsReadonly() && !cmd.IsWrite()
}

// ownerOf returns the shard that owns the keys of the first of several requests that has keys.
// ok is false if none has. The pool calls it, through pool.NewLocal, for requests that it sends
// again.
func (sh *shared) ownerOf(m *pool.Map, requests []byte) (shard int, ok bool) {
	w := sh.w
	defer w.resendParser.Release()
	for len(requests) > 0 {
		var state resp.RequestState
		n, err := w.resendParser.Parse(requests, &state, &w.limits)
		if n == 0 || err != nil {
			return 0, false
		}
		requests = requests[n:]
		args := w.resendParser.Args
		cmd, problem := command.Lookup(args)
		if problem != command.NoProblem || !cmd.ArityOK(len(args)) {
			continue
		}
		if keys, err := cmd.Keys(args, w.keys[:0]); err != nil || len(keys) == 0 && cmd.Flags&command.FlagPubSub == 0 {
			if _, one := onePrefix(m, cmd, args); !one {
				continue
			}
		}
		shard, err := sh.ownerOn(m, sh.poolPolicy, cmd, args)
		return shard, err == nil
	}
	return 0, false
}
