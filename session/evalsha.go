package session

import (
	"bytes"
	"slices"

	"ringway/command"
	"ringway/pipeline"
	"ringway/resp"
)

// A server loses its scripts when it is restarted, replaced by its replica, or told SCRIPT FLUSH.
// Then an EVALSHA is executed all the same, as EVAL with the script's body, if the proxy remembers
// it. Nothing that the client sent behind the EVALSHA may be executed before it, so where the body
// can be missing it is sent at once. Only where the proxy could not know of the loss does an answer
// -NOSCRIPT come. Then the body is sent if nothing has overtaken the EVALSHA, else -NOSCRIPT is the
// client's answer, as from Redis (docs/adr/0010).

// presence is what a loop knows of a script at one shard's primary.
type presence struct {
	had    pipeline.ServerLife // in which the server had it: it has executed it
	sentOn *pipeline.Conn      // over which the body was sent last; nil if it was refused, or never sent
	sentIn pipeline.ServerLife // when that was
	sentAt int64               // as eventloop.Loop.Now
}

// presenceAt returns what is known of the script at a shard. The caller may set it, until the
// next call.
func (sc *script) presenceAt(shard int) *presence {
	for len(sc.presence) <= shard {
		sc.presence = append(sc.presence, presence{})
	}
	return &sc.presence[shard]
}

// shortScript is up to which size, in bytes, the body goes to a server that has it, with the
// first request of a turn behind which the client has sent others already. It costs Redis 1 µs.
const shortScript = 1 << 10

// bringsBody reports whether a request EVALSHA of the script that is sent over conn now must bring
// the body.
func (s *session) bringsBody(sc *script, shard int, conn *pipeline.Conn) bool {
	if s.user != nil {
		return false // EVAL may be denied to an ACL user
	}
	p, life, now := sc.presenceAt(shard), conn.ServerLife(), s.w.loop.Now()
	switch sent := p.sentOn == conn && p.sentIn == life; {
	case sent && (p.sentAt == now || p.had != life):
		return false // the body is before it on its way to the server
	case p.had == life && (s.w.unread == 0 || len(sc.body) > shortScript):
		return false
	}
	p.sentOn, p.sentIn, p.sentAt = conn, life, now
	return true
}

// evalsha is the Receiver of an EVALSHA whose script's body is known. The request keeps its
// position in the session's line if it is sent a second time.
type evalsha struct {
	s       *session
	shard   int
	raw     []byte // the request EVALSHA, copied
	script  *script
	life    pipeline.ServerLife // when it was sent
	brought bool                // it was sent with the body, as EVAL
	begun   bool                // a part of a large reply has been passed on
}

// sendEvalsha sends an EVALSHA whose script's body is known. Like handle, it reports false if
// the request must wait.
func (s *session) sendEvalsha(shard int, raw []byte, args [][]byte, sc *script) bool {
	conn := s.primaryConn(shard)
	if conn.Full() {
		s.await(conn)
		return false
	}
	number := s.push()
	h := s.w.newEvalsha()
	h.s, h.shard, h.raw, h.script, h.life = s, shard, append(h.raw[:0], raw...), sc, conn.ServerLife()
	if h.brought = s.bringsBody(sc, shard, conn); h.brought {
		raw = sc.appendEval(s.w.evalRequest[:0], args)
		s.w.keepEvalRequest(raw)
	}
	s.evalshas.add(number, sc, shard, h.brought)
	if f := conn.SendMarked(raw, h, number); f != nil {
		h.noteRefused()
		h.recycle()
		s.finish(number, s.failureReply(f))
	}
	return true
}

// appendEval appends the request EVAL for the arguments of a request EVALSHA of the script.
func (sc *script) appendEval(dst []byte, args [][]byte) []byte {
	dst = resp.AppendArray(dst, len(args))
	name := "EVAL"
	if len(args[0]) > len("EVALSHA") {
		name = "EVAL_RO"
	}
	dst = resp.AppendBulkString(resp.AppendBulkString(dst, name), sc.body)
	for _, arg := range args[2:] {
		dst = resp.AppendBulk(dst, arg)
	}
	return dst
}

// evalshas is the last requests of a session in a row that are EVALSHA of one script. While no
// other request is behind them, they may be sent a second time in their order.
type evalshas struct {
	first, last uint32 // their numbers in the session's line
	script      *script
	without     uint64 // a bit for each shard modulo 64: one without the body was sent there
}

// add notes that a session's latest request is one. One with the body is executed whatever becomes
// of those without it that were sent to its shard before, so it begins a new row.
func (e *evalshas) add(number uint32, sc *script, shard int, withBody bool) {
	at := uint64(1) << (shard % 64)
	if e.script != sc || number != e.last+1 || withBody && e.without&at != 0 {
		e.script, e.first, e.without = sc, number, 0
	}
	e.last = number
	if !withBody {
		e.without |= at
	}
}

// overtaken reports whether a request of the session may have been executed before the EVALSHA with
// the given number is, if that is sent again now.
func (s *session) overtaken(number uint32) bool {
	e, latest := &s.evalshas, s.replies.latest()
	return latest != number && (latest != e.last || number-e.first > e.last-e.first)
}

// noScript is the reply of a server that does not have a script. A script that returns this
// very reply itself is run twice.
var noScript = []byte("-NOSCRIPT No matching script. Please use EVAL.\r\n")

// Reply is pipeline.Receiver's.
func (h *evalsha) Reply(number uint32, b []byte, last bool) {
	s := h.s
	switch {
	case h.begun:
		s.Reply(number, b, last)
	case last && !h.brought && bytes.Equal(b, noScript) && s.conn.Open():
		h.missing(number)
	default:
		h.begun = true
		if b[0] == '-' {
			h.noteRefused()
		} else {
			h.script.presenceAt(h.shard).had = h.life
		}
		s.Reply(number, b, last)
	}
	if last {
		h.recycle()
	}
}

// noteRefused notes that the body may not have reached the server.
func (h *evalsha) noteRefused() {
	if h.brought {
		h.script.presenceAt(h.shard).sentOn = nil
	}
}

// Fail is pipeline.Receiver's.
func (h *evalsha) Fail(number uint32, f *pipeline.Failure, request []byte) {
	s := h.s
	h.noteRefused()
	if request != nil {
		request = h.RequestAgain(request)
	}
	h.recycle()
	s.Fail(number, f, request)
}

// RequestAgain is pool.Changeable's. What is sent again may go to a server that does not have the
// script.
func (h *evalsha) RequestAgain(request []byte) []byte {
	if h.s.user != nil {
		return request
	}
	if eval := h.eval(); eval != nil {
		h.brought = true
		return eval
	}
	return request
}

// eval returns the request as EVAL, with the body in place of the hash; nil if the request can't be
// read.
func (h *evalsha) eval() []byte {
	w := h.s.w
	defer w.resendParser.Release()
	var state resp.RequestState
	if n, err := w.resendParser.Parse(h.raw, &state, &w.limits); n == 0 || err != nil {
		return nil
	}
	return h.script.appendEval(nil, w.resendParser.Args)
}

// missing handles the answer of a server that does not have the script: it has executed nothing,
// and the request is sent once more as EVAL, unless another has overtaken it.
func (h *evalsha) missing(number uint32) {
	s := h.s
	*h.script.presenceAt(h.shard) = presence{}
	eval := h.eval()
	if eval == nil || s.overtaken(number) {
		s.finish(number, noScript)
		return
	}
	s.beSerial() // others under way may be sent again, too, and must not be overtaken
	if f := s.primaryConn(h.shard).SendMarked(eval, s, number); f != nil {
		s.finish(number, s.failureReply(f))
	}
}

const (
	// maxSpareEvalsha is how many finished evalsha a Worker keeps for reuse.
	maxSpareEvalsha = 256
	// spareRequest is the largest buffer, in bytes, with which one is kept.
	spareRequest = 4 << 10
)

// newEvalsha returns an evalsha to be filled, perhaps a finished one.
func (w *Worker) newEvalsha() *evalsha {
	if n := len(w.spareEvalsha); n > 0 {
		h := w.spareEvalsha[n-1]
		w.spareEvalsha = w.spareEvalsha[:n-1]
		return h
	}
	return &evalsha{}
}

// keepEvalRequest keeps a buffer for the next request EVAL, unless it is large.
func (w *Worker) keepEvalRequest(b []byte) {
	if cap(b) <= spareRequest {
		w.evalRequest = b
	}
}

// recycle gives h back for reuse. The caller must not use it any more.
func (h *evalsha) recycle() {
	w := h.s.w
	if len(w.spareEvalsha) >= maxSpareEvalsha || cap(h.raw) > spareRequest {
		return
	}
	*h = evalsha{raw: h.raw[:0]}
	w.spareEvalsha = append(w.spareEvalsha, h)
}

// missingScripts returns those of a unit's scripts whose body the unit must bring, if it is sent
// over conn.
func (s *session) missingScripts(named []*script, shard int, conn *pipeline.Conn) (missing []*script) {
	if s.user != nil {
		return nil
	}
	life := conn.ServerLife()
	for _, sc := range named {
		if sc.presenceAt(shard).had != life {
			missing = append(missing, sc)
		}
	}
	return missing
}

// bringScripts returns a transaction's unit with the first EVALSHA of each of the given scripts
// replaced by EVAL.
func (w *Worker) bringScripts(unit []byte, scripts []*script) []byte {
	defer w.resendParser.Release()
	changed := make([]byte, 0, len(unit))
	missing := map[scriptHash]*script{}
	for _, sc := range scripts {
		missing[sc.hash] = sc
	}
	for len(unit) > 0 {
		var state resp.RequestState
		n, err := w.resendParser.Parse(unit, &state, &w.limits)
		if n == 0 || err != nil {
			return append(changed, unit...)
		}
		args := w.resendParser.Args
		cmd, problem := command.Lookup(args)
		if problem == command.NoProblem && namesScript(cmd) {
			if hash, ok := scriptHashOf(args[1]); ok && missing[hash] != nil {
				changed, unit = missing[hash].appendEval(changed, args), unit[n:]
				delete(missing, hash)
				continue
			}
		}
		changed, unit = append(changed, unit[:n]...), unit[n:]
	}
	return changed
}

// namesScript reports whether a command is EVALSHA or EVALSHA_RO.
func namesScript(cmd *command.Command) bool { return cmd.Name == "evalsha" || cmd.Name == "evalsha_ro" }

// unitScripts is the scripts that the EVALSHA of a part of a transaction name.
type unitScripts struct {
	named   []*script           // all whose body is known
	missing []*script           // those of them that the transaction brings
	life    pipeline.ServerLife // when it was sent
}

// bringScripts has the part bring the scripts that its server may not have, before it is
// sent over conn.
func (p *part) bringScripts(conn *pipeline.Conn) {
	if len(p.evalshas.named) == 0 {
		return
	}
	p.evalshas.life = conn.ServerLife()
	if p.evalshas.missing = p.tx.s.missingScripts(p.evalshas.named, max(p.shard, 0), conn); p.evalshas.missing != nil {
		p.unit = p.tx.s.w.bringScripts(p.unit, p.evalshas.missing)
	}
}

// noteScripts learns from a part of EXEC's reply whether the server has the scripts.
func (p *part) noteScripts(reply []byte) {
	if len(p.evalshas.named) == 0 || !p.executed {
		return
	}
	lost := bytes.Contains(reply, noScript)
	for _, sc := range p.evalshas.named {
		if at := sc.presenceAt(max(p.shard, 0)); lost {
			*at = presence{}
		} else if slices.Contains(p.evalshas.missing, sc) {
			at.had = p.evalshas.life
		}
	}
}

// RequestAgain is pool.Changeable's: a part that is sent again brings all its scripts.
func (p *part) RequestAgain(unit []byte) []byte {
	if len(p.evalshas.named) == 0 || p.tx.s.user != nil {
		return unit
	}
	return p.tx.s.w.bringScripts(unit, p.evalshas.named)
}
