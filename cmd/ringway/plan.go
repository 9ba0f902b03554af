package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"ringway/conf"
	"ringway/hashring"
)

const planHelp = `ringway plan says what a configuration would change at a running proxy: settings,
servers, and which keys would move from which server to which. It changes nothing.

usage:
  ringway plan -c NEW                  compare with the proxy that runs at the address of
                                       [admin] in NEW
  ringway plan -c NEW --admin ADDR     compare with the proxy whose console is at ADDR
  ringway plan -c NEW --against OLD    compare with another file

  ringway plan -c NEW --against OLD --keys
                                       ask the servers too: how many keys and bytes move, the
                                       largest keys, and what stands in the way

A running proxy does not tell its passwords, so they are compared with a file only.

examples:
  ringway plan -c ringway.toml
  git show HEAD:ringway.toml >old.toml; ringway plan -c ringway.toml --against old.toml

Exit codes: 0 no key would move; 3 keys would move; 2 with mistakes in a file or in the
command line; 1 for a failure, such as a proxy that does not answer.
`

// exitMoves is the exit code of a plan that moves keys.
const exitMoves = 3

// runPlan compares a configuration with another one, or with that of a running proxy.
func runPlan(s streams, args []string) int {
	fs := newFlags("plan")
	path := fs.String("c", "", "new configuration `FILE`")
	against := fs.String("against", "", "`FILE` to compare with, in place of a running proxy")
	ask := fs.Bool("keys", false, "look at all keys of the servers, by SCAN")
	var keys keyFlags
	keys.register(fs, "with --keys, ask for the size of one in `N` keys that move")
	var at consoleAddr
	at.register(fs)
	if code, done := s.parse(fs, args, planHelp); done {
		return code
	}
	err := noArguments(fs)
	if err == nil && *against != "" && (at.addr != "" || at.password != "") {
		err = errors.New("--against names a file, and --admin a running proxy; want one of them")
	}
	if err == nil && *ask && *against == "" {
		err = errors.New("--keys asks the servers, whose passwords a running proxy does not tell; want --against FILE")
	}
	if err == nil {
		err = keys.check()
	}
	if err != nil {
		return s.usage("plan", err)
	}
	now, warnings := s.load("plan", *path)
	if now == nil {
		return exitUsage
	}
	s.diagnose(warnings)
	p := plan{now: now, secrets: *against != ""}
	if *against != "" {
		if p.was, _ = s.load("plan", *against); p.was == nil {
			return exitUsage
		}
	} else {
		if err := at.complete(now); err != nil {
			return s.fail("plan", fmt.Errorf("%w; want --admin ADDR, or --against FILE", err))
		}
		if p.was, err = runningConfig(&at); err != nil {
			return s.fail("plan", err)
		}
	}
	moves, err := p.print(s.out)
	if err == nil && moves && *ask {
		err = p.printKeys(s.out, &keys)
	}
	switch {
	case err != nil:
		return s.fail("plan", err)
	case moves:
		return exitMoves
	}
	return exitOK
}

// runningConfig returns the configuration of a running proxy, with "…" for passwords.
func runningConfig(at *consoleAddr) (*conf.Config, error) {
	client := at.client(3, statusTimeout)
	defer client.Close()
	var text, path string
	for table, take := range map[string]func(row map[any]any){
		"FILE": func(row map[any]any) { text += fmt.Sprint(row["line"], "\n") },
		"CONFIG": func(row map[any]any) {
			if row["what"] == "file" {
				path = fmt.Sprint(row["value"])
			}
		},
	} {
		rows, err := client.Do(context.Background(), "SHOW", table).Slice()
		if err != nil {
			return nil, explainConsole(err)
		}
		for _, row := range rows {
			if row, ok := row.(map[any]any); ok {
				take(row)
			}
		}
	}
	if text == "" {
		return nil, errors.New("the proxy does not show its configuration, which is not in TOML; compare with its file: --against FILE")
	}
	cfg, _, err := conf.Parse([]byte(text), path)
	if err != nil {
		return nil, fmt.Errorf("the configuration of the running proxy can't be read here; compare with its file: --against FILE\n%w", err)
	}
	return cfg, nil
}

// A plan is what becomes of one configuration when another takes its place.
type plan struct {
	was, now *conf.Config
	secrets  bool // passwords of both are known
}

// print writes the plan, and reports whether keys would move.
func (p *plan) print(out io.Writer) (moves bool, err error) {
	changes := slices.DeleteFunc(conf.Changes(p.was, p.now), func(c conf.Change) bool { return !p.secrets && c.HasSecret() })
	for _, c := range changes {
		fmt.Fprintln(out, c)
	}
	if len(changes) == 0 {
		fmt.Fprintln(out, "nothing would change")
		return false, nil
	}
	fmt.Fprintln(out)
	for i := range p.now.Pools {
		now := &p.now.Pools[i]
		j := slices.IndexFunc(p.was.Pools, func(was conf.Pool) bool { return was.Name == now.Name })
		if j < 0 {
			continue
		}
		m, err := p.was.Pools[j].Moves(now)
		if err != nil {
			return false, fmt.Errorf("pool %q: %w", now.Name, err)
		}
		printMoves(out, now.Name, m)
		moves = moves || m.Any()
	}
	for _, c := range changes {
		if c.Kind == conf.ServerMoved && c.Was != "" && c.Now != "" {
			fmt.Fprintf(out, "pool %s: %s is asked for its keys at another address, where they have to be\n", c.Pool, c.Server)
		}
	}
	fmt.Fprintln(out, verdict(changes, moves))
	return moves, nil
}

// shownMoves is how many pairs of servers are printed for a pool.
const shownMoves = 30

// printMoves prints which keys of a pool would move.
func printMoves(out io.Writer, pool string, m *hashring.Moved) {
	switch {
	case m.Random:
		fmt.Fprintf(out, "pool %s: keys have no place under the distribution random, so none would move\n", pool)
		return
	case m.All != "" || !m.Any():
		fmt.Fprintf(out, "pool %s: %s would move\n", pool, m)
		return
	case m.Part > 0:
		how := "exactly, if the hash spreads the keys evenly"
		if m.Sampled > 0 {
			how = fmt.Sprintf("of a sample of %d keys", m.Sampled)
		}
		fmt.Fprintf(out, "pool %s: %s of keys would move (%s):\n", pool, hashring.Percent(m.Part), how)
	}
	t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, p := range m.Pairs[:min(shownMoves, len(m.Pairs))] {
		fmt.Fprintf(t, "  %s -> %s\t%s\n", p.From, p.To, hashring.Percent(p.Part))
	}
	t.Flush()
	if more := len(m.Pairs) - shownMoves; more > 0 {
		fmt.Fprintf(out, "  and %d more pairs of servers\n", more)
	}
	for _, what := range m.Besides {
		fmt.Fprintf(out, "pool %s: keys %s may move\n", pool, what)
	}
	if m.Part > 0 {
		fmt.Fprintf(out, "  a cache would miss %s of what it holds until it is filled again; data has to be moved\n", hashring.Percent(m.Part))
	}
}

// verdict returns how the changes could be made.
func verdict(changes []conf.Change, moves bool) string {
	var restart []string
	for _, c := range changes {
		if c.NeedsRestart() {
			restart = append(restart, c.Table+": "+c.Key)
		}
	}
	switch {
	case restart != nil:
		return "a reload is refused: a restart is needed for " + strings.Join(restart, ", ")
	case moves:
		return "a reload is refused unless it is asked for: ringway reload --move-keys"
	}
	return "a reload makes these changes: ringway reload"
}
