package bench

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Target is a server or proxy to measure. It does not change after its fleet has started.
type Target struct {
	Name    string `json:"name"`
	Addr    string `json:"addr"`              // "host:port" or "unix:/path"
	PIDs    []int  `json:"pids,omitempty"`    // the processes whose time and memory count; none if unknown
	Version string `json:"version,omitempty"` // as the program prints it
	Config  string `json:"config,omitempty"`  // its configuration
	Command string `json:"command,omitempty"` // how it was started; "" for one that was running

	TLS bool `json:"tls,omitempty"` // it speaks TLS

	null    bool    // a null server: only workloads marked Null are run against it
	merging *Target // of a Ringway: another process of it with merge_sets, for workloads marked MergeSets; nil without
}

// withTLS returns the target's port for TLS as a target of its own, which is the same process.
func (t *Target) withTLS(addr string) *Target {
	o := *t
	o.Name, o.Addr, o.TLS, o.merging = tlsPrefix+t.Name, addr, true, nil
	return &o
}

// running returns the target's process against which w is run.
func (t *Target) running(w Workload) *Target {
	if w.MergeSets && t.merging != nil {
		return t.merging
	}
	return t
}

// parseTarget reads NAME=ADDR or NAME=ADDR,PID. ADDR is host:port or unix:/path.
func parseTarget(text string) (*Target, error) {
	name, rest, ok := strings.Cut(text, "=")
	addr, pidText, hasPID := strings.Cut(rest, ",")
	if !ok || name == "" || addr == "" {
		return nil, fmt.Errorf("target %q: want NAME=HOST:PORT or NAME=HOST:PORT,PID", text)
	}
	t := &Target{Name: name, Addr: addr}
	if hasPID {
		pid, err := strconv.Atoi(pidText)
		if err != nil || pid <= 0 {
			return nil, fmt.Errorf("target %q: %q is no process id", text, pidText)
		}
		t.PIDs = []int{pid}
	}
	return t, nil
}

// usage returns the processor time of the target's processes together.
func (t *Target) usage() usage {
	sum := usage{Known: len(t.PIDs) > 0}
	for _, pid := range t.PIDs {
		u := processUsage(pid)
		sum.Total += u.Total
		sum.User += u.User
		sum.System += u.System
		sum.Known = sum.Known && u.Known
	}
	return sum
}

// memory returns the resident memory of the target's processes together.
func (t *Target) memory() (sum memory) {
	for _, pid := range t.PIDs {
		m := processMemory(pid)
		sum.Now += m.Now
		sum.Peak += m.Peak
	}
	return sum
}

// resetPeak resets the target's peak memory to its present memory.
func (t *Target) resetPeak() {
	for _, pid := range t.PIDs {
		resetPeak(pid)
	}
}

// settled returns the target's resident memory once it has stopped falling, or after
// limit.
func (t *Target) settled(limit time.Duration, pause func(time.Duration)) int64 {
	const step = 50 * time.Millisecond
	last := t.memory().Now
	for waited := time.Duration(0); waited < limit; waited += step {
		pause(step)
		cur := t.memory().Now
		if cur >= last {
			return cur
		}
		last = cur
	}
	return last
}
