package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"time"

	"ringway/conf"
	"ringway/mover"
)

const copyHelp = `ringway copy copies the keys that another configuration of a pool places elsewhere, and then
whatever changes of them, while clients use the pool as it is. It ends when it is told that writes
are held, and the new servers have all that the old ones have. It switches nothing: docs/growth.md
has the steps.

usage:
  ringway copy -c OLD --to NEW [-pool NAME]          end when Enter is pressed
  ringway copy -c OLD --to NEW [-pool NAME] --once   end when all has been copied once

-c is the configuration by which clients use the pool, and --to the one that it shall have. Keys at the new
servers that clients do not have now, such as those of earlier rings, are in the way: with
--remove-old they are removed. Nothing is changed at the servers by which clients use a key.

Exit codes: 0 the new servers have all; 3 but for keys that are over --big-key; 2 with mistakes in a file or in
the command line; 1 for a failure or an interrupt: clients use the old servers as before.
`

// progressEvery is how often ringway copy says how far it is.
const progressEvery = 2 * time.Second

// runCopy copies keys between two pools until it is told that writes are held.
func runCopy(s streams, args []string) int {
	fs := newFlags("copy")
	path := fs.String("c", "", "configuration `FILE` by which clients use the pool")
	to := fs.String("to", "", "`FILE` of the pool as it shall be")
	once := fs.Bool("once", false, "end when all keys, and what has changed meanwhile, are copied")
	big := fs.Int64("big-key", 256<<20, "leave out keys with more than `N` bytes of memory; 0 to copy all")
	removeOld := fs.Bool("remove-old", false, "remove keys at the new servers that clients do not have now")
	var keys keyFlags
	keys.register(fs, "")
	if code, done := s.parse(fs, args, copyHelp); done {
		return code
	}
	was, now, code := s.twoPools(fs, *path, *to, &keys)
	if was == nil {
		return code
	}
	ctx, stop := untilSignal()
	defer stop()
	from, target, err := openBoth(ctx, was, now)
	if err != nil {
		return s.fail("copy", err)
	}
	defer from.Close()
	defer target.Close()
	if err := s.checkTargets(ctx, from, target, *removeOld, *path, *to); err != nil {
		return s.fail("copy", err)
	}
	c, err := mover.NewCopier(from, target, mover.CopyOptions{PerSecond: keys.maxRate, BigKey: *big, Log: func(text string) { fmt.Fprintln(s.err, text) }})
	if err != nil {
		return s.fail("copy", err)
	}
	f := copying{s: s, copier: c, once: *once}
	if err := f.run(ctx); err != nil {
		return s.fail("copy", err)
	}
	if left := c.Progress().TooBig; len(left) > 0 {
		fmt.Fprintf(s.out, "%d keys are over --big-key and not at the new servers\n", len(left))
		return exitDiffer
	}
	return exitOK
}

// copying is a run of ringway copy.
type copying struct {
	s      streams
	copier *mover.Copier
	once   bool
}

// run returns nil when the targets have all, and writes of the copier have ended.
func (f *copying) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- f.copier.Run(ctx) }()
	err := f.untilSettled(ctx, ended)
	cancel()
	if errRun := <-ended; errRun != nil {
		return errRun
	}
	return err
}

// untilSettled shows how far the copy is, and returns nil once it has settled. What Run returns stays in ended.
func (f *copying) untilSettled(ctx context.Context, ended chan error) error {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	told := make(chan struct{})
	if f.once {
		go func() { told <- struct{}{} }()
	} else {
		fmt.Fprintln(f.s.err, "press Enter when the pool's writes are held at all instances")
		go readLines(f.s, told)
	}
	for {
		select {
		case err := <-ended:
			ended <- err
			return err
		case <-ctx.Done():
			return errors.New("interrupted: clients use the old servers as before")
		case <-tick.C:
			f.show()
		case <-told:
			done, err := f.settle(ctx, ended)
			if done {
				return err
			}
			fmt.Fprintln(f.s.err, err)
			if f.once {
				go func() { told <- struct{}{} }()
			}
		}
	}
}

// readLines sends for each line of standard input, until its end.
func readLines(s streams, told chan<- struct{}) {
	for in := bufio.NewScanner(s.in); in.Scan(); {
		told <- struct{}{}
	}
}

// show prints how far the copy is.
func (f *copying) show() {
	p := f.copier.Progress()
	what := "following"
	if p.Pending > 0 {
		what = fmt.Sprintf("copying, %d servers left", p.Pending)
	}
	fmt.Fprintf(f.s.err, "%s: %d keys looked at, %d copied, %d removed, lag %d, %d streams and the like to look at in the end\n", what, p.Scanned, p.Copied, p.Removed, p.Lag, p.Unnamed)
}

// quiet is how long no key may change once writes are held.
const quiet = 300 * time.Millisecond

// settle has the copier settle, and settle again after a while in which nothing may have changed. It is not done,
// with a reason, if something has.
func (f *copying) settle(ctx context.Context, ended chan error) (done bool, err error) {
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer := make(chan error, 1)
	go func() { answer <- f.settleTwice(ctx) }()
	select {
	case err := <-ended:
		ended <- err
		return true, err
	case err := <-answer:
		if err == nil {
			fmt.Fprintf(f.s.out, "settled in %v: the new servers have what the old ones have\n", time.Since(began).Round(time.Millisecond))
		}
		return err == nil || ctx.Err() != nil, err
	}
}

func (f *copying) settleTwice(ctx context.Context) error {
	if _, err := f.copier.Settle(ctx, f.once); err != nil || f.once {
		return err
	}
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	named, err := f.copier.Settle(ctx, true)
	if err == nil && named > 0 {
		f.copier.Settle(ctx, false)
		err = fmt.Errorf("not settled: %d keys have changed in the last %v; hold the pool's writes at all instances, then press Enter again", named, quiet)
	}
	return err
}

// checkTargets returns an error if the copy could remove or replace what others have: keys of another pool of the
// files at the new servers, or, without removeOld, any keys there that the pool does not have.
func (s streams) checkTargets(ctx context.Context, from, to *mover.Pool, removeOld bool, files ...string) error {
	for _, path := range files {
		cfg, _ := s.load("copy", path)
		if cfg == nil {
			return fmt.Errorf("%s has changed", path)
		}
		for i := range cfg.Pools {
			if cfg.Pools[i].Name == from.Conf.Name || cfg.Pools[i].Topology != conf.Static {
				continue
			}
			other, err := mover.Open(ctx, &cfg.Pools[i])
			if err != nil {
				return fmt.Errorf("whether another pool uses the same servers is unknown: %w", err)
			}
			shared := to.Shared(other)
			other.Close()
			if shared != "" {
				return fmt.Errorf("server %s is also used by pool %s, with the same databases: keys of both can't be told apart", shared, cfg.Pools[i].Name)
			}
		}
	}
	if removeOld {
		return nil
	}
	n, example, err := mover.Ghosts(ctx, from, to)
	if err == nil && n > 0 {
		err = fmt.Errorf("%d keys at the new servers, such as %q, are not in the pool now, and its clients would find them; if they are old, remove them: --remove-old", n, example)
	}
	return err
}
