package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"
)

// Report holds all results of one call of the harness. --json and --results write it as
// JSON.
type Report struct {
	Machine Machine   `json:"machine"`
	Command string    `json:"command"`
	Started time.Time `json:"started"`
	Took    string    `json:"took"`
	Backend string    `json:"backend"` // "redis" or "null": the servers behind the proxies
	Base    string    `json:"base"`    // the target that ratios refer to
	Rounds  int       `json:"rounds"`
	Window  string    `json:"window"` // how long each round was measured
	Warmup  string    `json:"warmup"`
	Threads int       `json:"generator_threads"`
	Targets []*Target `json:"targets"`
	Skipped []string  `json:"skipped,omitempty"`
	Rows    []*Row    `json:"rows"`
}

// Row holds the results of one workload.
type Row struct {
	Work    Workload  `json:"workload"`
	Results []*Result `json:"results"` // in the order of Report.Targets
}

// Result holds the results of one target for one workload.
type Result struct {
	Target  string   `json:"target"`
	Skipped string   `json:"skipped,omitempty"` // why the target was not measured; all other fields are empty then
	Median  Sample   `json:"median"`            // of each figure on its own
	Min     Sample   `json:"min"`
	Max     Sample   `json:"max"`
	Rounds  []Sample `json:"rounds"`
	// Curve is the latency distribution of all rounds together.
	Curve   []Point `json:"curve,omitempty"`
	Example string  `json:"example,omitempty"` // the first wrong reply or error
}

// notAsked is the reason why most rows leave the null server out.
const notAsked = "the null server is only asked where it checks the generator"

// quiet reports whether the reason for leaving a target out need not be shown.
func (r *Result) quiet() bool { return r.Skipped == notAsked }

// Point is one point of a latency distribution.
type Point struct {
	Percentile float64 `json:"percentile"`
	Millis     float64 `json:"ms"`
}

// Sample is the outcome of one round. A figure that could not be measured is 0.
type Sample struct {
	RPS   float64 `json:"rps"`    // requests answered per second
	P50   float64 `json:"p50_ms"` // milliseconds
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Worst float64 `json:"max_ms"`

	CPU    float64 `json:"cpu_us"`  // processor microseconds of the target per request
	User   float64 `json:"user_us"` // the part of CPU outside the kernel
	System float64 `json:"system_us"`

	PeakRSS    float64 `json:"peak_rss_bytes"`
	SettledRSS float64 `json:"settled_rss_bytes"` // after the clients have left

	Wrong    float64 `json:"wrong"`                  // wrong replies; more than 0 is a fault of the target
	Errors   float64 `json:"errors"`                 // error replies and lost connections
	Requests float64 `json:"requests"`               // answered within the window
	Syscalls float64 `json:"syscalls_per_request"`   // with --syscalls only
	PerIdle  float64 `json:"bytes_per_idle_client"`  // the idle scenario only
	GenCPU   float64 `json:"generator_cpu_us"`       // the generator's own processor time per request
	GenShare float64 `json:"generator_thread_share"` // of its busiest thread; near 1 the generator was the limit
}

// figures lists pointers to all figures of a sample, so that medians are taken
// of each without naming them twice.
func (s *Sample) figures() []*float64 {
	return []*float64{&s.RPS, &s.P50, &s.P99, &s.P999, &s.Worst, &s.CPU, &s.User, &s.System, &s.PeakRSS, &s.SettledRSS,
		&s.Wrong, &s.Errors, &s.Requests, &s.Syscalls, &s.PerIdle, &s.GenCPU, &s.GenShare}
}

// newSample turns an outcome into figures.
func newSample(o *outcome) Sample {
	s := Sample{
		Requests: float64(o.Requests), Wrong: float64(o.Tally.wrong), Errors: float64(o.Tally.errors),
		PeakRSS: float64(o.Peak.Peak), GenShare: o.GenShare,
	}
	if o.Elapsed > 0 {
		s.RPS = s.Requests / o.Elapsed.Seconds()
	}
	if o.Hist != nil && o.Hist.TotalCount() > 0 {
		s.P50, s.P99, s.P999 = quantile(o, 50), quantile(o, 99), quantile(o, 99.9)
		s.Worst = float64(o.Hist.Max()) / 1000
	}
	used := o.After.sub(o.Before)
	if o.Requests > 0 {
		s.GenCPU = float64(o.GenCPU.Nanoseconds()) / 1000 / s.Requests
		if used.Known {
			s.CPU = float64(used.Total.Nanoseconds()) / 1000 / s.Requests
			s.User = s.CPU * used.userShare()
			s.System = s.CPU - s.User
		}
	}
	return s
}

func quantile(o *outcome, p float64) float64 { return float64(o.Hist.ValueAtQuantile(p)) / 1000 }

// summarise fills in a result's medians, minima and maxima from its rounds.
func (r *Result) summarise() {
	if len(r.Rounds) == 0 {
		return
	}
	median, lo, hi := r.Median.figures(), r.Min.figures(), r.Max.figures()
	for i := range median {
		values := make([]float64, len(r.Rounds))
		for j := range r.Rounds {
			values[j] = *r.Rounds[j].figures()[i]
		}
		slices.Sort(values)
		*median[i], *lo[i], *hi[i] = medianOf(values), values[0], values[len(values)-1]
	}
}

// medianOf returns the median of sorted values, of which there is at least one.
func medianOf(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// result returns the results of the named target, or nil.
func (r *Row) result(target string) *Result {
	for _, res := range r.Results {
		if res.Target == target && res.Skipped == "" && len(res.Rounds) > 0 {
			return res
		}
	}
	return nil
}

// row returns the row of the named workload, or nil.
func (rep *Report) row(name string) *Row {
	for _, r := range rep.Rows {
		if r.Work.Name == name {
			return r
		}
	}
	return nil
}

// ratio returns a/b, or 0 if either is missing.
func ratio(a, b float64) float64 {
	if a == 0 || b == 0 || math.IsNaN(a/b) {
		return 0
	}
	return a / b
}

// faults lists every target that answered wrongly or with errors, one line each.
func (rep *Report) faults() (lines []string) {
	for _, row := range rep.Rows {
		for _, r := range row.Results {
			var wrong, errs float64
			for _, s := range r.Rounds {
				wrong += s.Wrong
				errs += s.Errors
			}
			if wrong+errs > 0 {
				lines = append(lines, fmt.Sprintf("%s on %s: %.0f wrong replies, %.0f errors; the first: %s",
					r.Target, row.Work.Name, wrong, errs, cmp.Or(r.Example, "not kept")))
			}
		}
	}
	return lines
}

// WriteJSON writes the report as indented JSON.
func (rep *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(rep)
}

// ReadReport reads a report that WriteJSON wrote, to make tables and pages from kept
// results again.
func ReadReport(path string) (*Report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("kept results: %w", err)
	}
	rep := new(Report)
	if err := json.Unmarshal(text, rep); err != nil {
		return nil, fmt.Errorf("kept results %s: %w", path, err)
	}
	return rep, nil
}
