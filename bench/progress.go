package bench

import (
	"fmt"
	"io"
	"time"
)

// progress reports what is being measured: on a terminal in one line that changes, else
// in a line for each workload that is done.
type progress struct {
	w        io.Writer
	terminal bool
	began    time.Time
	total    int // steps of the whole plan
	steps    int // steps begun
}

// step reports the next step.
func (p *progress) step(work, target string, round, rounds int) {
	p.steps++
	if !p.terminal {
		return
	}
	left := ""
	if done := p.steps - 1; done > 0 {
		each := time.Since(p.began) / time.Duration(done)
		left = fmt.Sprintf(", about %s left", (each * time.Duration(p.total-done)).Round(time.Second))
	}
	fmt.Fprintf(p.w, "\r\x1b[K[%d/%d] %s on %s, round %d of %d%s", p.steps, p.total, work, target, round, rounds, left)
}

// row writes the results of a workload that is done.
func (p *progress) row(rep *Report, row *Row) {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	fmt.Fprintf(p.w, "%6s  %-24s", time.Since(p.began).Round(time.Second), row.Work.Name)
	for _, r := range row.Results {
		if len(r.Rounds) == 0 {
			continue
		}
		if row.Work.Scenario != "" {
			fmt.Fprintf(p.w, "  %s peak %s MiB, then %s", r.Target, mebi(r.Median.PeakRSS), mebi(r.Median.SettledRSS))
			continue
		}
		fmt.Fprintf(p.w, "  %s %s/s", r.Target, count(r.Median.RPS))
		if r.Median.CPU > 0 {
			fmt.Fprintf(p.w, " %sus", micros(r.Median.CPU))
		}
		if r.Max.Wrong+r.Max.Errors > 0 {
			fmt.Fprint(p.w, " WRONG")
		}
	}
	fmt.Fprintln(p.w)
}
