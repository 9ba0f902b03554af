package pool

import (
	"ringway/eventloop"
	"ringway/pipeline"
)

// A read that is not answered within hedge_after is sent to another server of
// its shard as well, and the first answer counts ("The Tail at Scale", Dean and
// Barroso, 2013: hedged requests). Writes are never sent twice.

// hedge is such a read. It is the Receiver of both requests, whose tags are 0 and 1.
type hedge struct {
	conns   *ConnSet
	shard   int
	client  uint64
	to      pipeline.Receiver
	tag     uint32
	request []byte
	at      int64 // when it was sent, as eventloop.Loop.Now
	first   *pipeline.Conn
	sent    [2]bool // which requests are in flight
	winner  int8    // whose reply counts; -1 while there is none
	queued  bool    // in hedges.pending
}

// hedges is one loop's reads that may yet be sent a second time.
type hedges struct {
	pending []*hedge // oldest first: all wait for the same time
	timer   *eventloop.Timer
	spare   []*hedge
}

// spareHedges is how many finished hedges a loop keeps for reuse, and spareRead the most
// bytes of a request that one of them may keep.
const (
	spareHedges = 1024
	spareRead   = 4 << 10
)

// SendHedged is Conn.Send for a request that only reads, over a connection c that
// ReadConn has returned for the shard and client. It copies the request.
func (cs *ConnSet) SendHedged(c *pipeline.Conn, shard int, client uint64, request []byte, to pipeline.Receiver, tag uint32) *pipeline.Failure {
	l := cs.l
	h := l.newHedge()
	*h = hedge{
		conns: cs, shard: shard, client: client, to: to, tag: tag, request: append(h.request[:0], request...),
		at: l.loop.Now(), first: c, winner: -1, queued: true,
	}
	if f := c.Send(h.request, h, 0); f != nil {
		h.queued = false
		h.recycle()
		return f
	}
	h.sent[0] = true
	l.hedges.pending = append(l.hedges.pending, h)
	if !l.hedges.timer.Armed() {
		l.hedges.timer.After(l.Conf().HedgeAfter)
	}
	return nil
}

// hedgeDue is the timer's: it sends the reads again that have waited for hedge_after.
func (l *Local) hedgeDue() {
	q := &l.hedges
	due := l.loop.Now() - int64(l.Conf().HedgeAfter)
	n := 0
	for n < len(q.pending) && (q.pending[n].at <= due || q.pending[n].winner >= 0) {
		h := q.pending[n]
		n++
		h.queued = false
		if h.winner < 0 && h.sent[0] {
			h.sendSecond()
		}
		h.recycle()
	}
	rest := copy(q.pending, q.pending[n:])
	clear(q.pending[rest:])
	q.pending = q.pending[:rest]
	if rest > 0 {
		q.timer.Reset(q.pending[0].at + int64(l.Conf().HedgeAfter))
	}
}

// sendSecond sends the read to another server, if there is one that has room.
func (h *hedge) sendSecond() {
	cs := h.conns
	others := append([]*pipeline.Conn(nil), cs.reads[h.shard]...)
	if cs.noReplica == nil {
		others = append(others, cs.primaryConns[h.shard*cs.width+int(h.client%uint64(cs.width))])
	}
	for i := range others {
		c := others[(h.client+uint64(i))%uint64(len(others))]
		if c != h.first && c.Up() && !c.FullForReads() {
			if h.sent[1] = c.Send(h.request, h, 1) == nil; h.sent[1] {
				cs.l.topology.Hedges++
			}
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
		h.conns.l.topology.HedgesWon += uint64(tag)
	}
	if h.winner == int8(tag) {
		h.to.Reply(h.tag, b, last)
	}
	h.recycle()
}

// Fail is pipeline.Receiver's. The first of two failures is dropped: the other reply may
// still come.
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

// newHedge returns a hedge that was recycled, or a new one.
func (l *Local) newHedge() *hedge {
	if last := len(l.hedges.spare) - 1; last >= 0 {
		h := l.hedges.spare[last]
		l.hedges.spare = l.hedges.spare[:last]
		return h
	}
	return &hedge{}
}

// recycle keeps the hedge for another read if nothing refers to it any more.
func (h *hedge) recycle() {
	if h.queued || h.sent[0] || h.sent[1] {
		return
	}
	if spare := &h.conns.l.hedges.spare; len(*spare) < spareHedges && cap(h.request) <= spareRead {
		*spare = append(*spare, h)
	}
	h.to, h.first = nil, nil
}
