package pool

import (
	"bytes"
	"slices"

	"ringway/pipeline"
)

// retry is a request that a server did not execute, on its way to be executed elsewhere or
// later. It stands between its Receiver and the connections, so the request keeps its place
// in the client's line of replies.
type retry struct {
	// The request.
	conns   *ConnSet
	conn    int // which of the connections to a server: always the same, for the order of a client's requests
	to      pipeline.Receiver
	tag     uint32
	request []byte
	replies int   // how many it gets: more than one for a unit (MULTI to EXEC)
	marked  bool  // a marker goes behind it, as in package pipeline
	until   int64 // as eventloop.Loop.Now: after that the Receiver gets the last refusal

	// Where it goes.
	shard    *localShard
	number   uint64 // of two that are parked, the one with the lower number goes first; see nextNumber
	placedBy *Map   // the Map, or a later redirection, that says so; nil if not known
	hops     int    // how often it was refused

	// Why it has not been executed.
	lastRefusal []byte // nil if there was none
	err         error  // if there was none: why it was not sent

	// While it is in flight.
	skip         int  // replies to come that are not the Receiver's: ASKING's
	behindAsking bool // it was sent behind ASKING: the connection does not offer its refusal

	// Of a unit: its first replies are withheld until the last one shows whether it was
	// executed.
	withheld    [][]byte
	unitRefusal []byte // the first of them that is a refusal
}

// maxHops is how often one request is sent on: more than a Cluster in good order ever
// needs.
const maxHops = 16

// Changeable is a Receiver whose request is changed when it is sent again, since it relies on what
// the first server knew.
type Changeable interface {
	// RequestAgain returns what to send in place of request.
	RequestAgain(request []byte) []byte
}

// retryOf returns a retry of a request, or the one that the request is already.
func (ro *route) retryOf(r pipeline.Request) *retry {
	if rt, ok := r.Receiver.(*retry); ok {
		return rt
	}
	l, request := ro.conns.l, append([]byte(nil), r.Bytes...)
	if c, ok := r.Receiver.(Changeable); ok {
		request = c.RequestAgain(request)
	}
	return &retry{
		shard: l.shards[ro.shard], conns: ro.conns, conn: ro.conn, to: r.Receiver, tag: r.Tag, replies: r.Replies, marked: r.Marked,
		number: l.nextNumber(), request: request, until: l.loop.Now() + int64(l.Conf().FailoverWait),
	}
}

// Resend sends a unit again, one of whose requests a shard has refused with reply, to
// where it will be executed. client is the number that Conn is given. It reports false if
// that is not possible.
func (cs *ConnSet) Resend(shard int, client uint64, r pipeline.Request, reply []byte) bool {
	ro := &route{conns: cs, shard: shard, conn: int(client % uint64(cs.width))}
	rt := ro.retryOf(r)
	return cs.l.handleRefusal(rt.shard, rt, reply)
}

// resend sends the request to the shard that owns its keys now.
func (rt *retry) resend() {
	rt.reassign()
	rt.send()
}

// reassign sets the request's shard to the one that owns its keys now. It reports whether
// that is another one than before.
func (rt *retry) reassign() (moved bool) {
	l := rt.conns.l
	if l.owner == nil || !l.Map().Slotted() || rt.placedBy == l.Map() {
		return false
	}
	rt.placedBy = l.Map()
	shard, ok := l.owner(rt.placedBy, rt.request)
	if !ok || shard == rt.shard.index {
		return false
	}
	rt.endProbe()
	rt.shard = l.shardAt(shard)
	return true
}

// send sends the request to its shard, whatever is held there.
func (rt *retry) send() { rt.sendOver(rt.conns.connsTo(rt.shard.index)[rt.conn]) }

// sendOver sends the request over one connection.
func (rt *retry) sendOver(c *pipeline.Conn) {
	if rt.marked {
		c.ProbeMarkerSupport()
	}
	var f *pipeline.Failure
	if rt.replies == 1 {
		f = c.Send(rt.request, rt, rt.tag)
	} else {
		f = c.SendUnit(rt.request, rt.replies, rt, rt.tag)
	}
	if f != nil {
		rt.connRefused(f.Cause)
		return
	}
	rt.conns.l.topology.Resent++
	rt.sendMarker(c)
}

// sendMarker sends the marker behind a request that needs one.
func (rt *retry) sendMarker(c *pipeline.Conn) {
	if rt.marked {
		c.SendMarker()
	}
}

// connRefused handles a connection that accepts no request: it parks the request, or
// fails it.
func (rt *retry) connRefused(err error) {
	rt.err = err
	refusal := pipeline.HandshakeRefusal(err)
	if refusal != nil && refusal.Lasting() || !rt.park() {
		rt.giveUp()
	}
}

// RequestAsking is ASKING. A server that a slot is being moved to executes the next
// request on its connection after it.
var RequestAsking = []byte("*1\r\n$6\r\nASKING\r\n")

// sendAsking sends the request behind ASKING. ASKING holds for the next request on its
// connection, so both go out as one unit.
func (rt *retry) sendAsking(c *pipeline.Conn) {
	unit := append(append(make([]byte, 0, len(RequestAsking)+len(rt.request)), RequestAsking...), rt.request...)
	rt.skip, rt.behindAsking = 1, true
	if f := c.SendUnit(unit, 1+rt.replies, rt, rt.tag); f != nil {
		rt.skip, rt.behindAsking = 0, false
		rt.connRefused(f.Cause)
		return
	}
	rt.conns.l.topology.Resent++
	rt.sendMarker(c)
}

// park makes the request wait until its shard serves again. It reports false if the
// request's time is over, or if the shard is in the state "failing".
func (rt *retry) park() bool {
	if rt.conns.l.loop.Now() >= rt.until {
		return false
	}
	if rt.reassign() && !rt.shard.allHeld {
		rt.send()
		return true
	}
	sh := rt.shard
	sh.holdAll()
	if !sh.allHeld {
		return false
	}
	rt.endProbe()
	sh.parkScripts()
	sh.parked.add(rt)
	return true
}

// retryLine is requests that wait, in the order in which they will be sent. One that was
// sent and comes back may find requests there that were behind it.
type retryLine []*retry

// add inserts a request by its number.
func (l *retryLine) add(rt *retry) {
	i := len(*l)
	for i > 0 && (*l)[i-1].number > rt.number {
		i--
	}
	*l = slices.Insert(*l, i, rt)
}

// nextNumber numbers requests in the order in which they first come back, or are sent
// again.
func (l *Local) nextNumber() uint64 {
	l.lastNumber++
	return l.lastNumber
}

// retryScript sends a script again after a while. No other request waits for it.
func (sh *localShard) retryScript(rt *retry) {
	sh.scriptRetries = append(sh.scriptRetries, rt)
	if len(sh.scriptRetries) == 1 {
		sh.scriptTimer.After(retryEvery)
	}
}

// resendScripts is scriptTimer's.
func (sh *localShard) resendScripts() {
	due := sh.scriptRetries
	sh.scriptRetries = nil
	for _, rt := range due {
		rt.resend()
	}
}

// followScripts sends the scripts that were to be sent again after a while, and that were redirected
// like r, to where that says: the request that has got r was sent after them, and goes there now.
func (sh *localShard) followScripts(r redirection) {
	sh.sendScripts(func(rt *retry) bool {
		own, ok := sh.l.redirection(sh, rt.lastRefusal)
		if !ok || own != r {
			return false
		}
		to := sh.l.knownTarget(sh, rt.lastRefusal)
		if to == nil {
			return false
		}
		rt.shard, rt.placedBy = to, sh.l.Map()
		return true
	})
}

// reassignScripts sends those of them that have a new owner by this loop's Map.
func (sh *localShard) reassignScripts() { sh.sendScripts((*retry).reassign) }

// sendScripts sends those of the scripts that were to be sent again for which moved reports true: it
// has set their shard.
func (sh *localShard) sendScripts(moved func(rt *retry) bool) {
	if len(sh.scriptRetries) == 0 {
		return
	}
	waiting := sh.scriptRetries
	sh.scriptRetries = nil
	for _, rt := range waiting {
		switch {
		case !moved(rt):
			sh.scriptRetries = append(sh.scriptRetries, rt)
		case rt.shard.allHeld && len(rt.shard.parked) > 0 && rt.park():
		default:
			rt.send()
		}
	}
	if len(sh.scriptRetries) == 0 {
		sh.scriptTimer.Stop()
	}
}

// parkScripts parks the scripts that were to be sent again, now that other requests are
// parked: the scripts were sent before these.
func (sh *localShard) parkScripts() {
	for _, rt := range sh.scriptRetries {
		sh.parked.add(rt)
	}
	sh.scriptRetries = nil
	sh.scriptTimer.Stop()
}

// parkUnsent is park for a request that was not sent, at a shard that holds requests.
// Unless it has come back before, it goes behind all that was sent and may yet be parked.
func (rt *retry) parkUnsent(again bool) bool {
	sh := rt.shard
	if sh.l.loop.Now() >= rt.until {
		return false
	}
	rt.endProbe()
	if again {
		sh.parked.add(rt)
	} else {
		sh.parkedUnsent.add(rt)
	}
	if len(sh.parked)+len(sh.parkedUnsent) == 1 {
		sh.setGates()
	}
	return true
}

// giveUp ends the request with its last refusal, or a failure if there was none.
func (rt *retry) giveUp() {
	rt.endProbe()
	if rt.lastRefusal != nil {
		for range rt.replies {
			rt.to.Reply(rt.tag, rt.lastRefusal, true)
		}
		return
	}
	err := rt.err
	if err == nil {
		err = ErrNoPrimary
	}
	f := &pipeline.Failure{Cause: err}
	if rt.shard.primary != nil {
		f.Server = rt.shard.primary.title
	}
	for range rt.replies {
		rt.to.Fail(rt.tag, f, nil)
	}
}

// Reply is pipeline.Receiver's.
func (rt *retry) Reply(tag uint32, b []byte, last bool) {
	if rt.skip > 0 {
		if last {
			rt.skip--
		}
		return
	}
	if len(rt.withheld) < rt.replies-1 {
		rt.withhold(b)
		return
	}
	if last && b[0] == '-' && (rt.behindAsking || rt.replies > 1) {
		// The connection has not offered this refusal: it does not look into units.
		refusal := b
		if rt.unitRefusal != nil && bytes.HasPrefix(b, []byte("-EXECABORT")) {
			refusal = rt.unitRefusal
		}
		withheld := rt.withheld
		rt.withheld, rt.unitRefusal, rt.behindAsking = nil, nil, false
		if rt.conns.l.handleRefusal(rt.shard, rt, refusal) {
			return
		}
		rt.withheld = withheld
	}
	rt.behindAsking = false
	rt.proveServer()
	for _, reply := range rt.withheld {
		rt.to.Reply(tag, reply, true)
	}
	rt.withheld, rt.replies = nil, 1
	rt.to.Reply(tag, b, last)
}

// withhold keeps a reply of a unit that is not its last one.
func (rt *retry) withhold(b []byte) {
	if rt.unitRefusal == nil && RefusalOf(b) != NoRefusal {
		rt.unitRefusal = append([]byte(nil), b...)
	}
	rt.withheld = append(rt.withheld, append([]byte(nil), b...))
}

// Fail is pipeline.Receiver's. A request that was not sent comes here only when its time
// is over.
func (rt *retry) Fail(tag uint32, f *pipeline.Failure, _ []byte) {
	if rt.skip > 0 {
		rt.skip-- // ASKING's
		return
	}
	rt.endProbe()
	for range rt.withheld { // those that were withheld fail, too
		rt.to.Fail(tag, f, nil)
	}
	rt.withheld = nil
	rt.to.Fail(tag, f, nil)
}
