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

// fanout is a request that is cut into fragments, one for each shard that owns some of its keys
// (in a Cluster, one for each hash slot), and whose replies are coalesced into one. It is the
// Receiver of these replies. It belongs to the session's loop, which keeps finished ones for
// reuse.
type fanout struct {
	s          *session
	w          *Worker
	number     uint32 // of the request in its session
	join       command.Join
	fragments  []fragment
	fragmentOf []uint16 // for each key, the index of its fragment
	left       int      // fragments without a reply
	sum        int64    // JoinSum: of the replies so far
	failed     []byte   // the error reply of the first fragment that failed

	closedWindow bool // the session's window is closed until all is answered

	first, next []int32 // scratch of sendOneByOne
}

// fragment is the part of a fanout for one shard, or for one hash slot.
type fragment struct {
	bucket int // as pool.Map.Bucket
	conn   *pipeline.Conn
	keys   int
	size   int    // bytes of its arguments, framing included
	out    []byte // while it is written: the connection's buffer, from Reserve
	reply  []byte // JoinArray: what has come so far, in a buffer lent by the loop
}

// split cuts a request by the shards that own its keys, and sends the fragments. Like handle, it
// reports false if the request must wait; then nothing was sent.
func (s *session) split(cmd *command.Command, args [][]byte, raw []byte) bool {
	step := cmd.Step
	if (len(args)-1)%step != 0 {
		s.reply(command.AppendArity(s.w.scratch[:0], cmd))
		return true
	}
	reads := s.mayReadReplica(cmd)
	if len(args) == 1+step {
		return s.sendSingle(s.local.Map().Index(args[1]), reads, raw, kindsOf(cmd))
	}
	f := s.w.newFanout()
	m := s.local.Map()
	f.assign(s, m, args, step)
	if len(f.fragments) == 1 {
		shard := m.ShardAt(f.fragments[0].bucket)
		f.recycle()
		return s.sendMultiKey(shard, reads, raw, kindsOf(cmd))
	}
	for i := range f.fragments {
		p := &f.fragments[i]
		if conn, full := s.connFor(m.ShardAt(p.bucket), reads); full {
			s.await(conn)
			f.recycle()
			return false
		} else {
			p.conn = conn
		}
	}
	f.s, f.join, f.number = s, cmd.Join, s.push()
	if s.stats != nil {
		s.stats.Requests.Fragments += uint64(len(f.fragments))
	}
	if m.Slotted() && s.local.SlotsMove() {
		f.closedWindow = true
		s.closeWindow()
	}
	if m.Slotted() {
		f.sendOneByOne(args, step)
	} else {
		f.send(args, step)
	}
	return true
}

// sendSingle sends a request that needs no cutting to its shard: to a replica or the primary if
// reads, else to the primary. kinds are the types that its reply can have.
func (s *session) sendSingle(shard int, reads bool, raw []byte, kinds pipeline.Kinds) bool {
	if reads {
		return s.sendRead(shard, raw, kinds)
	}
	return s.sendKind(shard, raw, kinds)
}

// sendMultiKey is sendSingle for a request with several keys. While slots are being moved
// (pool.Local.SlotsMove) the server may answer -TRYAGAIN, and the request is retried: the
// session's next request waits meanwhile.
func (s *session) sendMultiKey(shard int, reads bool, raw []byte, kinds pipeline.Kinds) bool {
	if !s.local.SlotsMove() {
		return s.sendSingle(shard, reads, raw, kinds)
	}
	conn, full := s.connFor(shard, reads)
	if full {
		s.await(conn)
		return false
	}
	a := &exclusive{s: s}
	f := conn.SendKind(raw, a, a.start(), kinds)
	if f == nil {
		s.expect(conn, 1)
	}
	a.checkSent(f)
	return true
}

// connFor returns the shared connection for a request, and whether the request must wait for it.
func (s *session) connFor(shard int, reads bool) (conn *pipeline.Conn, full bool) {
	if reads {
		conn = s.conns.ReadConn(shard, s.info.id)
		return conn, conn.FullForReads() || s.laden(conn)
	}
	conn = s.primaryConn(shard)
	return conn, s.full(conn)
}

// assign makes the fragments and assigns each key to one. There is one fragment for each shard,
// in a Cluster one for each hash slot, since its servers refuse keys of several slots.
func (f *fanout) assign(s *session, m *pool.Map, args [][]byte, step int) {
	fragmentAt, batch := s.w.fragmentTable(m, s.local), &s.w.batch
	for rest := args[1:]; len(rest) > 0; {
		n := min(len(rest)/step, maxBatch)
		for i := range n {
			batch.keys[i] = rest[i*step]
		}
		m.Buckets(batch.keys[:n], batch.buckets[:n])
		for i, bucket := range batch.buckets[:n] {
			p := fragmentAt[bucket]
			if p < 0 {
				p = int16(len(f.fragments))
				fragmentAt[bucket] = p
				f.fragments = append(f.fragments, fragment{bucket: bucket})
			}
			f.fragmentOf = append(f.fragmentOf, uint16(p))
			f.fragments[p].keys++
			for _, arg := range rest[i*step:][:step] {
				f.fragments[p].size += len(arg) + bulkFraming
			}
		}
		rest = rest[n*step:]
	}
	for i := range f.fragments {
		fragmentAt[f.fragments[i].bucket] = -1
	}
}

// fragmentTable returns a table from bucket to fragment that has -1 everywhere. The caller must
// leave it so.
func (w *Worker) fragmentTable(m *pool.Map, local *pool.Local) []int16 {
	buckets := hashring.Slots
	if !m.Slotted() {
		buckets = local.Shards()
	}
	for len(w.fragmentAt) < buckets {
		w.fragmentAt = append(w.fragmentAt, -1)
	}
	return w.fragmentAt
}

// bulkFraming is an upper bound of the bytes that RESP adds to an argument: "$", up to ten digits
// and two line ends.
const bulkFraming = 1 + 10 + 2 + 2

// send writes all fragments at once, key by key, into their connections' buffers. Each has a
// connection of its own, with room.
func (f *fanout) send(args [][]byte, step int) {
	f.left = len(f.fragments)
	for i := range f.fragments {
		p := &f.fragments[i]
		var failure *pipeline.Failure
		if p.out, failure = p.conn.Reserve(p.size + 2*bulkFraming + len(args[0])); failure != nil {
			f.fail(failure)
			continue
		}
		p.out = resp.AppendArray(p.out, 1+p.keys*step)
		p.out = resp.AppendBulk(p.out, args[0])
	}
	for i, p := range f.fragmentOf {
		if out := f.fragments[p].out; out != nil {
			for _, arg := range args[1+i*step:][:step] {
				out = resp.AppendBulk(out, arg)
			}
			f.fragments[p].out = out
		}
	}
	for i := range f.fragments {
		if p := &f.fragments[i]; p.out != nil {
			p.conn.Commit(p.out, f, uint32(i), f.kinds())
			f.s.expect(p.conn, len(f.fragments))
			p.out = nil
		} else {
			f.left--
		}
	}
	if f.left == 0 {
		f.done()
	}
}

// sendOneByOne writes the fragments one after the other, for Clusters: a server has many slots,
// so several fragments may go over one connection, which has one buffer.
func (f *fanout) sendOneByOne(args [][]byte, step int) {
	f.left = len(f.fragments)
	first, next := f.chains()
	for i := range f.fragments {
		p := &f.fragments[i]
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
		f.s.expect(p.conn, len(f.fragments))
	}
	if f.left == 0 {
		f.done()
	}
}

// chains returns the first key of each fragment, and for each key the next one of the same
// fragment, with -1 for none.
func (f *fanout) chains() (first, next []int32) {
	first, next = f.first[:0], f.next[:0]
	for range f.fragments {
		first = append(first, -1)
	}
	for range f.fragmentOf {
		next = append(next, -1)
	}
	for key := len(f.fragmentOf) - 1; key >= 0; key-- {
		p := f.fragmentOf[key]
		next[key], first[p] = first[p], int32(key)
	}
	f.first, f.next = first, next
	return first, next
}

// Reply implements pipeline.Receiver; the tag is the fragment's index.
func (f *fanout) Reply(tag uint32, b []byte, last bool) {
	fragment := &f.fragments[tag]
	if f.s.conn.Open() {
		f.take(fragment, b, last)
	}
	if last {
		f.left--
		if f.left == 0 {
			f.done()
		}
	}
}

// take records a fragment's reply, or a part of one. Replies that come whole are counted at once
// where the join allows it; others are copied.
func (f *fanout) take(fragment *fragment, b []byte, last bool) {
	if fragment.reply == nil && last {
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
	if fragment.reply == nil {
		fragment.reply = f.w.loop.Buffer(len(b))
	}
	if len(b) > cap(fragment.reply)-len(fragment.reply) {
		fragment.reply = f.w.loop.Grow(fragment.reply, len(b))
	}
	fragment.reply = append(fragment.reply, b...)
	f.s.replies.charge(len(b))
	f.s.checkOutputLimit()
}

// Fail implements pipeline.Receiver. A fragment is not sent elsewhere: after a change of the
// ring its keys may belong to several servers.
func (f *fanout) Fail(_ uint32, failure *pipeline.Failure, _ []byte) {
	f.fail(failure)
	f.left--
	if f.left == 0 {
		f.done()
	}
}

// fail records a failure as the reply of the request, if it is the first.
func (f *fanout) fail(failure *pipeline.Failure) {
	if f.failed == nil {
		f.s.countFailure(failure)
	}
	f.failWith(failure.AppendPartReply(nil))
}

// failWith records the error reply for the client, if it is the first. reply is copied.
func (f *fanout) failWith(reply []byte) {
	if f.failed == nil {
		f.failed = append(f.failed, reply...)
	}
}

// done answers the request, when all its fragments are answered.
func (f *fanout) done() {
	s := f.s
	for i := range f.fragments {
		s.replies.refund(len(f.fragments[i].reply))
	}
	if f.closedWindow {
		s.openWindow()
		if s.blocked || s.eof {
			s.deferRun()
		}
	}
	if s.conn.Open() {
		switch {
		case f.failed == nil && f.join != command.JoinArray && f.hasKeptReply():
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

// kinds returns the types that replies to the fragments can have.
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

// hasKeptReply reports whether a reply came in parts, and was kept, where only short ones are
// expected.
func (f *fanout) hasKeptReply() bool {
	for i := range f.fragments {
		if f.fragments[i].reply != nil {
			return true
		}
	}
	return false
}

// coalesce answers with one array of the elements of all replies, in the order of the keys.
func (f *fanout) coalesce() {
	total, fit := bulkFraming, true
	parts := f.w.joinScratch[:0]
	for i := range f.fragments {
		p := &f.fragments[i]
		elements, ok := join.Elements(p.reply, p.keys)
		parts, total, fit = append(parts, elements), total+len(elements), fit && ok
	}
	f.w.noteWork(f.s, total)
	joined := f.w.loop.Buffer(total)
	if fit {
		joined, fit = join.InOrder(joined, parts, f.fragmentOf)
	}
	clear(parts)
	f.w.joinScratch = parts[:0]
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

// maxSpareFanouts is how many finished fanouts a worker keeps for a while, with some 700 bytes each
// for four fragments. One with more than spareFanoutKeys keys is not kept.
const (
	maxSpareFanouts = 4096
	spareFanoutKeys = 4096
)

// newFanout returns an empty fanout, a finished one if there is one.
func (w *Worker) newFanout() *fanout {
	if n := len(w.spareFanouts); n > 0 {
		f := w.spareFanouts[n-1]
		w.spareFanouts = w.spareFanouts[:n-1]
		return f
	}
	return &fanout{w: w}
}

// trimFanouts frees half of the finished fanouts. It is called now and then, so that a burst's
// fanouts are freed within seconds.
func (w *Worker) trimFanouts() {
	keep := len(w.spareFanouts) / 2
	clear(w.spareFanouts[keep:])
	w.spareFanouts = w.spareFanouts[:keep]
}

// recycle gives back f's buffers and keeps it for another request. No fragment may be under way.
func (f *fanout) recycle() {
	w := f.w
	for i := range f.fragments {
		w.loop.Release(f.fragments[i].reply)
	}
	clear(f.fragments)
	if cap(f.fragmentOf) > spareFanoutKeys || len(w.spareFanouts) >= maxSpareFanouts {
		return
	}
	*f = fanout{w: w, fragments: f.fragments[:0], fragmentOf: f.fragmentOf[:0], first: f.first[:0], next: f.next[:0]}
	w.spareFanouts = append(w.spareFanouts, f)
}
