package session

import (
	"ringway/command"
	"ringway/join"
	"ringway/pipeline"
	"ringway/pubsub"
	"ringway/resp"
)

// The clients of a loop share one subscription at a server, so a server counts fewer
// receivers than there are. publishCount is the Receiver of a request whose reply has such a
// count: it adds the receivers that the server can't see.
type publishCount struct {
	s        *session
	kind     pubsub.TopicKind
	publish  bool     // PUBLISH or SPUBLISH; else PUBSUB NUMSUB or SHARDNUMSUB
	channels []string // of the request
}

// sendCounting sends PUBLISH, PUBSUB NUMSUB, SPUBLISH or PUBSUB SHARDNUMSUB to a server. Like
// handle, it reports false if the request must wait.
func (s *session) sendCounting(cmd *command.Command, args [][]byte, raw []byte, server int) bool {
	conn := s.primaryConn(server)
	if conn.Full() {
		s.await(conn)
		return false
	}
	r := &publishCount{s: s}
	switch cmd.Name {
	case "publish":
		r.publish = true
	case "spublish":
		r.publish, r.kind = true, pubsub.ShardChannel
	case "pubsub|shardnumsub":
		r.kind = pubsub.ShardChannel
	}
	if r.publish {
		r.channels = []string{string(args[1])}
	} else {
		for _, arg := range args[2:] {
			r.channels = append(r.channels, string(arg))
		}
	}
	number := s.push()
	if f := conn.Send(raw, r, number); f != nil {
		s.finish(number, s.failureReply(f))
	}
	return true
}

// Reply is pipeline.Receiver's. A reply that is too large to come as a whole is passed on as
// it is.
func (r *publishCount) Reply(number uint32, b []byte, last bool) {
	if last {
		if n, ok := resp.Int(b); ok && r.publish {
			n += int64(r.s.subscriptions.ExtraReceivers(r.kind, r.channels[0]))
			b = resp.AppendInt(nil, n)
		} else if counted, ok := r.subscribers(b); ok {
			b = counted
		}
	}
	r.s.Reply(number, b, last)
}

// subscribers corrects the counts in b, the reply to PUBSUB NUMSUB. It reports false if b is
// not such a reply.
func (r *publishCount) subscribers(b []byte) ([]byte, bool) {
	if n, _, _ := resp.ArrayLen(b); n != 2*len(r.channels) {
		return nil, false
	}
	return join.NumSub(nil, b, func(i int) int { return r.s.subscriptions.ExtraSubscribers(r.kind, r.channels[i]) })
}

// Fail is pipeline.Receiver's.
func (r *publishCount) Fail(number uint32, f *pipeline.Failure, request []byte) {
	r.s.Fail(number, f, request)
}

// joinOwners joins all shards' replies to PUBSUB NUMSUB. The count of a channel is that of the
// shard that owns it, and the receivers which that shard can't see.
func (b *broadcast) joinOwners(replies [][]byte) ([]byte, bool) {
	m, kind := b.s.local.Map(), pubsub.Channel
	if b.cmd.Name == "pubsub|shardnumsub" {
		kind = pubsub.ShardChannel
	}
	owns := func(i int, channel []byte) bool { return m.Index(channel) == b.targets[i].server }
	return join.NumSubOfOwners(nil, replies, owns, func(channel []byte) int { return b.s.subscriptions.ExtraSubscribers(kind, string(channel)) })
}

// keepOwned reduces each server's reply to PUBSUB CHANNELS, or SHARDCHANNELS, to the channels that the server
// owns. The proxy subscribes to a channel at several servers, and each would list it. In a
// Cluster it does not, and every reply stays as it is.
func (b *broadcast) keepOwned() {
	m := b.s.local.Map()
	if m.Slotted() {
		return
	}
	for i := range b.targets {
		sh := &b.targets[i]
		if kept, ok := join.Filter(nil, sh.reply, func(channel []byte) bool { return m.Index(channel) == sh.server }); ok {
			sh.reply = append(sh.reply[:0], kept...)
		}
	}
}
