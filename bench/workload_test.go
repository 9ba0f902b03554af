package bench

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"ringway/hashring"
)

func TestWorkloadDefaults(t *testing.T) {
	w := Workload{}.withDefaults()
	if w.Name != "get-c50-p1" || w.Op != OpGet || w.Clients != 50 || w.Pipeline != 1 || w.Value != 64 || w.Fanout != 1 || w.Keys != 100_000 {
		t.Errorf("got %+v", w)
	}
	if w := (Workload{Op: OpMGet, Value: 256 << 10}).withDefaults(); w.Fanout != 10 || w.Keys != 256 || w.Name != "mget10-c50-p1-256KiB" {
		t.Errorf("got %+v", w)
	}
}

func TestWorkloadsOutOfBoundsAreRefused(t *testing.T) {
	f := func(w Workload, want string) {
		t.Helper()
		err := w.withDefaults().check()
		if !errors.Is(err, ErrWorkload) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
	f(Workload{Clients: -1}, "clients is -1")
	f(Workload{Clients: maxClients + 1}, "clients is")
	f(Workload{Pipeline: 5000}, "pipeline is 5000")
	f(Workload{Value: 15}, "value bytes is 15")
	f(Workload{Value: 2 << 20}, "value bytes")
	f(Workload{Op: OpMGet, Fanout: 1001}, "fanout is 1001")
	f(Workload{Op: "incr"}, `operation "incr"`)
	f(Workload{Op: OpMix, SetPercent: 101}, "set percent is 101")
	f(Workload{Rate: -1}, "rate is -1")
	f(Workload{Zipf: 0.5}, "Zipf exponent is 0.5")
	f(Workload{Keys: 5000, Value: 1 << 20}, "over 1 GiB")
}

func TestEverySetIsValidAndNamesAreUnique(t *testing.T) {
	for _, s := range sets() {
		seen := make(map[string]bool)
		for _, w := range s.work {
			w = w.withDefaults()
			if err := w.check(); err != nil {
				t.Errorf("%s: %v", s.name, err)
			}
			if seen[w.Name] {
				t.Errorf("%s: %s is there twice", s.name, w.Name)
			}
			if w.RateOf != "" && !seen[w.RateOf] {
				t.Errorf("%s: %s takes its rate from %s, which does not come before it", s.name, w.Name, w.RateOf)
			}
			seen[w.Name] = true
		}
	}
}

func TestSetsHoldEveryGoal(t *testing.T) {
	have := make(map[string]bool)
	for _, w := range append(standardSet(), memorySet()...) {
		have[w.withDefaults().Name] = true
	}
	for _, g := range goals {
		if !have[g.row] {
			t.Errorf("no row %s, which a goal asks for", g.row)
		}
	}
	for _, name := range headlineRows {
		if !have[name] {
			t.Errorf("no row %s, which the plots show", name)
		}
	}
}

func TestKeysOfEveryWorkloadSpreadOverTheServers(t *testing.T) {
	var servers []hashring.Server
	for i := range serversInRing {
		servers = append(servers, hashring.Server{Name: fmt.Sprintf("server%d", i+1), Weight: 1})
	}
	ring, err := hashring.New(hashring.Config{Hash: "fnv1a_64", Distribution: "ketama", Servers: servers})
	if err != nil {
		t.Fatal(err)
	}
	checked := make(map[[2]int]bool)
	for _, w := range standardSet() {
		w = w.withDefaults()
		keys := [2]int{w.Keys, w.Value}
		if checked[keys] {
			continue
		}
		checked[keys] = true
		held, seen := make([]int, serversInRing), make(map[string]bool)
		for i := range w.Keys {
			key := appendKey(nil, keyNumber(i), w.Value)
			held[ring.Index(key)]++
			seen[string(key)] = true
		}
		if least, even := slices.Min(held), w.Keys/serversInRing; least < even*2/3 {
			t.Errorf("%s: of %d keys the servers hold %v", w.Name, w.Keys, held)
		}
		if len(seen) != w.Keys {
			t.Errorf("%s: %d different keys of %d", w.Name, len(seen), w.Keys)
		}
	}
}

func TestZipfKeysAreSkewedAndEvenOnesAreNot(t *testing.T) {
	hottest := func(w Workload) float64 {
		counts := make(map[uint32]int)
		most := 0
		for _, k := range w.drawKeys(1) {
			counts[k]++
			most = max(most, counts[k])
		}
		return float64(most) / drawLen
	}
	if share := hottest(Workload{Keys: 1000, Zipf: 1.2}); share < 0.05 {
		t.Errorf("the hottest of 1000 Zipf keys gets %.3f of the requests, want over 0.05", share)
	}
	if share := hottest(Workload{Keys: 1000}); share > 0.01 {
		t.Errorf("the hottest of 1000 even keys gets %.3f of the requests, want under 0.01", share)
	}
}

func TestMixHoldsItsShareOfSets(t *testing.T) {
	f := func(w Workload, lo, hi float64) {
		t.Helper()
		n := 0
		for _, set := range w.drawSets(1) {
			if set {
				n++
			}
		}
		if share := float64(n) / drawLen; share < lo || share > hi {
			t.Errorf("%s with %d%%: %.3f are SETs", w.Op, w.SetPercent, share)
		}
	}
	f(Workload{Op: OpMix, SetPercent: 10}, 0.09, 0.11)
	f(Workload{Op: OpMix}, 0, 0)
	f(Workload{Op: OpSet}, 1, 1)
	f(Workload{Op: OpGet, SetPercent: 50}, 0, 0)
}
