package main

import (
	"context"
	"flag"
	"fmt"
	"os/signal"
	"syscall"

	"ringway/conf"
	"ringway/mover"
)

const verifyHelp = `ringway verify compares two pools key by key: each key that a pool has by one file
must be where the other file looks for it, with the same value and expiry, and nothing else must
be there. It asks the servers, and changes nothing. Keys that differ are compared again, since
clients may be changing them.

usage:
  ringway verify -c OLD --to NEW [-pool NAME]

example:
  ringway verify -c ringway.toml --to five.toml

Exit codes: 0 the pools agree; 3 they differ; 2 with mistakes in a file or in the command line; 1
for a failure, such as a server that does not answer.
`

// exitDiffer is the exit code of a comparison that has found differences.
const exitDiffer = 3

// shownDifferences is how many differing keys are printed.
const shownDifferences = 20

// keyFlags are the flags of commands that look at the keys of servers.
type keyFlags struct {
	pool    string
	sample  int
	maxRate int
}

func (k *keyFlags) register(fs *flag.FlagSet, sampled string) {
	fs.StringVar(&k.pool, "pool", "", "`NAME` of the pool; may be left out if there is only one")
	fs.IntVar(&k.maxRate, "max-rate", 0, "look at `N` keys a second at most; 0 for no bound")
	if sampled != "" {
		fs.IntVar(&k.sample, "sample", 1, sampled)
	}
}

func (k *keyFlags) pace() *mover.Pace { return &mover.Pace{PerSecond: k.maxRate} }

func (k *keyFlags) check() error {
	switch {
	case k.maxRate < 0:
		return fmt.Errorf("--max-rate %d: want 0 or more", k.maxRate)
	case k.sample < 0:
		return fmt.Errorf("--sample %d: want 1 or more", k.sample)
	}
	return nil
}

// untilSignal returns a context that SIGINT and SIGTERM end. The caller calls stop.
func untilSignal() (ctx context.Context, stop context.CancelFunc) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
}

// runVerify compares two pools.
func runVerify(s streams, args []string) int {
	fs := newFlags("verify")
	path := fs.String("c", "", "configuration `FILE` by which clients use the keys")
	to := fs.String("to", "", "`FILE` of the other pool")
	var keys keyFlags
	keys.register(fs, "compare one in `N` keys, always the same ones")
	if code, done := s.parse(fs, args, verifyHelp); done {
		return code
	}
	was, now, code := s.twoPools(fs, *path, *to, &keys)
	if was == nil {
		return code
	}
	ctx, stop := untilSignal()
	defer stop()
	found, err := verifyPools(ctx, was, now, &keys)
	if err != nil {
		return s.fail("verify", err)
	}
	printVerification(s, found)
	if !found.Agrees() {
		return exitDiffer
	}
	return exitOK
}

// twoPools loads one pool from each of two files. It returns nil and an exit code after a mistake.
func (s streams) twoPools(fs *flag.FlagSet, path, to string, keys *keyFlags) (was, now *conf.Pool, code int) {
	command := fs.Name()
	err := noArguments(fs)
	if err == nil {
		err = keys.check()
	}
	if err == nil && to == "" {
		err = fmt.Errorf("want --to FILE, another configuration file")
	}
	if err != nil {
		return nil, nil, s.usage(command, err)
	}
	for _, file := range []struct {
		path string
		into **conf.Pool
	}{{path, &was}, {to, &now}} {
		cfg, _ := s.load(command, file.path)
		if cfg == nil {
			return nil, nil, exitUsage
		}
		if *file.into, err = choosePool(cfg, keys.pool); err != nil {
			return nil, nil, s.usage(command, err)
		}
	}
	return was, now, exitOK
}

func verifyPools(ctx context.Context, was, now *conf.Pool, keys *keyFlags) (*mover.Verification, error) {
	from, to, err := openBoth(ctx, was, now)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	defer to.Close()
	return mover.Verify(ctx, from, to, mover.VerifyOptions{OneIn: keys.sample, Pace: keys.pace()})
}

// openBoth connects to the servers of two pools. The caller closes both.
func openBoth(ctx context.Context, was, now *conf.Pool) (from, to *mover.Pool, err error) {
	if from, err = mover.Open(ctx, was); err != nil {
		return nil, nil, err
	}
	if to, err = mover.Open(ctx, now); err != nil {
		from.Close()
		return nil, nil, err
	}
	return from, to, nil
}

func printVerification(s streams, v *mover.Verification) {
	fmt.Fprintf(s.out, "%d keys, %d of them at the same server in both pools, %d compared; %d keys at the second pool's servers looked for in the first\n", v.Keys, v.Unmoved, v.Compared, v.Checked)
	if v.Strays > 0 {
		fmt.Fprintf(s.out, "%d more keys are at servers that do not own them: ringway orphans\n", v.Strays)
	}
	for _, d := range v.Differing[:min(len(v.Differing), shownDifferences)] {
		fmt.Fprintf(s.out, "  %q (database %d): %s -> %s: %s\n", d.Key, d.DB, d.From, d.To, d.Why)
	}
	if n := int64(len(v.Differing)) + v.More; n > 0 {
		fmt.Fprintf(s.out, "the pools differ in %d keys\n", n)
		return
	}
	fmt.Fprintln(s.out, "the pools agree")
}
