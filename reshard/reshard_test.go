package reshard

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// simulate runs one world to its end, and returns what was wrong.
func simulate(seed uint64, m mistakes) (wrong string, moved bool) {
	w := newWorld(seed, m)
	w.run(200+w.random.IntN(2000), true)
	w.repair()
	for range 50 {
		w.run(500, false)
		if w.wrong != "" || w.source.record.Phase == Target {
			break
		}
		if w.leaders[0].done { // what an earlier leader had sent to disconnect others has disconnected it
			w.repair()
		}
	}
	w.run(3000, false) // all that is on its way arrives
	switch {
	case w.wrong != "":
		return w.wrong, w.moved
	case w.source.record.Phase != Target:
		return "the keys have not moved: " + w.source.record.Phase.String(), false
	case w.target.count != w.executed:
		return "the target has " + strconv.Itoa(w.target.count) + " of " + strconv.Itoa(w.executed) + " increments", true
	}
	return "", w.moved
}

// The invariants hold under random schedules. RINGWAY_SEED repeats one, RINGWAY_SIM=1h looks at more.
func TestRandomSchedules(t *testing.T) {
	t.Parallel()
	if text := os.Getenv("RINGWAY_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		wrong, moved := simulate(seed, mistakes{})
		t.Log(wrong, moved)
		return
	}
	lasts := 500 * time.Millisecond
	if text := os.Getenv("RINGWAY_SIM"); text != "" {
		var err error
		if lasts, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	first := uint64(time.Now().UnixNano())
	worlds, wrote := 0, 0
	for end := time.Now().Add(lasts); time.Now().Before(end); worlds++ {
		seed := first + uint64(worlds)
		wrong, moved := simulate(seed, mistakes{})
		if wrong != "" {
			t.Fatalf("RINGWAY_SEED=%d: %s", seed, wrong)
		}
		if moved {
			wrote++
		}
	}
	if worlds > 20 && wrote < worlds/2 {
		t.Errorf("clients wrote at the target in %d of %d worlds only", wrote, worlds)
	}
	t.Logf("%d worlds from RINGWAY_SEED=%d on", worlds, first)
}

// Each rule of the protocol is needed: without it the same schedules find an error.
func TestSchedulesFindMistakes(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]mistakes{
		"the hold does not wait for all":            {obeyed: true},
		"other writers are not disconnected":        {alone: true},
		"reads at the source are not waited for":    {reads: true},
		"a new connection does not read the record": {fresh: true},
	} {
		found := false
		for seed := uint64(1); seed < 5000 && !found; seed++ {
			wrong, _ := simulate(seed, m)
			found = wrong != "" && wrong[:8] != "the keys"
			if found {
				t.Logf("%s: seed %d: %s", name, seed, wrong)
			}
		}
		if !found {
			t.Errorf("%s: not found in 5000 schedules", name)
		}
	}
}

func TestFollower(t *testing.T) {
	t.Parallel()
	var f Follower
	if f.Where(false) != Nowhere || f.Where(true) != Nowhere {
		t.Error("who knows no record sends")
	}
	for _, c := range []struct {
		phase        Phase
		reads, write Place
	}{{Source, AtSource, AtSource}, {Holding, AtSource, Nowhere}, {Reading, AtTarget, Nowhere}, {Target, AtTarget, AtTarget}} {
		if !f.Learn(Record{Epoch: uint64(c.phase) + 1, Phase: c.phase}) || f.Where(false) != c.reads || f.Where(true) != c.write {
			t.Errorf("%v: reads %v, writes %v", c.phase, f.Where(false), f.Where(true))
		}
	}
	if f.Learn(Record{Epoch: 2, Phase: Holding}) || f.Epoch() != 4 {
		t.Error("an older record is news")
	}
}

func TestAHoldThatIsOverdueIsGivenUp(t *testing.T) {
	t.Parallel()
	seen := Seen{Record: Record{Epoch: 3, Phase: Holding, Leader: 7}, Alone: true, Overdue: true}
	if do, r := (Leader{ID: 7}).Next(seen); do != Raise || r != (Record{Epoch: 4, Phase: Source, Leader: 7}) {
		t.Error(do, r)
	}
	if do, _ := (Leader{ID: 7, Forward: true}).Next(seen); do != Fence {
		t.Error(do)
	}
	if do, _ := (Leader{ID: 8}).Next(seen); do != Lead {
		t.Error("a new run does not take the lead:", do)
	}
	if do, _ := (Leader{ID: 8}).Next(Seen{Record: seen.Record, Led: true}); do != GiveUp {
		t.Error("an old run takes the lead back:", do)
	}
	seen.Record.Phase = Reading
	if do, _ := (Leader{ID: 7}).Next(seen); do != Fence {
		t.Error("after Reading there is no way back", do)
	}
}
