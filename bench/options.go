package bench

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// errHelp is the error after help was asked for and printed.
var errHelp = flag.ErrHelp

// options holds the command line.
type options struct {
	work     []Workload
	rounds   int
	timing   timing
	threads  int
	base     string
	backend  string
	targets  []string
	extra    []*Target
	ringway  []ringwayBuild
	loops    []int
	syscalls bool
	tls      bool // measure the ports for TLS too
	settle   time.Duration

	list                              bool
	from                              string
	json, gobench, html, svg, results string

	given   map[string]bool // the flags that are on the command line
	command string          // the command line, for the report
	self    []string        // the command that runs Main
}

const usageText = `ringway bench measures Ringway beside direct Redis, nutcracker and HAProxy, in one run.

usage:
  ringway bench                          the standard set, under 10 minutes
  ringway bench --quick                  a smoke test, under a minute
  ringway bench -P 64                    a load of your own: GETs, 64 in a pipeline
  ringway bench --op get,set -c 50 -P 1,16 -d 64,1024     loads of your own
  ringway bench --target other=127.0.0.1:7000,1234        also a proxy that is running, with its process id
  ringway bench --from FILE --html FILE  a page from kept results

flags:
`

// parseOptions reads the arguments. If they ask for help it prints that to stdout and
// returns errHelp. Other errors are mistakes in the arguments.
func parseOptions(args []string, stdout io.Writer) (*options, error) {
	o := &options{command: strings.Join(append([]string{"ringway bench"}, args...), " "), given: map[string]bool{}}
	fs := flag.NewFlagSet("ringway bench", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // mistakes are returned, and printed once
	setName := fs.String("set", "standard", "set of workloads: standard, quick, memory, tls or client; several with commas")
	quick := fs.Bool("quick", false, "short for --set quick")
	only := fs.String("only", "", "run only the workloads whose name matches this regular expression")
	duration := fs.Duration("duration", 0, "measured time of a round (default: the set's)")
	warmup := fs.Duration("warmup", 0, "time before it that does not count (default: the set's)")
	fs.IntVar(&o.rounds, "rounds", 0, "rounds, each over all targets (default: the set's)")
	fs.IntVar(&o.threads, "threads", 1, "threads of the load generator")
	fs.StringVar(&o.base, "base", nameNutcracker, "target that ratios refer to")
	fs.StringVar(&o.backend, "backend", "redis", "servers behind the proxies: redis, or null to leave out Redis's own cost")
	targets := fs.String("targets", "", "start only these, with commas: direct, haproxy, nutcracker, ringway, null (default all)")
	fs.Func("target", "measure what is running already: `NAME=ADDR[,PID]`; may be repeated", func(s string) error {
		t, err := parseTarget(s)
		o.extra = append(o.extra, t)
		return err
	})
	fs.Func("ringway", "Ringway binary to start, `[NAME=]PATH`; may be repeated (default: this one)", o.addRingway)
	loops := fs.String("loops", "", "start each Ringway once with each of these numbers of event loops, with commas")
	fs.BoolVar(&o.tls, "tls", false, "also measure the targets' ports for TLS (tls-ringway, tls-haproxy, tls-direct); selects --set tls and targets that have one")
	fs.BoolVar(&o.syscalls, "syscalls", false, "also count system calls per request, with perf, in runs of their own")
	fs.DurationVar(&o.settle, "settle", 200*time.Millisecond, "how long memory gets to settle after a round")
	o.outputFlags(fs)
	own := ownLoadFlags(fs)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, errHelp) {
			fs.SetOutput(stdout)
			fmt.Fprint(stdout, usageText)
			fs.PrintDefaults()
		}
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("argument %q: want flags only", fs.Arg(0))
	}
	fs.Visit(func(f *flag.Flag) { o.given[f.Name] = true })
	if *quick {
		*setName = "quick"
	}
	o.targets = splitList(*targets)
	if o.tls {
		o.chooseTLS(setName)
	}
	var err error
	if o.loops, err = parseInts("loops", *loops); err != nil {
		return nil, err
	}
	return o, errors.Join(o.chooseWork(*setName, own, *only), o.chooseTiming(*duration, *warmup), o.check())
}

// chooseTLS selects what --tls measures where no flag says so.
func (o *options) chooseTLS(set *string) {
	if o.firstGiven("set", "quick") == "" {
		*set = "tls"
	}
	if len(o.targets) == 0 {
		o.targets = []string{nameDirect, nameHAProxy, nameRingway}
	}
	if !o.given["base"] {
		o.base = nameRingway
	}
}

// outputFlags registers the flags that say what to do with results.
func (o *options) outputFlags(fs *flag.FlagSet) {
	fs.BoolVar(&o.list, "list", false, "list the sets and their workloads")
	fs.StringVar(&o.from, "from", "", "measure nothing, read kept results from this `FILE`")
	fs.StringVar(&o.json, "json", "", "write all results as JSON to `FILE`")
	fs.StringVar(&o.gobench, "gobench", "", "write Go benchmark lines for benchstat to `FILE`")
	fs.StringVar(&o.html, "html", "", "write a page with plots to `FILE`")
	fs.StringVar(&o.svg, "svg", "", "write the main plots as SVG files to `DIR`")
	fs.StringVar(&o.results, "results", "", "keep the raw results in `DIR`, under a name of their own")
}

// addRingway takes one --ringway.
func (o *options) addRingway(s string) error {
	name, path, named := strings.Cut(s, "=")
	if !named {
		name, path = nameRingway, s
	} else if !isRingway(name) {
		name = nameRingway + "-" + name
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	o.ringway = append(o.ringway, ringwayBuild{Name: name, Path: path})
	return err
}

// ownLoad holds the flags that describe one load instead of a set.
type ownLoad struct {
	op, clients, pipeline, value, fanout string
	keys, setPercent                     int
	zipf, rate                           float64
	realClient                           bool
}

func ownLoadFlags(fs *flag.FlagSet) *ownLoad {
	l := new(ownLoad)
	own := func(about string) string { return "load of your own: " + about }
	fs.StringVar(&l.op, "op", string(OpGet), own("get, set, mix, mget or mset; lists with commas here and below"))
	fs.StringVar(&l.clients, "c", "50", own("client connections"))
	fs.StringVar(&l.pipeline, "P", "1", own("requests per pipeline"))
	fs.StringVar(&l.value, "d", "64", own("value sizes in bytes, 16 to 1048576"))
	fs.StringVar(&l.fanout, "fanout", "10", own("keys in one MGET or MSET"))
	fs.IntVar(&l.keys, "keys", 0, own("distinct keys (default: 64 MiB of values, at most 100000)"))
	fs.IntVar(&l.setPercent, "set-percent", 10, own("the part of SETs in a mix, in percent"))
	fs.Float64Var(&l.zipf, "zipf", 0, own("Zipf exponent, above 1 (default: keys drawn evenly)"))
	fs.Float64Var(&l.rate, "rate", 0, own("a fixed rate in requests per second: an open loop (default: a closed loop)"))
	fs.BoolVar(&l.realClient, "go-redis", false, own("through go-redis in place of the generator"))
	return l
}

// ownFlags are the flags of ownLoad. Any of them selects one load instead of a set.
var ownFlags = []string{"op", "c", "P", "d", "fanout", "keys", "set-percent", "zipf", "rate", "go-redis"}

// firstGiven returns the first of the named flags that is on the command line, with
// its hyphens, "" for none.
func (o *options) firstGiven(names ...string) string {
	for _, name := range names {
		if o.given[name] && len(name) == 1 {
			return "-" + name
		}
		if o.given[name] {
			return "--" + name
		}
	}
	return ""
}

// checkOwnLoad returns what is wrong with the flags of ownLoad.
func (o *options) checkOwnLoad(l *ownLoad) error {
	ops := splitList(l.op)
	has := func(some ...Op) bool {
		return slices.ContainsFunc(ops, func(op string) bool { return slices.Contains(some, Op(op)) })
	}
	given, set := o.firstGiven(ownFlags...), o.firstGiven("set", "quick")
	switch {
	case set != "":
		return fmt.Errorf("%s with %s: a set has loads of its own; want one of the two", given, set)
	case len(ops) == 0:
		return errors.New("--op: want get, set, mix, mget or mset")
	case o.given["fanout"] && !has(OpMGet, OpMSet):
		return fmt.Errorf("--fanout with --op %s, whose requests have one key; want --op mget or --op mset", l.op)
	case o.given["set-percent"] && !has(OpMix):
		return fmt.Errorf("--set-percent with --op %s; want --op mix", l.op)
	case o.given["keys"] && l.keys < 1:
		return fmt.Errorf("--keys %d: want 1 or more", l.keys)
	}
	return nil
}

// workloads returns one workload for every combination of the flags' lists.
func (l *ownLoad) workloads() (ws []Workload, err error) {
	lists := make([][]int, 4)
	for i, f := range []struct{ name, text string }{{"c", l.clients}, {"P", l.pipeline}, {"d", l.value}, {"fanout", l.fanout}} {
		if lists[i], err = parseInts(f.name, f.text); err != nil {
			return nil, err
		}
		if len(lists[i]) == 0 || slices.Min(lists[i]) < 1 {
			return nil, fmt.Errorf("-%s %q: want 1 or more", f.name, f.text)
		}
	}
	for _, op := range splitList(l.op) {
		fanouts := lists[3]
		if op != string(OpMGet) && op != string(OpMSet) {
			fanouts = fanouts[:1]
		}
		for _, fanout := range fanouts {
			for _, d := range lists[2] {
				for _, c := range lists[0] {
					for _, p := range lists[1] {
						ws = append(ws, Workload{Op: Op(op), Clients: c, Pipeline: p, Value: d, Fanout: fanout, Keys: l.keys,
							SetPercent: l.setPercent, Zipf: l.zipf, Rate: l.rate, RealClient: l.realClient, Null: true})
					}
				}
			}
		}
	}
	return ws, nil
}

// chooseWork takes the workloads from the sets or from the flags of ownLoad.
func (o *options) chooseWork(names string, own *ownLoad, only string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("--only: %w", err)
	}
	var all []Workload
	o.timing = timing{250 * time.Millisecond, time.Second}
	if o.firstGiven(ownFlags...) != "" {
		if err := o.checkOwnLoad(own); err != nil {
			return err
		}
		if all, err = own.workloads(); err != nil {
			return err
		}
		o.chooseRounds(3)
	} else {
		for i, name := range splitList(names) {
			s, err := findSet(name)
			if err != nil {
				return err
			}
			all = append(all, s.work...)
			if i == 0 {
				o.timing = s.timing
				o.chooseRounds(s.rounds)
			}
		}
	}
	var errs []error
	seen := make(map[string]bool)
	for _, w := range all {
		w = w.withDefaults()
		if !pattern.MatchString(w.Name) || seen[w.Name] {
			continue
		}
		seen[w.Name] = true
		errs = append(errs, w.check())
		o.work = append(o.work, w)
	}
	if len(o.work) == 0 {
		errs = append(errs, errors.New("no workload is left to run"))
	}
	return errors.Join(errs...)
}

// chooseRounds takes the number of rounds from the set, unless a flag gives it.
func (o *options) chooseRounds(n int) {
	if !o.given["rounds"] {
		o.rounds = n
	}
}

// chooseTiming lets the flags override the set's times.
func (o *options) chooseTiming(duration, warmup time.Duration) error {
	if o.given["duration"] {
		o.timing.Window = duration
	}
	if o.given["warmup"] {
		o.timing.Warmup = warmup
	}
	if o.given["duration"] && duration == 0 {
		return errors.New("--duration 0: want a time, such as 1s")
	}
	if o.timing.Window < 0 || o.timing.Window > maxWindow || o.timing.Warmup < 0 || o.timing.Warmup > maxWindow {
		return fmt.Errorf("a round of %v after %v: want 0 to %v", o.timing.Window, o.timing.Warmup, maxWindow)
	}
	return nil
}

// check returns what is wrong with the other options.
func (o *options) check() error {
	var errs []error
	if o.backend != "redis" && o.backend != "null" {
		errs = append(errs, fmt.Errorf("--backend %q: want redis or null", o.backend))
	}
	if o.rounds < 1 || o.rounds > 1000 {
		errs = append(errs, fmt.Errorf("--rounds %d: want 1 to 1000", o.rounds))
	}
	if o.threads < 1 || o.threads > 256 {
		errs = append(errs, fmt.Errorf("--threads %d: want 1 to 256", o.threads))
	}
	if o.settle < 0 || o.settle > maxWindow {
		errs = append(errs, fmt.Errorf("--settle %v: want 0 to %v", o.settle, maxWindow))
	}
	for _, n := range o.loops {
		if n < 1 || n > 1024 {
			errs = append(errs, fmt.Errorf("--loops %d: want 1 to 1024", n))
		}
	}
	return errors.Join(append(errs, o.checkTargets())...)
}

// startable are the targets that --targets chooses from.
var startable = []string{nameDirect, nameHAProxy, nameNutcracker, nameRingway, nameNull}

// checkTargets returns what is wrong with the names of targets.
func (o *options) checkTargets() error {
	for _, name := range o.targets {
		if name != "none" && !slices.Contains(startable, name) {
			return fmt.Errorf("--targets %q: want %s, or none", name, strings.Join(startable, ", "))
		}
	}
	if !o.given["base"] || o.from != "" {
		return nil
	}
	ours := *o
	if len(ours.ringway) == 0 {
		ours.ringway = []ringwayBuild{{Name: nameRingway}} // this one
	}
	var measured []string
	for _, name := range startable {
		switch {
		case len(o.targets) > 0 && !slices.Contains(o.targets, name):
		case name == nameRingway:
			for _, b := range ours.builds() {
				measured = append(measured, b.Name)
			}
		default:
			measured = append(measured, name)
		}
	}
	for _, t := range o.extra {
		measured = append(measured, t.Name)
	}
	if !slices.Contains(measured, o.base) {
		return fmt.Errorf("--base %q: want one of what is measured: %s", o.base, strings.Join(measured, ", "))
	}
	return nil
}

// splitList splits at commas and leaves out what is empty.
func splitList(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

func parseInts(name, s string) (ns []int, err error) {
	for _, word := range splitList(s) {
		n, err := strconv.Atoi(word)
		if err != nil {
			return nil, fmt.Errorf("--%s %q: %q is no number", name, s, word)
		}
		ns = append(ns, n)
	}
	if s != "" && len(ns) == 0 {
		return nil, fmt.Errorf("--%s %q: want a number", name, s)
	}
	return ns, nil
}

// raiseFileLimit raises the limit on open files to the system's maximum for this process:
// every client takes one.
func raiseFileLimit() {
	var lim syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim) == nil && lim.Cur < lim.Max {
		lim.Cur = lim.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim)
	}
}
