package topology

import (
	"fmt"
	"time"
)

// fitness says whether a server may be asked, by what was seen of it. What it
// says itself counts at once; silence counts when it is repeated, and so do good
// answers before a server is taken back.
type fitness struct {
	seen    bool   // there is a first verdict
	out     string // why it must not be asked; "" if it may
	since   time.Time
	silent  int           // looks without an answer, in a row
	good    int           // good answers, in a row
	latency time.Duration // smoothed
}

const (
	silentLooks = 2
	goodLooks   = 2
)

// judge takes an observation, and the fault that is seen in it, "" for none. It
// reports whether the verdict has changed, and for how long the last one was true.
func (f *fitness) judge(o *observation, fault string) (changed bool, after time.Duration) {
	if o.answered() {
		f.silent = 0
		const share = 8 // a look's part in the average is an eighth
		if f.latency == 0 {
			f.latency = o.took
		}
		f.latency += (o.took - f.latency) / share
	} else {
		f.silent++
	}
	if fault != "" {
		f.good = 0
		if !o.answered() && f.silent < silentLooks && f.seen {
			return false, 0
		}
	} else if f.good++; f.seen && f.out != "" && f.good < goodLooks {
		return false, 0
	}
	changed = (f.out == "") != (fault == "") || !f.seen
	f.seen, f.out = true, fault
	if changed {
		after = o.asked.Sub(f.since)
		f.since = o.asked
	}
	return changed, after
}

// whyUnread returns why a replica must not be read, "" if it may. Lag is how far it
// is behind, and primary what is known of its primary.
func whyUnread(o, primary *observation, lag, most time.Duration) string {
	switch {
	case !o.answered():
		return fmt.Sprintf("it does not answer: %v", o.err)
	case o.loading:
		return "it is loading its data"
	case o.role == "master":
		return "it says that it is a primary itself"
	case !o.linked:
		return "it is not connected to its primary"
	case primary.isPrimary() && primary.id != o.id:
		return "it follows another primary"
	case most > 0 && lag > most:
		return fmt.Sprintf("it is %s behind", lag.Round(time.Millisecond))
	}
	return ""
}

// whyDown returns why a primary can't serve, "" if it can.
func whyDown(o *observation) string {
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

// track remembers when a primary was how far in its history.
type track struct {
	id    string // of the history
	marks []mark // oldest first
}

type mark struct {
	at     time.Time
	offset int64
}

// marksMost bounds the memory of a track; the oldest marks go first, which can
// only make replicas look better than they are, once they are as far behind as
// all of the track.
const marksMost = 512

// note takes an observation of the primary.
func (t *track) note(o *observation, keep time.Duration) {
	if !o.isPrimary() {
		return
	}
	if t.id != o.id {
		t.id, t.marks = o.id, nil
	}
	n := len(t.marks)
	// Between these two, the offset has grown: the time of the first of them says it all.
	if n > 0 && (t.marks[n-1].offset == o.offset || o.asked.Sub(t.marks[n-1].at) < keep/marksMost) {
		return
	}
	t.marks = append(t.marks, mark{o.asked, o.offset})
	old := 0
	for old < n && (o.asked.Sub(t.marks[old].at) > keep || len(t.marks)-old > marksMost) {
		old++
	}
	t.marks = t.marks[old:]
}

// lag is how far behind its primary a replica is: the age of the oldest data that
// it does not have. Where the primary was not seen, it is the time since the
// replica has heard of it.
func (t *track) lag(o *observation) time.Duration {
	if t.id == "" || t.id != o.id || len(t.marks) == 0 {
		return time.Duration(max(o.lastHeed, 0)) * time.Second
	}
	for _, m := range t.marks {
		if m.offset > o.offset {
			return o.asked.Sub(m.at)
		}
	}
	return 0
}
