package stats

import (
	"cmp"
	"slices"
	"time"
)

// BigValue is a large request or reply.
type BigValue struct {
	Key     string // the first key of the request as log_keys shows it; "" if it is not known any more
	Command string // in lower case
	Size    int    // in bytes, framing included
	At      time.Time
	Client  string // address of who sent or asked for it
}

const (
	// bigKept is how many keys a BigValues keeps.
	bigKept = 32
	// bigFrom is the size from which a request or reply is worth keeping.
	bigFrom = 4 << 10
	// bigSpan is the time whose largest values are kept, and those of the one before, in nanoseconds.
	bigSpan = int64(10 * time.Minute)
)

// BigValues is the largest requests, or replies, of one pool on one loop in the last ten to twenty
// minutes: one for each key and command.
type BigValues struct {
	From int // sizes as large are worth an Add

	now, before []BigValue // the largest first
	began       int64
}

// NewBigValues returns an empty BigValues.
func NewBigValues() *BigValues { return &BigValues{From: bigFrom} }

// Add takes a request or reply.
func (b *BigValues) Add(v BigValue) {
	at := slices.IndexFunc(b.now, func(o BigValue) bool { return o.Key == v.Key && o.Command == v.Command })
	switch {
	case at >= 0 && b.now[at].Size >= v.Size:
		return
	case at >= 0:
		b.now[at] = v
	case len(b.now) < bigKept:
		b.now = append(b.now, v)
	default:
		b.now[bigKept-1] = v
	}
	slices.SortStableFunc(b.now, bySize)
	if len(b.now) == bigKept {
		b.From = b.now[bigKept-1].Size + 1
	}
}

func bySize(a, b BigValue) int { return cmp.Compare(b.Size, a.Size) }

// Tick forgets values that are old. now is eventloop.Loop.Now.
func (b *BigValues) Tick(now int64) {
	if now-b.began >= bigSpan {
		b.now, b.before, b.began, b.From = nil, b.now, now, bigFrom
	}
}

// Copy returns the values that are kept, in no order.
func (b *BigValues) Copy() []BigValue { return slices.Concat(b.now, b.before) }

// MergeBigValues returns the n largest, the largest first, each key and command once.
func MergeBigValues(all []BigValue, n int) []BigValue {
	slices.SortStableFunc(all, bySize)
	type id struct{ key, command string }
	seen, top := map[id]bool{}, []BigValue(nil)
	for _, v := range all {
		if k := (id{v.Key, v.Command}); !seen[k] && len(top) < n {
			seen[k] = true
			top = append(top, v)
		}
	}
	return top
}
