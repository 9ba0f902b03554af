package main

import (
	"time"

	"ringway/conf"
)

const reloadHelp = `ringway reload has a running proxy read its configuration file again, as SIGHUP and RELOAD
on its console do. All of the file takes effect, or nothing.

usage:
  ringway reload -c FILE [--move-keys]
  ringway reload --admin ADDR [--move-keys]

-c is only where the address and the password of the console are found: the proxy reads the
file that it was started with. Without --move-keys a reload after which keys would be at other
servers is refused; "ringway plan" says which keys.

Exit codes: 0 reloaded; 1 refused, or no answer: nothing has changed; 2 with mistakes in FILE.
`

// reloadTimeout is how long a reload may take.
const reloadTimeout = time.Minute

// runReload has a running proxy read its configuration again.
func runReload(s streams, args []string) int {
	fs := newFlags("reload")
	path := fs.String("c", "", "configuration `FILE` of the running proxy")
	moveKeys := fs.Bool("move-keys", false, "reload even if keys get other servers: what is stored is not moved")
	var at consoleAddr
	at.register(fs)
	if code, done := s.parse(fs, args, reloadHelp); done {
		return code
	}
	if err := noArguments(fs); err != nil {
		return s.usage("reload", err)
	}
	var cfg *conf.Config
	if *path != "" {
		if cfg, _ = s.load("reload", *path); cfg == nil {
			return exitUsage
		}
	}
	if err := at.complete(cfg); err != nil {
		return s.fail("reload", err)
	}
	request := []any{"RELOAD"}
	if *moveKeys {
		request = append(request, "MOVEKEYS")
	}
	return s.ask("reload", &at, reloadTimeout, request...)
}
