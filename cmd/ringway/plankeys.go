package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"ringway/conf"
	"ringway/mover"
)

// copyRate is how many keys a second a copy is expected to reach where nobody has measured it; it was
// 56,000 keys of 100 bytes between two servers on two processors.
const copyRate = 50_000

// printKeys prints, for each pool that keys move in, what the servers say of them.
func (p *plan) printKeys(out io.Writer, keys *keyFlags) error {
	ctx, stop := untilSignal()
	defer stop()
	for i := range p.now.Pools {
		now := &p.now.Pools[i]
		j := slices.IndexFunc(p.was.Pools, func(was conf.Pool) bool { return was.Name == now.Name })
		if j < 0 || keys.pool != "" && keys.pool != now.Name {
			continue
		}
		survey, err := measure(ctx, &p.was.Pools[j], now, keys)
		if err != nil {
			return err
		}
		printSurvey(out, now.Name, survey, keys)
	}
	return nil
}

func measure(ctx context.Context, was, now *conf.Pool, keys *keyFlags) (*mover.Survey, error) {
	from, to, err := openBoth(ctx, was, now)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	defer to.Close()
	return mover.Measure(ctx, from, to, mover.SurveyOptions{OneIn: keys.sample, Pace: keys.pace()})
}

func printSurvey(out io.Writer, pool string, survey *mover.Survey, keys *keyFlags) {
	moving, bytes := survey.Moving()
	fmt.Fprintf(out, "\npool %s: %d of %d keys move, %s in memory\n", pool, moving, survey.Keys, sizeText(bytes))
	t := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, f := range survey.Flows[:min(len(survey.Flows), shownMoves)] {
		fmt.Fprintf(t, "  %s -> %s\t%d keys\t%s\n", f.From, f.To, f.Keys, sizeText(f.Bytes))
	}
	t.Flush()
	if more := len(survey.Flows) - shownMoves; more > 0 {
		fmt.Fprintf(out, "  and %d more pairs of servers\n", more)
	}
	if len(survey.Largest) > 0 {
		fmt.Fprintln(out, "largest keys that move, of those looked at:")
		for _, k := range survey.Largest {
			fmt.Fprintf(t, "  %s\t%q\t(database %d, at %s)\n", sizeText(k.Bytes), k.Key, k.DB, k.Server)
		}
		t.Flush()
	}
	if moving > 0 {
		rate := copyRate
		if keys.maxRate > 0 {
			rate = keys.maxRate
		}
		fmt.Fprintf(out, "expected time: %v at %d keys a second\n", (time.Duration(float64(moving)/float64(rate)*float64(time.Second)) + time.Second).Truncate(time.Second), rate)
	}
	if survey.Strays > 0 {
		fmt.Fprintf(out, "%d more keys are at servers that do not own them, and stay: ringway orphans\n", survey.Strays)
	}
	if survey.Ghosts > 0 {
		fmt.Fprintf(out, "%d keys are at servers that will own them and do not exist for clients now: ringway copy --remove-old removes them\n", survey.Ghosts)
	}
	for _, o := range survey.Obstacles {
		word := "note"
		if o.Refuses {
			word = "in the way"
		}
		fmt.Fprintf(out, "%s: %s\n", word, o.What)
	}
}

// sizeText returns a number of bytes as people read it.
func sizeText(bytes int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	size, i := float64(bytes), 0
	for ; size >= 1024 && i < len(units)-1; i++ {
		size /= 1024
	}
	if i == 0 {
		return fmt.Sprintf("%d B", bytes)
	}
	return fmt.Sprintf("%.1f %s", size, units[i])
}
