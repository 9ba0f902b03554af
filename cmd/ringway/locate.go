package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"

	"ringway/conf"
	"ringway/hashring"
)

const locateHelp = `ringway locate says which server of a pool holds a key. It asks the
configuration only, no server.

usage:
  ringway locate -c FILE [-pool NAME] [--down SERVER]... [--hex] [--] KEY...

It prints a line for each key: the key as it was given, a tab, and the name of
the server; of the shard, in a pool of topology "replicated" or "sentinel"; or
the number of the slot, for a Redis Cluster. If a part of the key decides, a tab
and that part follow, with the pattern of the setting together that it comes from,
or hash_tag. A KEY of "-" stands for keys on standard input, one a line. Keys
that begin with a hyphen follow "--"; keys with any other bytes can be given in
hexadecimal with --hex.

examples:
  ringway locate -c ringway.toml user:1 user:2
  ringway locate -c ringway.toml -pool alpha --down alpha2 user:1
  redis-cli -p 6379 --scan | ringway locate -c ringway.toml -pool alpha -
  ringway locate -c ringway.toml --hex 00ff
`

// runLocate prints the server of each key in its arguments.
func runLocate(s streams, args []string) int {
	fs := newFlags("locate")
	path := fs.String("c", "", "configuration `FILE`")
	poolName := fs.String("pool", "", "`NAME` of the pool; may be left out if there is only one")
	inHex := fs.Bool("hex", false, "keys are given in hexadecimal")
	var down []string
	fs.Func("down", "place keys as if this `SERVER` were ejected; may be repeated", func(name string) error {
		down = append(down, name)
		return nil
	})
	if code, done := s.parse(fs, args, locateHelp); done {
		return code
	}
	if err := checkKeys(fs, args); err != nil {
		return s.usage("locate", err)
	}
	cfg, warnings := s.load("locate", *path)
	if cfg == nil {
		return exitUsage
	}
	s.diagnose(warnings) // such as a missing setting hash, which moves keys
	p, err := choosePool(cfg, *poolName)
	if err != nil {
		return s.usage("locate", err)
	}
	owner, err := ownerOf(s, p, down)
	if err != nil {
		return s.usage("locate", err)
	}
	out := bufio.NewWriter(s.out)
	l := locator{owner: owner, hex: *inHex, out: out}
	err = l.locateAll(fs.Args(), s.in)
	if errFlush := out.Flush(); err == nil && errFlush != nil {
		err = fmt.Errorf("standard output: %w", errFlush)
	}
	switch {
	case errors.Is(err, errHexKey):
		return s.usage("locate", err)
	case err != nil:
		return s.fail("locate", err)
	}
	return exitOK
}

// checkKeys returns an error for flags behind a key: the flag package stops at the first
// argument that is not a flag, so they would be taken for keys.
func checkKeys(fs *flag.FlagSet, args []string) error {
	if fs.NArg() == 0 {
		return errors.New(`want at least one KEY, or "-" to read keys from standard input`)
	}
	if before := len(args) - fs.NArg() - 1; before >= 0 && args[before] == "--" {
		return nil
	}
	for _, key := range fs.Args() {
		if strings.HasPrefix(key, "-") && key != "-" {
			return fmt.Errorf(`%q after a key: want flags before all keys, and "--" before keys that begin with a hyphen`, key)
		}
	}
	return nil
}

// choosePool returns the pool with the given name, or with no name the only pool.
func choosePool(cfg *conf.Config, name string) (*conf.Pool, error) {
	if name == "" && len(cfg.Pools) == 1 {
		return &cfg.Pools[0], nil
	}
	var names []string
	for i := range cfg.Pools {
		if cfg.Pools[i].Name == name {
			return &cfg.Pools[i], nil
		}
		names = append(names, cfg.Pools[i].Name)
	}
	if name == "" {
		return nil, fmt.Errorf("%s has %d pools and no -pool says which; %s", cfg.Path, len(names), oneOf(names))
	}
	return nil, fmt.Errorf("no pool %q in %s; %s", name, cfg.Path, oneOf(names))
}

// ownerOf returns a function that returns the name of a key's owner in the pool, with the
// named servers down.
func ownerOf(s streams, p *conf.Pool, down []string) (func(key []byte) string, error) {
	if p.Topology == conf.Cluster {
		if len(down) > 0 {
			return nil, fmt.Errorf("pool %q is a Redis Cluster, where keys stay in their slots whoever is down; want no --down", p.Name)
		}
		return func(key []byte) string { return fmt.Sprintf("slot %d", hashring.Slot(key)) }, nil
	}
	ring, err := ringWithout(s, p, down)
	if err != nil {
		return nil, err
	}
	places := p.RingServers()
	return func(key []byte) string { return places[ring.Index(key)].Name + decidedBy(ring, key) }, nil
}

// decidedBy returns a tab and the part of a key that is hashed, with what says so; "" for a
// key that is hashed whole.
func decidedBy(ring *hashring.Ring, key []byte) string {
	part, pattern := ring.Part(key)
	switch {
	case pattern != "":
		return fmt.Sprintf("\tby %q, together = %q", part, pattern)
	case len(part) < len(key):
		return fmt.Sprintf("\tby %q, hash_tag", part)
	}
	return ""
}

// ringWithout returns the pool's ring with the named servers down. Notes about answers that
// are not certain go to s.err.
func ringWithout(s streams, p *conf.Pool, names []string) (*hashring.Ring, error) {
	config := p.Ring()
	ring, err := hashring.New(config)
	if err != nil {
		return nil, fmt.Errorf("pool %q: %w", p.Name, err)
	}
	down := make([]bool, len(config.Servers))
	for _, name := range names {
		i := slices.IndexFunc(config.Servers, func(s hashring.Server) bool { return s.Name == name })
		if i < 0 {
			var all []string
			for _, s := range config.Servers {
				all = append(all, s.Name)
			}
			return nil, fmt.Errorf("no server %q in pool %q; %s", name, p.Name, oneOf(all))
		}
		down[i] = true
	}
	if !slices.Contains(down, false) {
		fmt.Fprintf(s.err, "note: with all servers down the ring stays whole, since no server is left to take over the keys\n")
	}
	if p.Distribution == "random" && len(config.Servers) > 1 {
		fmt.Fprintf(s.err, "note: under the distribution random a key may be on any server; each answer is one of many\n")
	}
	return ring.Without(down), nil
}

// A locator prints the owners of keys.
type locator struct {
	owner func(key []byte) string
	hex   bool // keys are given in hexadecimal
	out   io.Writer
}

// errHexKey is the error for a key that is not hexadecimal, wrapped with the key.
var errHexKey = errors.New(`want an even number of hexadecimal digits, such as "00ff"`)

// locateAll locates the given keys, and those of stdin where "-" is given.
func (l *locator) locateAll(keys []string, stdin io.Reader) error {
	for _, key := range keys {
		var err error
		if key == "-" {
			err = l.locateLines(stdin)
		} else {
			err = l.locate([]byte(key))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// locateLines takes each line of stdin as a key, without its end of line; a line may have any
// length.
func (l *locator) locateLines(stdin io.Reader) error {
	r := bufio.NewReader(stdin)
	for number := 1; ; number++ {
		line, errRead := r.ReadBytes('\n')
		if len(line) > 0 {
			line = bytes.TrimSuffix(line, []byte("\n"))
			if err := l.locate(line); err != nil {
				return fmt.Errorf("standard input, line %d: %w", number, err)
			}
		}
		if errRead == io.EOF {
			return nil
		}
		if errRead != nil {
			return fmt.Errorf("standard input: %w", errRead)
		}
	}
}

// locate prints the owner of one key.
func (l *locator) locate(given []byte) error {
	key := given
	if l.hex {
		key = make([]byte, hex.DecodedLen(len(given)))
		if _, err := hex.Decode(key, given); err != nil {
			return fmt.Errorf("key %q: %w", given, errHexKey)
		}
	}
	if _, err := fmt.Fprintf(l.out, "%s\t%s\n", given, l.owner(key)); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}
