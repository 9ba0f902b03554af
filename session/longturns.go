package session

import (
	"sync/atomic"
	"time"

	"ringway/command"
)

// longTurns are a loop's turns that were long (eventloop.LongTurn). Other goroutines may
// read what is atomic.
type longTurns struct {
	count   atomic.Int64
	longest atomic.Int64 // in nanoseconds

	at      int64    // the turn, as eventloop.Loop.Now, that what follows is about
	largest int      // bytes of the largest piece of work
	of      *session // whose it was

	logged   int64 // when a long turn was last logged, as eventloop.Loop.Now; 0 if none was
	unlogged int64 // long turns since
}

// quietTurns is for how long a loop that has logged a long turn only counts others.
const quietTurns = time.Minute

// working notes so many bytes of work for a session: requests that are looked at at once, or
// replies that are joined. Of what a long turn did, the largest is named.
func (w *Worker) working(s *session, bytes int) {
	if t, now := &w.long, w.loop.Now(); t.at != now || bytes > t.largest {
		t.at, t.largest, t.of = now, bytes, s
	}
}

// onLongTurn is told of the worker's long turns.
func (w *Worker) onLongTurn(ran time.Duration) {
	t, now := &w.long, w.loop.Now()
	t.count.Add(1)
	t.longest.Store(max(t.longest.Load(), int64(ran)))
	if t.unlogged++; t.logged != 0 && now-t.logged < int64(quietTurns) {
		return
	}
	attrs := []any{"took", ran.String(), "turns", t.unlogged}
	if s := t.of; s != nil && t.at == now {
		cmd := "none"
		if s.ran > 0 {
			cmd = command.ByID(int(s.ran) - 1).Name
		}
		attrs = append(attrs, "pool", s.poolName, "client", s.info.addr, "command", cmd, "bytes", t.largest)
	}
	w.log.Warn("an event loop was held up, and its other clients waited; named is the largest piece of work in that time; others are counted for a minute (long_turns in INFO)", attrs...)
	t.logged, t.unlogged = now, 0
}

// longTurns returns how many turns of all loops were long, and the longest, so far.
func (sh *shared) longTurns() (count int64, longest time.Duration) {
	for _, peer := range sh.peers {
		count += peer.w.long.count.Load()
		longest = max(longest, time.Duration(peer.w.long.longest.Load()))
	}
	return count, longest
}
