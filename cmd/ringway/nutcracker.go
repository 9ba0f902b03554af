package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"ringway/admin"
	"ringway/conf"
)

// asNutcracker is the name under which the program takes nutcracker's command line.
const asNutcracker = "nutcracker"

// commandLine returns the arguments of run for those of the process. A link named nutcracker stands
// for the subcommand of that name.
func commandLine(args []string) []string {
	if len(args) > 0 && filepath.Base(args[0]) == asNutcracker {
		return append([]string{asNutcracker}, args[1:]...)
	}
	return args[min(1, len(args)):]
}

// nutcrackerUsage is what nutcracker prints, with its defaults.
const nutcrackerUsage = `Usage: nutcracker [-?hVdDt] [-v verbosity level] [-o output file]
                  [-c conf file] [-s stats port] [-a stats addr]
                  [-i stats interval] [-p pid file] [-m mbuf size]

Options:
  -h, --help             : this help
  -V, --version          : show version and exit
  -t, --test-conf        : test configuration for syntax errors and exit
  -d, --daemonize        : run as a daemon
  -D, --describe-stats   : print stats description and exit
  -v, --verbose=N        : set logging level (default: 5, min: 0, max: 11)
  -o, --output=S         : set logging file (default: stderr)
  -c, --conf-file=S      : set configuration file (default: conf/nutcracker.yml)
  -s, --stats-port=N     : set stats monitoring port (default: 22222)
  -a, --stats-addr=S     : set stats monitoring ip (default: 0.0.0.0)
  -i, --stats-interval=N : set stats aggregation interval in msec (default: 30000 msec)
  -p, --pid-file=S       : set pid file (default: off)
  -m, --mbuf-size=N      : set size of mbuf chunk in bytes (default: 16384 bytes)

`

// runNutcracker serves as nutcracker does: with its flags and defaults, texts, streams and exit
// codes, which are 0 and 1. Like nutcracker it prints to standard error alone.
func runNutcracker(s streams, args []string) int {
	o, err := parseNutcracker(args)
	if err != nil {
		fmt.Fprintf(s.err, "nutcracker: %v\n%s", err, nutcrackerUsage)
		return exitFailure
	}
	if o.version || o.help || o.describe {
		fmt.Fprintf(s.err, "This is nutcracker-0.5.0, served by ringway %s\n\n", version())
		if o.help {
			fmt.Fprint(s.err, nutcrackerUsage)
		}
		if o.describe {
			admin.DescribeStats(s.err)
		}
		return exitOK
	}
	if o.test {
		if cfg, warnings := s.loadNutcracker(o.config); cfg != nil {
			s.diagnose(warnings)
			fmt.Fprintf(s.err, "nutcracker: configuration file '%s' syntax is ok\n", o.config)
			return exitOK
		}
		return exitFailure
	}
	o.stderr = s.err
	from, err := s.inherit()
	if err != nil {
		fmt.Fprintf(s.err, "nutcracker: %v\n", err)
		return exitFailure
	}
	defer from.failed()
	if o.daemonize && from == nil { // else the process is one already
		ready, code, done := daemonize(s)
		if done {
			return code
		}
		defer ready.close()
		s.err, o.ready = ready, ready
	}
	switch err := o.serve(s, from); {
	case errors.Is(err, errConfiguration):
		return exitFailure
	case err != nil:
		fmt.Fprintf(s.err, "nutcracker: %v\n", err)
		return exitFailure
	}
	return exitOK
}

// loadNutcracker is load with nutcracker's words; nil if something is wrong.
func (s streams) loadNutcracker(path string) (*conf.Config, []conf.Diagnostic) {
	cfg, warnings, err := conf.Load(path)
	if err == nil {
		return cfg, warnings
	}
	// nutcracker says no more than the last line.
	fmt.Fprintf(s.err, "%v\nnutcracker: configuration file '%s' syntax is invalid\n", err, path)
	return nil, nil
}

// errConfiguration says that loadNutcracker has printed what is wrong.
var errConfiguration = errors.New("the configuration is wrong")

// serve runs the proxy until a signal ends it.
func (o *nutcrackerOptions) serve(s streams, from *successor) error {
	signals := catchOperatorSignals()
	defer signals.stop()
	cfg, warnings := s.loadNutcracker(o.config)
	if cfg == nil {
		return errConfiguration
	}
	var legacy twemproxyFlags
	if err := legacy.setLevel(strconv.Itoa(o.verbose)); err != nil {
		return err
	}
	if cfg.Proxy.Statistics {
		legacy.statsHost, legacy.statsPort = o.statsAddr, strconv.Itoa(o.statsPort)
	}
	if err := legacy.apply(cfg); err != nil {
		return err
	}
	output, file := o.stderr, (*logFile)(nil)
	if o.daemonize {
		output = io.Discard // a daemon has no standard error
	}
	if o.output != "" {
		var err error
		if file, err = openLogFile(o.output, 0o644); err != nil {
			return fmt.Errorf("opening log file '%s' failed: %w", o.output, err)
		}
		defer file.close()
		output = file
	}
	log := newProcessLog(output, &cfg.Proxy)
	defer log.close()
	next := &upgrader{log: log}
	go signals.answerAsNutcracker(log, file, next)
	for _, w := range warnings {
		log.Warn("configuration", "warning", w.String())
	}
	end := interruptible()
	defer end.cancel()
	log.Info("starting as nutcracker", "version", version(), "config", cfg.Path)
	var notWritten error
	defer o.removePIDFile()
	err := serveAs(end, cfg, log, roles{next: next, from: from}, func(map[string]string, string) {
		if notWritten = o.writePIDFile(); notWritten != nil {
			end.cancel()
			return
		}
		o.ready.done() // whoever started the daemon finds the file
	})
	if err = errors.Join(explainListenError(err, "listen, or -a and -s for statistics"), notWritten); err != nil {
		log.Error("stopped", "err", err)
	}
	return err
}

// writePIDFile writes the number of the process, without an end of line, as nutcracker does. It is
// called when the process listens: one that fails to start takes nothing from another's file.
func (o *nutcrackerOptions) writePIDFile() error {
	if o.pidFile == "" {
		return nil
	}
	if err := os.WriteFile(o.pidFile, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		return fmt.Errorf("opening pid file '%s' failed: %w", o.pidFile, err)
	}
	o.wrotePID = true
	return nil
}

// removePIDFile removes the file, unless it is that of a process which has taken this one's place.
func (o *nutcrackerOptions) removePIDFile() {
	if text, err := os.ReadFile(o.pidFile); o.wrotePID && err == nil && string(text) == strconv.Itoa(os.Getpid()) {
		os.Remove(o.pidFile)
	}
}

// answerAsNutcracker is answer for a process that plays nutcracker: SIGHUP opens the log file again,
// if there is one, and does nothing else. SIGUSR2 hands over to a new process.
func (r *operatorSignals) answerAsNutcracker(log *processLog, file *logFile, next *upgrader) {
	for {
		select {
		case s := <-r.signals:
			switch s {
			case syscall.SIGUSR2:
				go next.upgrade("SIGUSR2") // which logs what comes of it
			case syscall.SIGHUP:
				file.reopen(log)
			case syscall.SIGTTIN:
				stepLogLevel(log, "SIGTTIN", -1)
			case syscall.SIGTTOU:
				stepLogLevel(log, "SIGTTOU", +1)
			}
		case <-r.done:
			return
		}
	}
}

// reopen opens the log file of f again, for programs that have renamed it. If that fails, the log
// stays where it is. A nil f has no file.
func (f *logFile) reopen(log *processLog) {
	if f == nil {
		return
	}
	if err := f.open(); err != nil {
		log.Error("SIGHUP: the log file can't be opened again; the log goes on in the old one", "err", err)
		return
	}
	logAlways(log.Handler(), slog.LevelInfo, "SIGHUP: log file opened again", "path", f.path)
}

// nutcrackerOptions is nutcracker's command line.
type nutcrackerOptions struct {
	help, version, test, describe, daemonize bool

	verbose           int
	output            string // "" for standard error
	config            string
	statsPort         int
	statsAddr         string
	pidFile           string // "" for none
	interval, mbuffer int    // checked, and without effect

	ready    *readiness // of a daemon; else nil
	wrotePID bool
	stderr   io.Writer
}

// nutcrackerFlags are nutcracker's options with a value or without.
var nutcrackerFlags = []struct {
	short byte
	long  string
	wants string // what its value is, "" if it has none
}{
	{'h', "help", ""}, {'V', "version", ""}, {'t', "test-conf", ""}, {'d', "daemonize", ""}, {'D', "describe-stats", ""},
	{'v', "verbose", "a number"}, {'o', "output", "a file name"}, {'c', "conf-file", "a file name"}, {'s', "stats-port", "a number"},
	{'i', "stats-interval", "a number"}, {'a', "stats-addr", "a string"}, {'p', "pid-file", "a file name"}, {'m', "mbuf-size", "a number"},
}

// parseNutcracker reads a command line as getopt_long does for nutcracker: short options may be
// joined, long ones shortened, and what is no option is ignored.
func parseNutcracker(args []string) (*nutcrackerOptions, error) {
	o := &nutcrackerOptions{verbose: 5, config: "conf/nutcracker.yml", statsPort: 22222, statsAddr: "0.0.0.0", interval: 30000, mbuffer: 16384}
	for len(args) > 0 && args[0] != "--" {
		arg := args[0]
		args = args[1:]
		if long, ok := strings.CutPrefix(arg, "--"); ok {
			name, value, joined := strings.Cut(long, "=")
			short, wants := longNutcrackerFlag(name)
			switch {
			case short == 0 || joined && wants == "":
				return nil, fmt.Errorf("invalid option -- ' '")
			case wants != "" && !joined && len(args) == 0:
				return nil, fmt.Errorf("option -%c requires %s", short, wants)
			case wants != "" && !joined:
				value, args = args[0], args[1:]
			}
			if err := o.set(short, value); err != nil {
				return nil, err
			}
			continue
		}
		if !strings.HasPrefix(arg, "-") {
			continue
		}
		for rest := arg[1:]; rest != ""; {
			short := rest[0]
			rest = rest[1:]
			value, wants, known := "", "", false
			for _, f := range nutcrackerFlags {
				if f.short == short {
					wants, known = f.wants, true
				}
			}
			switch {
			case !known:
				return nil, fmt.Errorf("invalid option -- '%c'", short)
			case wants == "":
			case rest != "":
				value, rest = rest, ""
			case len(args) > 0:
				value, args = args[0], args[1:]
			default:
				return nil, fmt.Errorf("option -%c requires %s", short, wants)
			}
			if err := o.set(short, value); err != nil {
				return nil, err
			}
		}
	}
	return o, nil
}

// longNutcrackerFlag returns the option with this name, or the only one that begins with it; 0 if
// there is none.
func longNutcrackerFlag(name string) (short byte, wants string) {
	found := 0
	for _, f := range nutcrackerFlags {
		if f.long == name {
			return f.short, f.wants
		}
		if strings.HasPrefix(f.long, name) {
			short, wants = f.short, f.wants
			found++
		}
	}
	if found != 1 {
		return 0, ""
	}
	return short, wants
}

// set stores one option.
func (o *nutcrackerOptions) set(short byte, value string) error {
	number, err := strconv.ParseUint(value, 10, 31)
	n := int(number)
	switch short {
	case 'v', 's', 'i', 'm':
		if err != nil {
			return fmt.Errorf("option -%c requires a number", short)
		}
	}
	switch short {
	case 'h':
		o.help = true
	case 'V':
		o.version = true
	case 't':
		o.test = true
	case 'd':
		o.daemonize = true
	case 'D':
		o.describe = true
	case 'v':
		o.verbose = min(n, 11)
	case 'o':
		o.output = value
	case 'c':
		o.config = value
	case 'a':
		o.statsAddr = value
	case 'p':
		o.pidFile = value
	case 'i':
		o.interval = n
	case 's':
		if o.statsPort = n; n < 1 || n > 65535 {
			return fmt.Errorf("option -s value %d is not a valid port", n)
		}
	case 'm':
		if o.mbuffer = n; n < 512 || n > 16<<20 {
			return errors.New("mbuf chunk size must be between 512 and 16777216 bytes")
		}
	}
	return nil
}
