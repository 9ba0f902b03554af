package limit

import "time"

const (
	// leases is how often in a second a loop takes tokens from a group, at most, while it has not reached the limit.
	leases = 200
	// shortestWait is how long a loop waits at least until it looks for tokens again.
	shortestWait = time.Millisecond
	// lookAgain is how long it waits for requests under way that end on other loops.
	lookAgain = 2 * time.Millisecond
)

// Share is what one event loop has taken of a group's limits. It belongs to that loop.
type Share struct {
	*Group
	Users    int   // sessions of the loop that use it: kept by the caller
	UnderWay int   // requests under way on the loop: likewise
	requests int64 // tokens
	bytes    int64 // likewise
	slots    int64 // of requests under way
	idle     bool  // nothing was charged since the last Tick
}

// NewShare returns a loop's share of a group's limits.
func NewShare(g *Group) *Share { return &Share{Group: g} }

// Admit returns how many of n requests the loop may run now. If that is 0, what says which limit was reached.
func (s *Share) Admit(n int) (admitted int, what What) {
	c := s.Settings()
	if c.Bytes > 0 && s.bytes <= 0 && !s.lease(&s.bytes, &s.Group.bytes, c.Bytes) {
		return 0, Bytes
	}
	if c.Requests > 0 {
		if s.requests <= 0 && !s.lease(&s.requests, &s.Group.requests, int64(c.Requests)) {
			return 0, Requests
		}
		n = int(min(int64(n), s.requests))
	}
	if c.UnderWay > 0 {
		if n = min(n, s.takeSlots(c, n)); n <= 0 {
			return 0, UnderWay
		}
	}
	return n, 0
}

// lease fills tokens for some milliseconds from a bucket. It reports whether there are any then.
func (s *Share) lease(tokens *int64, from *bucket, rate int64) bool {
	*tokens += from.take(max(1, rate/leases)-*tokens, float64(rate))
	return *tokens > 0
}

// takeSlots returns how many more requests may be under way, n at most.
func (s *Share) takeSlots(c *Settings, n int) int {
	for {
		free := int(s.slots) - s.UnderWay
		taken := s.Group.underWay.Load()
		more := min(int64(n-free), int64(c.UnderWay)-taken)
		if more <= 0 {
			return min(n, free)
		}
		if s.Group.underWay.CompareAndSwap(taken, taken+more) {
			s.slots += more
		}
	}
}

// Charge counts requests that were run, and bytes of requests and replies.
func (s *Share) Charge(requests int, bytes int64) {
	c := s.Settings()
	s.idle = false
	if c.Requests > 0 {
		charge(&s.requests, &s.Group.requests, int64(requests), c.Requests)
	}
	if c.Bytes > 0 {
		charge(&s.bytes, &s.Group.bytes, bytes, int(c.Bytes))
	}
}

// charge takes n of the tokens. What is missing the bucket owes at once, so that all loops wait for it.
func charge(tokens *int64, from *bucket, n int64, rate int) {
	if *tokens -= n; *tokens < 0 {
		from.owe(-*tokens, float64(rate))
		*tokens = 0
	}
}

// Wait returns after how long it is worth asking again, after Admit has returned 0.
func (s *Share) Wait(what What) time.Duration {
	c := s.Settings()
	switch {
	case what == Requests && c.Requests > 0:
		return max(shortestWait, s.Group.requests.until(1, float64(c.Requests)))
	case what == Bytes && c.Bytes > 0:
		return max(shortestWait, s.Group.bytes.until(1, float64(c.Bytes)))
	}
	return lookAgain
}

// Tick gives back what the loop has taken and does not use. It is called some times a second.
func (s *Share) Tick() {
	c := s.Settings()
	if unused := s.slots - int64(s.UnderWay); unused > 0 {
		s.slots -= unused
		s.Group.underWay.Add(-unused)
	}
	if s.idle {
		s.giveBack(c)
	}
	s.idle = true
}

// Close gives back all that the loop has taken.
func (s *Share) Close() {
	s.Group.underWay.Add(-s.slots)
	s.slots = 0
	s.giveBack(s.Settings())
}

func (s *Share) giveBack(c *Settings) {
	if s.requests > 0 && c.Requests > 0 {
		s.Group.requests.giveBack(s.requests, float64(c.Requests))
	}
	if s.bytes > 0 && c.Bytes > 0 {
		s.Group.bytes.giveBack(s.bytes, float64(c.Bytes))
	}
	s.requests, s.bytes = 0, 0
}
