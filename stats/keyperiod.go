package stats

// KeyPeriod is what HotKeys counts for as long as somebody wants, not by the second.
type KeyPeriod struct {
	until int64 // as eventloop.Loop.Now, from when on nothing is counted; 0 for never
	sum   uint64
	slice keySlice
}

// Count has h count for a period that begins now, until Count is called again, with nil for no
// period, or until the time until, as eventloop.Loop.Now, if that is not 0.
func (h *HotKeys) Count(p *KeyPeriod, until int64) {
	if h.period = p; p != nil {
		p.until = until
	}
}

func (p *KeyPeriod) add(key Key, weight, bytes uint64) {
	s := &p.slice
	s.requests.add(key, weight)
	s.bytes.add(key, weight*bytes)
	s.weight += weight
	s.squares += weight * weight
	p.sum += weight * bytes
}

// Copy returns a copy, for MergeHotKeys, and how many bytes all requests and replies had. The rates
// that MergeHotKeys makes of copies of periods are the numbers of the whole period.
func (p *KeyPeriod) Copy() (k *KeyCounts, bytes uint64) {
	k = &KeyCounts{seconds: 1, weight: p.slice.weight, squares: p.slice.squares}
	k.requests[0], k.bytes[0] = p.slice.requests.copy(), p.slice.bytes.copy()
	return k, p.sum
}
