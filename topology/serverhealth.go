package topology

import (
	"fmt"
	"time"
)

// health says whether a server may be used in its role, by what was observed of it. A fault
// that the server itself shows counts at once. Silence counts only when it is repeated, and a
// server with a fault is taken back only after repeated good answers: one lost packet, or one
// lucky answer, must not move traffic.
type health struct {
	judged     bool          // there was a first observation; nothing below counts before
	fault      string        // why the server must not be used; "" if it may
	since      time.Time     // when fault became empty, or ceased to be
	unanswered int           // polls without an answer, in a row
	faultless  int           // good answers, in a row
	latency    time.Duration // exponentially smoothed
}

const (
	unansweredMax = 2 // from so many polls in a row on, silence is a fault
	faultlessMin  = 2 // so many good answers end a fault
)

// update takes an observation and the fault that it shows, "" for none. It reports whether the
// server has become usable or unusable by that, and for how long it was the other before.
func (h *health) update(o *observation, fault string) (changed bool, after time.Duration) {
	if o.answered() {
		h.unanswered = 0
		const share = 8 // one observation's weight in the average is an eighth
		if h.latency == 0 {
			h.latency = o.latency
		}
		h.latency += (o.latency - h.latency) / share
	} else {
		h.unanswered++
	}
	if fault != "" {
		h.faultless = 0
		if !o.answered() && h.unanswered < unansweredMax && h.judged {
			return false, 0
		}
	} else if h.faultless++; h.judged && h.fault != "" && h.faultless < faultlessMin {
		return false, 0
	}
	changed = (h.fault == "") != (fault == "") || !h.judged
	h.judged, h.fault = true, fault
	if changed {
		after = o.askedAt.Sub(h.since)
		h.since = o.askedAt
	}
	return changed, after
}

// replicaFault returns why a replica must not be read, "" if it may. Lag is how far it is
// behind, most is max_replica_lag (0 for no bound), and primary is the last observation of the
// shard's primary, which may be without an answer: replicas are read while the primary is
// down.
func replicaFault(o, primary *observation, lag, most time.Duration) string {
	switch {
	case !o.answered():
		return fmt.Sprintf("it does not answer: %v", o.err)
	case o.loading:
		return "it is loading its data"
	case o.role == "master":
		return "it says that it is a primary itself"
	case !o.linkUp:
		return "it is not connected to its primary"
	case primary.isPrimary() && primary.replID != o.replID:
		return "it follows another primary"
	case most > 0 && lag > most:
		return fmt.Sprintf("it is %s behind", lag.Round(time.Millisecond))
	}
	return ""
}

// shownLag returns the lag of a replica as operators see it: -1 if it does not say how far it is.
func shownLag(o *observation, lag time.Duration) time.Duration {
	if !o.isReplica() || !o.linkUp {
		return -1
	}
	return lag
}

// primaryFault returns why a primary can't serve, "" if it can.
func primaryFault(o *observation) string {
	switch {
	case !o.answered():
		return fmt.Sprintf("it does not answer: %v", o.err)
	case o.loading:
		return "it is loading its data"
	case o.role != "master":
		return "it says that it is a replica"
	}
	return ""
}
