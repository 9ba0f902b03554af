package server

import (
	"bytes"

	"ringway/command"
	"ringway/pipeline"
	"ringway/resp"
)

// Clients of a loop share one subscription, and so a server counts fewer receivers
// than there are. receivers is the Receiver of a request whose reply tells such a
// number: it adds those that the server can't see.
type receivers struct {
	s        *session
	kind     pipeline.TopicKind
	publish  bool
	channels []string
}

// sendCounting sends PUBLISH, PUBSUB NUMSUB, or their like for shard channels. Like
// handle, it reports false if the request must wait.
func (s *session) sendCounting(cmd *command.Command, args [][]byte, raw []byte, server int) bool {
	conn := s.to(server)
	if conn.Full() {
		s.await(conn)
		return false
	}
	r := &receivers{s: s}
	switch cmd.Name {
	case "publish":
		r.publish = true
	case "spublish":
		r.publish, r.kind = true, pipeline.ShardChannel
	case "pubsub|shardnumsub":
		r.kind = pipeline.ShardChannel
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
		s.finish(number, f.AppendReply(s.w.failure[:0]))
	}
	return true
}

// Reply is pipeline.Receiver's. A reply that is too large to come whole is passed
// on as it is.
func (r *receivers) Reply(number uint32, b []byte, last bool) {
	if last {
		if n, ok := resp.Int(b); ok && r.publish {
			n += int64(r.s.local.ExtraReceivers(r.kind, r.channels[0]))
			b = appendHeader(nil, ':', int(n))
		} else if counted := r.subscribers(b); counted != nil {
			b = counted
		}
	}
	r.s.Reply(number, b, last)
}

// subscribers corrects the reply to PUBSUB NUMSUB: channels, each followed by a
// number. It returns nil for anything else.
func (r *receivers) subscribers(b []byte) []byte {
	elements, ok := resp.ReadArray(b)
	if !ok || elements.Len() != 2*len(r.channels) {
		return nil
	}
	counted := appendHeader(nil, '*', elements.Len())
	for _, channel := range r.channels {
		name, _ := elements.Next()
		count, _ := elements.Next()
		n, ok := resp.Int(count)
		if !ok {
			return nil
		}
		counted = append(counted, name...)
		counted = appendHeader(counted, ':', int(n)+r.s.local.Extra(r.kind, channel))
	}
	return counted
}

// Fail is pipeline.Receiver's.
func (r *receivers) Fail(number uint32, f *pipeline.Failure, request []byte) {
	r.s.Fail(number, f, request)
}

// joinOwners joins the replies to PUBSUB NUMSUB: of each channel, what the shard
// says on which it lives, and those whom that can't see.
func (b *broadcast) joinOwners() ([]byte, bool) {
	m, kind := b.s.local.Map(), pipeline.Channel
	if b.cmd.Name == "pubsub|shardnumsub" {
		kind = pipeline.ShardChannel
	}
	var joined []byte
	counts := map[int][]byte{} // of the joined reply's elements, by their position
	for i := range b.shares {
		elements, ok := resp.ReadArray(b.shares[i].reply)
		if !ok {
			return nil, false
		}
		if i == 0 {
			joined = appendHeader(nil, '*', elements.Len())
		}
		for at := 0; elements.Len() > 1; at++ {
			name, _ := elements.Next()
			count, _ := elements.Next()
			n, ok := resp.Int(count)
			channel := bulk(name)
			if !ok || channel == nil {
				return nil, false
			}
			if m.Index(channel) == b.shares[i].server {
				n += int64(b.s.local.Extra(kind, string(channel)))
				counts[at] = appendHeader(append([]byte(nil), name...), ':', int(n))
			}
		}
	}
	count, _, _ := resp.ArrayLen(joined)
	if 2*len(counts) != count {
		return nil, false
	}
	for at := range len(counts) {
		joined = append(joined, counts[at]...)
	}
	return joined, true
}

// keepOwned leaves each server's reply to PUBSUB CHANNELS with the channels that it owns,
// for there are subscriptions to each at all of them. In a Cluster there are not.
func (b *broadcast) keepOwned() {
	m := b.s.local.Map()
	if m.Slotted() {
		return
	}
	for i := range b.shares {
		sh := &b.shares[i]
		elements, ok := resp.ReadArray(sh.reply)
		if !ok {
			continue
		}
		kept, count := []byte(nil), 0
		for elements.Len() > 0 {
			if name, _ := elements.Next(); m.Index(bulk(name)) == sh.server {
				kept = append(kept, name...)
				count++
			}
		}
		sh.reply = append(appendHeader(sh.reply[:0], '*', count), kept...)
	}
}

// bulk returns the bytes of a framed bulk string, or nil for anything else.
func bulk(b []byte) []byte {
	start := bytes.IndexByte(b, '\n') + 1
	if len(b) == 0 || b[0] != '$' || start > len(b)-2 {
		return nil
	}
	return b[start : len(b)-2]
}
