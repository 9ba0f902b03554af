package session

import (
	"time"

	"ringway/command"
	"ringway/pipeline"
	"ringway/resp"
)

// Behind a script that takes long, on a connection that clients share, others
// wait even when their server would tell them that it is busy. So a script or
// function runs on a connection of its own until it has shown to be quick; then
// it shares the connection, and pipelines, like everything else.

// quickScript is how long a script may take, with the way to its server and back,
// to be called quick.
const quickScript = 20 * time.Millisecond

// proof tells what a script has shown. It belongs to a loop.
type proof struct{ quick bool }

// maxProofs is how many functions, and scripts that are known by their hash alone,
// a loop knows the proofs of.
const maxProofs = 4096

// proof returns what the script of a request has shown so far.
func (m *scriptMemory) proof(cmd *command.Command, args [][]byte) *proof {
	var sc *script
	switch cmd.Name {
	case "eval", "eval_ro":
		if sc = m.note(args[1]); sc == nil {
			return &proof{} // not worth being remembered
		}
	case "evalsha", "evalsha_ro":
		sc = m.find(args[1])
	}
	if sc != nil {
		return &sc.proof
	}
	if p := m.proofs[string(args[1])]; p != nil {
		return p
	}
	if len(m.proofs) >= maxProofs {
		clear(m.proofs)
	}
	p := &proof{}
	m.proofs[string(args[1])] = p
	return p
}

// scriptRun is a script under way on a connection of its own.
type scriptRun struct {
	server int
	since  int64 // as eventloop.Loop.Now
	proofs []*proof
}

// begin notes that scripts run on a server, so that it can be asked whether it is
// busy.
func (u *conditions) begin(server int, now int64, proofs ...*proof) *scriptRun {
	r := &scriptRun{server: server, since: now, proofs: proofs}
	u.scriptRuns[r], u.hasRunScripts = true, true
	return r
}

// endRun ends begin. The scripts are proven if they have run and were quick. A
// server that has answered is not busy any more.
func (sh *shared) endRun(r *scriptRun, ran bool) {
	u := sh.conditions
	delete(u.scriptRuns, r)
	if ran && sh.w.loop.Now()-r.since <= int64(quickScript) {
		for _, p := range r.proofs {
			p.quick = true
		}
	}
	if u.busy[r.server] != nil {
		sh.changeConditions(func(peer *shared) { delete(peer.conditions.busy, r.server) })
	}
}

// runReceiver is the Receiver of a script on a connection of its own.
type runReceiver struct {
	exclusive
	run *scriptRun
}

// Reply is pipeline.Receiver's.
func (a *runReceiver) Reply(number uint32, b []byte, last bool) {
	if last {
		a.s.endRun(a.run, b[0] != '-')
	}
	a.exclusive.Reply(number, b, last)
}

// runApart sends a script over a connection of its own, if there is one left. It
// reports whether it has dealt with the request, and if so what handle reports.
func (s *session) runApart(cmd *command.Command, args [][]byte, raw []byte, server int, p *proof) (done, took bool) {
	if s.dedicated != nil {
		return false, false
	}
	if !s.replies.idle() {
		return true, false
	}
	if s.awaitPrimary(cmd, args) {
		return true, false
	}
	if !s.acquireDedicated(server) {
		return false, false
	}
	if sc := s.scripts.find(args[1]); sc != nil {
		raw = sc.eval(cmd, args) // the server may not know it
	}
	a := &runReceiver{exclusive: exclusive{s: s, fresh: true, marked: true, done: func() { s.releaseDedicated(true) }}}
	a.keepForRetry(raw)
	a.run = s.conditions.begin(server, s.w.loop.Now(), p)
	number := a.start()
	if f := s.dedicated.conn.SendMarked(raw, a, number); f != nil {
		a.Fail(number, f, nil)
	}
	return true, true
}

// Fail is pipeline.Receiver's.
func (a *runReceiver) Fail(number uint32, f *pipeline.Failure, request []byte) {
	a.s.endRun(a.run, false)
	a.exclusive.Fail(number, f, request)
}

// eval returns an EVALSHA of the script as an EVAL.
func (sc *script) eval(cmd *command.Command, args [][]byte) []byte {
	name := []byte("EVAL")
	if cmd.IsReadonly() {
		name = []byte("EVAL_RO")
	}
	return resp.AppendRequest(nil, append([][]byte{name, []byte(sc.body)}, args[2:]...))
}
