package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"ringway/conf"
)

const statusHelp = `ringway status shows what a running proxy tells operators: the tables of its
console, which is at the address of [admin] in its configuration.

usage:
  ringway status [-c FILE | --admin ADDR] [TABLE …]

TABLE is one of those that "ringway status help" lists; without one, POOLS and
SERVERS are shown. With -c the address and the password are those of the file.
"ringway top" shows the most important ones live.

examples:
  ringway status -c /etc/ringway.toml
  ringway status --admin 127.0.0.1:9180 commands latency
`

// statusTimeout is how long the proxy may take to answer.
const statusTimeout = 5 * time.Second

// runStatus prints tables of a running proxy's console.
func runStatus(s streams, args []string) int {
	fs := newFlags("status")
	path := fs.String("c", "", "configuration `FILE` of the running proxy")
	var at consoleAddr
	at.register(fs)
	if code, done := s.parse(fs, args, statusHelp); done {
		return code
	}
	var cfg *conf.Config
	if *path != "" {
		if cfg, _ = s.load("status", *path); cfg == nil {
			return exitUsage
		}
	}
	if err := at.complete(cfg); err != nil {
		return s.fail("status", err)
	}
	tables := fs.Args()
	if len(tables) == 0 {
		tables = []string{"pools", "servers"}
	}
	client := at.client(2, statusTimeout)
	defer client.Close()
	for i, table := range tables {
		if i > 0 {
			fmt.Fprintln(s.out)
		}
		if err := printTable(s, client, table); err != nil {
			return s.fail("status", err)
		}
	}
	return exitOK
}

// printTable prints one table of the console.
func printTable(s streams, client *redis.Client, table string) error {
	lines, err := client.Do(context.Background(), "SHOW", table).StringSlice()
	if err != nil {
		return explainConsole(err)
	}
	for _, line := range lines {
		fmt.Fprintln(s.out, line)
	}
	return nil
}
