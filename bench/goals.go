package bench

import (
	"fmt"
	"strings"
)

// goal is one of the project's performance targets: a limit for a figure of Ringway, the
// median of a run, as a ratio to a base target's or as an absolute value.
type goal struct {
	row    string // the workload's name
	base   string // the target it is compared with; "" where limit is absolute
	figure figure
	atMost bool // limit is the most, not the least
	limit  float64
}

// nameOneLoop is the base for the cost of two event loops: the same Ringway with one, if
// a run has both (--loops 1,2).
const nameOneLoop = "one loop"

// figure is a figure that a goal can be about.
type figure struct {
	name string
	unit float64 // the unit of an absolute limit
	of   func(*Sample) float64
}

var (
	figureCPU      = figure{"processor time per request", 1, func(s *Sample) float64 { return s.CPU }}
	figureRPS      = figure{"throughput", 1, func(s *Sample) float64 { return s.RPS }}
	figureP99      = figure{"p99", 1, func(s *Sample) float64 { return s.P99 }}
	figureSyscalls = figure{"system calls per request", 1, func(s *Sample) float64 { return s.Syscalls }}
	figureIdle     = figure{"KiB per idle client", 1 << 10, func(s *Sample) float64 { return s.PerIdle }}
	figureSettled  = figure{"MiB resident afterwards", 1 << 20, func(s *Sample) float64 { return s.SettledRSS }}
)

// goals are the project's targets. The ratios come from a prototype without limits,
// counters and timeouts, with a margin for those.
var goals = makeGoals()

func makeGoals() (gs []goal) {
	beside := func(base string, cpu, rps float64, rows ...string) {
		for _, row := range rows {
			gs = append(gs, goal{row, base, figureCPU, true, cpu}, goal{row, base, figureRPS, false, rps})
		}
	}
	beside(nameNutcracker, 0.88, 1.0, "get-c50-p1", "set-c50-p1")
	beside(nameNutcracker, 0.40, 1.7, "get-c50-p16", "set-c50-p16")
	beside(nameNutcracker, 0.14, 4.0, "get-c50-p64", "set-c50-p64")
	beside(nameNutcracker, 0.80, 1.0, "get-c1000-p1")
	beside(nameNutcracker, 0.60, 1.2, "mget10-c50-p1", "mget10-c50-p16", "mget100-c50-p1", "mget100-c50-p16")
	beside(nameNutcracker, 1.0, 1.0, "get-c50-p1-16KiB", "get-c50-p1-256KiB")
	beside(nameHAProxy, 0.85, 1.0, "get-c50-p1")
	beside(nameHAProxy, 1.2, 1.0, "get-c50-p16")
	beside(nameHAProxy, 1.6, 1.0, "get-c50-p64")
	for _, g := range gs {
		if g.figure.name == figureCPU.name && g.base == nameNutcracker {
			gs = append(gs, goal{g.row, nameOneLoop, figureCPU, true, 1.15})
		}
	}
	return append(gs,
		goal{"open-get-half-p1", nameNutcracker, figureP99, true, 1.0},
		goal{"open-get-half-p64", nameNutcracker, figureP99, true, 1.0},
		goal{"get-c50-p1", "", figureSyscalls, true, 2.4},
		goal{"get-c50-p32", "", figureSyscalls, true, 0.10},
		goal{"memory-idle-10000", "", figureIdle, true, 3},
		goal{"memory-burst-200000-sets", "", figureSettled, true, 64},
		goal{"memory-unread-300MB", "", figureSettled, true, 64},
	)
}

// verdict is the result of a run for one goal.
type verdict struct {
	Row, Base, Figure, Want string
	Got                     float64
	Met                     bool
}

// verdicts compares the named target with every goal for which the report has figures.
func (rep *Report) verdicts(target string) (vs []verdict) {
	for _, g := range goals {
		got := rep.measured(g, target)
		if got == 0 {
			continue
		}
		v := verdict{Row: g.row, Base: g.base, Figure: g.figure.name, Got: got, Want: fmt.Sprintf(">= %.2f", g.limit), Met: got >= g.limit}
		if g.atMost {
			v.Want, v.Met = fmt.Sprintf("<= %.2f", g.limit), got <= g.limit
		}
		if g.base != "" {
			v.Base = "of " + g.base
		}
		vs = append(vs, v)
	}
	return vs
}

// measured returns g's figure of the named target, as a ratio if g has a base; 0 if the
// report does not have it.
func (rep *Report) measured(g goal, target string) float64 {
	row := rep.row(g.row)
	if row == nil {
		return 0
	}
	ours := row.result(target)
	if ours == nil {
		return 0
	}
	if g.base == "" {
		return g.figure.of(&ours.Median) / g.figure.unit
	}
	base := row.result(g.baseFor(target))
	if base == nil {
		return 0
	}
	return ratio(g.figure.of(&ours.Median), g.figure.of(&base.Median))
}

// baseFor returns the name of the target that g compares the named one with,
// "" where there is none.
func (g goal) baseFor(target string) string {
	if g.base != nameOneLoop {
		return g.base
	}
	build, two := strings.CutSuffix(target, loopsSuffix(2))
	if !two {
		return ""
	}
	return build + loopsSuffix(1)
}
