package server

import (
	"bytes"
	"fmt"
	"math/rand/v2"

	"ringway/command"
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
		if cmd.NeedsFence() {
			return s.sendFenced(0, raw)
		}
		if cmd.Join == command.JoinOwner && s.local.Shared() {
			return s.sendCounting(cmd, args, raw, 0)
		}
		return s.send(0, raw)
	}
	b := &broadcast{s: s, cmd: cmd, apart: apart, limit: slowlogCount(args)}
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
			conn, err := s.lanes.Pin(sh.server)
			if err != nil {
				b.lose(i, resp.AppendError(nil, errNoPin.Error()), false)
				continue
			}
			sh.conn = conn
		}
		if cmd.Join == command.JoinRandom {
			sh.conn.Send(requestDBSize, sizeOf{sh}, 0)
		}
		if f := sh.conn.Send(raw, b, uint32(i)); f != nil {
			b.lose(i, f.AppendReply(nil), f.Sent)
		} else if cmd.NeedsFence() {
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
		s.far += len(reply)
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
		s.far -= len(sh.reply)
		size += len(sh.reply)
		if b.apart && sh.conn != nil {
			s.local.Unpin(sh.conn, sh.failure == nil)
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

// joined returns one reply for those of all servers, none of which is an error.
// It reports false if one is not what it should be.
func (b *broadcast) joined() (reply []byte, ok bool) {
	switch b.cmd.Join {
	case command.JoinSum, command.JoinMin:
		return b.joinIntegers()
	case command.JoinAnd:
		return b.joinEach()
	case command.JoinOK:
		for i := range b.shares {
			if !bytes.Equal(b.shares[i].reply, replyOK) {
				return nil, false
			}
		}
	case command.JoinRandom:
		return b.draw(), true
	case command.JoinNewest:
		return b.joinNewest()
	case command.JoinOwner:
		return b.joinOwners()
	}
	return b.shares[0].reply, true
}

func (b *broadcast) joinIntegers() ([]byte, bool) {
	sum, least := int64(0), int64(0)
	for i := range b.shares {
		n, ok := resp.Int(b.shares[i].reply)
		if !ok {
			return nil, false
		}
		sum += n
		if i == 0 || n < least {
			least = n
		}
	}
	if b.cmd.Join == command.JoinMin {
		sum = least
	}
	return appendHeader(nil, ':', int(sum)), true
}

// joinEach joins arrays of integers of the same length.
func (b *broadcast) joinEach() ([]byte, bool) {
	var least []int64
	for i := range b.shares {
		r, ok := resp.ReadArray(b.shares[i].reply)
		if !ok || i > 0 && r.Len() != len(least) {
			return nil, false
		}
		for at := 0; r.Len() > 0; at++ {
			element, _ := r.Next()
			n, ok := resp.Int(element)
			switch {
			case !ok:
				return nil, false
			case i == 0:
				least = append(least, n)
			default:
				least[at] = min(least[at], n)
			}
		}
	}
	joined := appendHeader(nil, '*', len(least))
	for _, n := range least {
		joined = appendHeader(joined, ':', int(n))
	}
	return joined, true
}

// draw picks a reply that is not null, if there is one, from servers as often as
// they have keys.
func (b *broadcast) draw() []byte {
	drawn, total := b.shares[0].reply, int64(0)
	for i := range b.shares {
		sh := &b.shares[i]
		if sh.reply[0] != '$' || sh.reply[1] == '-' {
			continue
		}
		weight := max(sh.weight, 1)
		if total += weight; rand.Int64N(total) < weight {
			drawn = sh.reply
		}
	}
	return drawn
}

// concat answers with the elements of all arrays. They may be many, so they are
// not gathered in another buffer, and each server's is given back when sent.
func (b *broadcast) concat() {
	total, heads := 0, make([]int, len(b.shares))
	for i := range b.shares {
		count, head, ok := resp.ArrayLen(b.shares[i].reply)
		if !ok || count < 0 {
			b.s.finish(b.number, replyUnexpected)
			return
		}
		total += count
		heads[i] = head
	}
	s := b.s
	s.Reply(b.number, appendHeader(s.w.failure[:0], '*', total), false)
	for i := range b.shares {
		sh := &b.shares[i]
		s.Reply(b.number, sh.reply[heads[i]:], i == len(b.shares)-1)
		s.w.loop.Release(sh.reply)
		sh.reply = nil
	}
}
