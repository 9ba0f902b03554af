package session

import (
	"ringway/audit"
	"ringway/command"
)

// conditions are what one loop knows of unusual states of a pool that every request must be
// checked for: a server is busy with a script, CLIENT PAUSE holds writes back, an operator has
// paused the pool, a client uses MONITOR. While there is any of them (conditions.any), sessions have a policy that sends
// every request through session.check. At other times they cost nothing.
//
// Each loop has its own copy. changeConditions changes all of them.
type conditions struct {
	busy   map[int][]byte // servers that answer -BUSY, with the reply
	paused int64          // until when servers hold writes back, as eventloop.Loop.Now; 0 if they don't
	held   int64          // until when the proxy holds all requests back (HoldPool), likewise; 0 if it doesn't

	scriptRuns    map[*scriptRun]bool // scripts under way on dedicated connections
	hasRunScripts bool                // a script has been run on this loop
	probing       map[int]bool        // servers with a busyProbe under way
	monitorCount  int                 // clients in MONITOR, over all loops
	monitors      map[*session]bool   // those of this loop

	pauseWaiters map[*session]bool // sessions whose next request waits for the end of the pause
}

func newConditions() *conditions {
	return &conditions{busy: map[int][]byte{}, scriptRuns: map[*scriptRun]bool{}, probing: map[int]bool{}, pauseWaiters: map[*session]bool{}, monitors: map[*session]bool{}}
}

// any reports whether there is a condition that requests must be checked for.
func (c *conditions) any() bool {
	return len(c.busy) > 0 || c.paused != 0 || c.held != 0 || c.monitorCount > 0
}

// changeConditions calls note on every loop, to change the pool's conditions there, and gives
// the sessions the policy that follows. On this loop it does so at once.
func (sh *shared) changeConditions(note func(peer *shared)) {
	sh.eachLoop(func(peer *shared) {
		note(peer)
		peer.followConditions()
	})
}

// followConditions gives the sessions of this loop the policy for the conditions there are.
func (sh *shared) followConditions() {
	for _, s := range sh.sessions() {
		s.updatePolicy()
	}
}

// tick updates the pool's conditions. Worker.Tick calls it ten times a second.
func (sh *shared) tick() {
	if sh.hot != nil {
		sh.hot.Tick(sh.w.loop.Now())
		sh.slow.Tick(sh.w.loop.Now())
		sh.big.tick(sh.w.loop.Now())
	}
	if sh == sh.peers[0] {
		sh.local.Limits().Tick()
	}
	sh.probeStalled()
	sh.followFailover()
	sh.moveBlocked()
	sh.rounds.giveUp()
	for t := range sh.tracker.clients {
		t.sendOverdue()
	}
	if until := sh.conditions.paused; until != 0 && sh.w.loop.Now() >= until {
		sh.endPause()
	}
	if until := sh.conditions.held; until != 0 && sh.w.loop.Now() >= until {
		sh.release()
		if sh == sh.peers[0] {
			sh.w.log.Warn("pool resumed: its pause has reached its timeout", "pool", sh.poolName)
		}
	}
}

// check runs a request whose verdict in the policy is checked. Reasons are: the pool has
// conditions, the client tracks, it is an ACL user of the servers whose rights must be asked for, it is a user of the
// proxy whose rights depend on the arguments, the
// request may be a script with commands that are denied, or the audit log tells of the command. Like handle, it reports false if the
// request must wait.
func (s *session) check(cmd *command.Command, args [][]byte, raw []byte) bool {
	if s.proxyUser != nil && s.refuseByUser(cmd, args) {
		return true
	}
	if s.isServersUser() && needsRightsCheck(cmd) {
		denial, wait := s.checkRights(cmd, args)
		switch {
		case wait:
			return false
		case denial != nil:
			s.audit(cmd, s.userName(), audit.NoPermission)
			s.deny(cmd, denial)
			return true
		}
	}
	if s.refuseScript(cmd, args) {
		return true
	}
	if isAudited(cmd) {
		return s.runAudited(cmd, args, raw)
	}
	return s.runChecked(cmd, args, raw)
}

// runChecked runs a request that check lets pass.
func (s *session) runChecked(cmd *command.Command, args [][]byte, raw []byte) bool {
	if s.tracking != nil {
		return s.runTracked(cmd, args, raw)
	}
	return s.runUnderConditions(cmd, args, raw)
}

// runUnderConditions runs a request as the pool's conditions demand. Like handle, it reports
// false if the request must wait.
func (s *session) runUnderConditions(cmd *command.Command, args [][]byte, raw []byte) bool {
	c := s.conditions
	if c.held != 0 && s.holds(cmd) {
		c.pauseWaiters[s] = true
		return false
	}
	if s.refuseBusy(c, cmd, args) {
		return true
	}
	run := func() bool {
		switch {
		case len(c.busy) > 0 && cmd.Route == command.DefaultShard && cmd.Flags&command.FlagAllowBusy != 0 && s.tx == nil:
			return s.block(cmd, args, raw) // over a dedicated connection, not behind the script
		case c.paused != 0 && s.tx == nil && pausable(cmd):
			return s.runPaused(c, cmd, args, raw)
		}
		return s.route(cmd, args, raw)
	}
	if c.monitorCount > 0 {
		return s.runMonitored(cmd, args, run)
	}
	return run()
}
