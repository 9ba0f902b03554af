package server

import (
	"ringway/command"
	"ringway/eventloop"
	"ringway/pool"
)

// unrest is what one loop knows of a pool in which not everything is as usual: a
// server runs a script for too long, or holds writes back. While there is any,
// sessions have a policy by which every request comes to session.unsettled; in
// quiet times it costs nothing.
type unrest struct {
	loop   *eventloop.Loop
	busy   map[int][]byte // servers that answer -BUSY, with the reply
	paused int64          // until when servers hold writes back, as eventloop.Loop.Now; 0 if they don't

	runs      map[*run]bool     // scripts on connections of their own
	scripted  bool              // a script has been run
	asking    map[int]bool      // servers that are being asked whether they are busy
	monitored int               // MONITORs, over all loops
	monitors  map[*session]bool // those of this loop

	waiting map[*session]bool // sessions that await the end of the pause
}

func newUnrest(loop *eventloop.Loop) *unrest {
	return &unrest{loop: loop, busy: map[int][]byte{}, runs: map[*run]bool{}, asking: map[int]bool{}, waiting: map[*session]bool{}, monitors: map[*session]bool{}}
}

func (u *unrest) any() bool { return len(u.busy) > 0 || u.paused != 0 || u.monitored > 0 }

// unrest is what the session's loop knows of its pool.
func (s *session) unrest() *unrest { return s.w.unrest[s.local.Conf().Name] }

// policyOf is the policy of a pool's sessions that are not subscribed.
func (w *worker) policyOf(local *pool.Local) *policy {
	p := w.server.policies[local.Conf().Name]
	if w.unrest[local.Conf().Name].any() {
		return p.unsettled
	}
	return p
}

// upset has all loops note a change, this one at once.
func (w *worker) upset(name string, change func(u *unrest)) {
	for _, other := range w.server.workers {
		apply := func() {
			change(other.unrest[name])
			for _, s := range other.sessionsOf(name) {
				s.changed()
			}
		}
		if other == w {
			apply()
			continue
		}
		other.loop.Post(apply)
	}
}

// calm looks at what goes on in the pools, ten times a second.
func (w *worker) calm() {
	for name, local := range w.locals {
		w.askStalled(name, local)
		for t := range w.trackers[name].clients {
			t.hurry()
		}
		if u := w.unrest[name]; u.paused != 0 && w.loop.Now() >= u.paused {
			w.endPause(name)
		}
	}
}

// unsettled runs a request while there is unrest, of a client that tracks, of an ACL
// user who may not be allowed it, or with a script that may name what is denied. Like handle, it reports false if the request
// must wait.
func (s *session) unsettled(cmd *command.Command, args [][]byte, raw []byte) bool {
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
		return s.heed(cmd, args, raw)
	}
	return s.guarded(cmd, args, raw)
}

// guarded is unsettled for a client that does not track.
func (s *session) guarded(cmd *command.Command, args [][]byte, raw []byte) bool {
	u := s.w.unrest[s.local.Conf().Name]
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
