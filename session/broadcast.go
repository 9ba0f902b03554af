package session

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"ringway/command"
	"ringway/join"
	"ringway/pipeline"
	"ringway/resp"
)

// broadcast is a request that goes whole to every server (KEYS, DBSIZE, FLUSHALL, SCRIPT
// LOAD …), and whose replies are joined into one as cmd.Join says. It is the Receiver of
// these replies. Such requests are rare, so nothing is reused.
type broadcast struct {
	s         *session
	cmd       *command.Command
	number    uint32 // of the request in its session
	targets   []broadcastTarget
	left      int  // targets without a reply
	dedicated bool // over dedicated connections
	limit     int  // JoinNewest: how many entries the client wants

	ofSlot *keysOfSlot // KEYS of one hash slot; nil for all else
}

// broadcastTarget is one server that a broadcast goes to, and what came of it: a reply, or a
// failure.
type broadcastTarget struct {
	server  int
	conn    *pipeline.Conn
	reply   []byte // what has come so far, in a buffer lent by the loop
	weight  int64  // JoinRandom: how many keys it has
	failure []byte // the error that stands for a reply that did not come
	unknown bool   // with failure: the server may have executed the request
}

// broadcast sends a request to all servers that it concerns. Like handle, it reports false if
// the request must wait; then it was sent to none.
func (s *session) broadcast(cmd *command.Command, args [][]byte, raw []byte) bool {
	s.noteScripts(cmd, args)
	s.notePause(new(pause).note(cmd, args))
	// SCRIPT KILL must not queue behind the script that it is to end, nor CLIENT UNPAUSE
	// behind the writes that the pause holds back.
	dedicated := cmd.Join == command.JoinAny || cmd.Name == "client|unpause"
	if s.local.Shards() == 1 && !dedicated {
		if cmd.NeedsMarker() {
			return s.sendMarked(0, raw)
		}
		if cmd.Join == command.JoinOwner && s.subscriptions.AnyShared() {
			return s.sendCounting(cmd, args, raw, 0)
		}
		return s.send(0, raw)
	}
	b := &broadcast{s: s, cmd: cmd, dedicated: dedicated, limit: join.SlowlogCount(args)}
	for _, server := range s.broadcastShards(cmd) {
		t := broadcastTarget{server: server}
		if !dedicated {
			t.conn = s.primaryConn(server)
			if s.full(t.conn) {
				s.await(t.conn)
				return false
			}
		}
		b.targets = append(b.targets, t)
	}
	b.number, b.left = s.push(), len(b.targets)
	for i := range b.targets {
		t := &b.targets[i]
		if dedicated {
			conn, err := s.conns.Acquire(t.server)
			if err != nil {
				b.failTarget(i, resp.AppendError(nil, errNoDedicated.Error()), false)
				continue
			}
			t.conn = conn
		}
		if cmd.Join == command.JoinRandom {
			t.conn.Send(requestDBSize, sizeOf{t}, 0)
		}
		if f := t.conn.Send(raw, b, uint32(i)); f != nil {
			b.failTarget(i, f.AppendReply(nil), f.Sent)
		} else if cmd.NeedsMarker() {
			t.conn.SendMarker()
		}
	}
	return true
}

// broadcastShards returns the shards that a broadcast goes to: all if it changes something on
// each of them, else those that serve keys now.
func (s *session) broadcastShards(cmd *command.Command) []int {
	var all, live []int
	for shard := range s.local.Shards() {
		all = append(all, shard)
		if !s.local.Absent(shard) {
			live = append(live, shard)
		}
	}
	// A shard of a Cluster without slots has left the Cluster. An ejected server of a
	// static pool will be restored, and must not miss the change.
	if mustReachAll(cmd) && !s.local.Follows() || len(live) == 0 {
		return all
	}
	return live
}

// mustReachAll reports whether a broadcast changes something on every server.
func mustReachAll(cmd *command.Command) bool {
	return cmd.Join == command.JoinOK || cmd.Join == command.JoinFirst
}

// Reply implements pipeline.Receiver; the tag is the target's index.
func (b *broadcast) Reply(tag uint32, reply []byte, last bool) {
	t := &b.targets[tag]
	if s := b.s; s.conn.Open() {
		if t.reply == nil {
			t.reply = s.w.loop.Buffer(len(reply))
		} else if len(reply) > cap(t.reply)-len(t.reply) {
			t.reply = s.w.loop.Grow(t.reply, len(reply))
		}
		t.reply = append(t.reply, reply...)
		s.replies.charge(len(reply))
		s.checkOutputLimit()
	}
	if last {
		b.countDown()
	}
}

// Fail implements pipeline.Receiver. The request is not sent elsewhere: no other server can
// answer for this one.
func (b *broadcast) Fail(tag uint32, f *pipeline.Failure, _ []byte) {
	b.failTarget(int(tag), f.AppendReply(nil), f.Sent)
}

// failTarget records that target i has no reply, and the error that stands for it. unknown says
// that the server may have executed the request.
func (b *broadcast) failTarget(i int, failure []byte, unknown bool) {
	b.targets[i].failure, b.targets[i].unknown = failure, unknown
	b.countDown()
}

func (b *broadcast) countDown() {
	if b.left--; b.left > 0 {
		return
	}
	if b.ofSlot != nil && !b.ofSlot.checked {
		b.checkSlot()
		return
	}
	b.done()
}

// done answers the request once all servers have answered or failed, and gives the buffers and
// connections back.
func (b *broadcast) done() {
	s, size := b.s, 0
	for i := range b.targets {
		t := &b.targets[i]
		s.replies.refund(len(t.reply))
		size += len(t.reply)
		if b.dedicated && t.conn != nil {
			s.local.ReleaseDedicated(t.conn, t.failure == nil)
		}
	}
	s.w.noteWork(s, size)
	if b.cmd.Name == "swapdb" {
		s.databasesSwapped()
	}
	if b.ofSlot != nil {
		s.openWindow()
		if s.blocked || s.eof {
			s.deferRun()
		}
	}
	if s.conn.Open() {
		b.answer()
	}
	for i := range b.targets {
		s.w.loop.Release(b.targets[i].reply)
		b.targets[i].reply = nil
	}
}

// errorOf returns the error that the server has answered, or that stands for its reply; nil if
// it has succeeded.
func (t *broadcastTarget) errorOf() []byte {
	if t.failure == nil && t.reply[0] == '-' {
		return t.reply
	}
	return t.failure
}

// answer sends the client the joined reply, or an error if any server has failed.
func (b *broadcast) answer() {
	if b.cmd.Join == command.JoinAny {
		b.s.finish(b.number, b.anySuccess())
		return
	}
	for i := range b.targets {
		if failed := b.targets[i].errorOf(); failed != nil {
			b.s.finish(b.number, b.failed(failed))
			return
		}
	}
	if b.cmd.Name == "pubsub|channels" || b.cmd.Name == "pubsub|shardchannels" {
		b.keepOwned()
	}
	if b.ofSlot != nil && len(b.targets) > 1 && !b.dropRepeated() {
		b.s.finish(b.number, replyUnexpected)
		return
	}
	if b.cmd.Join == command.JoinConcat {
		b.concat()
		return
	}
	reply, ok := b.joined()
	if !ok {
		reply = replyUnexpected
	}
	b.s.finish(b.number, reply)
}

// failed returns the client's error if some servers failed; first is the error of the first of
// them. If the servers may differ now, the error says how many have executed the request.
func (b *broadcast) failed(first []byte) []byte {
	executed, unknown, refused := 0, 0, 0
	for i := range b.targets {
		t := &b.targets[i]
		switch {
		case t.errorOf() == nil:
			executed++
		case t.unknown:
			unknown++
		case t.failure == nil:
			refused++
		}
	}
	if !mustReachAll(b.cmd) || refused == len(b.targets) {
		return first
	}
	text := fmt.Sprintf("ERR %d of %d servers executed the request", executed, len(b.targets))
	if unknown > 0 {
		text += fmt.Sprintf(", %d may have", unknown)
	}
	return resp.AppendError(nil, text+"; the first that did not: "+string(bytes.TrimSpace(bytes.TrimPrefix(first[1:], []byte("ERR ")))))
}

// anySuccess returns the first reply that is no error. If there is none, it returns the first
// error other than -NOTBUSY, which only says that this server had no script to kill.
func (b *broadcast) anySuccess() []byte {
	var worst []byte
	for i := range b.targets {
		failed := b.targets[i].errorOf()
		switch {
		case failed == nil:
			return b.targets[i].reply
		case worst == nil, bytes.HasPrefix(worst, []byte("-NOTBUSY")):
			worst = failed
		}
	}
	return worst
}

// replies returns the replies of all servers.
func (b *broadcast) replies() [][]byte {
	replies := make([][]byte, len(b.targets))
	for i := range b.targets {
		replies[i] = b.targets[i].reply
	}
	return replies
}

// joined joins the replies of all servers, none of which is an error, into one. It reports
// false if one of them is of an unexpected type.
func (b *broadcast) joined() (reply []byte, ok bool) {
	replies := b.replies()
	switch b.cmd.Join {
	case command.JoinSum:
		return join.Sum(nil, replies)
	case command.JoinMin:
		return join.Least(nil, replies)
	case command.JoinAnd:
		return join.LeastOfEach(nil, replies)
	case command.JoinOK:
		for _, reply := range replies {
			if !bytes.Equal(reply, replyOK) {
				return nil, false
			}
		}
	case command.JoinRandom:
		return b.pickByKeys(replies), true
	case command.JoinNewest:
		return join.NewestFirst(nil, replies, b.limit)
	case command.JoinHistograms:
		return join.Histograms(nil, replies)
	case command.JoinOwner:
		return b.joinOwners(replies)
	}
	return replies[0], true
}

// pickByKeys returns the reply of a server chosen at random, weighted by how many keys each has.
func (b *broadcast) pickByKeys(replies [][]byte) []byte {
	weights := make([]int64, len(b.targets))
	for i := range b.targets {
		weights[i] = b.targets[i].weight
	}
	return join.RandomKey(replies, weights, rand.Int64N)
}

// concat answers with one array of the elements of all arrays. They may be many, so they are
// passed on one server after the other instead of being copied into another buffer, and each
// server's buffer is given back at once.
func (b *broadcast) concat() {
	s, elements := b.s, b.replies()
	head, ok := join.Concat(s.w.failure[:0], elements)
	if !ok {
		s.finish(b.number, replyUnexpected)
		return
	}
	s.Reply(b.number, head, false)
	for i := range b.targets {
		t := &b.targets[i]
		s.Reply(b.number, elements[i], i == len(b.targets)-1)
		s.w.loop.Release(t.reply)
		t.reply = nil
	}
}
