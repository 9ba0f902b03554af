package session

import (
	"math"
	"strings"
	"time"

	"ringway/command"
	"ringway/resp"
)

// CLIENT PAUSE WRITE has servers delay writes for some time, or until CLIENT UNPAUSE. A
// delayed request stops its connection, and with it all clients that share that. So while a
// pool is paused, a write goes over a dedicated connection, and reads go on over the shared
// ones. CLIENT PAUSE ALL needs nothing like that: it delays every request.

// pause is the effect of one or several CLIENT PAUSE and UNPAUSE; the zero value is none.
type pause struct {
	lasts time.Duration // of CLIENT PAUSE WRITE, from now
	ends  bool          // CLIENT UNPAUSE
}

// note takes one more request into account, and returns the effect of all so far.
func (p *pause) note(cmd *command.Command, args [][]byte) pause {
	switch cmd.Name {
	case "client|unpause":
		*p = pause{ends: true}
	case "client|pause":
		ms, ok := resp.ParseInt(args[2])
		if ok && ms > 0 && len(args) == 4 && strings.EqualFold(string(args[3]), "write") {
			*p = pause{lasts: time.Duration(min(ms, math.MaxInt64/int64(2*time.Millisecond))) * time.Millisecond}
		}
	}
	return *p
}

// notePause tells all loops of a pause that servers are about to be asked for, or to end. A
// loop that learns of it late sends a write over the shared connection: then others wait
// behind it, but nothing is lost.
func (s *session) notePause(p pause) {
	switch {
	case p.lasts > 0:
		s.changeConditions(func(peer *shared) {
			peer.conditions.paused = max(peer.conditions.paused, peer.w.loop.Now()+int64(p.lasts))
		})
	case p.ends && s.conditions.paused != 0:
		s.endPause()
	}
}

// endPause ends the pause on all loops, and has the sessions go on that wait for its end.
func (sh *shared) endPause() {
	sh.changeConditions(func(peer *shared) {
		peer.conditions.paused = 0
		peer.conditions.wake()
	})
}

// wake has the sessions go on whose next request waits for the end of a pause. If there still is one,
// they wait again.
func (c *conditions) wake() {
	for s := range c.pauseWaiters {
		s.deferRun()
	}
	clear(c.pauseWaiters)
}

// An operator's PAUSE POOL is what CLIENT PAUSE ALL is to one Redis: all requests wait. They do so in the
// proxy, unread, so that nothing reaches the servers. Requests that were sent before are answered.

// HoldPool holds the requests of a pool's clients back on this loop, for some time at most. The pool is an
// index in the configuration.
func (w *Worker) HoldPool(index int, lasts time.Duration) {
	if sh := w.pool(index); sh != nil {
		sh.conditions.held = w.loop.Now() + int64(lasts)
		sh.followConditions()
	}
}

// ReleasePool ends HoldPool on this loop.
func (w *Worker) ReleasePool(index int) {
	if sh := w.pool(index); sh != nil {
		sh.release()
	}
}

// release ends HoldPool on this loop, and has the sessions go on that wait for its end.
func (sh *shared) release() {
	sh.conditions.held = 0
	sh.followConditions()
	sh.conditions.wake()
}

// holds reports whether a request has to wait for the end of HoldPool. What the proxy answers itself
// goes on, so that clients can connect, and so does PING; in an open transaction requests are queued.
func (s *session) holds(cmd *command.Command) bool {
	switch {
	case s.tx != nil && cmd.Route != command.Transaction || cmd.Name == "ping":
		return false
	case cmd.Route == command.Local:
		return aboutServer(cmd) && s.local.Shards() == 1
	}
	return true
}

// pausable reports whether CLIENT PAUSE WRITE may delay a command. Some commands that Redis
// delays because they go to replicas are no writes by their flags; they are listed by name.
// A script may have its flags in its text, which only the server reads.
func pausable(cmd *command.Command) bool {
	switch {
	case cmd.IsScript():
		return !cmd.IsReadonly()
	case cmd.Name == "pfcount", cmd.Name == "publish", cmd.Name == "spublish":
		return true
	}
	return cmd.IsWrite()
}

// pauseDelays reports whether servers delay a transaction because of a pause.
func (s *session) pauseDelays(tx *transaction) bool {
	return tx.writes && !tx.failed && s.conditions.paused != 0
}

// runPaused runs a request that the pause delays, over a dedicated connection. Like handle,
// it reports false if it must wait. A request for several servers waits in the proxy until
// the pause ends, and so does one for which no dedicated connection is left.
func (s *session) runPaused(u *conditions, cmd *command.Command, args [][]byte, raw []byte) bool {
	if !s.replies.idle() || !s.dedicatedReady() {
		return false
	}
	a := &exclusive{s: s, untimed: true}
	shard, err := s.owner(cmd, args)
	switch {
	case s.local.Shards() > 1 && (cmd.Route == command.AllShards || err == errCrossShard && (cmd.Route == command.Split || waitsOverShards(cmd))):
		u.pauseWaiters[s] = true
		return false
	case err != nil:
		s.replyError(s.explain(err, cmd, args))
		return true
	case s.dedicated != nil && s.dedicated.shard == shard: // WATCH has acquired it, and keeps it
	case s.dedicated != nil || !s.acquireDedicated(shard):
		u.pauseWaiters[s] = true
		return false
	default:
		a.fresh, a.done = true, func() { s.releaseDedicated(true) }
	}
	a.keepForRetry(raw)
	s.blockedSince = s.w.loop.Now()
	s.noteScripts(cmd, args)
	a.checkSent(s.dedicated.conn.SendUntimed(raw, a, a.start()))
	return true
}
