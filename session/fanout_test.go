package session

import "testing"

// The load of fifty clients with sixteen split requests each.
func TestFinishedFanoutsAreKeptForTheNext(t *testing.T) {
	w := &Worker{}
	busy := make([]*fanout, 800)
	round := func() {
		for i := range busy {
			busy[i] = w.newFanout()
			busy[i].fragmentOf = append(busy[i].fragmentOf, 0)
		}
		for _, f := range busy {
			f.recycle()
		}
	}
	round()
	if n := testing.AllocsPerRun(10, round); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for range 20 {
		w.trimFanouts()
	}
	if n := len(w.spareFanouts); n != 0 {
		t.Errorf("%d are kept though none was needed", n)
	}
}
