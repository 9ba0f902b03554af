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

// broadcast is a request that went whole to every server, and whose replies
// become one. Such requests are rare, so nothing of it is reused.
type broadcast struct {
	s      *session
	cmd    *command.Command
	number uint32 // of the request in its session
	shares []share
	left   int  // shares without a reply
	apart  bool // over connections of its own
	limit  int  // JoinNewest: how many entries
}

// share is one server's part in a broadcast.
type share struct {
	server  int
	conn    *pipeline.Conn
	reply   []byte // in a buffer of the loop
	weight  int64  // JoinRandom: how many keys it has
	failure []byte // the error that stands for a reply that did not come
	unknown bool   // with failure: the server may have executed the request
}

// broadcast sends a request to all servers. Like handle, it reports false if it
// must wait.
func (s *session) broadcast(cmd *command.Command, args [][]byte, raw []byte) bool {
	s.noteScripts(cmd, args)
	s.notePause(new(pause).note(cmd, args))
	// What ends a script can't wait behind that script, nor what ends a pause behind
	// what is held back.
	apart := cmd.Join == command.JoinAny || cmd.Name == "client|unpause"
	if s.local.Shards() == 1 && !apart {
		if cmd.NeedsMarker() {
			return s.sendMarked(0, raw)
		}
		if cmd.Join == command.JoinOwner && s.subscriptions.AnyShared() {
			return s.sendCounting(cmd, args, raw, 0)
		}
		return s.send(0, raw)
	}
	b := &broadcast{s: s, cmd: cmd, apart: apart, limit: join.SlowlogCount(args)}
	for _, server := range s.audience(cmd) {
		share := share{server: server}
		if !apart {
			share.conn = s.to(server)
			if s.full(share.conn) {
				s.await(share.conn)
				return false
			}
		}
		b.shares = append(b.shares, share)
	}
	b.number, b.left = s.push(), len(b.shares)
	for i := range b.shares {
		sh := &b.shares[i]
		if apart {
			conn, err := s.conns.Acquire(sh.server)
			if err != nil {
				b.lose(i, resp.AppendError(nil, errNoDedicated.Error()), false)
				continue
			}
			sh.conn = conn
		}
		if cmd.Join == command.JoinRandom {
			sh.conn.Send(requestDBSize, sizeOf{sh}, 0)
		}
		if f := sh.conn.Send(raw, b, uint32(i)); f != nil {
			b.lose(i, f.AppendReply(nil), f.Sent)
		} else if cmd.NeedsMarker() {
			sh.conn.Fence()
		}
	}
	return true
}

// audience lists the servers that a broadcast concerns: all, if it is to change
// something on them, else those whose keys can be reached.
func (s *session) audience(cmd *command.Command) []int {
	var all, live []int
	for shard := range s.local.Shards() {
		all = append(all, shard)
		if !s.local.Absent(shard) {
			live = append(live, shard)
		}
	}
	// A shard of a Cluster that serves nothing is no part of it any more; a server
	// that is ejected comes back.
	if mustReachAll(cmd) && !s.local.Follows() || len(live) == 0 {
		return all
	}
	return live
}

// mustReachAll tells whether a broadcast changes something on every server.
func mustReachAll(cmd *command.Command) bool {
	return cmd.Join == command.JoinOK || cmd.Join == command.JoinFirst
}

// Reply is pipeline.Receiver's; the tag is the share's index.
func (b *broadcast) Reply(tag uint32, reply []byte, last bool) {
	sh := &b.shares[tag]
	if s := b.s; s.conn.Open() {
		if sh.reply == nil {
			sh.reply = s.w.loop.Buffer(len(reply))
		} else if len(reply) > cap(sh.reply)-len(sh.reply) {
			sh.reply = s.w.loop.Grow(sh.reply, len(reply))
		}
		sh.reply = append(sh.reply, reply...)
		s.replies.charge(len(reply))
		s.checkOutput()
	}
	if last {
		b.countDown()
	}
}

// Fail is pipeline.Receiver's. Another server can't stand in for the one that
// failed.
func (b *broadcast) Fail(tag uint32, f *pipeline.Failure, _ []byte) {
	b.lose(int(tag), f.AppendReply(nil), f.Sent)
}

func (b *broadcast) lose(i int, failure []byte, unknown bool) {
	b.shares[i].failure, b.shares[i].unknown = failure, unknown
	b.countDown()
}

func (b *broadcast) countDown() {
	if b.left--; b.left == 0 {
		b.done()
	}
}

// done answers the request; all servers have answered or failed.
func (b *broadcast) done() {
	s, size := b.s, 0
	for i := range b.shares {
		sh := &b.shares[i]
		s.replies.refund(len(sh.reply))
		size += len(sh.reply)
		if b.apart && sh.conn != nil {
			s.local.ReleaseDedicated(sh.conn, sh.failure == nil)
		}
	}
	s.w.working(s, size)
	if s.conn.Open() {
		b.answer()
	}
	for i := range b.shares {
		s.w.loop.Release(b.shares[i].reply)
		b.shares[i].reply = nil
	}
}

// errorOf returns the share's error reply, or nil.
func (sh *share) errorOf() []byte {
	if sh.failure == nil && sh.reply[0] == '-' {
		return sh.reply
	}
	return sh.failure
}

func (b *broadcast) answer() {
	if b.cmd.Join == command.JoinAny {
		b.s.finish(b.number, b.anySuccess())
		return
	}
	for i := range b.shares {
		if failed := b.shares[i].errorOf(); failed != nil {
			b.s.finish(b.number, b.failed(failed))
			return
		}
	}
	if b.cmd.Name == "pubsub|channels" {
		b.keepOwned()
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

// failed is the answer if some servers failed, the first of them with the given
// error. If servers may differ now, it tells how many have done what they were
// told.
func (b *broadcast) failed(first []byte) []byte {
	executed, unknown, refused := 0, 0, 0
	for i := range b.shares {
		sh := &b.shares[i]
		switch {
		case sh.errorOf() == nil:
			executed++
		case sh.unknown:
			unknown++
		case sh.failure == nil:
			refused++
		}
	}
	if !mustReachAll(b.cmd) || refused == len(b.shares) {
		return first
	}
	text := fmt.Sprintf("ERR %d of %d servers executed the request", executed, len(b.shares))
	if unknown > 0 {
		text += fmt.Sprintf(", %d may have", unknown)
	}
	return resp.AppendError(nil, text+"; the first that did not: "+string(bytes.TrimSpace(bytes.TrimPrefix(first[1:], []byte("ERR ")))))
}

// anySuccess returns the first success; or, if there is none, the first error
// other than that there is nothing to be done.
func (b *broadcast) anySuccess() []byte {
	var worst []byte
	for i := range b.shares {
		failed := b.shares[i].errorOf()
		switch {
		case failed == nil:
			return b.shares[i].reply
		case worst == nil, bytes.HasPrefix(worst, []byte("-NOTBUSY")):
			worst = failed
		}
	}
	return worst
}

// replies returns those of all servers.
func (b *broadcast) replies() [][]byte {
	replies := make([][]byte, len(b.shares))
	for i := range b.shares {
		replies[i] = b.shares[i].reply
	}
	return replies
}

// joined returns one reply for those of all servers, none of which is an error.
// It reports false if one is not what it should be.
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
		return b.draw(replies), true
	case command.JoinNewest:
		return join.Newest(nil, replies, b.limit)
	case command.JoinOwner:
		return b.joinOwners(replies)
	}
	return replies[0], true
}

// draw returns the reply of a server that is drawn by how many keys it has.
func (b *broadcast) draw(replies [][]byte) []byte {
	weights := make([]int64, len(b.shares))
	for i := range b.shares {
		weights[i] = b.shares[i].weight
	}
	return join.Random(replies, weights, rand.Int64N)
}

// concat answers with the elements of all arrays. They may be many, so they are
// not gathered in another buffer, and each server's is given back when sent.
func (b *broadcast) concat() {
	s, elements := b.s, b.replies()
	head, ok := join.Concat(s.w.failure[:0], elements)
	if !ok {
		s.finish(b.number, replyUnexpected)
		return
	}
	s.Reply(b.number, head, false)
	for i := range b.shares {
		sh := &b.shares[i]
		s.Reply(b.number, elements[i], i == len(b.shares)-1)
		s.w.loop.Release(sh.reply)
		sh.reply = nil
	}
}
