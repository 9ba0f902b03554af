package session

import (
	"sync/atomic"
	"time"

	"ringway/command"
)

// longTurns counts the turns of a loop that were long (eventloop.LongTurn), and remembers whose
// work was the largest in the current one, for the log. Other goroutines may read the atomic
// fields.
type longTurns struct {
	count   atomic.Int64
	longest atomic.Int64 // in nanoseconds

	turn    int64    // the turn, by its eventloop.Loop.Now, that the next two fields are about
	largest int      // bytes of its largest piece of work
	session *session // whose work that was

	logged   int64 // when a long turn was last logged, as eventloop.Loop.Now; 0 if none was
	unlogged int64 // long turns since then
}

// longTurnLogInterval is the shortest time between two log lines about a loop's long turns.
const longTurnLogInterval = time.Minute

// noteWork notes a piece of work for a session, measured in bytes: requests that were read at
// once, or replies that are joined. If the turn becomes a long one, its largest is logged.
func (w *Worker) noteWork(s *session, bytes int) {
	if t, now := &w.long, w.loop.Now(); t.turn != now || bytes > t.largest {
		t.turn, t.largest, t.session = now, bytes, s
	}
}

// forgetWork makes a session that goes to another loop, which owns it from then on, none whose work is logged.
func (w *Worker) forgetWork(s *session) {
	if w.long.session == s {
		w.long.session = nil
	}
}

// onLongTurn counts and logs a long turn of the worker's loop, which took ran.
func (w *Worker) onLongTurn(ran time.Duration) {
	t, now := &w.long, w.loop.Now()
	t.count.Add(1)
	t.longest.Store(max(t.longest.Load(), int64(ran)))
	if t.unlogged++; t.logged != 0 && now-t.logged < int64(longTurnLogInterval) {
		return
	}
	attrs := []any{"took", ran.String(), "turns", t.unlogged}
	if s := t.session; s != nil && t.turn == now {
		cmd := "none"
		if s.lastCommand > 0 {
			cmd = command.ByID(int(s.lastCommand) - 1).Name
		}
		attrs = append(attrs, "pool", s.poolName, "client", s.info.addr, "command", cmd, "bytes", t.largest)
	}
	w.log.Warn("event loop held up: its other clients waited; the largest piece of work is named, further long turns are only counted for a minute (long_turns in INFO)", attrs...)
	t.logged, t.unlogged = now, 0
}

// longTurns returns how many turns of all loops have been long, and the longest of them. Any loop
// may call it.
func (sh *shared) longTurns() (count int64, longest time.Duration) {
	for _, peer := range sh.peers {
		count += peer.w.long.count.Load()
		longest = max(longest, time.Duration(peer.w.long.longest.Load()))
	}
	return count, longest
}
