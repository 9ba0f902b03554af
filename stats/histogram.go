package stats

import "math/bits"

// Unit is the unit of all latencies, in nanoseconds: a power of two, so that it costs a shift.
const Unit = 1 << unitShift

const unitShift = 10

// subBuckets is how many buckets a power of two is divided into.
const subBuckets = 16

// Buckets is how many buckets a Histogram has: they hold every value of 32 bits, 73 minutes at most.
const Buckets = (32-4)*subBuckets + subBuckets

// Histogram counts durations in buckets whose width is a sixteenth of a power of two. So the middle
// of a bucket is at most 3.2 % away from each value in it (the layout is HdrHistogram's). The zero
// Histogram is empty.
type Histogram struct {
	Counts [Buckets]uint64
	Sum    uint64 // of all durations, in Units
}

// bucketOf returns the bucket of a duration in Units.
func bucketOf(v uint32) int {
	e := max(0, bits.Len32(v)-5)
	return e*subBuckets + int(v>>e)
}

// Add counts n durations of v Units.
func (h *Histogram) Add(v uint32, n uint64) {
	h.Counts[bucketOf(v)] += n
	h.Sum += uint64(v) * n
}

// AddNanoseconds counts one duration. More than 73 minutes count as 73 minutes, less than 0 as 0.
func (h *Histogram) AddNanoseconds(ns int64) {
	h.Add(uint32(min(max(ns, 0)>>unitShift, 1<<32-1)), 1)
}

// Merge adds what other has counted.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other.Counts {
		h.Counts[i] += n
	}
	h.Sum += other.Sum
}

// Subtract takes out what earlier, a former state of h, had counted. If h has counted less since, it
// has begun anew (a server was forgotten and came back), and all that it has is left.
func (h *Histogram) Subtract(earlier *Histogram) {
	for i, n := range earlier.Counts {
		if n > h.Counts[i] {
			return
		}
	}
	for i, n := range earlier.Counts {
		h.Counts[i] -= n
	}
	h.Sum = Since(h.Sum, earlier.Sum)
}

// Since returns how much a counter has counted since it was before: all that it has, if it has begun
// anew.
func Since(now, before uint64) uint64 {
	if before > now {
		return now
	}
	return now - before
}

// Count returns how many durations there are.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Seconds returns the sum of all durations.
func (h *Histogram) Seconds() float64 { return float64(h.Sum) * Unit / 1e9 }

// Quantile returns the duration, in seconds, that a share q of all durations does not exceed: the
// middle of the bucket that the exact one is in. Without durations it returns 0.
func (h *Histogram) Quantile(q float64) float64 {
	total := h.Count()
	if total == 0 {
		return 0
	}
	rank := min(uint64(q*float64(total)), total-1)
	for i, n := range h.Counts {
		if rank < n {
			low, high := Bounds(i)
			return (low + high) / 2
		}
		rank -= n
	}
	return 0
}

// Bounds returns the bounds of a bucket, in seconds: it holds low <= duration < high.
func Bounds(bucket int) (low, high float64) {
	e := max(0, bucket/subBuckets-1)
	v := uint64(bucket - e*subBuckets)
	return float64(v<<e) * Unit / 1e9, float64((v+1)<<e) * Unit / 1e9
}
