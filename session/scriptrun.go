package session

import (
	"time"

	"ringway/command"
	"ringway/pipeline"
)

// On a shared connection, requests behind a slow script wait for its end, even though the
// server would answer -BUSY on another connection. So a script or function runs on a
// dedicated connection until it has been seen to be quick; from then on it shares
// connections, and is pipelined, like other requests
// (docs/adr/0010-scripts-that-take-long.md).

// quickScript is how long a quick script takes at most, the way to its server and back
// included.
const quickScript = 20 * time.Millisecond

// scriptSpeed is what one loop has seen of a script or function: whether it has ever run and
// been quick.
type scriptSpeed struct{ quick bool }

// maxSpeeds is for how many functions, and scripts of which only the hash is known, a loop
// remembers the speed.
const maxSpeeds = 4096

// scriptRun is a script, or a transaction with scripts, under way on a dedicated connection.
type scriptRun struct {
	server int
	since  int64 // when it was sent, as eventloop.Loop.Now
	speeds []*scriptSpeed
}

// beginRun notes that scripts with the given speeds are sent to a server. While they run, the
// server may be asked whether it is busy (shared.probeStalled). now is eventloop.Loop.Now.
func (u *conditions) beginRun(server int, now int64, speeds ...*scriptSpeed) *scriptRun {
	r := &scriptRun{server: server, since: now, speeds: speeds}
	u.scriptRuns[r], u.hasRunScripts = true, true
	return r
}

// endRun ends what beginRun has begun. If the scripts have run, which ran says, and were
// quick, that is noted. A server that has answered is not busy any more.
func (sh *shared) endRun(r *scriptRun, ran bool) {
	u := sh.conditions
	delete(u.scriptRuns, r)
	if ran && sh.w.loop.Now()-r.since <= int64(quickScript) {
		for _, p := range r.speeds {
			p.quick = true
		}
	}
	if u.busy[r.server] != nil {
		sh.changeConditions(func(peer *shared) { delete(peer.conditions.busy, r.server) })
	}
}

// runReceiver is the Receiver of a script on a dedicated connection.
type runReceiver struct {
	exclusive
	run    *scriptRun
	script *script // nil for functions and unknown scripts
	life   pipeline.ServerLife
}

// Reply is pipeline.Receiver's.
func (a *runReceiver) Reply(number uint32, b []byte, last bool) {
	if last {
		a.s.endRun(a.run, b[0] != '-')
		if a.script != nil && b[0] != '-' && a.retries == 0 {
			a.script.presenceAt(a.run.server).had = a.life
		}
	}
	a.exclusive.Reply(number, b, last)
}

// runDedicated sends a script, sc unless it is a function or unknown, over a dedicated connection, if one is left. done reports
// whether the request was dealt with; if so took is what handle reports: false if the
// request must wait.
func (s *session) runDedicated(cmd *command.Command, args [][]byte, raw []byte, server int, p *scriptSpeed, sc *script) (done, took bool) {
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
	if sc != nil && namesScript(cmd) {
		raw = sc.appendEval(nil, args) // the server may not have it
	}
	a := &runReceiver{exclusive: exclusive{s: s, fresh: true, marked: true, done: func() { s.releaseDedicated(true) }}}
	a.keepForRetry(raw)
	a.script, a.life = sc, s.dedicated.conn.ServerLife()
	a.run = s.conditions.beginRun(server, s.w.loop.Now(), p)
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

// runScript sends a script or function to its server. Like handle, it reports
// false if the request must wait.
func (s *session) runScript(cmd *command.Command, args [][]byte, raw []byte, server int) bool {
	sc := s.scripts.scriptOf(cmd, args)
	if s.scriptWaits(sc, server) {
		return false
	}
	if p := s.scripts.speedOf(cmd, args, sc); !p.quick {
		if done, took := s.runDedicated(cmd, args, raw, server, p, sc); done {
			return took
		}
	}
	if sc != nil && namesScript(cmd) {
		return s.sendEvalsha(server, raw, args, sc)
	}
	return s.sendMarked(server, raw)
}
