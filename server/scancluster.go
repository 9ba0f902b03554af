package server

import (
	"bytes"
	"hash/crc32"
	"slices"
	"strconv"

	"ringway/pipeline"
	"ringway/resp"
)

// SCAN promises every key that is there from its beginning to its end. In a
// Cluster a slot may move, while a scan goes on, from a shard that is yet to be
// scanned to one that was, and its keys would be missed. So the primaries say
// before and after a pass over all shards which slots they serve and whether one
// is on its way. If that has changed, another pass follows: a key that was missed
// by the first one, since it moved, is found by the second. A key that moves once
// more in every pass is found by none; that is what scanPasses leaves open.
//
// The cursor that a client sees holds all of it, so that a scan may go on over
// another connection or another proxy:
//
//	bits 0-9    the shard, or scanChecks if all were scanned
//	bits 10-11  the pass
//	bits 12-23  a checksum of who served what as the pass began
//	bits 24-63  the shard's own cursor
type clusterCursor struct {
	shard int
	pass  int
	sum   uint32
	own   uint64
}

const (
	scanShardBits = 10
	scanPassBits  = 2
	scanSumBits   = 12
	scanOwnShift  = scanShardBits + scanPassBits + scanSumBits

	scanChecks = 1<<scanShardBits - 1 // stands for a shard: it is to be seen whether slots have moved
	scanPasses = 3

	// Checksums with a meaning of their own.
	sumMoving  = 0                  // slots were moving, or a primary did not say
	sumUnknown = 1<<scanSumBits - 1 // the primaries are not allowed to say: slots are taken to stay
)

func clusterCursorOf(n uint64) clusterCursor {
	return clusterCursor{
		shard: int(n & (1<<scanShardBits - 1)),
		pass:  int(n >> scanShardBits & (1<<scanPassBits - 1)),
		sum:   uint32(n >> (scanShardBits + scanPassBits) & (1<<scanSumBits - 1)),
		own:   n >> scanOwnShift,
	}
}

// encode returns the number for the client. It reports false if the shard's own
// cursor is too large.
func (c clusterCursor) encode() (uint64, bool) {
	n := c.own<<scanOwnShift | uint64(c.sum)<<(scanShardBits+scanPassBits) | uint64(c.pass)<<scanShardBits | uint64(c.shard)
	return n, c.own < 1<<(64-scanOwnShift)
}

// next is where the scan goes on once a shard has answered with its own cursor.
func (c clusterCursor) next(own uint64, shards int) clusterCursor {
	if c.own = own; own == 0 {
		if c.shard++; c.shard >= shards {
			c.shard = scanChecks
		}
	}
	return c
}

// scanCluster runs SCAN in a Cluster. Like handle, it reports false if the
// request must wait.
func (s *session) scanCluster(args [][]byte, cursor uint64) bool {
	at := clusterCursorOf(cursor)
	if cursor != 0 && at.shard != scanChecks {
		return s.scanShard(args, at)
	}
	// The first shard follows the check at once.
	targets := s.shardsToScan()
	for _, shard := range targets {
		if conn := s.to(shard); conn.Full() {
			s.await(conn)
			return false
		}
	}
	rest := make([][]byte, len(args))
	for i, arg := range args {
		rest[i] = bytes.Clone(arg)
	}
	check := &slotCheck{s: s, number: s.push(), args: rest, at: at, begins: cursor == 0, left: len(targets), said: make([][]byte, len(targets))}
	for i, shard := range targets {
		if f := s.to(shard).Send(requestClusterNodes, check, uint32(i)); f != nil {
			check.Fail(uint32(i), f, nil)
		}
	}
	return true
}

var requestClusterNodes = resp.AppendRequest(nil, [][]byte{[]byte("CLUSTER"), []byte("NODES")})

// shardsToScan lists the shards that serve slots, one at least.
func (s *session) shardsToScan() (shards []int) {
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

// scanShard sends SCAN to the shard where the scan stands. Like handle, it
// reports false if it must wait.
func (s *session) scanShard(args [][]byte, at clusterCursor) bool {
	for at.shard < s.local.Shards() && s.local.Absent(at.shard) {
		at.shard, at.own = at.shard+1, 0 // it has no slots any more
	}
	if at.shard >= s.local.Shards() {
		at.shard, at.own = scanChecks, 0
		n, _ := at.encode()
		s.reply(appendScanned(s.w.scratch[:0], n))
		return true
	}
	conn := s.to(at.shard)
	if conn.Full() {
		s.await(conn)
		return false
	}
	s.sendScan(conn, args, at, s.push())
	return true
}

func (s *session) sendScan(conn *pipeline.Conn, args [][]byte, at clusterCursor, number uint32) {
	own := append([][]byte{args[0], strconv.AppendUint(nil, at.own, 10)}, args[2:]...)
	sc := &scan{s: s, next: func(own uint64) (uint64, bool) { return at.next(own, s.local.Shards()).encode() }}
	if f := conn.Send(resp.AppendRequest(nil, own), sc, number); f != nil {
		s.finish(number, f.AppendReply(s.w.failure[:0]))
	}
}

// appendScanned appends a reply to SCAN without keys.
func appendScanned(dst []byte, cursor uint64) []byte {
	dst = appendBulk(append(dst, "*2\r\n"...), strconv.AppendUint(nil, cursor, 10))
	return append(dst, "*0\r\n"...)
}

// slotCheck is the Receiver of CLUSTER NODES, before and after a pass.
type slotCheck struct {
	s      *session
	number uint32   // of the client's request
	args   [][]byte // of that
	at     clusterCursor
	begins bool
	left   int      // primaries that have yet to answer
	said   [][]byte // what each has, so far
	failed bool     // one did not answer
}

// Reply is pipeline.Receiver's; the tag is the primary's index in said.
func (c *slotCheck) Reply(tag uint32, b []byte, last bool) {
	if c.s.conn.Open() {
		c.said[tag] = append(c.said[tag], b...)
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

func (c *slotCheck) answered() {
	if c.left--; c.left > 0 || !c.s.conn.Open() {
		return
	}
	s := c.s
	sum := slotSum(c.said)
	if c.failed {
		sum = sumMoving
	}
	at := clusterCursor{sum: sum}
	if !c.begins {
		moved := sum == sumMoving || c.at.sum == sumMoving || sum != c.at.sum && sum != sumUnknown && c.at.sum != sumUnknown
		if at.pass = c.at.pass + 1; !moved || at.pass >= scanPasses {
			s.finish(c.number, appendScanned(s.w.failure[:0], 0))
			return
		}
	}
	at.shard = s.shardsToScan()[0]
	s.sendScan(s.to(at.shard), c.args, at, c.number)
}

// slotSum returns a checksum of what the primaries say of themselves in their
// replies to CLUSTER NODES: which slots they serve, and since which epoch.
func slotSum(replies [][]byte) uint32 {
	var own []string
	for _, reply := range replies {
		line, ok := ownLine(reply)
		if !ok {
			return sumUnknown
		}
		f := bytes.Fields(line)
		for _, slots := range f[8:] {
			if slots[0] == '[' {
				return sumMoving // to another, or from it
			}
		}
		own = append(own, string(f[0])+string(bytes.Join(f[6:7], nil))+string(bytes.Join(f[8:], []byte(" "))))
	}
	slices.Sort(own)
	h := crc32.NewIEEE()
	for _, line := range own {
		h.Write([]byte(line))
	}
	return 1 + h.Sum32()%(sumUnknown-1)
}

// ownLine returns the line of a reply to CLUSTER NODES that is about the server
// itself.
func ownLine(reply []byte) ([]byte, bool) {
	for line := range bytes.Lines(reply) {
		if f := bytes.Fields(line); len(f) >= 8 && bytes.Contains(f[2], []byte("myself")) {
			return line, true
		}
	}
	return nil, false
}
