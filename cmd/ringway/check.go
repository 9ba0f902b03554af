package main

import "fmt"

const checkHelp = `ringway check says what is wrong with a configuration file, all at once, with
places and what would be right, or that it is in order.

usage:
  ringway check -c FILE

Exit codes: 0 in order, perhaps with warnings; 2 with mistakes.
`

// runCheck reads a configuration file and tells what it thinks of it: mistakes
// and warnings on s.err, one line on s.out if there are no mistakes.
func runCheck(s streams, args []string) int {
	fs := newFlags("check")
	path := fs.String("c", "", "configuration `FILE`")
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
	servers := 0
	for _, p := range cfg.Pools {
		servers += len(p.Servers)
	}
	fmt.Fprintf(s.out, "%s: ok, %s, %s\n", *path, count(len(cfg.Pools), "pool"), count(servers, "server"))
	return exitOK
}

// count returns "1 pool" or "2 pools".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
