package main

import (
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"ringway/conf"
)

// twemproxyFlags are the flags of nutcracker. Ringway accepts some of them, and for each of
// the others says what to do instead.
type twemproxyFlags struct {
	test        bool        // -t: check the configuration, and no more
	describe    bool        // -D: describe the statistics, and no more
	level       *slog.Level // -v: the log level; nil if it was not given
	statsHost   string      // -a: where statistics are served; "" if it was not given
	statsPort   string      // -s: the same
	interval    bool        // -i was given
	unsupported []error     // an error for each flag of unsupportedFlags that was given
}

// unsupportedFlags are the flags of nutcracker that Ringway does not have.
var unsupportedFlags = []struct {
	short, long string
	value       bool // the flag has a value
	instead     string
}{
	{"d", "daemonize", false, "Ringway stays in the foreground, unless run as ringway nutcracker; let a service manager such as systemd run it, or the shell: ringway -c FILE 2>>LOG &"},
	{"o", "output", true, "the log goes to standard error, unless run as ringway nutcracker; let the service manager or the shell put it into a file: ringway -c FILE 2>>LOG"},
	{"p", "pid-file", true, "there is no such file, unless run as ringway nutcracker; a service manager knows the process, and the shell has its number in $!"},
	{"m", "mbuf-size", true, "there is nothing to set: buffers grow and shrink by themselves; leave it out"},
}

// register adds the flags to a set, without usage, so that the help does not list them. Path
// and version are the names of Ringway's own flags for the same.
func (t *twemproxyFlags) register(fs *flag.FlagSet, path, version string) {
	for _, name := range []string{"conf-file", "config"} {
		fs.Func(name, "", func(s string) error { return fs.Set(path, s) })
	}
	for _, name := range []string{"t", "test-conf"} {
		fs.BoolVar(&t.test, name, false, "")
	}
	fs.BoolFunc("V", "", func(s string) error { return fs.Set(version, s) })
	for _, name := range []string{"v", "verbose"} {
		fs.Func(name, "", t.setLevel)
	}
	for _, name := range []string{"D", "describe-stats"} {
		fs.BoolVar(&t.describe, name, false, "")
	}
	for _, name := range []string{"s", "stats-port"} {
		fs.StringVar(&t.statsPort, name, "", "")
	}
	for _, name := range []string{"a", "stats-addr"} {
		fs.StringVar(&t.statsHost, name, "", "")
	}
	for _, name := range []string{"i", "stats-interval"} {
		fs.Func(name, "", func(string) error { t.interval = true; return nil })
	}
	for _, f := range unsupportedFlags {
		for _, name := range []string{f.short, f.long} {
			refuse := func(string) error {
				t.unsupported = append(t.unsupported, fmt.Errorf("%s: %s", hyphened(name), f.instead))
				return nil
			}
			if f.value {
				fs.Func(name, "", refuse)
			} else {
				fs.BoolFunc(name, "", refuse)
			}
		}
	}
}

// apply changes a configuration as the flags say.
func (t *twemproxyFlags) apply(cfg *conf.Config) error {
	if t.level != nil {
		cfg.Proxy.LogLevel = *t.level
	}
	if t.statsHost == "" && t.statsPort == "" {
		return nil
	}
	err := cfg.Proxy.SetStatsListen(t.statsHost, t.statsPort)
	if err == nil && !cfg.Proxy.Statistics {
		err = errors.New("nothing is counted with statistics = false; want statistics = true")
	}
	if err == nil {
		err = cfg.CheckListens()
	}
	if err != nil {
		return fmt.Errorf("-a and -s, the address and port for statistics: %w", err)
	}
	return nil
}

// registerNoMemcached adds a flag that makes pools of memcached servers in a nutcracker.yml an error.
func registerNoMemcached(fs *flag.FlagSet) *bool {
	return fs.Bool("no-memcached", false, "refuse a nutcracker.yml with pools of memcached servers, instead of leaving these out")
}

// refuseMemcached returns an error if the flag is given and pools were left out.
func refuseMemcached(cfg *conf.Config, given bool) error {
	if !given || len(cfg.LeftOut) == 0 {
		return nil
	}
	return fmt.Errorf("--no-memcached: without redis: true in %s: pool %s", cfg.Path, strings.Join(cfg.LeftOut, ", pool "))
}

// setLevel takes one of nutcracker's numbers, 0 to 11, or a level by its name.
func (t *twemproxyFlags) setLevel(s string) error {
	level := slog.LevelInfo
	switch n, err := strconv.Atoi(s); {
	case err != nil:
		if err := level.UnmarshalText([]byte(s)); err != nil || strings.ContainsAny(s, "+-") {
			return errors.New("want 0 to 11, as nutcracker has it, or debug, info, warn or error; for the version, ringway version")
		}
	case n < 0 || n > 11:
		return errors.New("want 0 to 11")
	case n <= 3: // emerg, alert, crit, err
		level = slog.LevelError
	case n == 4:
		level = slog.LevelWarn
	case n >= 7: // debug, and more verbose ones
		level = slog.LevelDebug
	}
	t.level = &level
	return nil
}

// hyphened returns a flag as the help shows it.
func hyphened(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// explainFlags adds to an error of flag parsing what was probably meant.
func explainFlags(fs *flag.FlagSet, err error) error {
	text := err.Error()
	if strings.HasSuffix(text, "needs an argument: -v") {
		return fmt.Errorf("%w, the log's level: 0 to 11, as nutcracker has it; for the version, ringway version", err)
	}
	name, unknown := strings.CutPrefix(text, "flag provided but not defined: -")
	if !unknown {
		return err
	}
	if fs.Lookup("c") != nil && slices.Contains([]string{"config", "conf", "cfg", "file", "f", "config-file", "conf-file"}, name) {
		return fmt.Errorf("%w; for a configuration file, -c FILE", err)
	}
	var names []string
	fs.VisitAll(func(f *flag.Flag) {
		if f.Usage != "" && len(f.Name) > 1 {
			names = append(names, f.Name)
		}
	})
	if near := conf.Nearest(name, names); len(near) > 0 {
		return fmt.Errorf("%w; the nearest is %s", err, hyphened(near[0]))
	}
	return err
}
