package session

import (
	"bytes"

	"ringway/command"
	"ringway/hashring"
	"ringway/join"
	"ringway/resp"
)

// In a Cluster, KEYS with a pattern of one hash slot asks the slot's primary, and behind it for
// CLUSTER NODES. If that says that the slot is on its way to another server, or is there already,
// all others are asked too, when this one has answered: a key that it did not have any more is at
// the other by then.

// keysOfSlot is what a broadcast of KEYS knows of its slot. Of the broadcast's targets the first is
// the slot's primary as far as is known. The second, until checked, is CLUSTER NODES of the same.
type keysOfSlot struct {
	slot    int
	request []byte // KEYS, copied
	checked bool   // CLUSTER NODES has answered
}

// keysOfOneSlot sends KEYS with a pattern of which prefix is the beginning, and of keys of its slot
// only. Like handle, it reports false if the request must wait.
func (s *session) keysOfOneSlot(cmd *command.Command, raw, prefix []byte) bool {
	targets := s.servingShards()
	for _, shard := range targets {
		if conn := s.primaryConn(shard); s.full(conn) {
			s.await(conn) // the others may have to be asked without another chance to wait
			return false
		}
	}
	shard := s.local.Map().Index(prefix)
	conn := s.primaryConn(shard)
	if s.full(conn) {
		s.await(conn)
		return false
	}
	b := &broadcast{s: s, cmd: cmd, left: 2, ofSlot: &keysOfSlot{slot: int(hashring.Slot(prefix)), request: bytes.Clone(raw)}}
	b.targets = []broadcastTarget{{server: shard, conn: conn}, {server: shard, conn: conn}}
	s.closeWindow()
	b.number = s.push()
	for i, request := range [][]byte{raw, requestClusterNodes} {
		if f := conn.Send(request, b, uint32(i)); f != nil {
			b.failTarget(i, f.AppendReply(nil), f.Sent)
		}
	}
	return true
}

// checkSlot ends the broadcast if its slot stays where it was asked for, else it asks all other
// primaries.
func (b *broadcast) checkSlot() {
	s, k := b.s, b.ofSlot
	k.checked = true
	nodes := &b.targets[1]
	open := s.conn.Open()
	stays := open && nodes.errorOf() == nil && join.SlotStays(nodes.reply, k.slot)
	s.replies.refund(len(nodes.reply))
	s.w.loop.Release(nodes.reply)
	b.targets = b.targets[:1]
	if !open || stays || b.targets[0].errorOf() != nil {
		b.done()
		return
	}
	for _, shard := range s.servingShards() {
		if shard != b.targets[0].server {
			b.targets = append(b.targets, broadcastTarget{server: shard, conn: s.primaryConn(shard)})
		}
	}
	b.left = len(b.targets) // one more than are asked, so that it does not end among them
	for i := 1; i < len(b.targets); i++ {
		if f := b.targets[i].conn.Send(k.request, b, uint32(i)); f != nil {
			b.failTarget(i, f.AppendReply(nil), f.Sent)
		}
	}
	b.countDown()
}

// dropRepeated takes from the replies of the other primaries what the first had, too. It reports
// false if one is of an unexpected type.
func (b *broadcast) dropRepeated() bool {
	keys, ok := resp.ReadArray(b.targets[0].reply)
	if !ok {
		return false
	}
	first := map[string]struct{}{}
	for keys.Len() > 0 {
		element, whole := keys.Next()
		if !whole {
			return false
		}
		key, _ := resp.Bulk(element)
		first[string(key)] = struct{}{}
	}
	for i := 1; i < len(b.targets); i++ {
		t := &b.targets[i]
		rest, ok := join.Filter(nil, t.reply, func(key []byte) bool {
			_, repeated := first[string(key)]
			return !repeated
		})
		if !ok {
			return false
		}
		t.reply = append(t.reply[:0], rest...)
	}
	return true
}
