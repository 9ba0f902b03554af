package pool

import (
	"ringway/eventloop"
	"ringway/pipeline"
)

// A read that is not answered within hedge_after is sent to another server of
// its shard as well, and the first answer counts ("The Tail at Scale", Dean and
// Barroso, 2013: hedged requests). Writes never are.

// hedge is such a read. It is the Receiver of both requests, whose tags are 0
// and 1.
type hedge struct {
	conns   *ConnSet
	shard   int
	client  uint64
	to      pipeline.Receiver
	tag     uint32
	request []byte
	at      int64 // when it was sent, as eventloop.Loop.Now
	first   *pipeline.Conn
	sent    [2]bool // which requests are under way
	winner  int8    // whose reply counts; -1 while there is none
	queued  bool    // in hedges.waiting
}

// hedges are one loop's reads that may yet be sent a second time.
type hedges struct {
	waiting []*hedge // oldest first, since all wait for the same time
	timer   *eventloop.Timer
	spare   []*hedge
}

// spareHedges is how many finished hedges a loop keeps for reuse, and spareRead
// the most bytes that one of them may have copied.
const (
	spareHedges = 1024
	spareRead   = 4 << 10
)

// SendHedged is Send over a connection that ReadConn has returned for the shard
// and client, for a request that only reads.
func (n *ConnSet) SendHedged(c *pipeline.Conn, shard int, client uint64, request []byte, to pipeline.Receiver, tag uint32) *pipeline.Failure {
	l := n.l
	h := l.newHedge()
	*h = hedge{
		conns: n, shard: shard, client: client, to: to, tag: tag, request: append(h.request[:0], request...),
		at: l.loop.Now(), first: c, winner: -1, queued: true,
	}
	if f := c.Send(h.request, h, 0); f != nil {
		h.queued = false
		h.recycle()
		return f
	}
	h.sent[0] = true
	l.hedges.waiting = append(l.hedges.waiting, h)
	if !l.hedges.timer.Armed() {
		l.hedges.timer.After(l.conf.HedgeAfter)
	}
	return nil
}

// hedgeDue sends the reads again that have waited for long enough.
func (l *Local) hedgeDue() {
	q := &l.hedges
	due := l.loop.Now() - int64(l.conf.HedgeAfter)
	n := 0
	for n < len(q.waiting) && (q.waiting[n].at <= due || q.waiting[n].winner >= 0) {
		h := q.waiting[n]
		n++
		h.queued = false
		if h.winner < 0 && h.sent[0] {
			h.again()
		}
		h.recycle()
	}
	rest := copy(q.waiting, q.waiting[n:])
	clear(q.waiting[rest:])
	q.waiting = q.waiting[:rest]
	if rest > 0 {
		q.timer.Reset(q.waiting[0].at + int64(l.conf.HedgeAfter))
	}
}

// again sends the read to another server, if there is one that has room.
func (h *hedge) again() {
	n := h.conns
	others := append([]*pipeline.Conn(nil), n.reads[h.shard]...)
	if n.noReplica == nil {
		others = append(others, n.fallback[h.shard*n.width+int(h.client%uint64(n.width))])
	}
	for i := range others {
		c := others[(h.client+uint64(i))%uint64(len(others))]
		if c != h.first && c.Up() && !c.FullForReads() {
			h.sent[1] = c.Send(h.request, h, 1) == nil
			return
		}
	}
}

// Reply is pipeline.Receiver's.
func (h *hedge) Reply(tag uint32, b []byte, last bool) {
	if last {
		h.sent[tag] = false
	}
	if h.winner < 0 {
		h.winner = int8(tag)
	}
	if h.winner == int8(tag) {
		h.to.Reply(h.tag, b, last)
	}
	h.recycle()
}

// Fail is pipeline.Receiver's. One failure is no news while there is hope.
func (h *hedge) Fail(tag uint32, f *pipeline.Failure, _ []byte) {
	h.sent[tag] = false
	switch {
	case h.winner == int8(tag):
		h.to.Fail(h.tag, f, nil) // the rest of its reply will not come
	case h.winner < 0 && !h.sent[1-tag]:
		h.winner = int8(tag)
		h.to.Fail(h.tag, f, nil)
	}
	h.recycle()
}

func (l *Local) newHedge() *hedge {
	if last := len(l.hedges.spare) - 1; last >= 0 {
		h := l.hedges.spare[last]
		l.hedges.spare = l.hedges.spare[:last]
		return h
	}
	return &hedge{}
}

// recycle keeps the hedge for another read, if nothing holds on to it.
func (h *hedge) recycle() {
	if h.queued || h.sent[0] || h.sent[1] {
		return
	}
	if spare := &h.conns.l.hedges.spare; len(*spare) < spareHedges && cap(h.request) <= spareRead {
		*spare = append(*spare, h)
	}
	h.to, h.first = nil, nil
}
