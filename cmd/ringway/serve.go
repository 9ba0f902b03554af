package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"syscall"

	"ringway/admin"
	"ringway/conf"
	"ringway/server"
	"ringway/topology"
)

// runServe serves a configuration: it is what ringway does without a subcommand.
func runServe(s streams, args []string) int {
	fs := newFlags("")
	path := fs.String("c", "", "configuration `FILE`")
	noMemcached := registerNoMemcached(fs)
	printsVersion := fs.Bool("version", false, "print the version")
	var legacy twemproxyFlags
	legacy.register(fs, "c", "version")
	if code, done := s.parse(fs, args, helpText()); done {
		return code
	}
	if slices.Contains(commandNames(), fs.Arg(0)) {
		return s.usage("", fmt.Errorf("argument %q: want the command first: ringway %s and its flags", fs.Arg(0), fs.Arg(0)))
	}
	if err := errors.Join(append(legacy.unsupported, noArguments(fs))...); err != nil {
		return s.usage("", err)
	}
	switch {
	case *printsVersion:
		printVersion(s)
		return exitOK
	case legacy.describe:
		admin.DescribeStats(s.out)
		return exitOK
	case legacy.test:
		return runCheck(s, []string{"-c", *path})
	}
	signals := catchOperatorSignals() // first, so that a signal during the start does not end the process
	defer signals.stop()
	stderr := s.err
	from, err := s.inherit()
	if err != nil {
		return s.fail("", err)
	}
	defer from.failed()
	again := &reloader{path: *path}
	cfg, warnings := s.loadBy(again.load, "", *path)
	if cfg == nil {
		return exitUsage
	}
	again.flags = func(cfg *conf.Config) error {
		return errors.Join(legacy.apply(cfg), refuseMemcached(cfg, *noMemcached))
	}
	if err := again.flags(cfg); err != nil {
		return s.usage("", err)
	}
	log := newProcessLog(stderr, &cfg.Proxy)
	defer log.close()
	s.err = from.hears(log.lines) // messages at the end must not wait for a reader either
	audited, err := openAuditLog(cfg.Proxy.AuditLog, log)
	if err != nil {
		return s.fail("", err)
	}
	defer audited.close()
	again.log, again.audit = log, audited
	next := &upgrader{log: log}
	go signals.answer(log, again, next)
	for _, w := range warnings {
		log.Warn("configuration", "warning", w.String())
	}
	if legacy.interval {
		log.Info("-i has no effect: statistics are of the moment in which they are read")
	}
	end := interruptible()
	defer end.cancel()
	log.Info("starting", "version", version(), "config", cfg.Path)
	if err := serveAs(end, cfg, log, roles{again: again, next: next, from: from, audit: audited}, nil); err != nil {
		return s.fail("", explainListenError(err, "the setting listen"))
	}
	return exitOK
}

// serve runs a proxy until end.ctx is done and the clients' requests under way have been answered.
// When all addresses are open it calls ready, which may be nil, with the address of each pool
// by name, and that for operators ("" for none). The error says what kept it from starting, or what was cut off at the end.
func serve(end *ending, cfg *conf.Config, process *processLog, ready func(addrs map[string]string, admin string)) error {
	return serveAs(end, cfg, process, roles{}, ready)
}

// roles are what a process can do besides serving; each may be nil.
type roles struct {
	again *reloader  // its configuration can be read again
	next  *upgrader  // another process can take its place
	from  *successor // it takes another one's place
	audit *auditLog  // it tells of refusals and administrative commands
}

// serveAs is serve for a process with roles. One that takes another's place calls ready when it has.
func serveAs(end *ending, cfg *conf.Config, process *processLog, r roles, ready func(addrs map[string]string, admin string)) error {
	log, again := process.Logger, r.again
	operator := admin.Process{Version: version(), Level: &process.level, Drain: end.cancel, Inherited: r.from.inherited()}
	if r.next != nil {
		operator.Upgrade = func() ([]string, error) { return r.next.upgrade("console") }
	}
	if again != nil {
		operator.Reload = func(moveKeys bool) ([]string, error) { return again.reload("console", moveKeys) }
		operator.Reloaded = again.succeeded
	}
	watcher := topology.New(log)
	defer watcher.Stop()
	manager := supervised{process}
	var srv *server.Server
	operators := ""
	var doors []server.Door
	serving := func() {
		for _, d := range doors {
			d.ResumeAccepting()
		}
		manager.ready(srv.Addrs())
		if ready != nil {
			ready(srv.Addrs(), operators)
		}
	}
	srv, err := newServer(cfg, watcher, log, r.from, serving)
	if err != nil {
		return err
	}
	r.audit.serves(srv.Audit())
	srv.LimitHeap()
	for _, p := range srv.Pools() {
		watcher.Watch(p)
	}
	if cfg.Admin.Listen.Addr != "" {
		a, err := admin.Listen(cfg, srv, operator, log)
		if err != nil {
			return err
		}
		defer a.Close()
		if r.from != nil {
			a.PauseAccepting()
		}
		go a.Serve()
		doors = append(doors, a)
		operators = a.Addr()
		log.Info("listening for operators", "addr", operators)
	}
	if cfg.Proxy.StatsListen.Addr != "" {
		p, err := admin.ListenStats(cfg, srv, operator, log)
		if err != nil {
			return err
		}
		defer p.Close()
		if r.from != nil {
			p.PauseAccepting()
		}
		go p.Serve()
		doors = append(doors, p)
		log.Info("listening for statistics", "addr", p.Addr())
	}
	if again != nil {
		again.serves(srv)
		var watching sync.WaitGroup
		defer watching.Wait()
		watched, stop := context.WithCancel(end.ctx)
		defer stop()
		watching.Go(func() { again.watch(watched) })
	}
	if r.next != nil {
		r.next.serves(srv, doors)
	}
	if r.from == nil {
		serving()
	}
	end.srv.Store(srv)
	defer manager.accompany(end.ctx, srv, r.from != nil)()
	return srv.Run(end.ctx)
}

// newServer makes the server of a process that takes another one's place, or that begins by itself, perhaps with
// sockets of the service manager. tookOver is called when it has taken that place.
func newServer(cfg *conf.Config, w *topology.Watcher, log *slog.Logger, from *successor, tookOver func()) (*server.Server, error) {
	if from != nil {
		return server.NewSuccessor(cfg, w, log, from.predecessor(tookOver))
	}
	return server.NewActivated(cfg, w, log, activated())
}

// explainListenError adds to an error of listening what to do about it. Setting is the setting
// or flag that chooses the address.
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
