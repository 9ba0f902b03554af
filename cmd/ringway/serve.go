package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"syscall"

	"ringway/conf"
	"ringway/server"
	"ringway/topology"
)

// runServe is what ringway does without a subcommand: serve a configuration.
func runServe(s streams, args []string) int {
	fs := newFlags("")
	path := fs.String("c", "", "configuration `FILE`")
	printIt := fs.Bool("version", false, "print the version")
	var old twemproxyFlags
	old.register(fs, "c", "version")
	if code, done := s.parse(fs, args, helpText()); done {
		return code
	}
	if slices.Contains(commandNames(), fs.Arg(0)) {
		return s.usage("", fmt.Errorf("argument %q: want the command first: ringway %s and its flags", fs.Arg(0), fs.Arg(0)))
	}
	if err := errors.Join(append(old.unsupported, noArguments(fs))...); err != nil {
		return s.usage("", err)
	}
	switch {
	case *printIt:
		printVersion(s)
		return exitOK
	case old.test:
		return runCheck(s, []string{"-c", *path})
	}
	asked := catchOperatorSignals() // whoever sends a signal at once has a proxy that goes on, too
	defer asked.stop()
	cfg, warnings := s.load("", *path)
	if cfg == nil {
		return exitUsage
	}
	if old.level != nil {
		cfg.Proxy.LogLevel = *old.level
	}
	log := newProcessLog(s.err, &cfg.Proxy)
	defer log.close()
	s.err = log.lines // what is said at the end waits for no reader either
	go asked.answer(log)
	for _, w := range warnings {
		log.Warn("configuration", "warning", w.String())
	}
	ctx, stop := interruptible()
	defer stop()
	log.Info("starting", "version", version(), "config", cfg.Path)
	if err := serve(ctx, cfg, log.Logger, nil); err != nil {
		return s.fail("", explainListenError(err, "the setting listen"))
	}
	return exitOK
}

// serve runs a proxy until ctx is done and its clients have been answered. When
// all its addresses are open it calls ready, which may be nil, with the address
// of each pool by name. The error says what kept it from starting, or what was
// cut off at the end.
func serve(ctx context.Context, cfg *conf.Config, log *slog.Logger, ready func(addrs map[string]string)) error {
	watcher := topology.New(log)
	defer watcher.Stop()
	srv, err := server.New(cfg, watcher, log)
	if err != nil {
		return err
	}
	srv.LimitHeap()
	for _, p := range srv.Pools() {
		watcher.Watch(p)
	}
	if ready != nil {
		ready(srv.Addrs())
	}
	return srv.Run(ctx)
}

// explain adds what to do about an address that can't be listened on, which is
// chosen by the named setting or flag.
func explainListenError(err error, setting string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; stop the process that listens there, or choose another address with %s", err, setting)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w; this machine has no such address, choose another with %s", err, setting)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w; a port below 1024 wants CAP_NET_BIND_SERVICE (AmbientCapabilities of systemd, or setcap), and a unix socket a directory that may be written to; or choose another address with %s", err, setting)
	}
	return err
}
