package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"ringway/admin"
	"ringway/conf"
)

const upgradeHelp = `ringway upgrade has a running proxy start its program anew and hand its clients over to it,
as SIGUSR2 and UPGRADE on its console do. The program's file may have been replaced before. If the
new process can't start, or does not reach its servers, the running one goes on.

usage:
  ringway upgrade -c FILE
  ringway upgrade --admin ADDR

-c is only where the address and the password of the console are found: the new process reads the
file that the running one was started with.

Exit codes: 0 the new process has taken over; 1 it has not, or no answer; 2 with mistakes in FILE.
`

// upgradeTimeout is how long an upgrade may take, but for the clients that move later.
const upgradeTimeout = time.Minute

// runUpgrade has a running proxy hand over to a new process.
func runUpgrade(s streams, args []string) int {
	fs := newFlags("upgrade")
	path := fs.String("c", "", "configuration `FILE` of the running proxy")
	var at consoleAddr
	at.register(fs)
	if code, done := s.parse(fs, args, upgradeHelp); done {
		return code
	}
	if err := noArguments(fs); err != nil {
		return s.usage("upgrade", err)
	}
	var cfg *conf.Config
	if *path != "" {
		if cfg, _ = s.load("upgrade", *path); cfg == nil {
			return exitUsage
		}
	}
	if err := at.complete(cfg); err != nil {
		return s.fail("upgrade", err)
	}
	return s.ask("upgrade", &at, upgradeTimeout, "UPGRADE")
}

// ask sends a request to a console and prints the lines of the answer, or the error. It returns the exit
// code of the command.
func (s streams) ask(command string, at *consoleAddr, timeout time.Duration, request ...any) int {
	client := at.client(2, timeout)
	defer client.Close()
	lines, err := client.Do(context.Background(), request...).StringSlice()
	var answer redis.Error
	if errors.As(err, &answer) {
		text := strings.TrimPrefix(err.Error(), "ERR ")
		return s.fail(command, errors.New(strings.ReplaceAll(text, admin.NextMistake, "\n")))
	}
	if err != nil {
		return s.fail(command, explainConsole(err))
	}
	for _, line := range lines {
		fmt.Fprintln(s.out, line)
	}
	return exitOK
}
