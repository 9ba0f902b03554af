package session

import (
	"errors"
	"fmt"
	"strings"

	"ringway/command"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// forward sends a request whole to the shard that owns its keys. Like handle,
// it reports false if the request must wait.
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
			if (err == errCrossShard || err == errCrossSlot) && cmd.Gathers() {
				return s.gatherSets(cmd, args)
			}
			s.replyError(err)
			return true
		}
		if cmd.IsScript() {
			return s.runScript(cmd, args, raw, server)
		}
		if cmd.NeedsMarker() {
			return s.sendMarked(server, raw)
		}
		if cmd.Flags&command.FlagPubSub != 0 && (s.subscriptions.Subscribing() || s.publishBy != 0) {
			if kind, channel := publishesOn(cmd, args); channel != nil && s.awaitsSubscriber(kind, string(channel)) {
				return false
			}
		}
		if cmd.Flags&command.FlagPubSub != 0 && s.subscriptions.AnyShared() {
			return s.sendCounting(cmd, args, raw, server)
		}
		if s.local.SawTryAgain() {
			return s.sendSeveral(server, s.readsApart && cmd.IsReadonly(), raw, kindsOf(cmd))
		}
	}
	return s.forwardTo(cmd, server, raw)
}

// forwardTo sends a request whole to a shard. Like handle, it reports false if
// the request must wait.
func (s *session) forwardTo(cmd *command.Command, shard int, raw []byte) bool {
	if s.mayReadApart(cmd) {
		return s.sendRead(shard, raw, kindsOf(cmd))
	}
	return s.sendKind(shard, raw, kindsOf(cmd))
}

// kinds are those of replies by their command.ReplyType.
var kinds = [command.ReplyTypes]pipeline.Kinds{
	command.ReplyAny: pipeline.AnyKind, command.ReplyStatus: pipeline.KindStatus, command.ReplyInteger: pipeline.KindInteger,
	command.ReplyString: pipeline.KindString, command.ReplyAggregate: pipeline.KindAggregate,
	command.ReplyStatusOrString: pipeline.KindStatus | pipeline.KindString, command.ReplyStringsMaybeMany: pipeline.KindString | pipeline.KindAggregate,
}

// kindsOf are those of the replies to a command.
func kindsOf(cmd *command.Command) pipeline.Kinds { return kinds[cmd.ReplyType()] }

// mayReadApart tells whether a request may go to a replica. What a client keeps
// and tracks must not be older than what it was told of.
func (s *session) mayReadApart(cmd *command.Command) bool {
	return s.readsApart && s.tracking == nil && cmd.IsReadonly()
}

// to is the shared connection to a shard's primary.
func (s *session) to(shard int) *pipeline.Conn { return s.conns.Conn(shard, s.info.id) }

// send sends a request to a shard's primary. Like handle, it reports false if
// the request must wait.
func (s *session) send(shard int, raw []byte) bool {
	return s.sendKind(shard, raw, pipeline.AnyKind)
}

// sendKind is send for a request whose reply is of the given kinds.
func (s *session) sendKind(shard int, raw []byte, kinds pipeline.Kinds) bool {
	conn := s.to(shard)
	if s.full(conn) {
		s.await(conn)
		return false
	}
	s.sendAs(s.push(), conn, raw, kinds)
	return true
}

// sendRead is send for a request that only reads, which may go to a replica and
// need not wait while the primary is being replaced.
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
		s.finish(number, f.AppendReply(s.w.failure[:0]))
	}
	return true
}

// sendAs sends the request that has the given number in the line, and whose reply is
// of the given kinds.
func (s *session) sendAs(number uint32, conn *pipeline.Conn, raw []byte, kinds pipeline.Kinds) {
	if f := conn.SendKind(raw, s, number, kinds); f != nil {
		s.finish(number, f.AppendReply(s.w.failure[:0]))
		return
	}
	s.expect(conn, 1)
}

// shardOfDebug is the shard of a request that concerns no shard in particular, but
// where it is DEBUG of a key.
func (s *session) shardOfDebug(cmd *command.Command, args [][]byte) int {
	if cmd.Name == "debug" && len(args) > 2 {
		switch strings.ToLower(string(args[1])) {
		case "object", "sdslen", "ziplist", "listpack", "quicklist", "htstats-key":
			return s.local.Map().Index(args[2])
		}
	}
	return s.defaultServer()
}

// sendMarked is send for a request whose reply may not end where it should.
func (s *session) sendMarked(shard int, raw []byte) bool {
	conn := s.to(shard)
	if conn.Full() {
		s.await(conn)
		return false
	}
	number := s.push()
	if f := conn.SendMarked(raw, s, number); f != nil {
		s.finish(number, f.AppendReply(s.w.failure[:0]))
	}
	return true
}

// Errors that only a proxy gives, in the style of Redis's.
var (
	errCrossShard  = errors.New("CROSSSLOT Keys in request don't hash to the same server")
	errCrossSlot   = errors.New("CROSSSLOT Keys in request don't hash to the same slot")
	errPatterns    = errors.New("ERR BY and GET patterns of SORT reach keys on other servers: not supported by a sharded pool")
	errUserListens = errors.New("NOPERM subscriptions are not supported for ACL users other than the pool's own")
	errDatabase    = errors.New("ERR DB index is out of range")
)

// owner returns the server that owns all keys of a request.
func (s *session) owner(cmd *command.Command, args [][]byte) (server int, err error) {
	return s.ownerOn(s.local.Map(), s.policy, cmd, args)
}

// ownerOn returns the shard that owns all keys of a request, by a Map that the
// caller has taken before.
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
		return 0, errPatterns
	}
	switch {
	case servers == 1: // which also has the right words for a request without proper keys
		return 0, nil
	case cmd.Flags&command.FlagPubSub != 0:
		return m.Index(args[1]), nil // the channel of PUBLISH or SPUBLISH
	case len(keys) == 0:
		return policy.defaultShard(sh.local), nil
	}
	return sameShard(m, args, keys)
}

// sameShard returns the shard of all keys, which in a Cluster must have one hash
// slot.
func sameShard(m *pool.Map, args [][]byte, keys []int) (shard int, err error) {
	place := m.Bucket(args[keys[0]])
	for _, k := range keys[1:] {
		if m.Bucket(args[k]) != place {
			if m.Slotted() {
				return 0, errCrossSlot
			}
			return 0, errCrossShard
		}
	}
	return m.ShardAt(place), nil
}

func (s *session) replyError(err error) {
	s.reply(resp.AppendError(s.w.scratch[:0], s.textOf(err)))
}

// textOf returns the text of an error, with what to do about it in this pool.
func (s *session) textOf(err error) string {
	if err != errCrossShard {
		return err.Error()
	}
	if tag := s.local.Conf().HashTag; tag != "" {
		return fmt.Sprintf("%s; give them a common hash tag, as in %cuser1%c:name (the pool has hash_tag = %q)", err, tag[0], tag[1], tag)
	}
	return err.Error() + `; the pool has no hash_tag: set hash_tag = "{}" in its configuration, and give keys that belong together a common tag, as in {user1}:name`
}

// resend sends a request that was not sent again, if the ring now names a
// server that may be up. It reports false if there is none.
func (s *session) resend(number uint32, f *pipeline.Failure, request []byte) bool {
	if errors.Is(f, pipeline.ErrTimeout) {
		return false // its time is over wherever it goes
	}
	shard, ok := s.ownerOf(s.local.Map(), request)
	if !ok {
		return false
	}
	conn := s.to(shard)
	return conn.Up() && !conn.Full() && conn.SendMarked(request, s, number) == nil // it may be a script
}

// onlyReads reports whether a request reads and does nothing else.
func (w *Worker) onlyReads(request []byte) bool {
	defer w.again.Release()
	var state resp.RequestState
	if n, err := w.again.Parse(request, &state, &w.limits); n != len(request) || err != nil {
		return false
	}
	cmd, problem := command.Lookup(w.again.Args)
	return problem == command.NoProblem && cmd.IsReadonly() && !cmd.IsWrite()
}

// ownerOf returns the shard that owns the keys of a request, or of the first of
// several that has keys.
func (sh *shared) ownerOf(m *pool.Map, requests []byte) (shard int, ok bool) {
	w := sh.w
	defer w.again.Release()
	for len(requests) > 0 {
		var state resp.RequestState
		n, err := w.again.Parse(requests, &state, &w.limits)
		if n == 0 || err != nil {
			return 0, false
		}
		requests = requests[n:]
		args := w.again.Args
		cmd, problem := command.Lookup(args)
		if problem != command.NoProblem || !cmd.ArityOK(len(args)) {
			continue
		}
		if keys, err := cmd.Keys(args, w.keys[:0]); err != nil || len(keys) == 0 && cmd.Flags&command.FlagPubSub == 0 {
			continue
		}
		shard, err := sh.ownerOn(m, sh.poolPolicy, cmd, args)
		return shard, err == nil
	}
	return 0, false
}
