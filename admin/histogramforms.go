package admin

import (
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"

	"ringway/stats"
)

// classicBounds are the upper bounds of the buckets that scrapers get which do not know native
// histograms, in seconds: from what a busy loop takes to what clients wait.
var classicBounds = [...]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

const classicBuckets = len(classicBounds)

// serverBuckets reports which of classicBounds the histograms of servers have, which may be hundreds.
var serverBuckets = func() (has [classicBuckets]bool) {
	for i, bound := range classicBounds {
		has[i] = slices.Contains([]float64{.0001, .0005, .001, .005, .01, .05, .1, .5, 1, 5}, bound)
	}
	return has
}()

// Native histograms have eight buckets for a power of two, which are 9 % wide. What is less than
// zeroThreshold, in seconds, is less than the clock tells apart.
var (
	nativeSchema  int32 = 3
	zeroThreshold       = stats.Unit / 1e9
)

// placement is where the durations of one bucket of a stats.Histogram are counted: by its middle.
type placement struct {
	classic int   // index in classicBounds, or beyond
	native  int32 // index of the native bucket
}

var placements = func() (all [stats.Buckets]placement) {
	for i := range all {
		low, high := stats.Bounds(i)
		middle := (low + high) / 2
		for all[i].classic < len(classicBounds) && middle > classicBounds[all[i].classic] {
			all[i].classic++
		}
		all[i].native = int32(math.Ceil(math.Log2(middle) * 8))
	}
	return all
}()

// histogramValue is one histogram, with what it points to.
type histogramValue struct {
	message dto.Histogram
	sum     float64
	counts  [classicBuckets + 1]uint64 // cumulative; the last is of all
	buckets [classicBuckets]dto.Bucket
	list    [classicBuckets]*dto.Bucket // those that are shown
	native  nativeBuckets
}

// fill makes v, which is zero, say what h says, in the classic form. m is the metric.
func (v *histogramValue) fill(h *stats.Histogram, m *metric) {
	for i, count := range h.Counts {
		v.counts[placements[i].classic] += count
	}
	list := v.list[:0]
	for i := range v.buckets {
		v.counts[i+1] += v.counts[i]
		if m != serverDuration || serverBuckets[i] {
			v.buckets[i].UpperBound, v.buckets[i].CumulativeCount = &classicBounds[i], &v.counts[i]
			list = append(list, &v.buckets[i])
		}
	}
	v.sum = h.Seconds()
	v.message.SampleCount, v.message.SampleSum, v.message.Bucket = &v.counts[classicBuckets], &v.sum, list
}

// fillNative adds what h says in the native form.
func (v *histogramValue) fillNative(h *stats.Histogram) {
	for i, count := range h.Counts[1:] { // what is in the first one is less than zeroThreshold
		if count > 0 {
			v.native.add(placements[i+1].native, int64(count))
		}
	}
	m := &v.message
	m.Schema, m.ZeroThreshold, m.ZeroCount = &nativeSchema, &zeroThreshold, &h.Counts[0]
	m.PositiveSpan, m.PositiveDelta = v.native.spans, v.native.deltas
}

// nativeBuckets are the buckets of a native histogram: spans of buckets that follow each other,
// each count as its difference from the one before.
type nativeBuckets struct {
	spans  []*dto.BucketSpan
	deltas []int64
	next   int32 // the bucket behind the last one
	last   int64 // its count
}

// add counts in a bucket, which is the last one or a higher one.
func (n *nativeBuckets) add(bucket int32, count int64) {
	if len(n.deltas) > 0 && bucket == n.next-1 {
		n.deltas[len(n.deltas)-1] += count
		n.last += count
		return
	}
	if offset := bucket - n.next; offset != 0 || len(n.spans) == 0 {
		n.spans = append(n.spans, &dto.BucketSpan{Offset: &offset, Length: new(uint32)})
	}
	*n.spans[len(n.spans)-1].Length++
	n.deltas = append(n.deltas, count-n.last)
	n.next, n.last = bucket+1, count
}
