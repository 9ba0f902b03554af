package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const statusHelp = `ringway status shows what a running proxy tells operators: the tables of its
console, which is at the address of [admin] in its configuration.

usage:
  ringway status [-c FILE | --admin ADDR] [TABLE …]

TABLE is one of those that "ringway status help" lists; without one, POOLS and
SERVERS are shown. With -c the address and the password are those of the file.

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
	addr := fs.String("admin", "", "`ADDR` of its console; the default is that of -c, or 127.0.0.1:9180")
	password := fs.String("password", "", "`PASSWORD` of its console; the default is that of -c")
	if code, done := s.parse(fs, args, statusHelp); done {
		return code
	}
	network := "tcp"
	if *path != "" {
		cfg, _ := s.load("status", *path)
		if cfg == nil {
			return exitUsage
		}
		if cfg.Admin.Listen.Addr == "" && *addr == "" {
			return s.fail("status", fmt.Errorf("%s has no [admin] table, so its proxy has no console", *path))
		}
		network = cmp.Or(cfg.Admin.Listen.Network, network)
		*addr, *password = cmp.Or(*addr, cfg.Admin.Listen.Addr), cmp.Or(*password, cfg.Admin.Password)
	}
	tables := fs.Args()
	if len(tables) == 0 {
		tables = []string{"pools", "servers"}
	}
	client := redis.NewClient(&redis.Options{
		Network: network, Addr: cmp.Or(*addr, "127.0.0.1:9180"), Password: *password, Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialTimeout: statusTimeout, ReadTimeout: statusTimeout,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
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
	var answer redis.Error
	switch {
	case errors.As(err, &answer):
		return errors.New(strings.TrimPrefix(err.Error(), "ERR "))
	case err != nil:
		return fmt.Errorf("%w; is the proxy running, with this address in [admin]?", err)
	}
	for _, line := range lines {
		fmt.Fprintln(s.out, line)
	}
	return nil
}
