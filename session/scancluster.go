package session

import (
	"bytes"

	"ringway/hashring"
	"ringway/join"
	"ringway/pipeline"
	"ringway/resp"
)

// scanCluster runs SCAN in a Cluster. prefix is what all keys that it can return begin with, and
// only their shard; or -1 if they may be on several. Like handle, it reports false if the
// request must wait.
//
// Slots may move while a scan is under way, and their keys past the scan. So it looks at who
// has which slots, by CLUSTER NODES of all primaries, before the first shard and after the
// last one. If slots have moved in between, the scan makes another pass. A scan that begins
// with one shard stays with it, whoever has the slot then, until such a pass.
func (s *session) scanCluster(args [][]byte, cursor uint64, only int, prefix []byte) bool {
	at := join.ParseClusterCursor(cursor)
	if cursor != 0 && at.Shard != join.AllScanned {
		return s.scanShard(args, at, only >= 0)
	}
	// The first shard's SCAN follows the check without another chance to wait, so all
	// connections must have room now.
	targets := s.servingShards()
	for _, shard := range targets {
		if conn := s.primaryConn(shard); conn.Full() {
			s.await(conn)
			return false
		}
	}
	rest := make([][]byte, len(args))
	for i, arg := range args {
		rest[i] = bytes.Clone(arg)
	}
	check := &slotCheck{s: s, number: s.push(), args: rest, at: at, only: only, slot: -1, first: cursor == 0, left: len(targets), targets: targets, replies: make([][]byte, len(targets))}
	if only >= 0 {
		check.slot = int(hashring.Slot(prefix))
	}
	for i, shard := range targets {
		if f := s.primaryConn(shard).Send(requestClusterNodes, check, uint32(i)); f != nil {
			check.Fail(uint32(i), f, nil)
		}
	}
	return true
}

var requestClusterNodes = resp.AppendRequest(nil, [][]byte{[]byte("CLUSTER"), []byte("NODES")})

// servingShards returns the shards that are not ejected and, in a Cluster, have slots. It
// returns at least one: if there is none, sending to the first shard gives the client an
// error.
func (s *session) servingShards() (shards []int) {
	for shard := range s.local.Shards() {
		if !s.local.Absent(shard) {
			shards = append(shards, shard)
		}
	}
	if len(shards) == 0 {
		return []int{0}
	}
	return shards
}

// scanShard sends SCAN to the shard that the cursor names. one reports whether all keys that it
// can return are on one shard. Like handle, it reports false if the request must wait.
func (s *session) scanShard(args [][]byte, at join.ClusterCursor, one bool) bool {
	if !one {
		at = at.ToAll()
	}
	for at.Shard < s.local.Shards() && s.local.Absent(at.Shard) {
		at.Shard, at.Own = at.Shard+1, 0 // it has no slots any more
	}
	if at.Shard >= s.local.Shards() {
		at.Shard, at.Own = join.AllScanned, 0
		n, _ := at.Encode()
		s.reply(join.AppendEmptyScan(s.w.scratch[:0], n))
		return true
	}
	conn := s.primaryConn(at.Shard)
	if conn.Full() {
		s.await(conn)
		return false
	}
	s.sendClusterScan(conn, args, at, s.push())
	return true
}

// sendClusterScan sends SCAN to the shard that the cursor at names, over conn.
func (s *session) sendClusterScan(conn *pipeline.Conn, args [][]byte, at join.ClusterCursor, number uint32) {
	s.sendScan(conn, args, at.Own, number, func(own uint64) (uint64, bool) { return at.Next(own, s.local.Shards()).Encode() })
}

// slotCheck is the Receiver of CLUSTER NODES from all primaries, before or after a pass.
type slotCheck struct {
	s       *session
	number  uint32   // of the client's SCAN
	args    [][]byte // of that, copied
	at      join.ClusterCursor
	only    int // the shard of the keys that the scan can return, as far as is known; or -1
	slot    int // of these keys
	first   bool
	targets []int    // shards of the primaries that are asked
	left    int      // of them, those that have yet to answer
	replies [][]byte // by primary: its reply, so far
	failed  bool     // a primary did not answer
}

// Reply is pipeline.Receiver's; the tag is the primary's index in replies.
func (c *slotCheck) Reply(tag uint32, b []byte, last bool) {
	if c.s.conn.Open() {
		c.replies[tag] = append(c.replies[tag], b...)
	}
	if last {
		c.answered()
	}
}

// Fail is pipeline.Receiver's.
func (c *slotCheck) Fail(uint32, *pipeline.Failure, []byte) {
	c.failed = true
	c.answered()
}

// answered ends the check after the last primary's answer: the client gets the end of the
// scan, or the next pass begins.
func (c *slotCheck) answered() {
	if c.left--; c.left > 0 || !c.s.conn.Open() {
		return
	}
	s := c.s
	sum := join.SlotSum(c.replies)
	if c.failed {
		sum = join.SumMoving
	}
	at := join.ClusterCursor{Sum: sum}
	if !c.first {
		var follows bool
		if at, follows = c.at.NextPass(sum); !follows {
			s.finish(c.number, join.AppendEmptyScan(s.w.failure[:0], 0))
			return
		}
	}
	at.Shard = c.targets[0]
	if c.first && c.only >= 0 && sum != join.SumMoving {
		if i, known := join.SlotOwner(c.replies, c.slot); i >= 0 {
			at = at.ToOne(c.targets[i])
		} else if !known {
			at = at.ToOne(c.only)
		}
	}
	s.sendClusterScan(s.primaryConn(at.Shard), c.args, at, c.number)
}
