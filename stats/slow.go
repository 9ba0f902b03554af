package stats

import (
	"cmp"
	"slices"
	"time"
)

// SlowRequest is a request that took long, and where its time went.
type SlowRequest struct {
	At      time.Time // when its reply came
	Command string    // in lower case; a subcommand is "client|setname"; "" if it is unknown
	Key     string    // its first key as log_keys shows it; "" if it has none or it is not known any more
	Client  string    // address
	Server  string    // address; "" if none has answered. Of several the last that did

	Waited time.Duration // from its last byte here until it was sent
	Served time.Duration // from sending until the reply
	Read   time.Duration // until the client had taken the reply, as far as it took longer than a turn

	RequestSize, ReplySize int  // in bytes; 0 if the request has no keys
	Failed                 bool // the reply is an error
}

// Total returns how long the request took.
func (r *SlowRequest) Total() time.Duration { return r.Waited + r.Served + r.Read }

const (
	// newestSlow is how many requests over the threshold a SlowLog keeps, the newest ones.
	newestSlow = 128
	// slowestKept is how many of the slowest requests of a slowSpan it keeps.
	slowestKept = 32
	// slowPerTick is how many requests are added from one Tick to the next: when everything is slow, the
	// log must not make it slower.
	slowPerTick = 20
	// slowSpan is the time whose slowest requests are kept, and those of the one before, in nanoseconds.
	slowSpan = int64(10 * time.Minute)
)

// SlowLog is the slow requests of one pool on one loop: the newest that took longer than a threshold,
// and the slowest of the last ten to twenty minutes, whatever they took.
type SlowLog struct {
	From uint32 // in Units: requests that took as long are worth an Add

	threshold       int64 // nanoseconds; 0 for none
	added           int   // since the last Tick
	newest          []*SlowRequest
	oldest          int // index in newest
	slowest, before []*SlowRequest
	began           int64
}

// NewSlowLog returns a SlowLog with a threshold, 0 for none.
func NewSlowLog(threshold time.Duration) *SlowLog { return &SlowLog{threshold: int64(threshold)} }

// SetThreshold changes the threshold, 0 for none.
func (l *SlowLog) SetThreshold(threshold time.Duration) {
	l.threshold = int64(threshold)
	l.setFrom()
}

// Full reports whether enough requests have been added in this tenth of a second.
func (l *SlowLog) Full() bool { return l.added >= slowPerTick }

// Over reports whether a request that took so long, in Units, is over the threshold.
func (l *SlowLog) Over(took uint32) bool {
	return l.threshold > 0 && int64(took) >= l.threshold>>unitShift
}

// Add takes a request, and reports whether it is over the threshold. The caller may still set its
// Read, on the same loop.
func (l *SlowLog) Add(r *SlowRequest) (over bool) {
	total := r.Total()
	l.added++
	if over = l.Over(uint32(min(int64(total)>>unitShift, 1<<32-1))); over {
		if len(l.newest) < newestSlow {
			l.newest = append(l.newest, r)
		} else {
			l.newest[l.oldest] = r
			l.oldest = (l.oldest + 1) % newestSlow
		}
	}
	if len(l.slowest) < slowestKept {
		l.slowest = append(l.slowest, r)
	} else if least := l.slowest[len(l.slowest)-1]; total > least.Total() {
		l.slowest[len(l.slowest)-1] = r
	}
	slices.SortFunc(l.slowest, bySlowness)
	l.setFrom()
	return over
}

func bySlowness(a, b *SlowRequest) int { return cmp.Compare(b.Total(), a.Total()) }

// setFrom sets From to the least time that Add would keep.
func (l *SlowLog) setFrom() {
	from := int64(0)
	if len(l.slowest) == slowestKept {
		from = int64(l.slowest[slowestKept-1].Total()) + Unit
	}
	if l.threshold > 0 {
		from = min(from, l.threshold)
	}
	l.From = uint32(min(from>>unitShift, 1<<32-1))
}

// Tick forgets the slowest requests when they are old. now is eventloop.Loop.Now.
func (l *SlowLog) Tick(now int64) {
	l.added = 0
	if now-l.began >= slowSpan {
		l.slowest, l.before, l.began = nil, l.slowest, now
		l.setFrom()
	}
}

// Copy returns the requests that are kept, in no order.
func (l *SlowLog) Copy() (kept []SlowRequest) {
	seen := map[*SlowRequest]bool{}
	for _, list := range [][]*SlowRequest{l.newest, l.slowest, l.before} {
		for _, r := range list {
			if !seen[r] {
				seen[r] = true
				kept = append(kept, *r)
			}
		}
	}
	return kept
}

// MergeSlow returns the n slowest of requests, and the n newest that took as long as threshold.
func MergeSlow(all []SlowRequest, threshold time.Duration, n int) (slowest, newest []SlowRequest) {
	slices.SortStableFunc(all, func(a, b SlowRequest) int { return b.At.Compare(a.At) })
	for i := range all {
		if threshold > 0 && all[i].Total() >= threshold && len(newest) < n {
			newest = append(newest, all[i])
		}
	}
	slices.SortStableFunc(all, func(a, b SlowRequest) int { return bySlowness(&a, &b) })
	return all[:min(n, len(all))], newest
}
