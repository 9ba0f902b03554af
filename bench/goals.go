package bench

import "fmt"

// goal is one line of the project's performance targets: figures of Ringway as
// ratios to those of a base, medians of one run.
type goal struct {
	row    string  // the workload's name
	base   string  // the target it is compared with
	cpuMax float64 // processor time per request, at most; 0 means no goal
	rpsMin float64 // throughput, at least; 0 means no goal
	p99Max float64 // 99th percentile of latency, at most; 0 means no goal
}

// goals are the ratios that Ringway wants to keep. They were set from what a
// prototype without limits, counters and timeouts reached, with room for those.
var goals = []goal{
	{"get-c50-p1", nameNutcracker, 0.88, 1.0, 0},
	{"set-c50-p1", nameNutcracker, 0.88, 1.0, 0},
	{"get-c50-p16", nameNutcracker, 0.40, 1.7, 0},
	{"set-c50-p16", nameNutcracker, 0.40, 1.7, 0},
	{"get-c50-p64", nameNutcracker, 0.14, 4, 0},
	{"set-c50-p64", nameNutcracker, 0.14, 4, 0},
	{"get-c1000-p1", nameNutcracker, 0.80, 1.0, 0},
	{"mget10-c50-p1", nameNutcracker, 0.60, 1.2, 0},
	{"mget10-c50-p16", nameNutcracker, 0.60, 1.2, 0},
	{"mget100-c50-p1", nameNutcracker, 0.60, 1.2, 0},
	{"mget100-c50-p16", nameNutcracker, 0.60, 1.2, 0},
	{"get-c50-p1-16KiB", nameNutcracker, 1.0, 1.0, 0},
	{"get-c50-p1-256KiB", nameNutcracker, 1.0, 1.0, 0},
	{"get-c50-p1", nameHAProxy, 0.85, 1.0, 0},
	{"get-c50-p16", nameHAProxy, 1.2, 1.0, 0},
	{"get-c50-p64", nameHAProxy, 1.6, 1.0, 0},
	{"open-get-half-p1", nameNutcracker, 0, 0, 1.0},
	{"open-get-half-p64", nameNutcracker, 0, 0, 1.0},
}

// verdict is what a run says about one figure of one goal.
type verdict struct {
	Row, Base, Target string
	Figure            string
	Want              string
	Got               float64
	Met               bool
}

// verdicts compares the named target with every goal that the report has both
// sides of.
func (rep *Report) verdicts(target string) (vs []verdict) {
	for _, g := range goals {
		row := rep.row(g.row)
		if row == nil {
			continue
		}
		ours, base := row.result(target), row.result(g.base)
		if ours == nil || base == nil {
			continue
		}
		add := func(figure, sign string, limit, a, b float64) {
			got := ratio(a, b)
			if limit == 0 || got == 0 {
				return
			}
			met := got <= limit
			if sign == ">=" {
				met = got >= limit
			}
			vs = append(vs, verdict{g.row, g.base, target, figure, fmt.Sprintf("%s %.2f", sign, limit), got, met})
		}
		add("processor time per request", "<=", g.cpuMax, ours.Median.CPU, base.Median.CPU)
		add("throughput", ">=", g.rpsMin, ours.Median.RPS, base.Median.RPS)
		add("p99", "<=", g.p99Max, ours.Median.P99, base.Median.P99)
	}
	return vs
}
