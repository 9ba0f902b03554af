package topology

import (
	"errors"
	"testing"
	"time"
)

var began = time.Unix(1000, 0)

// replicaSeen is an observation of a replica that is in order, changed by a test.
func replicaSeen(change func(*observation)) *observation {
	o := &observation{
		addr: "replica:1", askedAt: began, latency: time.Millisecond,
		replication: replication{role: "slave", replID: "one", offset: 100, linkUp: true, lastIO: 0},
	}
	if change != nil {
		change(o)
	}
	return o
}

func primaryAt(id string, offset int64, at time.Duration) *observation {
	return &observation{
		addr: "primary:1", askedAt: began.Add(at), latency: time.Millisecond,
		replication: replication{role: "master", replID: id, offset: offset},
	}
}

func TestReplicasThatMustNotBeRead(t *testing.T) {
	t.Parallel()
	primary := primaryAt("one", 100, 0)
	for _, test := range []struct {
		name   string
		change func(*observation)
		lag    time.Duration
		want   string
	}{
		{"in order", nil, 0, ""},
		{"as late as it may be", nil, 10 * time.Second, ""},
		{"silent", func(o *observation) { o.err = errors.New("i/o timeout") }, 0, "it does not answer: i/o timeout"},
		{"loading", func(o *observation) { o.loading = true }, 0, "it is loading its data"},
		{"promoted", func(o *observation) { o.role = "master" }, 0, "it says that it is a primary itself"},
		{"cut off", func(o *observation) { o.linkUp = false }, 0, "it is not connected to its primary"},
		{"of another primary", func(o *observation) { o.replID = "two" }, 0, "it follows another primary"},
		{"late", nil, 10*time.Second + time.Millisecond, "it is 10.001s behind"},
	} {
		if got := replicaFault(replicaSeen(test.change), primary, test.lag, 10*time.Second); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if got := replicaFault(replicaSeen(nil), primary, time.Hour, 0); got != "" {
		t.Errorf("late where there is no bound: %q", got)
	}
	silent := &observation{askedAt: began, err: errors.New("gone")}
	if got := replicaFault(replicaSeen(func(o *observation) { o.replID = "two" }), silent, 0, time.Second); got != "" {
		t.Errorf("a replica whose primary does not answer: %q", got)
	}
}

// A fault that a server shows counts at once; silence, and good answers after a fault, when
// they are repeated.
func TestVerdictsDoNotFlap(t *testing.T) {
	t.Parallel()
	var f health
	at := 0
	step := func(answered bool, fault string, wantChanged bool, wantOut string) {
		t.Helper()
		at++
		o := replicaSeen(func(o *observation) {
			o.askedAt = began.Add(time.Duration(at) * time.Second)
			if !answered {
				o.err = errors.New("silence")
			}
		})
		if changed, _ := f.update(o, fault); changed != wantChanged || f.fault != wantOut {
			t.Fatalf("poll %d: changed %v, out %q; want %v, %q", at, changed, f.fault, wantChanged, wantOut)
		}
	}
	step(true, "", true, "") // the first observation counts at once
	step(false, "silent", false, "")
	step(true, "", false, "")
	step(false, "silent", false, "")
	step(false, "silent", true, "silent")
	step(true, "", false, "silent")
	step(false, "silent", false, "silent")
	step(true, "", false, "silent")
	step(true, "", true, "")
	step(true, "loading", true, "loading")
	step(true, "late", false, "late")
	step(true, "", false, "late")
	step(true, "", true, "")
}

func TestVerdictSaysForHowLongTheLastWasTrue(t *testing.T) {
	t.Parallel()
	var f health
	f.update(replicaSeen(nil), "")
	_, after := f.update(replicaSeen(func(o *observation) { o.askedAt = began.Add(3 * time.Second) }), "loading")
	if after != 3*time.Second {
		t.Errorf("after %v, want 3s", after)
	}
}

// How far a replica is behind is the age of the oldest data that it lacks.
func TestLagIsTheAgeOfWhatIsMissing(t *testing.T) {
	t.Parallel()
	var tr offsetHistory
	for i := range 10 {
		tr.add(primaryAt("one", int64(100*i), time.Duration(i)*time.Second), time.Minute)
	}
	for _, test := range []struct {
		id     string
		offset int64
		at     time.Duration
		want   time.Duration
	}{
		{"one", 900, 9 * time.Second, 0},
		{"one", 2000, 9 * time.Second, 0}, // newer than the primary was when it was seen last
		{"one", 899, 9 * time.Second, 0},
		{"one", 899, 12 * time.Second, 3 * time.Second},
		{"one", 450, 9 * time.Second, 4 * time.Second},
		{"two", 450, 9 * time.Second, 7 * time.Second}, // of another history: what it says itself
	} {
		o := replicaSeen(func(o *observation) {
			o.replID, o.offset, o.askedAt, o.lastIO = test.id, test.offset, began.Add(test.at), 7
		})
		if got := tr.lag(o); got != test.want {
			t.Errorf("%+v: %v, want %v", test, got, test.want)
		}
	}
}

func TestTrackIsBoundedAndForgetsOtherHistories(t *testing.T) {
	t.Parallel()
	var tr offsetHistory
	for i := range 5000 {
		tr.add(primaryAt("one", int64(i), time.Duration(i)*time.Millisecond), time.Second)
	}
	if n := len(tr.samples); n > samplesMost+1 {
		t.Errorf("%d marks", n)
	}
	if age := began.Add(4999 * time.Millisecond).Sub(tr.samples[0].at); age > 1100*time.Millisecond {
		t.Errorf("the oldest mark is %v old", age)
	}
	tr.add(primaryAt("two", 1, 5*time.Second), time.Second)
	if len(tr.samples) != 1 || tr.id != "two" {
		t.Errorf("%d marks of %s", len(tr.samples), tr.id)
	}
	replica := primaryAt("two", 9, 6*time.Second)
	replica.role = "slave"
	tr.add(replica, time.Second)
	if len(tr.samples) != 1 {
		t.Error("a replica left a mark")
	}
}
