package session

import (
	"ringway/command"
)

// conditions are what one loop knows of a pool in which not everything is as usual: a
// server runs a script for too long, or holds writes back, or a client monitors. While
// there is any of it, sessions have a policy by which every request comes to
// session.check; at other times it costs nothing.
type conditions struct {
	busy   map[int][]byte // servers that answer -BUSY, with the reply
	paused int64          // until when servers hold writes back, as eventloop.Loop.Now; 0 if they don't

	runs      map[*scriptRun]bool // scripts on connections of their own
	scripted  bool                // a script has been run
	asking    map[int]bool        // servers that are being asked whether they are busy
	monitored int                 // MONITORs, over all loops
	monitors  map[*session]bool   // those of this loop

	waiting map[*session]bool // sessions that await the end of the pause
}

func newConditions() *conditions {
	return &conditions{busy: map[int][]byte{}, runs: map[*scriptRun]bool{}, asking: map[int]bool{}, waiting: map[*session]bool{}, monitors: map[*session]bool{}}
}

func (u *conditions) any() bool { return len(u.busy) > 0 || u.paused != 0 || u.monitored > 0 }

// change has all loops note a change of the pool's conditions, this one at once.
func (sh *shared) change(note func(peer *shared)) {
	sh.each(func(peer *shared) {
		note(peer)
		for _, s := range peer.sessions() {
			s.changed()
		}
	})
}

// look finds out what goes on in the pool, ten times a second.
func (sh *shared) look() {
	sh.askStalled()
	for t := range sh.tracker.clients {
		t.tellOverdue()
	}
	if until := sh.conditions.paused; until != 0 && sh.w.loop.Now() >= until {
		sh.endPause()
	}
}

// check runs a request that its policy has checked first: not everything is as usual in
// the pool, the client tracks, it is an ACL user who may not be allowed the request, or
// there is a script that may name what is denied. Like handle, it reports false if the
// request must wait.
func (s *session) check(cmd *command.Command, args [][]byte, raw []byte) bool {
	if s.user != nil && unchecked(cmd) {
		denial, wait := s.mayRun(cmd, args)
		switch {
		case wait:
			return false
		case denial != nil:
			s.deny(cmd, denial)
			return true
		}
	}
	if s.refuseScript(cmd, args) {
		return true
	}
	if s.tracking != nil {
		return s.runTracked(cmd, args, raw)
	}
	return s.runUnusual(cmd, args, raw)
}

// runUnusual runs a request while not everything may be as usual in the pool. Like
// handle, it reports false if the request must wait.
func (s *session) runUnusual(cmd *command.Command, args [][]byte, raw []byte) bool {
	u := s.conditions
	if s.refuseBusy(u, cmd, args) {
		return true
	}
	run := func() bool {
		switch {
		case len(u.busy) > 0 && cmd.Route == command.DefaultShard && cmd.Flags&command.FlagAllowBusy != 0 && s.tx == nil:
			return s.block(cmd, args, raw) // not behind the script
		case u.paused != 0 && s.tx == nil && pausable(cmd):
			return s.runPaused(u, cmd, args, raw)
		}
		return s.route(cmd, args, raw)
	}
	if u.monitored > 0 {
		return s.runShown(cmd, args, run)
	}
	return run()
}
