package session

import (
	"bytes"

	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// part is the part of a transaction that one shard executes: MULTI, requests and EXEC, sent as
// one unit of bytes. In a Cluster, whose servers refuse keys of several slots, it is that of
// one slot. It is the Receiver of the unit's replies.
type part struct {
	tx *transaction

	// What is queued.
	shard   int            // -1 while there was no key
	bucket  int            // as pool.Map.Bucket; -1 if any of the shard will do
	unit    []byte         // the bytes of MULTI and of the requests
	queued  int            // how many requests, hidden ones included
	hidden  []int          // those of the requests, by number, whose replies are for nobody
	db      int            // the database that its last SELECT selects; -1 if it has none
	scripts []*scriptSpeed // of its scripts that have not been seen to be quick
	marked  bool           // a marker must follow EXEC: a reply to a script may not end where it should

	evalshas unitScripts // of its EVALSHA

	// After EXEC.
	run        *scriptRun // its scripts, while EXEC is under way; nil if all are known to be quick
	left       int        // replies of the unit that are to come: MULTI's, +QUEUED for each request, EXEC's
	ended      bool       // EXEC was answered
	executed   bool       // EXEC's reply is the array of the requests' replies
	midReply   bool       // a part of the current reply, a large one, has come already
	multiError []byte     // the error that MULTI got; nil for none

	// For pools whose primaries change (pool.Local.Follows).
	conn    *pipeline.Conn
	refusal []byte // the error with which the server refused to queue a request
	resent  bool   // it was refused, and sent to another server

	// Of an execution (execution.go), which joins the replies of several parts.
	own        bool       // conn is dedicated to the part
	watch      *dedicated // the connection that watches keys of the part; nil for none
	queueError []byte     // the first error that a request got in place of +QUEUED, cut
	reply      []byte     // what has come of EXEC's reply, in a buffer lent by the loop
	elements   []byte     // what follows in reply
	taken      int        // requests whose replies were taken from elements
	aborted    bool       // a watched key has changed
	failure    []byte     // the error reply for each of its requests, if it was not executed
	unknown    bool       // it was sent, and whether it was executed is not known
}

// add appends a request to the part.
func (p *part) add(raw []byte) {
	if db := p.tx.selects; db >= 0 && p.db != db {
		p.unit = append(p.unit, requestSelect(db)...)
		p.hidden = append(p.hidden, p.queued)
		p.queued++
		p.db = db
	}
	p.unit = append(p.unit, raw...)
	p.queued++
}

// send sends the whole unit, EXEC included, over conn.
func (p *part) send(conn *pipeline.Conn) {
	s := p.tx.s
	if len(p.scripts) > 0 {
		p.run = s.conditions.beginRun(max(p.shard, 0), s.w.loop.Now(), p.scripts...)
	}
	if p.tx.selects >= 0 {
		// If a server refuses the part, it is sent again over a connection that others use, too.
		p.unit = append(p.unit, requestSelect(s.db)...)
		p.hidden = append(p.hidden, p.queued)
		p.queued++
	}
	p.left = p.queued + 2
	p.unit = append(p.unit, requestExec...)
	p.bringScripts(conn)
	p.conn = conn
	if p.marked {
		conn.ProbeMarkerSupport()
	}
	if f := conn.SendUnit(p.unit, p.left, p, 0); f != nil {
		p.Fail(0, f, nil)
	} else if p.marked {
		conn.SendMarker()
	}
	if !s.local.Follows() {
		p.unit = nil
	}
}

// Reply is pipeline.Receiver's. The replies are those to MULTI, to each queued request and to
// EXEC; only the last one goes to the client, or the error of MULTI in its place.
func (p *part) Reply(_ uint32, b []byte, last bool) {
	begins := !p.midReply
	isError := b[0] == '-' && begins
	p.midReply = !last
	if p.left > 1 {
		if last {
			p.noteQueued(b, isError)
			p.left--
		}
		return
	}
	if isError && p.tx.s.local.Follows() && p.resend(b) {
		return
	}
	if begins {
		p.executed = p.multiError == nil && b[0] == '*' && !resp.IsNull(b)
	}
	p.noteScripts(b)
	if p.multiError != nil {
		b, last = p.multiError, true
	}
	s, tx := p.tx.s, p.tx
	switch {
	case tx.execution != nil:
		tx.execution.collect(p, b, last)
	case last:
		p.end(func() { s.finish(tx.number, b) })
	case !p.ended && s.conn.Open():
		s.Reply(tx.number, b, false)
	}
}

// noteQueued notes an error that MULTI, or a request that is to be queued, has got.
func (p *part) noteQueued(b []byte, isError bool) {
	if !isError {
		return
	}
	if p.left == p.queued+2 {
		p.multiError = append([]byte(nil), b...)
	} else if p.queueError == nil {
		p.queueError = append([]byte(nil), b[:min(len(b), maxQueueError)]...)
	}
	if p.refusal == nil && p.tx.s.local.Follows() && pool.RefusalOf(b) != pool.NoRefusal {
		p.refusal = append([]byte(nil), b...)
	}
}

// maxQueueError is how much of a server's error another error repeats.
const maxQueueError = 256

// resend sends the part to the server that will execute it, after EXEC got an error because
// its server refused a request as no primary, or no owner of the slot. It reports false if the
// error is for the client. reply is the error.
func (p *part) resend(reply []byte) bool {
	s := p.tx.s
	if p.refusal != nil && bytes.HasPrefix(reply, []byte("-EXECABORT")) {
		reply = p.refusal
	}
	if pool.RefusalOf(reply) == pool.NoRefusal || !s.conn.Open() {
		return false
	}
	switch {
	case p.watch != nil:
		p.aborted = true // the watched keys are on another server, where they may have changed
		p.tx.execution.settle(p)
		return true
	case s.dedicated != nil && s.dedicated.conn == p.conn && !p.tx.onDedicated:
		p.end(func() { s.finish(p.tx.number, s.protocol.AppendNullArray(nil)) })
		return true
	}
	if p.resent {
		return false
	}
	p.resent = true
	if pool.RefusalOf(reply) == pool.Demoted && (!p.marked || pool.InRedisWords(reply)) {
		p.conn.ReviewReplies() // reads behind it must not see the state before it
	}
	p.left, p.multiError, p.refusal, p.queueError = p.queued+2, nil, nil, nil
	r := pipeline.Request{Bytes: p.unit, Replies: p.left, Receiver: p, Marked: p.marked}
	if s.conns.Resend(max(p.shard, 0), s.info.id, r, reply) {
		return true
	}
	if p.tx.execution != nil {
		p.left = 1
		return false
	}
	p.end(func() { s.finish(p.tx.number, reply) })
	return true
}

// Fail is pipeline.Receiver's. It is called for each request of the unit that has no reply.
// All fail for one reason, and only the first call has an effect.
func (p *part) Fail(_ uint32, f *pipeline.Failure, _ []byte) {
	tx := p.tx
	if tx.execution != nil {
		tx.execution.fail(p, f)
		return
	}
	p.end(func() { tx.s.Fail(tx.number, f, nil) })
}

// endRun ends the run of the part's scripts, if there is one.
func (p *part) endRun() {
	if p.run != nil {
		p.tx.s.endRun(p.run, p.left == 1 && p.multiError == nil)
	}
}

// end ends a transaction of one part, once: it gives a dedicated connection back, answers EXEC
// by calling answer, and has the session go on.
func (p *part) end(answer func()) {
	s := p.tx.s
	p.endRun()
	if p.ended || !s.conn.Open() {
		return
	}
	p.ended = true
	s.blockedSince = 0
	s.releaseWatches(true) // clean: EXEC has ended WATCH, or the connection is lost
	if s.window == 0 {
		s.resume()
	}
	answer()
}
