package bench

import (
	"fmt"
	"time"
)

// set is a named list of workloads with its timing.
type set struct {
	name   string
	about  string
	rounds int
	timing timing
	work   []Workload
}

// sets returns the sets that --set can name.
func sets() []set {
	return []set{
		{"standard", "every row of the targets, under 10 minutes", 5, timing{150 * time.Millisecond, 600 * time.Millisecond}, standardSet()},
		{"quick", "a smoke test of every kind of load, under a minute", 1, timing{100 * time.Millisecond, 300 * time.Millisecond}, quickSet()},
		{"memory", "10,000 idle clients, a burst of SETs, a client that does not read", 1, timing{}, memorySet()},
		{"tls", "what TLS costs; for --tls, which selects it", 5, timing{150 * time.Millisecond, 600 * time.Millisecond}, tlsSet()},
		{"client", "go-redis as a real client", 3, timing{250 * time.Millisecond, time.Second}, clientSet()},
	}
}

// standardSet holds a row for every line of the project's performance targets,
// and around them sizes, mixes and an open loop.
func standardSet() []Workload {
	var ws []Workload
	for _, op := range []Op{OpGet, OpSet} {
		for _, p := range []int{1, 16, 64} {
			ws = append(ws, Workload{Op: op, Pipeline: p, Null: op == OpGet})
		}
	}
	ws = append(ws, Workload{Op: OpSet, Pipeline: 64, MergeSets: true}, Workload{Op: OpGet, Pipeline: 32}, Workload{Op: OpGet, Clients: 1000})
	for _, n := range []int{10, 100} {
		for _, p := range []int{1, 16} {
			ws = append(ws, Workload{Op: OpMGet, Fanout: n, Pipeline: p})
		}
	}
	ws = append(ws, Workload{Op: OpMSet, Fanout: 10})
	for _, size := range []int{16, 1 << 10, 16 << 10, 256 << 10, 1 << 20} {
		ws = append(ws, Workload{Op: OpGet, Value: size})
	}
	ws = append(ws, Workload{Op: OpSet, Value: 16 << 10},
		Workload{Op: OpMix, SetPercent: 10, Pipeline: 16, Zipf: 1.1, Name: "mix10-c50-p16-zipf"})
	ws = append(ws, openLoops()...)
	return append(ws, clientSet()[:1]...)
}

// openLoops holds the loads at half of what the base target can do, one client
// at a time and at its best.
func openLoops() []Workload {
	return []Workload{
		{Op: OpGet, RateOf: "get-c50-p1", RateShare: 0.5, Name: "open-get-half-p1", Windows: 3},
		{Op: OpGet, RateOf: "get-c50-p64", RateShare: 0.5, Name: "open-get-half-p64", Windows: 3},
	}
}

func quickSet() []Workload {
	return []Workload{
		{Op: OpGet, Null: true}, {Op: OpGet, Pipeline: 64, Null: true}, {Op: OpSet, Pipeline: 16},
		{Op: OpMGet, Fanout: 10}, {Op: OpMSet, Fanout: 10}, {Op: OpGet, Value: 16 << 10},
		{Op: OpMix, SetPercent: 10, Pipeline: 16, Zipf: 1.1, Name: "mix10-c50-p16-zipf"},
		{Op: OpGet, RateOf: "get-c50-p1", RateShare: 0.5, Name: "open-get-half-p1"},
	}
}

// tlsSet holds loads for targets with and without TLS: as many requests as the target answers, and as many for all of them at
// a fixed rate. At the same rate equally many requests come together, so that the difference is what TLS costs.
func tlsSet() []Workload {
	return []Workload{
		{Op: OpGet}, {Op: OpGet, Pipeline: 64}, {Op: OpGet, Value: 16 << 10},
		{Op: OpGet, Rate: 20_000}, {Op: OpGet, Clients: 1},
	}
}

func clientSet() []Workload {
	return []Workload{
		{Op: OpMix, SetPercent: 10, RealClient: true, Name: "goredis-mix10-c50-p1"},
		{Op: OpMix, SetPercent: 10, Pipeline: 16, RealClient: true, Name: "goredis-mix10-c50-p16"},
	}
}

func memorySet() []Workload {
	return []Workload{
		{Scenario: scenarioIdle, Name: "memory-idle-10000", Clients: 10000},
		{Scenario: scenarioBurst, Name: "memory-burst-200000-sets", Clients: 1},
		{Scenario: scenarioUnread, Name: "memory-unread-300MB", Clients: 1},
	}
}

// findSet returns the set of that name.
func findSet(name string) (set, error) {
	for _, s := range sets() {
		if s.name == name {
			return s, nil
		}
	}
	return set{}, fmt.Errorf("no set %q; there are standard, quick, memory, tls and client", name)
}
