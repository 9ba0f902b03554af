// Package bench measures proxies side by side, in one run, on the same servers.
//
// Main, which is "ringway bench", starts the programs that it finds (redis-server,
// HAProxy, nutcracker, Ringway) and sends each in turn the load of its own
// generator:
//
//	os.Exit(bench.Main([]string{"--set", "quick"}, os.Stdout, os.Stderr))
//
// It reports throughput, latency, the processor time and the memory of each
// target's process, and every wrong reply: a value contains its key and its length,
// and all bytes are checked. Rounds are interleaved, so that a slow minute of the
// machine affects all targets.
//
// The generator is one thread with non-blocking sockets that checks replies as they
// arrive. The column "gen" shows the share of a processor that it took: a generator
// that is the bottleneck never waits and shows 100 %. A null server, which computes
// its answers, shows what the generator can do at least.
//
// A run ends by itself: counts, times and memory are bounded, and the processes that
// it started end with it. Processor time and memory come from /proc, so only Linux
// has them.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Exit codes of Main.
const (
	exitOK      = 0
	exitFailure = 1 // the run failed, or a target answered wrongly
	exitUsage   = 2
)

// Main runs the harness with the arguments that follow "ringway bench" and
// returns the exit code: 0, 1 when the run failed or any target gave a wrong
// reply or an error, 2 for wrong arguments. Results go to stdout, progress and
// errors to stderr. An interrupt ends the run early and cleanly.
func Main(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == "null-server" {
		return serveNull(args[1:], stdout, stderr)
	}
	o, err := parseOptions(args, stdout)
	if errors.Is(err, errHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "ringway bench: %v\nTry \"ringway bench --help\".\n", err)
		return exitUsage
	}
	if self, err := os.Executable(); err == nil {
		o.self = []string{self, "bench"}
		if len(o.ringway) == 0 {
			o.ringway = []ringwayBuild{{Name: nameRingway, Path: self}}
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return o.execute(ctx, stdout, stderr)
}

// execute carries out the options and returns the exit code.
func (o *options) execute(ctx context.Context, stdout, stderr io.Writer) int {
	if o.list {
		listSets(stdout)
		return exitOK
	}
	rep, err := o.report(ctx, stderr)
	if rep != nil {
		if errOut := o.write(rep, stdout); err == nil {
			err = errOut
		}
		if faults := rep.faults(); err == nil && len(faults) > 0 {
			err = fmt.Errorf("%w:\n  %s", errWrongReplies, strings.Join(faults, "\n  "))
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, "ringway bench:", err)
		return exitFailure
	}
	return exitOK
}

// report measures, or reads kept results. After an interruption it returns the results
// so far together with the error.
func (o *options) report(ctx context.Context, stderr io.Writer) (*Report, error) {
	if o.from != "" {
		return ReadReport(o.from)
	}
	if os.Getenv(nestedEnv) != "" {
		return nil, errNested
	}
	raiseFileLimit()
	f, err := startFleet(fleetOptions{Self: o.self, Null: o.backend == "null", Only: o.targets, Extra: o.extra, Ringway: o.builds(), Merging: o.merging(), TLS: o.tls})
	if err != nil {
		return nil, err
	}
	defer f.close()
	rep := &Report{
		Machine: thisMachine(), Command: o.command, Started: time.Now().UTC().Truncate(time.Second), Backend: o.backend, Base: o.base,
		Rounds: o.rounds, Window: o.timing.Window.String(), Warmup: o.timing.Warmup.String(), Threads: o.threads,
		Targets: f.Targets, Skipped: f.Skipped,
	}
	r := &runner{
		plan:     plan{work: o.work, rounds: o.rounds, timing: o.timing, threads: o.threads, base: o.base, syscalls: o.syscalls, settle: o.settle},
		fleet:    f,
		progress: &progress{w: stderr, terminal: isTerminal(stderr), began: time.Now()},
		report:   rep,
	}
	for _, line := range f.Skipped {
		fmt.Fprintln(stderr, "skipped:", line)
	}
	err = r.run(ctx)
	rep.Took = time.Since(rep.Started).Round(time.Second).String()
	return rep, err
}

var errNested = errors.New("this process was started by a harness and does not start another")

// builds returns the Ringways to start: every binary with every number of loops.
func (o *options) builds() []ringwayBuild {
	if len(o.loops) == 0 {
		return o.ringway
	}
	var all []ringwayBuild
	for _, b := range o.ringway {
		for _, n := range o.loops {
			all = append(all, ringwayBuild{Name: b.Name + loopsSuffix(n), Path: b.Path, Loops: n})
		}
	}
	return all
}

// merging reports whether a workload wants a Ringway that merges SETs.
func (o *options) merging() bool {
	return slices.ContainsFunc(o.work, func(w Workload) bool { return w.MergeSets })
}

// write writes the report in all forms that the options name.
func (o *options) write(rep *Report, stdout io.Writer) error {
	errs := []error{rep.WriteTable(stdout)}
	save := func(path string, write func(io.Writer) error) {
		if path != "" {
			errs = append(errs, writeFile(path, write))
		}
	}
	save(o.json, rep.WriteJSON)
	save(o.gobench, rep.WriteGoBench)
	save(o.html, rep.WriteHTML)
	if o.results != "" {
		save(filepath.Join(o.results, rep.fileName()), rep.WriteJSON)
	}
	if o.svg != "" {
		for name, text := range rep.headlinePlots() {
			save(filepath.Join(o.svg, name+".svg"), func(w io.Writer) error {
				_, err := io.WriteString(w, text)
				return err
			})
		}
	}
	return errors.Join(errs...)
}

// fileName names the report in a directory of kept results.
func (rep *Report) fileName() string {
	return fmt.Sprintf("%s-%s-%s.json", rep.Started.Format("2006-01-02-150405"), rep.Machine.Host, rep.Backend)
}

// writeFile creates path, and its directory, with what write writes.
func writeFile(path string, write func(io.Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("results: %w", err)
	}
	err = write(f)
	if errClose := f.Close(); err == nil {
		err = errClose
	}
	if err != nil {
		return fmt.Errorf("results %s: %w", path, err)
	}
	return nil
}

// isTerminal reports whether w is a terminal, where a line can be overwritten.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// listSets prints the workloads of every set.
func listSets(w io.Writer) {
	for _, s := range sets() {
		fmt.Fprintf(w, "%s: %s\n", s.name, s.about)
		for _, work := range s.work {
			fmt.Fprintf(w, "  %s\n", work.withDefaults().title())
		}
	}
}
