package bench

import (
	"fmt"
	"slices"
	"strings"
)

// headlineRows are the workloads that the README's plots show.
var headlineRows = []string{
	"get-c50-p1", "get-c50-p16", "get-c50-p64", "set-c50-p16", "get-c1000-p1", "mget10-c50-p1", "mget100-c50-p16", "get-c50-p1-16KiB",
}

// headlinePlots returns the README's plots by name.
func (rep *Report) headlinePlots() map[string]string {
	headline := func(r *Row) bool { return slices.Contains(headlineRows, r.Work.Name) }
	plots := map[string]string{"throughput": rep.throughputPlot(headline), "cpu": rep.cpuPlot(headline)}
	if curves := rep.latencyPlots(); len(curves) > 0 {
		plots["latency"] = curves[0]
	}
	for name, text := range plots {
		if text == "" {
			delete(plots, name)
		}
	}
	return plots
}

// conditions returns a line that says where and how the report was measured.
func (rep *Report) conditions() string {
	return fmt.Sprintf("%d cores for clients, servers and proxy together; median of rounds: %d; commit %s", rep.Machine.Cores, rep.Rounds, rep.Machine.Commit)
}

// throughputPlot draws requests per second for the rows that keep selects.
func (rep *Report) throughputPlot(keep func(*Row) bool) string {
	return rep.bars("Requests per second (more is better)", keep, func(r *Result) bar {
		return bar{value: r.Median.RPS, lo: r.Min.RPS, hi: r.Max.RPS, text: count(r.Median.RPS)}
	})
}

// cpuPlot draws processor time per request of the proxies. The direct target is left out:
// its processor time is Redis's own, not the cost of a proxy.
func (rep *Report) cpuPlot(keep func(*Row) bool) string {
	return rep.bars("Processor microseconds of the proxy per request (less is better)", keep, func(r *Result) bar {
		if r.Target == nameDirect || r.Target == nameNull {
			return bar{}
		}
		return bar{value: r.Median.CPU, lo: r.Min.CPU, hi: r.Max.CPU, text: micros(r.Median.CPU)}
	})
}

// bars draws one figure for the rows that keep selects; "" if there is nothing to draw.
func (rep *Report) bars(title string, keep func(*Row) bool, figure func(*Result) bar) string {
	var groups []barGroup
	for _, row := range rep.Rows {
		if !keep(row) {
			continue
		}
		g := barGroup{title: row.Work.short()}
		for _, res := range row.Results {
			if b := figure(res); b.value > 0 {
				b.name, b.class = res.Target, colour(rep.Targets, res.Target)
				g.bars = append(g.bars, b)
			}
		}
		if len(g.bars) > 0 {
			groups = append(groups, g)
		}
	}
	if len(groups) == 0 {
		return ""
	}
	return barsSVG(title, rep.conditions(), groups)
}

// latencyPlots draws a latency curve for every open loop, or for every closed loop if
// there was no open one.
func (rep *Report) latencyPlots() (plots []string) {
	rows := slices.DeleteFunc(slices.Clone(rep.Rows), func(r *Row) bool { return !r.Work.open() })
	if len(rows) == 0 {
		rows = rep.Rows[:min(len(rep.Rows), 6)]
	}
	for _, row := range rows {
		var lines []line
		for _, res := range row.Results {
			if len(res.Curve) > 0 {
				lines = append(lines, line{res.Target, colour(rep.Targets, res.Target), res.Curve})
			}
		}
		if len(lines) > 0 {
			plots = append(plots, curveSVG("Latency: "+row.Work.short(), rep.conditions(), lines))
		}
	}
	return plots
}

// short names a workload in a plot.
func (w Workload) short() string {
	if w.Scenario != "" {
		return w.Name
	}
	s := strings.ToUpper(string(w.Op))
	if w.Fanout > 1 {
		s += fmt.Sprintf(" of %d", w.Fanout)
	}
	if w.Op == OpMix {
		s += fmt.Sprintf(" %d%% SET", w.SetPercent)
	}
	s += fmt.Sprintf(", %d clients", w.Clients)
	if w.Rate > 0 {
		s += fmt.Sprintf(", open loop at %s/s", count(w.Rate))
	} else {
		s += fmt.Sprintf(", pipeline %d", w.Pipeline)
	}
	if w.Value != 64 {
		s += ", " + byteSize(w.Value)
	}
	if w.RealClient {
		s += ", go-redis"
	}
	return s
}
