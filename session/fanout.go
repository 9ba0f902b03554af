package session

import (
	"bytes"

	"ringway/command"
	"ringway/hashring"
	"ringway/join"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// fanout is a request that was cut into fragments, one for each server that
// owns some of its keys, and whose replies are coalesced into one. It belongs
// to the session's loop, which keeps finished ones for reuse.
type fanout struct {
	s      *session
	w      *Worker
	number uint32 // of the request in its session
	join   command.Join
	parts  []part
	order  []uint16 // JoinArray: for each key, the part that it is in
	left   int      // parts without a reply
	sum    int64    // JoinSum
	failed []byte   // the error reply of the first part that failed

	holds bool // the session, until all is answered

	first, next []int32 // scratch of sendApart
}

// part is one fragment.
type part struct {
	bucket int // as pool.Map.Bucket
	conn   *pipeline.Conn
	keys   int
	size   int    // bytes of its arguments, framing included
	out    []byte // while it is written: the connection's buffer
	reply  []byte // JoinArray: what came so far, in a buffer of the loop
}

// split cuts a request by the servers that own its keys. Like handle, it
// reports false if the request must wait.
func (s *session) split(cmd *command.Command, args [][]byte, raw []byte) bool {
	step := cmd.Step
	if (len(args)-1)%step != 0 {
		s.reply(command.AppendArity(s.w.scratch[:0], cmd))
		return true
	}
	reads := s.mayReadApart(cmd)
	if len(args) == 1+step {
		return s.sendWhole(s.local.Map().Index(args[1]), reads, raw, kindsOf(cmd))
	}
	f := s.w.newFanout()
	m := s.local.Map()
	f.assign(s, m, args, step)
	if len(f.parts) == 1 {
		shard := m.ShardAt(f.parts[0].bucket)
		f.recycle()
		return s.sendSeveral(shard, reads, raw, kindsOf(cmd))
	}
	for i := range f.parts {
		p := &f.parts[i]
		if conn, full := s.connTo(m.ShardAt(p.bucket), reads); full {
			s.await(conn)
			f.recycle()
			return false
		} else {
			p.conn = conn
		}
	}
	f.s, f.join, f.number = s, cmd.Join, s.push()
	if m.Slotted() && s.local.SawTryAgain() {
		f.holds = true
		s.hold()
	}
	if m.Slotted() {
		f.sendApart(args, step)
	} else {
		f.send(args, step)
	}
	return true
}

// sendWhole sends a request that needs no cutting, and whose reply is of the given
// kinds.
func (s *session) sendWhole(shard int, reads bool, raw []byte, kinds pipeline.Kinds) bool {
	if reads {
		return s.sendRead(shard, raw, kinds)
	}
	return s.sendKind(shard, raw, kinds)
}

// sendSeveral is sendWhole for a request that has several keys.
func (s *session) sendSeveral(shard int, reads bool, raw []byte, kinds pipeline.Kinds) bool {
	if !s.local.SawTryAgain() {
		return s.sendWhole(shard, reads, raw, kinds)
	}
	conn, full := s.connTo(shard, reads)
	if full {
		s.await(conn)
		return false
	}
	a := &exclusive{s: s}
	f := conn.SendKind(raw, a, a.next(), kinds)
	if f == nil {
		s.expect(conn, 1)
	}
	a.sent(f)
	return true
}

// connTo returns the connection for a request, and whether it is full.
func (s *session) connTo(shard int, reads bool) (conn *pipeline.Conn, full bool) {
	if reads {
		conn = s.conns.ReadConn(shard, s.info.id)
		return conn, conn.FullForReads() || s.laden(conn)
	}
	conn = s.to(shard)
	return conn, s.full(conn)
}

// assign finds the part of each key: one for each shard, or in a Cluster for
// each hash slot, since a server refuses keys of several.
func (f *fanout) assign(s *session, m *pool.Map, args [][]byte, step int) {
	partOf, batch := s.w.partsOf(m, s.local), &s.w.batch
	for rest := args[1:]; len(rest) > 0; {
		n := min(len(rest)/step, maxBatch)
		for i := range n {
			batch.keys[i] = rest[i*step]
		}
		m.Buckets(batch.keys[:n], batch.buckets[:n])
		for i, place := range batch.buckets[:n] {
			p := partOf[place]
			if p < 0 {
				p = int16(len(f.parts))
				partOf[place] = p
				f.parts = append(f.parts, part{bucket: place})
			}
			f.order = append(f.order, uint16(p))
			f.parts[p].keys++
			for _, arg := range rest[i*step:][:step] {
				f.parts[p].size += len(arg) + bulkFraming
			}
		}
		rest = rest[n*step:]
	}
	for i := range f.parts {
		partOf[f.parts[i].bucket] = -1
	}
}

// partsOf returns a table with -1 for every place, which is to be left so.
func (w *Worker) partsOf(m *pool.Map, local *pool.Local) []int16 {
	places := hashring.Slots
	if !m.Slotted() {
		places = local.Shards()
	}
	for len(w.partOf) < places {
		w.partOf = append(w.partOf, -1)
	}
	return w.partOf
}

// bulkFraming is at least what RESP adds to an argument: "$", up to ten digits
// and two line ends.
const bulkFraming = 1 + 10 + 2 + 2

// send writes the fragments. Their connections have room.
func (f *fanout) send(args [][]byte, step int) {
	f.left = len(f.parts)
	for i := range f.parts {
		p := &f.parts[i]
		var failure *pipeline.Failure
		if p.out, failure = p.conn.Reserve(p.size + 2*bulkFraming + len(args[0])); failure != nil {
			f.fail(failure)
			continue
		}
		p.out = resp.AppendArray(p.out, 1+p.keys*step)
		p.out = resp.AppendBulk(p.out, args[0])
	}
	for i, p := range f.order {
		if out := f.parts[p].out; out != nil {
			for _, arg := range args[1+i*step:][:step] {
				out = resp.AppendBulk(out, arg)
			}
			f.parts[p].out = out
		}
	}
	for i := range f.parts {
		if p := &f.parts[i]; p.out != nil {
			p.conn.Commit(p.out, f, uint32(i), f.kinds())
			f.s.expect(p.conn, len(f.parts))
			p.out = nil
		} else {
			f.left--
		}
	}
	if f.left == 0 {
		f.done()
	}
}

// sendApart writes the fragments one after the other, since several may go over
// one connection: in a Cluster a server has many slots.
func (f *fanout) sendApart(args [][]byte, step int) {
	f.left = len(f.parts)
	first, next := f.chains()
	for i := range f.parts {
		p := &f.parts[i]
		out, failure := p.conn.Reserve(p.size + 2*bulkFraming + len(args[0]))
		if failure != nil {
			f.fail(failure)
			f.left--
			continue
		}
		out = resp.AppendArray(out, 1+p.keys*step)
		out = resp.AppendBulk(out, args[0])
		for key := first[i]; key >= 0; key = next[key] {
			for _, arg := range args[1+int(key)*step:][:step] {
				out = resp.AppendBulk(out, arg)
			}
		}
		p.conn.Commit(out, f, uint32(i), f.kinds())
		f.s.expect(p.conn, len(f.parts))
	}
	if f.left == 0 {
		f.done()
	}
}

// chains returns the first key of each part, and for each key the next one of
// its part, with -1 for none.
func (f *fanout) chains() (first, next []int32) {
	first, next = f.first[:0], f.next[:0]
	for range f.parts {
		first = append(first, -1)
	}
	for range f.order {
		next = append(next, -1)
	}
	for key := len(f.order) - 1; key >= 0; key-- {
		p := f.order[key]
		next[key], first[p] = first[p], int32(key)
	}
	f.first, f.next = first, next
	return first, next
}

// Reply is pipeline.Receiver's; the tag is the part's index.
func (f *fanout) Reply(tag uint32, b []byte, last bool) {
	p := &f.parts[tag]
	if f.s.conn.Open() {
		f.take(p, b, last)
	}
	if last {
		f.left--
		if f.left == 0 {
			f.done()
		}
	}
}

// take records (a part of) a fragment's reply.
func (f *fanout) take(p *part, b []byte, last bool) {
	if p.reply == nil && last {
		switch {
		case b[0] == '-':
			f.failWith(b)
			return
		case f.join == command.JoinSum:
			n, ok := resp.Int(b)
			f.sum += n
			if !ok {
				f.failWith(replyUnexpected)
			}
			return
		case f.join == command.JoinOK:
			if !bytes.Equal(b, replyOK) {
				f.failWith(replyUnexpected)
			}
			return
		}
	}
	if p.reply == nil {
		p.reply = f.w.loop.Buffer(len(b))
	}
	if len(b) > cap(p.reply)-len(p.reply) {
		p.reply = f.w.loop.Grow(p.reply, len(b))
	}
	p.reply = append(p.reply, b...)
	f.s.replies.charge(len(b))
	f.s.checkOutput()
}

// Fail is pipeline.Receiver's. A fragment is not sent elsewhere: the ring that
// the request was cut by is gone.
func (f *fanout) Fail(_ uint32, failure *pipeline.Failure, _ []byte) {
	f.fail(failure)
	f.left--
	if f.left == 0 {
		f.done()
	}
}

func (f *fanout) fail(failure *pipeline.Failure) {
	f.failWith(failure.AppendPartReply(nil))
}

func (f *fanout) failWith(reply []byte) {
	if f.failed == nil {
		f.failed = append(f.failed, reply...)
	}
}

// done answers the request; all its fragments are answered.
func (f *fanout) done() {
	s := f.s
	for i := range f.parts {
		s.replies.refund(len(f.parts[i].reply))
	}
	if f.holds {
		s.release()
		if s.blocked || s.eof {
			s.settle()
		}
	}
	if s.conn.Open() {
		switch {
		case f.failed == nil && f.join != command.JoinArray && f.kept():
			s.finish(f.number, replyUnexpected)
		case f.failed != nil:
			s.finish(f.number, f.failed)
		case f.join == command.JoinSum:
			s.finish(f.number, resp.AppendInt(f.w.failure[:0], f.sum))
		case f.join == command.JoinOK:
			s.finish(f.number, replyOK)
		default:
			f.coalesce()
		}
	}
	f.recycle()
}

// kinds are those of the replies to the parts.
func (f *fanout) kinds() pipeline.Kinds {
	switch f.join {
	case command.JoinArray:
		return pipeline.KindAggregate
	case command.JoinSum:
		return pipeline.KindInteger
	case command.JoinOK:
		return pipeline.KindStatus
	}
	return pipeline.AnyKind
}

// kept tells whether a part of a reply was kept to be joined.
func (f *fanout) kept() bool {
	for i := range f.parts {
		if f.parts[i].reply != nil {
			return true
		}
	}
	return false
}

// coalesce answers with one array of the parts', in the order of the keys.
func (f *fanout) coalesce() {
	total, fit := bulkFraming, true
	parts := f.w.joining[:0]
	for i := range f.parts {
		p := &f.parts[i]
		elements, ok := join.Elements(p.reply, p.keys)
		parts, total, fit = append(parts, elements), total+len(elements), fit && ok
	}
	f.w.working(f.s, total)
	joined := f.w.loop.Buffer(total)
	if fit {
		joined, fit = join.InOrder(joined, parts, f.order)
	}
	clear(parts)
	f.w.joining = parts[:0]
	if fit {
		f.s.finish(f.number, joined)
	} else {
		f.s.finish(f.number, replyUnexpected)
	}
	f.w.loop.Release(joined)
}

var (
	replyOK         = []byte("+OK\r\n")
	replyUnexpected = []byte("-ERR a server answered a part of the request with something unexpected\r\n")
)

// spareFanouts is how many finished fanouts a worker keeps for a while, of some
// 700 bytes with four parts each, and spareOrder the most keys that one of them may have had.
const (
	spareFanouts = 4096
	spareOrder   = 4096
)

func (w *Worker) newFanout() *fanout {
	if n := len(w.fanouts); n > 0 {
		f := w.fanouts[n-1]
		w.fanouts = w.fanouts[:n-1]
		return f
	}
	return &fanout{w: w}
}

// trimFanouts gives up half of the finished fanouts that are kept.
func (w *Worker) trimFanouts() {
	keep := len(w.fanouts) / 2
	clear(w.fanouts[keep:])
	w.fanouts = w.fanouts[:keep]
}

// recycle makes f ready for another request. No fragment of it is under way.
func (f *fanout) recycle() {
	w := f.w
	for i := range f.parts {
		w.loop.Release(f.parts[i].reply)
	}
	clear(f.parts)
	if cap(f.order) > spareOrder || len(w.fanouts) >= spareFanouts {
		return
	}
	*f = fanout{w: w, parts: f.parts[:0], order: f.order[:0], first: f.first[:0], next: f.next[:0]}
	w.fanouts = append(w.fanouts, f)
}
