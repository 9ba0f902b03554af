package pool

import (
	"bytes"
	"slices"

	"ringway/pipeline"
)

// retry is a request that a server did not execute, on its way to be executed
// elsewhere or later. It stands between its Receiver and the connections.
type retry struct {
	shard   *localShard
	by      *Map // by which that is the shard, a redirection since then included; nil if not known
	conns   *ConnSet
	conn    int // among those to one server, so that the order of a client's requests stays
	to      pipeline.Receiver
	tag     uint32
	request []byte
	replies int
	marked  bool   // a fence goes behind it, as in package pipeline
	number  uint64 // of two that wait, the one with the lower goes first

	until int64 // as eventloop.Loop.Now: after that the Receiver is told of the last refusal
	hops  int
	why   []byte // the last refusal, or nil if there was none
	err   error  // why it was not sent, if there was no refusal
	skip  int    // replies to come that are not the Receiver's: ASKING's
	asked bool   // sent behind ASKING: the connection does not offer what comes of it
	probe bool   // sent to see whether the server executes requests again

	// Of a unit, that is a transaction: its replies are withheld until the last
	// one shows whether it was executed.
	early   [][]byte
	refusal []byte // the first of them that refuses
}

// maxHops is how many times one request is sent on: more than a Cluster that is
// in order ever needs.
const maxHops = 16

// retryOf makes a retry of a request, or returns the one that it is already.
func (a *route) retryOf(r pipeline.Request) *retry {
	if e, ok := r.Receiver.(*retry); ok {
		return e
	}
	l := a.conns.l
	return &retry{
		shard: l.shards[a.shard], conns: a.conns, conn: a.conn, to: r.Receiver, tag: r.Tag, replies: r.Replies, marked: r.Marked,
		number: l.nextNumber(), request: append([]byte(nil), r.Bytes...), until: l.loop.Now() + int64(l.conf.FailoverWait),
	}
}

// Resend sends requests of a unit, of which a shard has refused one with reply,
// to where they will be executed; the client's number is that of Conn. It reports
// false if they can't be.
func (n *ConnSet) Resend(shard int, client uint64, r pipeline.Request, reply []byte) bool {
	a := &route{conns: n, shard: shard, conn: int(client % uint64(n.width))}
	e := a.retryOf(r)
	return n.l.refused(e.shard, e, reply)
}

// resend sends the request to the shard that owns its keys now.
func (e *retry) resend() {
	e.place()
	e.send()
}

// place makes the shard that owns the request's keys now the request's own. It reports
// whether that was another before.
func (e *retry) place() (moved bool) {
	l := e.conns.l
	if l.owner == nil || !l.Map().Slotted() || e.by == l.Map() {
		return false
	}
	e.by = l.Map()
	shard, ok := l.owner(e.by, e.request)
	if !ok || shard == e.shard.index {
		return false
	}
	e.end()
	e.shard = l.shardAt(shard)
	return true
}

// send sends the request to its shard, whatever waits there.
func (e *retry) send() { e.sendOver(e.conns.of(e.shard.index)[e.conn]) }

func (e *retry) sendOver(c *pipeline.Conn) {
	if e.marked {
		c.ProbeMarkerSupport()
	}
	var f *pipeline.Failure
	if e.replies == 1 {
		f = c.Send(e.request, e, e.tag)
	} else {
		f = c.SendUnit(e.request, e.replies, e, e.tag)
	}
	if f != nil {
		e.refused(f.Cause)
		return
	}
	e.marker(c)
}

func (e *retry) marker(c *pipeline.Conn) {
	if e.marked {
		c.SendMarker()
	}
}

// refused handles a connection that takes no request.
func (e *retry) refused(err error) {
	e.err = err
	refusal := pipeline.HandshakeRefusal(err)
	if refusal != nil && refusal.Lasting() || !e.park() {
		e.giveUp()
	}
}

// RequestAsking is ASKING, with which a server that a slot is being moved to
// executes the next request on its connection.
var RequestAsking = []byte("*1\r\n$6\r\nASKING\r\n")

// ask sends the request behind ASKING, with which a server that a slot is being
// moved to executes it. ASKING holds for the next request on its connection, so
// both go out as one.
func (e *retry) ask(c *pipeline.Conn) {
	unit := append(append(make([]byte, 0, len(RequestAsking)+len(e.request)), RequestAsking...), e.request...)
	e.skip, e.asked = 1, true
	if f := c.SendUnit(unit, 1+e.replies, e, e.tag); f != nil {
		e.skip, e.asked = 0, false
		e.refused(f.Cause)
		return
	}
	e.marker(c)
}

// park has the request wait until its shard serves again. It reports false if
// that has been waited for in vain.
func (e *retry) park() bool {
	if e.conns.l.loop.Now() >= e.until {
		return false
	}
	if e.place() && !e.shard.waiting {
		e.send()
		return true
	}
	sh := e.shard
	sh.wait()
	if !sh.waiting {
		return false
	}
	e.end()
	sh.parkRetries()
	sh.parked.add(e)
	return true
}

// line is requests that wait, in the order in which they are to be sent. One that has
// been sent and comes back may find those there that were behind it.
type line []*retry

// add puts a request where it belongs.
func (l *line) add(e *retry) {
	i := len(*l)
	for i > 0 && (*l)[i-1].number > e.number {
		i--
	}
	*l = slices.Insert(*l, i, e)
}

// nextNumber numbers requests in the order in which they first come back, or are sent
// again.
func (l *Local) nextNumber() uint64 {
	l.lastNumber++
	return l.lastNumber
}

// retry sends a script again after a while, for which nobody else waits.
func (sh *localShard) retry(e *retry) {
	sh.retries = append(sh.retries, e)
	if len(sh.retries) == 1 {
		sh.retryTimer.After(retryEvery)
	}
}

// retryDue sends the scripts again.
func (sh *localShard) retryDue() {
	due := sh.retries
	sh.retries = nil
	for _, e := range due {
		e.resend()
	}
}

// parkRetries has the scripts that are to be sent again wait with the others, now
// that these wait, too: they were sent before what comes to be parked from here on.
func (sh *localShard) parkRetries() {
	for _, e := range sh.retries {
		sh.parked.add(e)
	}
	sh.retries = nil
	sh.retryTimer.Stop()
}

// parkUnsent is park for a request that was not sent, at a shard that waits. One that
// has not come back before goes behind all that may come to be parked: they were sent
// before it.
func (e *retry) parkUnsent(again bool) bool {
	sh := e.shard
	if sh.l.loop.Now() >= e.until {
		return false
	}
	e.end()
	if again {
		sh.parked.add(e)
	} else {
		sh.behind.add(e)
	}
	return true
}

// giveUp tells the Receiver of the last refusal.
func (e *retry) giveUp() {
	if e.probe {
		e.probe, e.shard.probing = false, false
	}
	if e.why != nil {
		for range e.replies {
			e.to.Reply(e.tag, e.why, true)
		}
		return
	}
	err := e.err
	if err == nil {
		err = ErrNoPrimary
	}
	f := &pipeline.Failure{Cause: err}
	if e.shard.primary != nil {
		f.Server = e.shard.primary.title
	}
	for range e.replies {
		e.to.Fail(e.tag, f, nil)
	}
}

// Reply is pipeline.Receiver's.
func (e *retry) Reply(tag uint32, b []byte, last bool) {
	if e.skip > 0 {
		if last {
			e.skip--
		}
		return
	}
	if len(e.early) < e.replies-1 {
		e.withhold(b)
		return
	}
	if last && b[0] == '-' && (e.asked || e.replies > 1) {
		// The connection has not offered it: it does not look into units.
		refusal := b
		if e.refusal != nil && bytes.HasPrefix(b, []byte("-EXECABORT")) {
			refusal = e.refusal
		}
		early := e.early
		e.early, e.refusal, e.asked = nil, nil, false
		if e.conns.l.refused(e.shard, e, refusal) {
			return
		}
		e.early = early
	}
	e.asked = false
	if e.probe {
		e.probe = false
		e.shard.recovered()
	}
	for _, reply := range e.early {
		e.to.Reply(tag, reply, true)
	}
	e.early, e.replies = nil, 1
	e.to.Reply(tag, b, last)
}

// withhold keeps the reply to a request that is to be queued.
func (e *retry) withhold(b []byte) {
	if e.refusal == nil && RefusalOf(b) != NoRefusal {
		e.refusal = append([]byte(nil), b...)
	}
	e.early = append(e.early, append([]byte(nil), b...))
}

// Fail is pipeline.Receiver's. A request that was not sent comes here only when
// its time is over.
func (e *retry) Fail(tag uint32, f *pipeline.Failure, _ []byte) {
	if e.skip > 0 {
		e.skip-- // ASKING's
		return
	}
	if e.probe {
		e.probe, e.shard.probing = false, false
	}
	for range e.early { // those that were withheld fail, too
		e.to.Fail(tag, f, nil)
	}
	e.early = nil
	e.to.Fail(tag, f, nil)
}
