package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page holds the data of the template.
type page struct {
	Rep             *Report
	Servers         int
	Goals           []pageGoals
	Throughput, CPU template.HTML
	Latency         []template.HTML
	Rows            []pageRow
	Faults, Limits  []string
}

type pageGoals struct {
	Target string
	Met    int
	List   []verdict
}

type pageRow struct {
	Title             string
	Syscalls, PerIdle bool // the page has those columns
	Lines             []pageLine
	Left              []string
}

type pageLine struct {
	Target string
	Us     bool
	Cells  []pageCell
}

type pageCell struct{ Value, Span string }

// WriteHTML writes the report as one self-contained page, with plots in inline SVG and
// without scripts.
func (rep *Report) WriteHTML(w io.Writer) error {
	all := func(r *Row) bool { return r.Work.Rate == 0 && r.Work.Scenario == "" }
	p := page{
		Rep: rep, Servers: serversInRing, Faults: rep.faults(), Limits: rep.generatorLimits(),
		// The plots are this package's own markup; svg.go escapes the texts in it.
		Throughput: template.HTML(rep.throughputPlot(all)), CPU: template.HTML(rep.cpuPlot(all)),
	}
	for _, plot := range rep.latencyPlots() {
		p.Latency = append(p.Latency, template.HTML(plot))
	}
	for _, t := range rep.Targets {
		if vs := rep.verdicts(t.Name); len(vs) > 0 && isRingway(t.Name) {
			g := pageGoals{Target: t.Name, List: vs}
			for _, v := range vs {
				if v.Met {
					g.Met++
				}
			}
			p.Goals = append(p.Goals, g)
		}
	}
	for _, row := range rep.Rows {
		p.Rows = append(p.Rows, rep.pageRow(row))
	}
	if err := pageTemplate.Execute(w, p); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}

// pageRow formats one workload.
func (rep *Report) pageRow(row *Row) pageRow {
	pr := pageRow{Title: row.Work.title()}
	for _, r := range row.Results {
		pr.Syscalls = pr.Syscalls || r.Median.Syscalls > 0
		pr.PerIdle = pr.PerIdle || r.Median.PerIdle != 0
		if r.Skipped != "" && !r.quiet() {
			pr.Left = append(pr.Left, r.Target+" left out: "+r.Skipped)
		}
	}
	base := row.result(rep.Base)
	for _, r := range row.Results {
		if len(r.Rounds) == 0 {
			continue
		}
		m, l := r.Median, pageLine{Target: r.Target, Us: isRingway(r.Target)}
		l.Cells = []pageCell{
			{count(m.RPS), span(r.Min.RPS, r.Max.RPS, count)},
			{millis(m.P50), ""}, {millis(m.P99), span(r.Min.P99, r.Max.P99, millis)}, {millis(m.P999), ""}, {millis(m.Worst), ""},
			{micros(m.CPU), span(r.Min.CPU, r.Max.CPU, micros)}, {micros(m.User), ""}, {micros(m.System), ""},
			{mebi(m.PeakRSS), ""}, {mebi(m.SettledRSS), ""},
			{fmt.Sprintf("%.0f", r.Max.Wrong+r.Max.Errors), ""}, {fmt.Sprintf("%.0f %%", m.GenShare*100), ""},
		}
		cpu, rps := "-", "-"
		if base != nil {
			cpu, rps = times(ratio(m.CPU, base.Median.CPU)), times(ratio(m.RPS, base.Median.RPS))
		}
		l.Cells = append(l.Cells, pageCell{cpu, ""}, pageCell{rps, ""})
		if pr.Syscalls {
			l.Cells = append(l.Cells, pageCell{digits(m.Syscalls), ""})
		}
		if pr.PerIdle {
			l.Cells = append(l.Cells, pageCell{fmt.Sprintf("%.0f", m.PerIdle), ""})
		}
		pr.Lines = append(pr.Lines, l)
	}
	return pr
}
