package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// generatorBusy is the share of a processor above which the generator may have limited a
// run. A generator that is the limit never waits.
const generatorBusy = 0.90

// WriteTable writes the report as text: one block per workload, then the goals, then
// targets that were left out or answered wrongly.
func (rep *Report) WriteTable(w io.Writer) error {
	p := &printer{w: w}
	m := rep.Machine
	p.f("%s, %d cores, kernel %s, %s, commit %s\n", m.CPU, m.Cores, m.Kernel, m.Go, m.Commit)
	p.f("%d rounds of %s after %s, interleaved; medians (lowest-highest); behind the proxies: %d %s servers\n",
		rep.Rounds, rep.Window, rep.Warmup, serversInRing, rep.Backend)
	for _, row := range rep.Rows {
		p.f("\n")
		rep.writeRow(p, row)
	}
	rep.writeGoals(p)
	for _, line := range rep.Skipped {
		p.f("skipped: %s\n", line)
	}
	for _, line := range rep.generatorLimits() {
		p.f("generator: %s\n", line)
	}
	for _, line := range rep.faults() {
		p.f("WRONG: %s\n", line)
	}
	return p.err
}

// printer keeps the first error of many writes.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) f(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

// title describes a workload in words.
func (w Workload) title() string {
	if w.Scenario != "" {
		return w.Name
	}
	s := fmt.Sprintf("%s: %s", w.Name, strings.ToUpper(string(w.Op)))
	if w.Fanout > 1 {
		s += fmt.Sprintf(" of %d keys", w.Fanout)
	}
	if w.Op == OpMix {
		s += fmt.Sprintf(" with %d%% SET", w.SetPercent)
	}
	s += fmt.Sprintf(", %d clients", w.Clients)
	if w.Rate > 0 {
		s += fmt.Sprintf(", open loop at %s requests/s", count(w.Rate))
	} else {
		s += fmt.Sprintf(", pipeline %d", w.Pipeline)
	}
	s += fmt.Sprintf(", values of %s, %d keys", byteSize(w.Value), w.Keys)
	if w.Zipf > 0 {
		s += fmt.Sprintf(" (Zipf %.2g)", w.Zipf)
	}
	if w.RealClient {
		s += ", through go-redis"
	}
	if w.MergeSets {
		s += ", Ringway with merge_sets"
	}
	if w.Windows > 1 {
		s += fmt.Sprintf(", measured %d times as long", w.Windows)
	}
	return s
}

func (rep *Report) writeRow(p *printer, row *Row) {
	p.f("%s\n", row.Work.title())
	if row.Work.Scenario != "" {
		writeMemory(p, row)
	} else {
		rep.writeLoad(p, row)
	}
	for _, r := range row.Results {
		if r.Skipped != "" && !r.quiet() {
			p.f("  %s left out: %s\n", r.Target, r.Skipped)
		}
	}
}

// writeLoad writes the results of all targets for a load.
func (rep *Report) writeLoad(p *printer, row *Row) {
	tw := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "target\treq/s\t\tp50 ms\tp99\tp99.9\tmax\tcpu us/req\t\tuser\tsys\tpeak MiB\tsettled\twrong\tgen\tcpu/base\treq/base\tsyscalls\t")
	base := row.result(rep.Base)
	for _, r := range row.Results {
		if len(r.Rounds) == 0 {
			continue
		}
		m, cpu, rps := r.Median, "", ""
		if base != nil {
			cpu, rps = times(ratio(m.CPU, base.Median.CPU)), times(ratio(m.RPS, base.Median.RPS))
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.0f\t%.0f%%\t%s\t%s\t%s\t\n", r.Target,
			count(m.RPS), span(r.Min.RPS, r.Max.RPS, count), millis(m.P50), millis(m.P99), millis(m.P999), millis(m.Worst),
			micros(m.CPU), span(r.Min.CPU, r.Max.CPU, micros), micros(m.User), micros(m.System),
			mebi(m.PeakRSS), mebi(m.SettledRSS), r.Max.Wrong+r.Max.Errors, m.GenShare*100, cpu, rps, micros(m.Syscalls))
	}
	if err := tw.Flush(); p.err == nil {
		p.err = err
	}
}

// writeMemory writes the targets' memory in a scenario.
func writeMemory(p *printer, row *Row) {
	tw := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "target\tpeak MiB\tsettled MiB\tbytes per client\t")
	for _, r := range row.Results {
		if len(r.Rounds) > 0 {
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t\n", r.Target, mebi(r.Median.PeakRSS), mebi(r.Median.SettledRSS), digits(r.Median.PerIdle))
		}
	}
	if err := tw.Flush(); p.err == nil {
		p.err = err
	}
}

func (rep *Report) writeGoals(p *printer) {
	for _, t := range rep.Targets {
		vs := rep.verdicts(t.Name)
		if len(vs) == 0 || !isRingway(t.Name) {
			continue
		}
		met := 0
		p.f("\ngoals of %s\n", t.Name)
		tw := tabwriter.NewWriter(p.w, 0, 0, 2, ' ', 0)
		for _, v := range vs {
			word := "MISSED"
			if v.Met {
				word = "met"
				met++
			}
			fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\t%.2f\t%s\n", v.Row, v.Figure, v.Base, v.Want, v.Got, word)
		}
		if err := tw.Flush(); p.err == nil {
			p.err = err
		}
		p.f("  %d of %d met\n", met, len(vs))
	}
}

// generatorLimits lists the runs that the generator may have limited, not the target.
func (rep *Report) generatorLimits() (lines []string) {
	for _, row := range rep.Rows {
		for _, r := range row.Results {
			if len(r.Rounds) > 0 && r.Median.GenShare > generatorBusy && row.Work.Rate == 0 {
				lines = append(lines, fmt.Sprintf("busy for %.0f%% of the time on %s against %s, which may be able to do more than %s requests/s",
					r.Median.GenShare*100, row.Work.Name, r.Target, count(r.Median.RPS)))
			}
		}
	}
	return lines
}

// isRingway reports whether a target is a Ringway that the harness started.
func isRingway(name string) bool { return strings.HasPrefix(name, nameRingway) }

// count formats a number of requests with about three significant digits.
func count(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v >= 10_000_000:
		return fmt.Sprintf("%.1fM", v/1e6)
	case v >= 1_000_000:
		return fmt.Sprintf("%.2fM", v/1e6)
	case v >= 100_000:
		return fmt.Sprintf("%.0fk", v/1e3)
	case v >= 1000:
		return fmt.Sprintf("%.1fk", v/1e3)
	}
	return fmt.Sprintf("%.0f", v)
}

func micros(v float64) string { return digits(v) }
func millis(v float64) string { return digits(v) }

// digits formats a figure with about three significant digits, "-" if there is none.
func digits(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	case v >= 1:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

func mebi(v float64) string { return digits(v / (1 << 20)) }

func span(lo, hi float64, format func(float64) string) string {
	if lo == hi {
		return ""
	}
	return "(" + format(lo) + "-" + format(hi) + ")"
}

func times(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", v)
}
