package admin

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"ringway/stats"
)

// series is one value of a metric, or one histogram. client_golang's own constant metrics check and
// sort the labels of each, and make two maps for each histogram: with hundreds of servers that is
// most of the work of a scrape.
type series struct {
	m         metric
	value     float64
	histogram *dto.Histogram   // nil for a value
	labels    []*dto.LabelPair // sorted by name
}

// label returns a label of a series.
func label(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }

// Desc implements prometheus.Metric.
func (s *series) Desc() *prometheus.Desc { return s.m.desc }

// Write implements prometheus.Metric.
func (s *series) Write(to *dto.Metric) error {
	to.Label = s.labels
	switch {
	case s.histogram != nil:
		to.Histogram = s.histogram
	case s.m.kind == prometheus.CounterValue:
		to.Counter = &dto.Counter{Value: &s.value}
	default:
		to.Gauge = &dto.Gauge{Value: &s.value}
	}
	return nil
}

// classicBounds are the upper bounds of the buckets that scrapers get which do not know native
// histograms, in seconds: from what a busy loop takes to what clients wait.
var classicBounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

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

// bothForms returns a histogram in the classic and in the native form.
func bothForms(h *stats.Histogram) *dto.Histogram {
	var n nativeBuckets
	counts := make([]uint64, len(classicBounds)+1)
	for i, count := range h.Counts {
		if count == 0 {
			continue
		}
		counts[placements[i].classic] += count
		if i > 0 { // what is in the first one is less than zeroThreshold
			n.add(placements[i].native, int64(count))
		}
	}
	buckets := make([]dto.Bucket, len(classicBounds))
	list := make([]*dto.Bucket, len(classicBounds))
	for i := range buckets {
		buckets[i].UpperBound, buckets[i].CumulativeCount = &classicBounds[i], &counts[i]
		counts[i+1] += counts[i]
		list[i] = &buckets[i]
	}
	sum := h.Seconds()
	return &dto.Histogram{
		SampleCount: &counts[len(classicBounds)], SampleSum: &sum, Bucket: list,
		Schema: &nativeSchema, ZeroThreshold: &zeroThreshold, ZeroCount: &h.Counts[0], PositiveSpan: n.spans, PositiveDelta: n.deltas,
	}
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
