package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"

	"ringway/admin"
	"ringway/conf"
	"ringway/internal/demo"
)

const demoHelp = `ringway demo starts embedded Redis nodes (miniredis) and the proxy in front of
them, prints what it started, how the ring divides the keys and what to try with
redis-cli, and serves until interrupted. Everything is in memory and ends with
it.

usage:
  ringway demo [--listen ADDR] [--admin ADDR] [--nodes N] [--traffic]
`

// runDemo starts servers and a proxy to try, and serves until interrupted.
func runDemo(s streams, args []string) int {
	fs := newFlags("demo")
	listen := fs.String("listen", "127.0.0.1:22121", "`ADDR` that clients connect to: host:port, or the path of a unix socket")
	operators := fs.String("admin", "127.0.0.1:9180", "`ADDR` for operators: page, metrics, health, console; \"\" for none")
	number := fs.Int("nodes", 4, fmt.Sprintf("how many nodes to start, `N` from 1 to %d", demo.MaxNodes))
	busy := fs.Bool("traffic", false, "make a few hundred requests a second, so that there is something to see")
	if code, done := s.parse(fs, args, demoHelp); done {
		return code
	}
	if err := noArguments(fs); err != nil {
		return s.usage("demo", err)
	}
	if *number < 1 || *number > demo.MaxNodes {
		return s.usage("demo", fmt.Errorf("--nodes %d: want 1 to %d", *number, demo.MaxNodes))
	}
	end := interruptible(syscall.SIGHUP) // sent when its terminal is closed
	defer end.cancel()
	nodes, err := demo.Start(*number)
	if err != nil {
		return s.fail("demo", err)
	}
	defer nodes.Close()
	cfg, err := nodes.Config(*listen)
	if err != nil {
		return s.usage("demo", listenMistake(err))
	}
	// The printed page says that it is listening; the log is for problems.
	cfg.Proxy.LogLevel = slog.LevelWarn
	cfg.Admin.Listen = conf.Listen{Network: "tcp", Addr: *operators}
	log := newProcessLog(s.err, &cfg.Proxy)
	defer log.close()
	s.err = log.lines
	var errPrint error
	var traffic sync.WaitGroup
	err = serve(end, cfg, log, func(addrs map[string]string, operators string) {
		errPrint = nodes.Describe(s.out, cfg, addrs[demo.PoolName])
		if *busy {
			traffic.Go(func() { demo.MakeTraffic(end.ctx, addrs[demo.PoolName]) })
		}
		if operators != "" {
			fmt.Fprintf(s.out, "\nLook inside: http://%s/ in a browser, redis-cli -p %s show pools, http://%[1]s/metrics for Prometheus\n", operators, operators[strings.LastIndexByte(operators, ':')+1:])
		}
	})
	end.cancel() // the traffic too, if the proxy could not go on
	traffic.Wait()
	flag := "--listen"
	if errors.Is(err, admin.ErrListen) {
		flag = "--admin"
	}
	if err = errors.Join(errPrint, err); err != nil {
		return s.fail("demo", explainListenError(err, flag))
	}
	return exitOK
}

// listenMistake reduces the mistakes of the demo's generated configuration, which users do not
// see, to what is wrong with --listen.
func listenMistake(err error) error {
	var mistakes conf.Mistakes
	if errors.As(err, &mistakes) {
		return errors.New("--" + mistakes[0].Message)
	}
	return err
}
