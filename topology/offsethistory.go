package topology

import (
	"time"
)

// An offsetHistory remembers when a primary had which replication offset. A replica's offset
// then tells how old the data is that it lacks, which Redis itself does not say:
// master_last_io_seconds_ago is small for a replica that is connected and far behind.
type offsetHistory struct {
	id      string         // the replication ID that the offsets belong to
	samples []offsetSample // oldest first
}

type offsetSample struct {
	at     time.Time
	offset int64
}

// samplesMost bounds the memory of an offsetHistory. The oldest samples are dropped first,
// which can only make replicas look better than they are, and only those that are further
// behind than all of the samples.
const samplesMost = 512

// add takes an observation of the primary. Samples older than keep are dropped.
func (h *offsetHistory) add(o *observation, keep time.Duration) {
	if !o.isPrimary() {
		return
	}
	if h.id != o.replID {
		h.id, h.samples = o.replID, nil
	}
	n := len(h.samples)
	// With equal offsets the earlier sample is the one that counts, and samples need not be
	// closer together than the bound on their number allows.
	if n > 0 && (h.samples[n-1].offset == o.offset || o.askedAt.Sub(h.samples[n-1].at) < keep/samplesMost) {
		return
	}
	h.samples = append(h.samples, offsetSample{o.askedAt, o.offset})
	old := 0
	for old < n && (o.askedAt.Sub(h.samples[old].at) > keep || len(h.samples)-old > samplesMost) {
		old++
	}
	h.samples = h.samples[old:]
}

// lag returns how far behind its primary a replica is: the age of the oldest data that it
// lacks. Where the primary's offsets are unknown, it is the time since the replica heard from
// the primary.
func (h *offsetHistory) lag(o *observation) time.Duration {
	if h.id == "" || h.id != o.replID || len(h.samples) == 0 {
		return time.Duration(max(o.lastIO, 0)) * time.Second
	}
	for _, m := range h.samples {
		if m.offset > o.offset {
			return o.askedAt.Sub(m.at)
		}
	}
	return 0
}
