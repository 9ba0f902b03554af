package session

import (
	"cmp"
	"slices"
)

// What is held for clients in buffers of the loop the loop itself counts
// (eventloop.Loop.Lent). The rest is counted here, and who has most.

// Restrict has clients with anything waiting not be read while tight, since the process
// holds much.
func (w *Worker) Restrict(tight bool) {
	was := w.tight
	if w.tight = tight; !was || tight {
		return
	}
	for _, s := range w.sessions {
		if s.blocked {
			s.settle()
		}
	}
}

// Weigh returns how many bytes are held for clients in no buffer of the loop: in
// transactions, and by the kernel for those that do not read.
func (w *Worker) Weigh() (n int64) {
	for _, s := range w.sessions {
		if s.conn.Stalled() {
			s.inKernel = s.conn.InKernel()
		} else {
			s.inKernel = 0
		}
		n += int64(s.apart())
	}
	return n
}

// apart is how many bytes are held for a client in no buffer of the loop.
func (s *session) apart() (n int) {
	n = s.inKernel + cap(s.interjections)
	if s.tx != nil {
		n += cap(s.tx.unit)
	}
	if s.sub != nil {
		n += cap(s.sub.backlog)
	}
	return n
}

// holds is how many bytes are held for a client.
func (s *session) holds() int { return s.waiting() + s.conn.Unread() + s.apart() }

// Most is how many bytes are held for the client for which most is.
func (w *Worker) Most() (most int) {
	for _, s := range w.sessions {
		most = max(most, s.holds())
	}
	return most
}

// Holder is a client and how many bytes are held for it.
type Holder struct {
	s     *session
	Bytes int
}

// Pool is the name of the client's pool.
func (h Holder) Pool() string { return h.s.poolName }

// Addr is the client's address.
func (h Holder) Addr() string { return h.s.info.addr }

// Close closes the client. It returns how many of the bytes that Weigh has counted are
// not held any more.
func (h Holder) Close() (apart int64) {
	apart = int64(h.s.apart())
	h.s.close()
	return apart
}

// Holders returns the clients for which at least so many bytes are held, those with most
// first. It is valid during the turn.
func (w *Worker) Holders(least int) (holders []Holder) {
	for _, s := range w.sessions {
		if n := s.holds(); n >= least {
			holders = append(holders, Holder{s, n})
		}
	}
	slices.SortFunc(holders, func(a, b Holder) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return holders
}
