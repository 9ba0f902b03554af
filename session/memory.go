package session

import (
	"cmp"
	"slices"

	"ringway/stats"
)

// What is held for clients in buffers of the loop is counted by the loop itself
// (eventloop.Loop.Lent). This file counts the rest, and finds the clients for which most is
// held.

// Restrict sets whether reading is restricted. While tight, because the process holds much
// memory, a client is not read while it has a request without reply or output that waits.
func (w *Worker) Restrict(tight bool) {
	was := w.tight
	if w.tight = tight; !was || tight {
		return
	}
	for _, s := range w.sessions {
		if s.blocked {
			s.deferRun()
		}
	}
}

// Unlent returns how many bytes are held for clients in no buffer of the loop: in
// transactions, for instance, and by the kernel for clients that don't read. It looks at
// every session, and makes a system call for each client that doesn't read.
func (w *Worker) Unlent() (n int64) {
	for _, s := range w.sessions {
		if s.conn.Stalled() {
			s.inKernel = s.conn.InKernel()
		} else {
			s.inKernel = 0
		}
		n += int64(s.unlent())
	}
	return n
}

// unlent returns how many bytes are held for the client in no buffer of the loop.
func (s *session) unlent() (n int) {
	n = s.inKernel + cap(s.outOfBand)
	if s.tx != nil {
		n += s.tx.size
	}
	if s.sub != nil {
		n += cap(s.sub.backlog)
	}
	if s.shardsWait != nil {
		n += s.shardsWait.size
	}
	return n
}

// heldBytes returns how many bytes are held for the client. What waits to be sent out of band
// or as messages is in the account of its replies, and not counted again.
func (s *session) heldBytes() int {
	n := s.waiting() + s.conn.Unread() + s.unlent() - len(s.outOfBand)
	if s.sub != nil {
		n -= len(s.sub.backlog)
	}
	return n
}

// LargestHeld returns how many bytes are held for the client for which most is held.
func (w *Worker) LargestHeld() (most int) {
	for _, s := range w.sessions {
		most = max(most, s.heldBytes())
	}
	return most
}

// Holder is a client, and how many bytes are held for it. It is valid during the turn in
// which Holders returned it.
type Holder struct {
	s     *session
	Bytes int
}

// Pool returns the name of the client's pool.
func (h Holder) Pool() string { return h.s.poolName }

// Addr returns the client's address.
func (h Holder) Addr() string { return h.s.info.addr }

// Close closes the client. It returns how many of the freed bytes are among those that
// Unlent counts.
func (h Holder) Close() (apart int64) {
	apart = int64(h.s.unlent())
	h.s.closeFor(stats.ClosedMemory)
	return apart
}

// Holders returns the clients for which at least so many bytes are held, the largest first.
func (w *Worker) Holders(least int) (holders []Holder) {
	for _, s := range w.sessions {
		if n := s.heldBytes(); n >= least {
			holders = append(holders, Holder{s, n})
		}
	}
	slices.SortFunc(holders, func(a, b Holder) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return holders
}
