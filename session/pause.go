package session

import (
	"math"
	"strings"
	"time"

	"ringway/command"
	"ringway/resp"
)

// CLIENT PAUSE WRITE has servers hold back what may change something until a time,
// or CLIENT UNPAUSE. A request that is held back stops its connection, and with
// it everybody who shares that. So while a pool is paused, such a request goes over
// a connection of its own, and reads go on over the shared ones. A pause of
// everything needs no such care: whatever comes is held back.

// pause is what CLIENT PAUSE and UNPAUSE come to.
type pause struct {
	lasts time.Duration
	ends  bool
}

// note takes one request into account, and returns the result.
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

// notePause tells all loops of a pause that is about to be asked for, or to be
// ended. A loop that learns of it late sends what is held back over the shared
// connection: then others wait behind it, but nothing is lost.
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

// endPause has all loops go on as usual.
func (sh *shared) endPause() {
	sh.changeConditions(func(peer *shared) {
		u := peer.conditions
		u.paused = 0
		for s := range u.pauseWaiters {
			s.settle()
		}
		clear(u.pauseWaiters)
	})
}

// pausable tells whether CLIENT PAUSE WRITE may hold a command back. Servers do not
// tell of all commands that a replica is told of, so some are known by name. A
// script's flags are in its text; the server reads them.
func pausable(cmd *command.Command) bool {
	switch {
	case cmd.IsScript():
		return !cmd.IsReadonly()
	case cmd.Name == "pfcount", cmd.Name == "publish", cmd.Name == "spublish":
		return true
	}
	return cmd.IsWrite()
}

// heldBack tells whether a pause holds a transaction back.
func (s *session) heldBack(tx *transaction) bool {
	return tx.writes && !tx.failed && s.conditions.paused != 0
}

// runPaused runs a request that is held back. Like handle, it reports false if it
// must wait: what goes to several servers does so here, until the pause ends.
func (s *session) runPaused(u *conditions, cmd *command.Command, args [][]byte, raw []byte) bool {
	if !s.replies.idle() || !s.dedicatedReady() {
		return false
	}
	a := &exclusive{s: s, untimed: true}
	shard, err := s.owner(cmd, args)
	switch {
	case s.local.Shards() > 1 && (cmd.Route == command.AllShards || cmd.Route == command.Split && err == errCrossShard):
		u.pauseWaiters[s] = true
		return false
	case err != nil:
		s.replyError(err)
		return true
	case s.dedicated != nil && s.dedicated.shard == shard: // WATCH has it, and keeps it
	case s.dedicated != nil || !s.acquireDedicated(shard):
		u.pauseWaiters[s] = true
		return false
	default:
		a.fresh, a.done = true, func() { s.releaseDedicated(true) }
	}
	a.keepForRetry(raw)
	s.waits = s.w.loop.Now()
	s.noteScripts(cmd, args)
	a.checkSent(s.dedicated.conn.SendUntimed(raw, a, a.start()))
	return true
}

// acquireDedicated takes a connection for what is held back, if there is one left.
func (s *session) acquireDedicated(shard int) bool {
	conn, err := s.conns.Acquire(shard)
	if err != nil {
		return false
	}
	s.dedicated = s.newDedicated(shard, -1, conn)
	return true
}
