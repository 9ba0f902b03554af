package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"

	"ringway/conf"
	"ringway/mover"
)

const orphansHelp = `ringway orphans finds keys at servers that do not own them, by the rings of all pools of a
file: left behind by earlier rings or by ejection. No client of these pools can reach them. With
--purge it removes them.

The file must have all pools that use its servers: keys of others count as orphans. So do keys that
scripts make up, or write without naming them: such a script finds them where it runs. Look at the
examples before you purge.

usage:
  ringway orphans -c FILE                        count them, and remove nothing
  ringway orphans -c FILE --purge                remove them

Exit codes: 0 there are none, or they were removed; 3 there are some; 2 with mistakes in the file or in
the command line; 1 for a failure, such as a server that does not answer.
`

// purgeRate is how many keys a second are removed unless the operator says otherwise.
const purgeRate = 10_000

// runOrphans finds keys at servers that do not own them.
func runOrphans(s streams, args []string) int {
	fs := newFlags("orphans")
	path := fs.String("c", "", "configuration `FILE`, with all pools that use its servers")
	purge := fs.Bool("purge", false, "remove them")
	none := fs.Bool("none-ejected", false, "no server of a pool with auto_eject_hosts is ejected now, nor will be meanwhile")
	rate := fs.Int("max-rate", purgeRate, "remove `N` keys a second at most; 0 for no bound")
	if code, done := s.parse(fs, args, orphansHelp); done {
		return code
	}
	err := noArguments(fs)
	if err == nil && *rate < 0 {
		err = fmt.Errorf("--max-rate %d: want 0 or more", *rate)
	}
	if err != nil {
		return s.usage("orphans", err)
	}
	cfg, warnings := s.load("orphans", *path)
	if cfg == nil {
		return exitUsage
	}
	s.diagnose(warnings)
	for i := range cfg.Pools {
		if p := &cfg.Pools[i]; *purge && p.AutoEjectHosts && !*none {
			return s.usage("orphans", fmt.Errorf("pool %s may eject servers: while one is ejected, others have its keys, and clients use them. If none is (ringway status), say so: --none-ejected", p.Name))
		}
	}
	ctx, stop := untilSignal()
	defer stop()
	found, err := findOrphans(ctx, cfg, *purge, &mover.Pace{PerSecond: *rate})
	left := printOrphans(s, found)
	switch {
	case err != nil:
		return s.fail("orphans", err)
	case left > 0:
		return exitDiffer
	}
	return exitOK
}

// findOrphans looks at the servers of all static pools of a file.
func findOrphans(ctx context.Context, cfg *conf.Config, purge bool, pace *mover.Pace) ([]mover.Orphans, error) {
	var pools []*mover.Pool
	defer func() {
		for _, p := range pools {
			p.Close()
		}
	}()
	for i := range cfg.Pools {
		p, err := mover.Open(ctx, &cfg.Pools[i])
		if err != nil {
			return nil, err
		}
		pools = append(pools, p)
	}
	if len(pools) == 0 {
		return nil, errors.New("the file has no pool")
	}
	return mover.FindOrphans(ctx, pools, purge, pace)
}

// printOrphans prints what was found, and returns how many orphans are left.
func printOrphans(s streams, found []mover.Orphans) (left int64) {
	t := tabwriter.NewWriter(s.out, 0, 0, 3, ' ', 0)
	for _, o := range found {
		left += o.Keys - o.Removed
		fmt.Fprintf(t, "%s\t%d of %d keys\tremoved %d\t", o.Server, o.Keys, o.Scanned, o.Removed)
		for _, key := range o.Examples {
			fmt.Fprintf(t, " %q", key)
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	return left
}
