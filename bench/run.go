package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// plan describes a run.
type plan struct {
	work     []Workload
	rounds   int
	timing   timing
	threads  int
	base     string // the target that ratios and RateOf refer to
	syscalls bool
	settle   time.Duration // how long memory may take to settle after a round
}

// runner carries out a plan on a fleet. It is used by one goroutine.
type runner struct {
	plan
	fleet     *fleet
	progress  *progress
	report    *Report
	populated map[string]dataset // by target: the values that it holds
	seed      uint64
}

// dataset describes the values that were written through a target.
type dataset struct{ size, keys int }

// run measures every workload and puts its row into the report.
func (r *runner) run(ctx context.Context) error {
	r.populated = make(map[string]dataset)
	r.progress.total = len(r.work) * r.rounds * len(r.fleet.Targets)
	for _, w := range r.work {
		if w.RateOf != "" {
			if err := r.resolveRate(&w); err != nil {
				r.report.Skipped = append(r.report.Skipped, err.Error())
				continue
			}
		}
		row, err := r.runRow(ctx, w)
		if row != nil {
			r.report.Rows = append(r.report.Rows, row)
			r.progress.row(r.report, row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// resolveRate replaces a rate that refers to an earlier row by a number.
func (r *runner) resolveRate(w *Workload) error {
	row := r.report.row(w.RateOf)
	if row == nil {
		return fmt.Errorf("%s: its rate comes from %s, which was not run", w.Name, w.RateOf)
	}
	res := row.result(r.base)
	if res == nil {
		if len(row.Results) == 0 || len(row.Results[0].Rounds) == 0 {
			return fmt.Errorf("%s: %s has no results to take its rate from", w.Name, w.RateOf)
		}
		res = row.Results[0]
	}
	w.Rate = float64(int(res.Median.RPS * w.RateShare))
	return w.check()
}

// runRow measures one workload: round after round over all targets, beginning with another
// target each time, so that changes of the machine's speed affect all of them.
func (r *runner) runRow(ctx context.Context, w Workload) (*Row, error) {
	row := &Row{Work: w}
	hists := make([]*hdrhistogram.Histogram, len(r.fleet.Targets))
	for i, t := range r.fleet.Targets {
		row.Results = append(row.Results, &Result{Target: t.Name, Skipped: skipReason(w, t)})
		hists[i] = newHistogram()
	}
	for round := range r.rounds {
		for i := range r.fleet.Targets {
			at := (i + round) % len(r.fleet.Targets)
			res, t := row.Results[at], r.fleet.Targets[at]
			r.progress.step(w.Name, t.Name, round+1, r.rounds)
			if res.Skipped != "" {
				continue
			}
			out, s, err := r.once(ctx, w, t)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				res.Skipped = err.Error()
				continue
			}
			if out.Hist != nil {
				hists[at].Merge(out.Hist)
			}
			if res.Example == "" {
				res.Example = out.Tally.example
			}
			res.Rounds = append(res.Rounds, s)
		}
	}
	for round := range r.rounds {
		for i, res := range row.Results {
			r.addSyscalls(ctx, w, r.fleet.Targets[i], res, round)
		}
	}
	for i, res := range row.Results {
		res.summarise()
		res.Curve = curve(hists[i])
	}
	return row, nil
}

// skipReason returns why w is not run against t, "" if it is.
func skipReason(w Workload, t *Target) string {
	switch {
	case t.null && t.Name == nameNull && !w.Null:
		return notAsked
	case w.MergeSets && isRingway(t.Name) && t.merging == nil:
		return "its merge_sets can't be chosen"
	case w.Scenario != "" && len(t.PIDs) == 0:
		return "its process id is not known"
	}
	return ""
}

// once runs one round of one workload against one target.
func (r *runner) once(ctx context.Context, w Workload, t *Target) (*outcome, Sample, error) {
	r.seed++
	t = t.running(w)
	if w.Scenario != "" {
		return runScenario(ctx, w, t)
	}
	if err := r.populate(ctx, w, t); err != nil {
		return nil, Sample{}, err
	}
	t.resetPeak()
	tm := r.timing
	tm.Window *= time.Duration(max(1, w.Windows))
	var out *outcome
	var err error
	if w.RealClient {
		out, err = runRealClient(ctx, w, t, tm, r.seed)
	} else {
		out, err = runLoad(ctx, w, t, r.threads, tm, r.seed)
	}
	if err != nil {
		return nil, Sample{}, err
	}
	s := newSample(out)
	s.SettledRSS = float64(t.settled(r.settle, pauser(ctx)))
	return out, s, nil
}

// populate writes every key of w through t, unless t holds them already. Every target
// is populated by itself, because two targets may place keys differently.
func (r *runner) populate(ctx context.Context, w Workload, t *Target) error {
	want := dataset{w.Value, w.Keys}
	if r.populated[t.Name] == want {
		return nil
	}
	if err := r.empty(ctx, want); err != nil {
		return err
	}
	if err := populateTarget(ctx, w, t); err != nil {
		return fmt.Errorf("laying down %d values of %s: %w", w.Keys, byteSize(w.Value), err)
	}
	r.populated[t.Name] = want
	return nil
}

// empty frees the servers of the values of an earlier workload once, when the
// first target needs other ones.
func (r *runner) empty(ctx context.Context, want dataset) error {
	for name, have := range r.populated {
		if have == want {
			return nil // another target's values are the same, and may be on the same servers
		}
		delete(r.populated, name)
	}
	for _, s := range r.fleet.Servers {
		if err := flushAll(ctx, s.Addr); err != nil {
			return fmt.Errorf("emptying %s: %w", s.Name, err)
		}
	}
	return nil
}

// pauser returns a function that waits for a time or for the end of ctx.
func pauser(ctx context.Context) func(time.Duration) {
	return func(d time.Duration) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// percentiles are the points of a latency curve.
var percentiles = []float64{0, 10, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 99.95, 99.99, 100}

// curve returns the distribution that h holds, in milliseconds.
func curve(h *hdrhistogram.Histogram) []Point {
	if h.TotalCount() == 0 {
		return nil
	}
	points := make([]Point, len(percentiles))
	for i, p := range percentiles {
		points[i] = Point{p, float64(h.ValueAtQuantile(p)) / 1000}
	}
	return points
}

// errWrongReplies is the error of a run in which a target answered wrongly.
var errWrongReplies = errors.New("a target answered wrongly")
