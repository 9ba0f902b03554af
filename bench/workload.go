package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Op is the operation of a workload's requests.
type Op string

// The operations of workloads.
const (
	OpGet  Op = "get"
	OpSet  Op = "set"
	OpMix  Op = "mix"  // GET and SET in the proportion Workload.SetPercent
	OpMGet Op = "mget" // Workload.Fanout keys in a request
	OpMSet Op = "mset" // Workload.Fanout keys in a request
)

// Bounds of a workload, so that a mistyped flag does not overload the machine.
const (
	minValue    = headerLen
	maxValue    = 1 << 20
	maxClients  = 20000
	maxPipeline = 1024
	maxFanout   = 1000
	maxKeys     = 10_000_000
	maxRate     = 10_000_000
	maxWindow   = 10 * time.Minute
	// maxKeySpace bounds the bytes of all values of a workload.
	maxKeySpace = 1 << 30
)

// ErrWorkload is the error for a workload that can't be run.
var ErrWorkload = errors.New("workload")

// Workload describes one load: the requests, the clients, the rate. The zero value of a
// field means its default. A Workload is plain data.
type Workload struct {
	Name string `json:"name"` // short and unique in a plan, such as "get-c50-p16"
	Op   Op     `json:"op"`   // default get

	Clients  int `json:"clients"`  // connections, 1 to 20000; default 50
	Pipeline int `json:"pipeline"` // requests a client sends before it waits for the replies, 1 to 1024; default 1
	Value    int `json:"value"`    // bytes of a value, 16 to 1 MiB; default 64
	Fanout   int `json:"fanout"`   // keys in one MGET or MSET, 1 to 1000; default 10, and 1 for the others
	Keys     int `json:"keys"`     // distinct keys; default as many as make 64 MiB, at most 100000

	// SetPercent is the part of SETs in a mix, 0 to 100.
	SetPercent int `json:"set_percent,omitempty"`
	// Zipf above 1 draws keys from a Zipf distribution with this exponent; 0 draws them evenly.
	Zipf float64 `json:"zipf,omitempty"`

	// Rate above 0 makes the loop open: so many requests a second are due, over all clients,
	// whether or not earlier ones were answered, and latency counts from the time a request was due.
	Rate float64 `json:"rate,omitempty"`
	// RateOf, when set, names an earlier workload of the plan; Rate becomes RateShare
	// of the median throughput that the base target had there.
	RateOf    string  `json:"rate_of,omitempty"`
	RateShare float64 `json:"rate_share,omitempty"`

	// Windows is how many times as long as others the workload is measured; default 1. In one window
	// a stall of a few milliseconds would decide p99.
	Windows int `json:"windows,omitempty"`

	// MergeSets runs the load through a Ringway with merge_sets; other targets are unchanged.
	MergeSets bool `json:"merge_sets,omitempty"`
	// RealClient runs the load through go-redis instead of the generator.
	RealClient bool `json:"real_client,omitempty"`
	// Null also runs the workload against the null server, to see what the generator itself can do.
	Null bool `json:"null,omitempty"`
	// Scenario names a memory scenario to run instead of a load; see scenario.go.
	Scenario string `json:"scenario,omitempty"`
}

// withDefaults returns w with its zero fields filled in.
func (w Workload) withDefaults() Workload {
	if w.Op == "" {
		w.Op = OpGet
	}
	w.Clients = orDefault(w.Clients, 50)
	w.Pipeline = orDefault(w.Pipeline, 1)
	w.Value = orDefault(w.Value, 64)
	if w.Op == OpMGet || w.Op == OpMSet {
		w.Fanout = orDefault(w.Fanout, 10)
	} else {
		w.Fanout = 1
	}
	w.Keys = orDefault(w.Keys, min(100_000, (64<<20)/w.Value))
	if w.Name == "" {
		w.Name = w.derivedName()
	}
	return w
}

func orDefault(v, d int) int {
	if v == 0 {
		return d
	}
	return v
}

// derivedName builds a name from the fields that distinguish the workload.
func (w Workload) derivedName() string {
	name := string(w.Op)
	if w.Fanout > 1 {
		name += fmt.Sprint(w.Fanout)
	}
	name += fmt.Sprintf("-c%d-p%d", w.Clients, w.Pipeline)
	if w.Value != 64 {
		name += fmt.Sprintf("-%s", byteSize(w.Value))
	}
	if w.Zipf > 0 {
		name += "-zipf"
	}
	if w.Rate > 0 {
		name += fmt.Sprintf("-open%.0f", w.Rate)
	}
	if w.RealClient {
		name += "-goredis"
	}
	if w.MergeSets {
		name += "-merged"
	}
	return name
}

// byteSize formats n in B, KiB or MiB, without a fraction if possible.
func byteSize(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%dMiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%dKiB", n>>10)
	}
	return fmt.Sprintf("%dB", n)
}

// check returns every reason why w, with its defaults filled in, can't be run.
func (w Workload) check() error {
	var errs []error
	within := func(name string, v, lo, hi int) {
		if v < lo || v > hi {
			errs = append(errs, fmt.Errorf("%w %s: %s is %d, want %d to %d", ErrWorkload, w.Name, name, v, lo, hi))
		}
	}
	within("clients", w.Clients, 1, maxClients)
	within("pipeline", w.Pipeline, 1, maxPipeline)
	within("value bytes", w.Value, minValue, maxValue)
	within("fanout", w.Fanout, 1, maxFanout)
	within("keys", w.Keys, 1, maxKeys)
	within("set percent", w.SetPercent, 0, 100)
	switch w.Op {
	case OpGet, OpSet, OpMix, OpMGet, OpMSet:
	default:
		errs = append(errs, fmt.Errorf("%w %s: operation %q, want get, set, mix, mget or mset", ErrWorkload, w.Name, w.Op))
	}
	if int64(w.Keys)*int64(w.Value) > maxKeySpace {
		errs = append(errs, fmt.Errorf("%w %s: %d keys of %d bytes are over 1 GiB", ErrWorkload, w.Name, w.Keys, w.Value))
	}
	if w.Rate < 0 || w.Rate > maxRate {
		errs = append(errs, fmt.Errorf("%w %s: rate is %g a second, want 0 to %d", ErrWorkload, w.Name, w.Rate, maxRate))
	}
	if w.Zipf != 0 && w.Zipf <= 1 {
		errs = append(errs, fmt.Errorf("%w %s: Zipf exponent is %g, want above 1, or 0 for even keys", ErrWorkload, w.Name, w.Zipf))
	}
	return errors.Join(errs...)
}

// open reports whether w is an open loop.
func (w Workload) open() bool { return w.Rate > 0 || w.RateOf != "" }

// drawLen is the length of the prepared sequence of keys. It is prime, so that it shares
// no period with clients and fanouts.
const drawLen = 131071

// drawKeys prepares the sequence of keys' numbers that a generator repeats. Drawing a Zipf
// key costs more than its request, so keys are not drawn while a run is measured.
func (w Workload) drawKeys(seed uint64) []uint32 {
	r := rand.New(rand.NewPCG(seed, 0x72696e67776179))
	keys := make([]uint32, drawLen)
	if w.Zipf > 1 && w.Keys > 1 {
		z := rand.NewZipf(r, w.Zipf, 1, uint64(w.Keys-1))
		// Rank and key number must not correlate: hot keys would have numbers near each other.
		perm := r.Perm(w.Keys)
		for i := range keys {
			keys[i] = uint32(keyNumber(perm[z.Uint64()]))
		}
		return keys
	}
	for i := range keys {
		keys[i] = uint32(keyNumber(r.IntN(w.Keys)))
	}
	return keys
}

// drawSets prepares which requests of a mix are SETs, repeated like drawKeys's sequence.
func (w Workload) drawSets(seed uint64) []bool {
	r := rand.New(rand.NewPCG(seed, 0x736574))
	sets := make([]bool, drawLen)
	for i := range sets {
		sets[i] = w.Op == OpSet || w.Op == OpMix && r.IntN(100) < w.SetPercent
	}
	return sets
}
