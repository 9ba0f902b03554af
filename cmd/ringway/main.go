// Command ringway is a proxy that makes a ring of Redis servers look like one
// Redis.
//
// "ringway -c FILE" serves the pools of a configuration file; "ringway help" lists
// the other commands. Exit codes are 0 for success, 1 for a failure while running,
// such as a port that is taken, and 2 for a wrong command line or configuration.
package main

// The compiler optimises by default.pgo, a profile of the data path. It is to be
// made anew after a change of that (docs/adr/0015).
//
//go:generate go test -trimpath ringway/session -run NONE -bench ^BenchmarkPath -benchtime 5s -cpuprofile default.pgo -o /dev/null

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"ringway/bench"
	"ringway/conf"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // while running
	exitUsage   = 2 // the command line or the configuration is wrong
)

func main() { os.Exit(run(commandLine(os.Args), os.Stdin, os.Stdout, os.Stderr)) }

// streams are what a command reads and writes. Results go to out; errors,
// warnings and logs to err.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

// A subcommand is the first word of a command line that does something other than serve.
type subcommand struct {
	name  string
	about string
	run   func(s streams, args []string) int
}

// subcommands returns all of them, in the order of the help.
func subcommands() []subcommand {
	return []subcommand{
		{"demo", "start a ring of embedded Redis nodes and the proxy, to play with", runDemo},
		{"check", "say what is wrong with a configuration file", runCheck},
		{"plan", "say what another configuration would change, and which keys it moves", runPlan},
		{"verify", "compare the keys of two pools", runVerify},
		{"copy", "copy the keys that another configuration places elsewhere, and follow changes", runCopy},
		{"orphans", "find keys at servers that do not own them, and remove them if asked", runOrphans},
		{"reload", "have a running proxy read its configuration again", runReload},
		{"upgrade", "have a running proxy hand its clients over to a new process", runUpgrade},
		{"status", "show what a running proxy tells operators", runStatus},
		{"top", "show the same live, like top", runTop},
		{"health", "ask a running proxy whether it is ready", runHealth},
		{"convert", "write a nutcracker.yml as TOML, with comments", runConvert},
		{asNutcracker, "serve with nutcracker's flags, defaults and texts; a link named nutcracker does, too", runNutcracker},
		{"locate", "say which server holds a key", runLocate},
		{"bench", "measure Ringway beside other proxies", runBench},
		{"completion", "print a script that completes command lines in bash, zsh or fish", runCompletion},
		{"version", "print the version", runVersion},
		{"help", "print this, or the help of a command", runHelp},
	}
}

// run executes the command line args, which excludes the program's name, and returns the exit
// code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	s := streams{stdin, stdout, stderr}
	if len(args) == 0 {
		fmt.Fprint(stderr, helpText())
		return exitUsage
	}
	if strings.HasPrefix(args[0], "-") {
		return runServe(s, args)
	}
	for _, c := range subcommands() {
		if c.name == args[0] {
			return c.run(s, args[1:])
		}
	}
	return s.usage("", unknownCommand(args[0]))
}

func commandNames() (names []string) {
	for _, c := range subcommands() {
		names = append(names, c.name)
	}
	return names
}

func runBench(s streams, args []string) int { return bench.Main(args, s.out, s.err) }

func runHelp(s streams, args []string) int {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return runServe(s, []string{"--help"})
	}
	for _, c := range subcommands() {
		if c.name != args[0] || len(args) > 1 {
			continue
		}
		return c.run(s, []string{"--help"})
	}
	return s.usage("", unknownCommand(strings.Join(args, " ")))
}

// helpText returns the help of the program as a whole.
func helpText() string {
	var b strings.Builder
	b.WriteString(`Ringway is a proxy that makes a ring of Redis servers look like one Redis.

usage:
  ringway -c FILE            serve what the file describes, until SIGINT or SIGTERM
  ringway COMMAND [FLAGS]

commands:
`)
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, c := range subcommands() {
		fmt.Fprintf(t, "  %s\t%s\n", c.name, c.about)
	}
	t.Flush()
	b.WriteString(`
examples:
  ringway demo
  ringway check -c ringway.toml
  ringway -c ringway.toml
  ringway locate -c ringway.toml -pool alpha user:1 user:2

A configuration file in its shortest form, with defaults for all the rest:
  [pools.alpha]
  listen = "127.0.0.1:22121"
  hash_tag = "{}"
  servers = ["127.0.0.1:6379 alpha1", "127.0.0.1:6380 alpha2"]

The first interrupt or SIGTERM stops accepting clients, after drain_delay, and
finishes the requests under way, for drain_timeout at most; another one skips the
delay, or ends the process at once.
SIGHUP reads the configuration again (ringway reload --help). SIGUSR2 starts the
program anew and hands the clients over to it (ringway upgrade --help).
SIGTTIN and SIGTTOU raise and lower the log level. Logs go to standard error.
Flags take one hyphen or two. Exit codes: 0 success, 1 failure while running,
2 wrong command line or configuration.

"ringway COMMAND --help" shows the help of a command.
`)
	return b.String()
}

// newFlags returns an empty set of flags for a command, "" for none.
func newFlags(command string) *flag.FlagSet {
	fs := flag.NewFlagSet(command, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // mistakes are returned, and printed once
	return fs
}

// parse reads a command's flags. If done, help or a mistake was printed, and the caller
// returns the exit code. The list of flags follows the text help.
func (s streams) parse(fs *flag.FlagSet, args []string, help string) (code int, done bool) {
	switch err := fs.Parse(args); {
	case err == nil:
		return exitOK, false
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(s.out, help)
		printFlags(s.out, fs)
		return exitOK, true
	default:
		return s.usage(fs.Name(), explainFlags(fs, err)), true
	}
}

// noArguments returns an error if anything but flags was given.
func noArguments(fs *flag.FlagSet) error {
	if fs.NArg() == 0 {
		return nil
	}
	err := fmt.Errorf("argument %q: want flags only", fs.Arg(0))
	if f := fs.Lookup("c"); f != nil && f.Value.String() == "" {
		err = fmt.Errorf("%w; for a configuration file, -c %s", err, fs.Arg(0))
	}
	return err
}

func printFlags(w io.Writer, fs *flag.FlagSet) {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	heading := "\nflags:\n"
	fs.VisitAll(func(f *flag.Flag) {
		if f.Usage == "" {
			return // nutcracker's
		}
		value, about := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" {
			about += fmt.Sprintf(" (default %s)", f.DefValue)
		}
		fmt.Fprintf(t, "%s  %s %s\t%s\n", heading, hyphened(f.Name), value, about)
		heading = ""
	})
	t.Flush()
}

// usage reports a wrong command line and returns its exit code.
func (s streams) usage(command string, err error) int {
	name := title(command)
	fmt.Fprintf(s.err, "%s: %v\nTry \"%s --help\".\n", name, err, name)
	return exitUsage
}

// fail reports what went wrong while running and returns the exit code.
func (s streams) fail(command string, err error) int {
	fmt.Fprintf(s.err, "%s: %v\n", title(command), err)
	return exitFailure
}

func title(command string) string { return strings.TrimSpace("ringway " + command) }

// load reads the configuration file of a command and reports mistakes. It
// returns nil if there are any.
func (s streams) load(command, path string) (*conf.Config, []conf.Diagnostic) {
	return s.loadBy(func() (*conf.Config, []conf.Diagnostic, error) { return conf.Load(path) }, command, path)
}

// loadBy is load with the function that reads the file.
func (s streams) loadBy(read func() (*conf.Config, []conf.Diagnostic, error), command, path string) (*conf.Config, []conf.Diagnostic) {
	if path == "" {
		s.usage(command, errors.New("want -c FILE, a configuration file"))
		return nil, nil
	}
	cfg, warnings, err := read()
	if err == nil {
		return cfg, warnings
	}
	var mistakes conf.Mistakes
	if !errors.As(err, &mistakes) {
		fmt.Fprintf(s.err, "%s: %v\n", title(command), err)
		return nil, warnings
	}
	// Sorted by position, in the format that editors understand.
	all := append(append([]conf.Diagnostic{}, mistakes...), warnings...)
	conf.Sort(all)
	s.diagnose(all)
	return nil, warnings
}

func (s streams) diagnose(all []conf.Diagnostic) {
	for _, d := range all {
		fmt.Fprintln(s.err, d)
	}
}

// oneOf lists the names to choose from, for an error about another one; at most twenty.
func oneOf(names []string) string {
	const most = 20
	more := ""
	if len(names) > most {
		more = fmt.Sprintf(" and %d more", len(names)-most)
		names = names[:most]
	}
	return "want one of " + strings.Join(names, ", ") + more
}
