package pool

import (
	"bytes"
	"strconv"
	"time"

	"ringway/eventloop"
	"ringway/pipeline"
	"ringway/resp"
)

// Replies of a primary may wait until its replicas have acknowledged what it had executed before
// them (the setting replica_acks): then a replica that is promoted, announced or not, has every
// write that a client was told of. See docs/adr/0053.

// SetReplicaAcks makes the replies of a shard's primary wait until so many replicas have
// acknowledged what it had executed. 0 ends that.
func (p *Pool) SetReplicaAcks(shard, replicas int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shards[shard].acks = replicas
	for _, l := range p.locals {
		l.loop.Post(func() { l.shards[shard].setReplicaAcks(replicas) })
	}
}

// ackWait is how long replies wait for acknowledgements. It is longer than a promotion takes to be
// seen in another way (docs/adr/0020), which ends the connections.
const ackWait = time.Second

// heldAckWait is the same while writes are held: the primary is about to be replaced, its replicas
// leave it, and what waits is the replies to reads. All writes have been executed by then.
const heldAckWait = 100 * time.Millisecond

// ackRetry is the time until the server is asked again after the connection was lost.
const ackRetry = 20 * time.Millisecond

// acker asks one primary which writes its replicas have, for all of a loop's connections to it: in
// one question after the other, each about everything that was read before it. WAIT is about the
// offset in the replication stream that the server had reached when it executed the connection's
// command before it, whoever wrote; so PING comes first. It belongs to the loop.
//
// Replies that have waited for ackWait are delivered, and so are all after them (lapsed) until an
// answer shows that the replicas are there again: they are asked once in ackWait.
type acker struct {
	// Static after construction.
	sh     *localShard
	server *server
	conn   *pipeline.Conn
	timer  *eventloop.Timer

	// Owned by the loop.
	replicas int              // that must acknowledge
	waiting  []*pipeline.Conn // whose replies the next question is about
	asked    []*pipeline.Conn // whose replies the question under way is about
	asking   bool
	deferred bool  // RunDeferred follows
	left     int   // replies to come
	since    int64 // when the first question about replies that still wait was asked, as eventloop.Loop.Now; 0 if none wait
	lapsed   bool
	mustWait bool // replies are held, or were given up: nothing lapses until it is known who is primary
	closed   bool
}

// newAcker returns the acker for the shard's primary.
func newAcker(sh *localShard, replicas int) *acker {
	a := &acker{sh: sh, server: sh.primary, replicas: replicas}
	a.conn = pipeline.New(sh.l.loop, sh.primary.config(kind{protocol: resp.RESP2}, useAcks), ignored{})
	a.timer = sh.l.loop.NewTimer(a.due).OwnedBy(a)
	return a
}

// setReplicaAcks follows Pool.SetReplicaAcks, and a change of the primary, by an acker of its own: a
// question under way was about another number, or another server.
func (sh *localShard) setReplicaAcks(replicas int) {
	sh.acks = replicas
	old := sh.acker
	if sh.acker = nil; replicas > 0 && sh.primary != nil {
		sh.acker = newAcker(sh, replicas)
	}
	for _, c := range sh.connsToPrimary() {
		sh.setAcker(c)
	}
	if old != nil {
		old.close()
	}
}

// setAcker makes a connection to the primary wait for acknowledgements, if its replies must.
func (sh *localShard) setAcker(c *pipeline.Conn) {
	if sh.acker == nil {
		c.SetAcker(nil)
	} else {
		c.SetAcker(sh.acker)
	}
}

// connsToPrimary returns all connections to the shard's primary.
func (sh *localShard) connsToPrimary() (conns []*pipeline.Conn) {
	for _, cs := range sh.l.connSets {
		conns = append(conns, cs.primaryConns[sh.index*cs.width:][:cs.width]...)
	}
	for c, k := range sh.l.lent {
		if k.shard == sh.index && k.server == sh.primary {
			conns = append(conns, c)
		}
	}
	for k, spares := range sh.l.spares {
		for _, s := range spares {
			if k.shard == sh.index && k.server == sh.primary {
				conns = append(conns, s.conn)
			}
		}
	}
	return conns
}

// giveUpUnacked closes the connections to a server that has lost its shard whose replies wait: what
// they acknowledge may be lost.
func (sh *localShard) giveUpUnacked() {
	if sh.acker == nil {
		return
	}
	conns := append(sh.acker.asked, sh.acker.take(&sh.acker.waiting)...)
	sh.acker.asked = nil
	for _, c := range conns {
		switch {
		case !c.Connected() || c.InFlight() == 0:
		case c.HoldReplies():
			c.GiveUp()
		default:
			c.Suspend() // a blocked client: it hears UNBLOCKED
		}
	}
}

// setMustWait says whether replies have to wait until it is known who is primary.
func (sh *localShard) setMustWait(must bool) {
	a := sh.acker
	if a == nil || a.mustWait == must {
		return
	}
	a.mustWait = must
	if !must && a.since != 0 {
		a.since = sh.l.loop.Now()
		a.timer.Reset(a.deadline())
	}
}

// AckWanted is pipeline.Acker's.
func (a *acker) AckWanted(c *pipeline.Conn) {
	a.waiting = append(a.waiting, c)
	if !a.asking {
		a.deferAsking()
	}
}

func (a *acker) deferAsking() {
	if !a.deferred {
		a.deferred = true
		a.sh.l.loop.Defer(a)
	}
}

// RunDeferred is eventloop.Deferred's: all connections of the turn were read.
func (a *acker) RunDeferred() {
	a.deferred = false
	switch {
	case a.closed || a.lapsed:
		a.deliver(a.take(&a.waiting))
	case !a.asking && len(a.waiting) > 0:
		a.ask()
	}
}

// take empties a list of connections. The replies that they have read by now count.
func (a *acker) take(list *[]*pipeline.Conn) []*pipeline.Conn {
	conns := *list
	*list = nil
	for _, c := range conns {
		c.MarkForAck()
	}
	return conns
}

func (a *acker) deliver(conns []*pipeline.Conn) {
	for _, c := range conns {
		c.Acked()
	}
}

// ask asks about the replies of those that wait.
func (a *acker) ask() {
	a.asked = append(a.asked, a.take(&a.waiting)...)
	now := a.sh.l.loop.Now()
	if a.since == 0 {
		a.since = now
	}
	request := resp.AppendRequest(nil, [][]byte{[]byte("PING")})
	request = resp.AppendRequest(request, [][]byte{[]byte("WAIT"), strconv.AppendInt(nil, int64(a.replicas), 10), strconv.AppendInt(nil, ackWait.Milliseconds(), 10)})
	a.asking, a.left = true, 2
	a.timer.Reset(a.deadline())
	if f := a.conn.SendUnit(request, 2, a, 0); f != nil {
		a.left = 1
		a.Fail(0, f, nil)
	}
}

// deadline returns until when replies wait.
func (a *acker) deadline() int64 {
	if a.sh.writesHeld {
		return a.since + int64(heldAckWait)
	}
	return a.since + int64(ackWait)
}

// writesHeld has what waits wait for less time.
func (a *acker) writesHeld() {
	if a.since != 0 && !a.lapsed {
		a.timer.Reset(a.deadline())
	}
}

// Reply is pipeline.Receiver's.
func (a *acker) Reply(_ uint32, b []byte, last bool) {
	if !last { // of a reply that is too large to be one of these
		return
	}
	if a.left--; a.left > 0 || a.closed {
		return
	}
	a.asking = false
	n, ok := resp.Int(b)
	switch {
	case ok && n >= int64(a.replicas):
		a.acknowledged()
	case a.mustWait:
		a.timer.After(ackRetry)
	case ok:
		a.lapse("only " + strconv.FormatInt(n, 10) + " did")
	default:
		a.lapse("WAIT is answered with " + string(bytes.TrimSpace(b[:min(len(b), maxReason)])))
	}
}

// maxReason is how much of a server's error the log has.
const maxReason = 256

// acknowledged delivers what the question was about, and asks the next one.
func (a *acker) acknowledged() {
	if a.lapsed {
		a.lapsed = false
		if a.server.acksLapsed.Swap(false) {
			a.server.pool.log.Info("replicas acknowledge again: replies wait for them", "server", a.server.title, "addr", a.server.addr)
		}
	}
	a.since = 0
	a.timer.Stop()
	a.deliverAsked()
	if len(a.waiting) > 0 {
		a.deferAsking()
	}
}

// deliverAsked delivers what the question was about.
func (a *acker) deliverAsked() {
	conns := a.asked
	a.asked = nil
	a.deliver(conns)
}

// Fail is pipeline.Receiver's.
func (a *acker) Fail(uint32, *pipeline.Failure, []byte) {
	if a.left--; a.left > 0 || a.closed {
		return
	}
	a.asking = false
	if a.lapsed {
		a.timer.After(ackWait)
	} else {
		a.timer.After(ackRetry)
	}
}

// due is the timer's: it is time to ask again, or replies have waited for too long.
func (a *acker) due() {
	switch {
	case (a.lapsed || a.mustWait) && a.asking: // the answer goes on
	case a.lapsed, a.mustWait, !a.asking && a.sh.l.loop.Now() < a.deadline():
		a.ask()
	default:
		a.lapse("no answer")
	}
}

// lapse delivers all that waits: the replicas do not acknowledge.
func (a *acker) lapse(why string) {
	if !a.lapsed && !a.sh.writesHeld && !a.server.acksLapsed.Swap(true) {
		a.server.pool.log.Warn("replicas do not acknowledge: replies no longer wait for them, and a failover may lose writes; check the replicas, or set replica_acks = \"never\"",
			"server", a.server.title, "addr", a.server.addr, "wanted", a.replicas, "reason", why)
	}
	a.lapsed, a.since = true, 0
	if !a.asking {
		a.timer.After(ackWait)
	}
	a.deliverAsked()
	a.deliver(a.take(&a.waiting))
}

// close ends the acker. What still waits for it, on connections that are being retired, is delivered.
func (a *acker) close() {
	a.closed = true
	a.timer.Stop()
	a.conn.Close()
	a.waiting = append(a.waiting, a.asked...)
	a.deferAsking()
}

// Abandon is eventloop.Abandoner's: nothing waits for a question that has panicked.
func (a *acker) Abandon() {
	a.asking = false
	a.lapse("internal error")
}
