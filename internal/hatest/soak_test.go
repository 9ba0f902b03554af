package hatest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// TestSoak runs all loads and faults at once against a proxy in a process of its own:
// clients of many kinds that check every reply and every message (soakLoads), and faults
// of the servers, of the network and of the proxy's process (soakFaults). No reply may be
// wrong and no write lost, a fault may only affect its own pool, service comes back by
// itself, and in the end the process has the memory, descriptors and goroutines of the
// beginning. RINGWAY_SOAK says how long ("make soak": 10m); without it each fault comes
// once, for a short time. RINGWAY_SEED repeats the order of the faults.
func TestSoak(t *testing.T) {
	s := newSoak(t)
	goroutines := s.goroutines()
	s.process.Restart()
	s.listens(2)

	s.start()
	s.finish("warm-up")
	before := s.footprint()

	s.start()
	s.playAll()
	s.finish("soak")
	s.settles(before)
	s.sameGoroutines(goroutines)
	s.checkLog()
}

// soak is a proxy with its pools, servers and clients.
type soak struct {
	t       *testing.T
	seed    uint64
	rnd     *rand.Rand
	long    bool
	began   time.Time
	until   time.Time
	pools   map[string]*soakPool
	process *redistest.Process
	running []runningLoad
}

type runningLoad struct {
	kind, pool string
	soakLoad
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	redistest.SkipShort(t)
	s := &soak{t: t, seed: uint64(time.Now().UnixNano())}
	if text := os.Getenv("RINGWAY_SEED"); text != "" {
		fmt.Sscan(text, &s.seed)
	}
	t.Logf("RINGWAY_SEED=%d", s.seed)
	s.rnd = rand.New(rand.NewPCG(s.seed, 0))
	d, err := time.ParseDuration(os.Getenv("RINGWAY_SOAK"))
	s.long, s.began = err == nil, time.Now()
	s.until = s.began.Add(d)
	go build() // meanwhile
	n := newNetwork(t, s.long)
	s.pools = soakPools(t, n)
	s.logf("the servers run")
	idle := "20s"
	if s.long {
		idle = "6s" // faults may last longer, and nobody was idle for that
	}
	text := "[proxy]\nclient_idle_timeout = \"" + idle + "\"\non_lost_subscription = \"close\"\n"
	for _, p := range s.pools {
		text += p.text
	}
	s.process = runProgram(t, text, n.before...)
	s.listens(1)
	s.logf("the proxy serves")
	return s
}

// listens waits until all pools serve, in the run of that number.
func (s *soak) listens(run int) {
	s.t.Helper()
	redistest.Eventually(s.t, waitLimit, "the proxy listens", func() bool {
		return strings.Count(s.process.Output(), "msg=listening") == run*len(s.pools)
	})
	for _, p := range s.pools {
		p.serves(s.t)
	}
}

// logf logs a line with the time since the beginning.
func (s *soak) logf(format string, args ...any) {
	s.t.Helper()
	s.t.Logf("%6.1fs "+format, append([]any{time.Since(s.began).Seconds()}, args...)...)
}

func (s *soak) start() {
	for _, l := range soakLoads {
		s.running = append(s.running, runningLoad{l.name, l.pool, l.start(s.t, s.pools[l.pool].addr, s.seed)})
	}
	s.progress("", 3)
}

// progress waits until the clients of all pools but one have made progress.
func (s *soak) progress(except string, n int64) {
	s.t.Helper()
	var before [][]int64
	for _, r := range s.running {
		before = append(before, r.done())
	}
	redistest.Eventually(s.t, waitLimit, "all clients have got on", func() bool {
		for i, r := range s.running {
			if r.pool != except && !further(before[i], r.done(), n) {
				return s.t.Failed()
			}
		}
		return true
	})
}

func (s *soak) finish(what string) {
	s.t.Helper()
	for _, r := range s.running {
		checked, failed := r.end()
		s.logf("%s: pool %-10s %-24s %8d checked, %d errors", what, r.pool, r.kind, checked, failed)
	}
	s.running = nil
}

// faultTime returns how long a fault lasts. Short is its least time in the short form,
// longer than the timeout that the fault shall reach.
func (s *soak) faultTime(short time.Duration) time.Duration {
	if s.long {
		return short + 2*time.Second + time.Duration(s.rnd.Int64N(int64(6*time.Second)))
	}
	return short
}

// sustain lets a fault of a pool last, while clients of other pools go on.
func (s *soak) sustain(p *soakPool) {
	s.t.Helper()
	end := time.Now().Add(s.faultTime(time.Second))
	s.progress(p.name, 3)
	time.Sleep(time.Until(end)) // how long a fault lasts is no condition to wait for
}

// playAll plays all faults in random order, again and again while there is time. The short
// form plays each of them once, at one of its pools.
func (s *soak) playAll() {
	s.t.Helper()
	for again := true; again; again = s.long && time.Now().Before(s.until) && !s.t.Failed() {
		played := map[string]bool{}
		for _, f := range s.shuffled() {
			if !s.t.Failed() && (s.long || !played[f.name]) {
				played[f.name] = true
				s.play(f)
			}
		}
	}
}

// shuffled returns the faults of one round.
func (s *soak) shuffled() (faults []soakFault) {
	for _, f := range soakFaults {
		for range max(1, f.often) {
			faults = append(faults, f)
		}
	}
	s.rnd.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	return faults
}

// play starts and ends a fault, and waits until all clients make progress again.
func (s *soak) play(f soakFault) {
	s.t.Helper()
	p := s.pools[f.pool]
	var w *way
	if p != nil {
		w = p.ways[s.rnd.IntN(len(p.ways))]
	}
	began := time.Now()
	f.play(s, p, w)
	lasted := time.Since(began)
	if p != nil {
		p.serves(s.t)
	}
	served := time.Since(began) - lasted
	s.progress("", 3)
	s.logf("%s: %s for %s, served %s later, all got on %s later", cmp.Or(f.pool, "all pools"), f.name, lasted.Round(time.Millisecond), served.Round(time.Millisecond), (time.Since(began) - lasted).Round(time.Millisecond))
	if s.long {
		if served > servedWithin {
			s.t.Errorf("pool %s is served only %s after the fault", f.pool, served)
		}
		time.Sleep(time.Duration(s.rnd.Int64N(int64(5 * time.Second)))) // without a fault
	}
}

// servedWithin is how long the keys of a server may be unavailable after its fault has
// ended.
const servedWithin = 20 * time.Second
