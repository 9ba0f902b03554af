package admin

import (
	"slices"
	"testing"
	"time"

	"ringway/pool"
	"ringway/server"
)

// One that does not read is dropped; another that does gets every event.
func TestSlowWatcherIsDropped(t *testing.T) {
	var w watchers
	slow, quick := w.join(), w.join()
	for i := range 10 * watcherBehind {
		w.tell([]byte{byte(i)})
		if got := <-quick; got[0] != byte(i) {
			t.Fatalf("event %d: %v", i, got)
		}
	}
	n := 0
	for range slow { // it is closed
		n++
	}
	if n != watcherBehind {
		t.Errorf("the slow watcher had %d events", n)
	}
	w.leave(slow)
	w.leave(quick)
	if w.any() {
		t.Error("somebody is left")
	}
}

func TestChanges(t *testing.T) {
	t0 := time.UnixMilli(1e12)
	at := func(second int, servers ...pool.ServerState) *server.Figures {
		f := &server.Figures{At: t0.Add(time.Duration(second) * time.Second), Pools: []server.PoolFigures{{Name: "p"}}}
		for _, s := range servers {
			f.Pools[0].Servers = append(f.Pools[0].Servers, server.ServerFigures{ServerState: s})
		}
		return f
	}
	up := pool.ServerState{Name: "a", Addr: "a:1", Role: "primary", Up: true}
	down, again, flapped, replica := up, up, up, up
	down.Up, down.Why, down.Since, down.Ejections = false, "refused", t0.Add(time.Second), 1
	again.Since, again.Ejections = t0.Add(3*time.Second), 1
	flapped.Since, flapped.Ejections = t0.Add(time.Second), 2
	replica.Role = "replica"
	for _, test := range []struct {
		name        string
		before, now *server.Figures
		want        []change
	}{
		{"nothing", at(0, up), at(2, up), nil},
		{"down", at(0, up), at(2, down), []change{{1e12 + 1000, "p", "a", "went down: refused", true}}},
		{"restored", at(2, down), at(4, again), []change{{1e12 + 3000, "p", "a", "was restored", false}}},
		{"both between", at(0, up), at(2, flapped), []change{{1e12 + 1000, "p", "a", "went down 2 times for less than 2s", true}}},
		{"role", at(0, up), at(2, replica), []change{{1e12 + 2000, "p", "a", "was primary, is replica", false}}},
		{"new", at(0), at(2, up), []change{{1e12 + 2000, "p", "a", "serves the pool as primary", false}}},
		{"gone", at(0, up), at(2), []change{{1e12 + 2000, "p", "a", "is no server of the pool any more", true}}},
	} {
		if got := changesBetween(test.before, test.now); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestChangesAreBounded(t *testing.T) {
	var h history
	for i := range 3 * maxChanges {
		h.note([]change{{At: int64(i)}})
	}
	if got := h.lastChanges(); len(got) != maxChanges || got[0].At != 3*maxChanges-1 || got[maxChanges-1].At != 2*maxChanges {
		t.Errorf("%d changes, %v", len(got), got)
	}
}
