package bench

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sampleOf makes a round whose figures all follow from one number.
func sampleOf(v float64) Sample {
	return Sample{RPS: 1000 * v, P50: v, P99: 2 * v, P999: 3 * v, Worst: 4 * v, CPU: 10 / v, User: 4 / v, System: 6 / v, PeakRSS: 1 << 20, Requests: 500 * v, GenShare: 0.5}
}

// exampleReport has two rows and three targets, as a run would leave them.
func exampleReport() *Report {
	rep := &Report{
		Machine: Machine{Host: "h", OS: "linux", Arch: "amd64", CPU: "Some <CPU>", Cores: 2, Commit: "abc"},
		Started: time.Date(2026, 11, 23, 21, 0, 0, 0, time.UTC), Base: nameNutcracker, Backend: "redis", Rounds: 3, Window: "1s", Warmup: "250ms",
		Targets: []*Target{{Name: nameDirect}, {Name: nameNutcracker, Config: "a: <b>"}, {Name: nameRingway}, {Name: "other & more"}},
		Skipped: []string{"haproxy: not there"},
	}
	for _, w := range []Workload{{Op: OpGet}, {Op: OpGet, Rate: 500, Name: "open-get-half-p1"}} {
		row := &Row{Work: w.withDefaults()}
		for i, t := range rep.Targets {
			r := &Result{Target: t.Name, Curve: []Point{{0, 0.1}, {50, 0.2}, {99, float64(i + 1)}, {100, 20}}}
			for _, v := range []float64{3, 1, 2} {
				r.Rounds = append(r.Rounds, sampleOf(v*float64(i+1)))
			}
			r.summarise()
			row.Results = append(row.Results, r)
		}
		rep.Rows = append(rep.Rows, row)
	}
	return rep
}

func TestMedianIsTakenOfEachFigure(t *testing.T) {
	r := exampleReport().Rows[0].Results[0]
	if r.Median.RPS != 2000 || r.Min.RPS != 1000 || r.Max.RPS != 3000 || r.Median.CPU != 5 || r.Min.CPU != 10.0/3 || r.Max.CPU != 10 {
		t.Errorf("median %+v\nmin %+v\nmax %+v", r.Median, r.Min, r.Max)
	}
	if got := medianOf([]float64{1, 2, 3, 10}); got != 2.5 {
		t.Errorf("median of four is %v, want 2.5", got)
	}
}

func TestEveryFigureOfASampleIsSummarised(t *testing.T) {
	if listed, fields := len(new(Sample).figures()), reflect.TypeFor[Sample]().NumField(); listed != fields {
		t.Errorf("figures lists %d of %d fields", listed, fields)
	}
}

func TestReportSurvivesJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "report.json")
	rep := exampleReport()
	if err := writeFile(path, rep.WriteJSON); err != nil {
		t.Fatal(err)
	}
	got, err := ReadReport(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(rep, got) {
		t.Errorf("read %+v", got)
	}
	if _, err := ReadReport(path + "x"); err == nil {
		t.Error("a missing file gives no error")
	}
}

func TestTableShowsRatiosGoalsAndFaults(t *testing.T) {
	rep := exampleReport()
	rep.Rows[0].Results[2].Rounds[0].Wrong = 7
	rep.Rows[0].Results[2].Example = "a value of another key"
	rep.Rows[0].Results[2].summarise()
	rep.Rows[0].Results[0].Median.GenShare = 0.99
	var b bytes.Buffer
	if err := rep.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"get-c50-p1: GET, 50 clients, pipeline 1, values of 64B, 100000 keys", "goals of ringway", "skipped: haproxy: not there",
		"WRONG: ringway on get-c50-p1: 7 wrong replies, 0 errors; the first: a value of another key", "generator: busy for 99%",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "of haproxy") {
		t.Error("a goal compares with a target that was not measured")
	}
}

func TestVerdictsCompareMedians(t *testing.T) {
	rep := exampleReport()
	got := make(map[string]verdict)
	for _, v := range rep.verdicts(nameRingway) {
		got[v.Row+" "+v.Figure] = v
	}
	// Ringway, the third, has 3/2 of nutcracker's figures and 2/3 of its processor time.
	f := func(name string, ratio float64, met bool) {
		t.Helper()
		if v, ok := got[name]; !ok || v.Met != met || v.Got < ratio-0.001 || v.Got > ratio+0.001 {
			t.Errorf("%s: got %+v, want %.3f, met %v", name, v, ratio, met)
		}
	}
	f("get-c50-p1 processor time per request", 2.0/3, true)
	f("get-c50-p1 throughput", 1.5, true)
	f("open-get-half-p1 p99", 1.5, false)
}

func TestTwoLoopsAreComparedWithOneOfTheSameBuild(t *testing.T) {
	rep := exampleReport()
	names := []string{"ringway-old" + loopsSuffix(1), "ringway-old" + loopsSuffix(2), "ringway-new" + loopsSuffix(1), "ringway-new" + loopsSuffix(2)}
	for _, row := range rep.Rows {
		for i, cpu := range []float64{4, 4.8, 2, 2.2} {
			row.Results[i].Target, row.Results[i].Median.CPU = names[i], cpu
		}
	}
	f := func(name string, want float64, met bool) {
		t.Helper()
		for _, v := range rep.verdicts(name) {
			if v.Base == "of "+nameOneLoop && v.Row == "get-c50-p1" {
				if v.Met != met || v.Got < want-0.001 || v.Got > want+0.001 {
					t.Errorf("%s: got %+v, want %.2f, met %v", name, v, want, met)
				}
				return
			}
		}
		if want != 0 {
			t.Errorf("%s is not compared with one loop", name)
		}
	}
	f(names[0], 0, false)
	f(names[1], 1.2, false)
	f(names[2], 0, false)
	f(names[3], 1.1, true)
}

func TestGoBenchLinesAreOnePerRound(t *testing.T) {
	var b bytes.Buffer
	if err := exampleReport().WriteGoBench(&b); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "Benchmark") {
			continue
		}
		lines++
		// name, count, then pairs of a value and a unit
		if n := len(strings.Split(strings.TrimSpace(line), "\t")); n < 4 {
			t.Errorf("line %q", line)
		}
	}
	if lines != 2*4*3 {
		t.Errorf("%d lines, want %d", lines, 2*4*3)
	}
	if want := "BenchmarkProxy/work=get-c50-p1/target=direct\t1500\t333333.3 ns/op\t3000.0 req/s\t"; !strings.Contains(b.String(), want) {
		t.Errorf("no %q in\n%s", want, b.String())
	}
}

func TestPlotsAreWellFormed(t *testing.T) {
	plots := exampleReport().headlinePlots()
	for _, name := range []string{"throughput", "cpu", "latency"} {
		d := xml.NewDecoder(strings.NewReader(plots[name]))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, plots[name])
			}
		}
		if !strings.HasPrefix(plots[name], "<svg ") || strings.Contains(plots[name], "NaN") || strings.Contains(plots[name], "Inf") {
			t.Errorf("%s:\n%s", name, plots[name])
		}
	}
	if strings.Contains(plots["cpu"], ">direct<") {
		t.Error("Redis's own processor time is shown as a proxy's")
	}
}

func TestPageIsSelfContained(t *testing.T) {
	var b bytes.Buffer
	if err := exampleReport().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, no := range []string{"<script", "src=", "@import", "url(", "<link", "a: <b>", "Some <CPU>"} {
		if strings.Contains(page, no) {
			t.Errorf("the page holds %q", no)
		}
	}
	for _, want := range []string{"<svg ", "Throughput", "Latency", "Goals of ringway", "prefers-color-scheme:dark", "other &amp; more"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page holds no %q", want)
		}
	}
}

func TestEmptyReportCanBeWritten(t *testing.T) {
	rep := new(Report)
	for _, write := range []func(io.Writer) error{rep.WriteTable, rep.WriteJSON, rep.WriteGoBench, rep.WriteHTML} {
		if err := write(io.Discard); err != nil {
			t.Error(err)
		}
	}
	if plots := rep.headlinePlots(); len(plots) != 0 {
		t.Errorf("plots of nothing: %v", plots)
	}
}

func TestLabelsAreMovedApart(t *testing.T) {
	got := spread([]float64{10, 100, 12, 11}, 15)
	if want := []float64{10, 100, 40, 25}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
