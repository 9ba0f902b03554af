package main

import (
	"fmt"
	"strings"

	"ringway/conf"
)

const checkHelp = `ringway check validates a configuration file. It prints all mistakes at once, with
their positions and what would be right; or, if there are none, a line for each pool.
With --connect it then asks every server and Sentinel, as Ringway would, and prints
what it finds: version, role, keys, memory, latency, other Ringways that are connected.

usage:
  ringway check -c FILE [--connect]

Exit codes: 0 valid, perhaps with warnings; 1 if a pool can't use a server; 2 with mistakes.
`

// runCheck validates a configuration file. Mistakes and warnings go to s.err; without
// mistakes, a line for each pool goes to s.out.
func runCheck(s streams, args []string) int {
	fs := newFlags("check")
	path := fs.String("c", "", "configuration `FILE`")
	connect := fs.Bool("connect", false, "also connect to every server, and say what it is")
	noMemcached := registerNoMemcached(fs)
	if code, done := s.parse(fs, args, checkHelp); done {
		return code
	}
	if err := noArguments(fs); err != nil {
		return s.usage("check", err)
	}
	cfg, warnings := s.load("check", *path)
	if cfg == nil {
		return exitUsage
	}
	s.diagnose(warnings)
	if err := refuseMemcached(cfg, *noMemcached); err != nil {
		return s.usage("check", err)
	}
	fmt.Fprintf(s.out, "%s: ok, %s\n", *path, count(len(cfg.Pools), "pool"))
	for i := range cfg.Pools {
		fmt.Fprintf(s.out, "  %s\n", summary(&cfg.Pools[i]))
	}
	if *connect {
		return s.checkServers(cfg)
	}
	return exitOK
}

// summary describes a pool in one line.
func summary(p *conf.Pool) string {
	var what string
	switch p.Topology {
	case conf.Replicated:
		servers := 0
		for _, s := range p.Shards {
			servers += len(s.Servers)
		}
		what = fmt.Sprintf("%s of %s in all", count(len(p.Shards), "shard"), count(servers, "server"))
	case conf.Sentinel:
		what = fmt.Sprintf("%s, %s", count(len(p.Shards), "master"), count(len(p.Sentinels), "Sentinel"))
	case conf.Cluster:
		what = fmt.Sprintf("%s to ask first", count(len(p.Servers), "server"))
	default:
		what = count(len(p.Servers), "server")
	}
	if len(p.RingServers()) > 1 {
		what += fmt.Sprintf(", %s by %s", p.Distribution, p.Hash)
	}
	if names := p.TogetherNames(); names != nil {
		what += ", together " + strings.Join(names, " ")
	}
	if p.Topology != conf.Static {
		what += ", reads from " + p.ReadFrom
	}
	if p.ServerTLS != nil {
		what += ", TLS"
	}
	return fmt.Sprintf("%s: %s, %s, %s", p.Name, p.Listen.Addr, p.Topology, what)
}

// count returns "1 pool" or "2 pools".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
