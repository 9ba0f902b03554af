package hatest

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"time"

	"ringway/internal/redistest"
)

// footprint is the memory, descriptors and goroutines of the proxy's process.
type footprint struct {
	memory      float64 // MiB
	descriptors int
}

func (f footprint) String() string {
	return fmt.Sprintf("%.1f MiB of memory, %d descriptors", f.memory, f.descriptors)
}

func (s *soak) footprint() footprint {
	s.t.Helper()
	var f footprint
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.Pid()))
	if err != nil {
		s.logf("what a process holds is not to be learnt here: %v", err)
		return f
	}
	_, line, _ := strings.Cut(string(status), "VmRSS:")
	fmt.Sscan(line, &f.memory)
	f.memory /= 1024
	fds, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", s.process.Pid()))
	f.descriptors = len(fds)
	return f
}

// How much the process may hold beyond its footprint after the warm-up. The race detector
// keeps several times the largest size of the heap.
const (
	moreMemory      = 24 // MiB
	moreUnderRace   = 128
	moreDescriptors = 32 // connections that are kept for those who come next
	moreGoroutines  = 3  // of each kind: such as ask a server at this moment
)

// settles waits until the process holds no more than before.
func (s *soak) settles(before footprint) {
	s.t.Helper()
	var now footprint
	most := before.memory + moreMemory
	if raceDetector() {
		most = before.memory + moreUnderRace
	}
	defer func() { s.logf("before: %s; after: %s", before, now) }()
	redistest.Eventually(s.t, waitLimit, "memory and descriptors as before", func() bool {
		now = s.footprint()
		return now.memory < most && now.descriptors <= before.descriptors+moreDescriptors
	})
}

var createdBy = regexp.MustCompile(`(?m)^created by (\S+)`)

// goroutines ends the process and returns how many of its goroutines each function
// has started.
func (s *soak) goroutines() map[string]int {
	s.t.Helper()
	s.process.Signal(syscall.SIGQUIT)
	select {
	case <-s.process.Exited():
	case <-time.After(waitLimit):
		s.t.Fatal("the proxy does not end at SIGQUIT")
	}
	output := s.process.Output()
	found := map[string]int{}
	for _, m := range createdBy.FindAllStringSubmatch(output[strings.LastIndex(output, "SIGQUIT: quit"):], -1) {
		found[m[1]]++
	}
	return found
}

// sameGoroutines ends the process and compares its goroutines with those of a process that
// served no client.
func (s *soak) sameGoroutines(before map[string]int) {
	s.t.Helper()
	now, sum := s.goroutines(), 0
	for function, n := range now {
		sum += n
		if n > before[function]+moreGoroutines {
			s.t.Errorf("%d goroutines of %s, where there were %d", n, function, before[function])
		}
	}
	s.logf("%d goroutines", sum)
}

// checkLog fails the test for lines that the proxy's log must not contain.
func (s *soak) checkLog() {
	s.t.Helper()
	for line := range strings.Lines(s.process.Output()) {
		line = strings.TrimSpace(line)
		switch {
		case strings.Contains(line, "DATA RACE"):
			s.t.Error("a data race: see the log")
		case !strings.Contains(line, "level="): // goroutines
		case strings.Contains(line, "event loop held up"): // by the machine, most likely
		case strings.Contains(line, "panic"), strings.Contains(line, "pool=healthy") && strings.Contains(line, "level=WARN"):
			s.t.Error(line)
		}
	}
}
