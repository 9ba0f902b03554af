package bench

import "io"

// WriteGoBench writes the report in the format of "go test -bench", one line
// per round, so that benchstat can compare targets (-col /target) and commits.
func (rep *Report) WriteGoBench(w io.Writer) error {
	p := &printer{w: w}
	p.f("goos: %s\ngoarch: %s\npkg: ringway/bench\ncpu: %s\ncommit: %s\n", rep.Machine.OS, rep.Machine.Arch, rep.Machine.CPU, rep.Machine.Commit)
	for _, row := range rep.Rows {
		for _, r := range row.Results {
			for _, s := range r.Rounds {
				if s.RPS == 0 {
					continue
				}
				p.f("BenchmarkProxy/work=%s/target=%s\t%.0f\t%.1f ns/op\t%.1f req/s", row.Work.Name, r.Target, s.Requests, 1e9/s.RPS, s.RPS)
				p.f("\t%.0f p50-ns\t%.0f p99-ns\t%.0f p99.9-ns", s.P50*1e6, s.P99*1e6, s.P999*1e6)
				if s.CPU > 0 {
					p.f("\t%.1f cpu-ns/op", s.CPU*1e3)
				}
				if s.PeakRSS > 0 {
					p.f("\t%.0f peak-B", s.PeakRSS)
				}
				p.f("\n")
			}
		}
	}
	return p.err
}
