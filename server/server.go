// Package server is the process's front door: it listens for clients, runs the event
// loops and places clients on them, bounds how many there are and what memory they take,
// and drains. What is said over a client's connection is package session's.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/pool"
	"ringway/session"
)

// Server is a running proxy: its pools, their listeners and the event loops.
type Server struct {
	// Static after New.
	conf      *conf.Config
	log       *slog.Logger
	pools     []*pool.Pool
	loops     []*loop
	listeners []*listener
	most      int // clients at once: max_clients, if that many files may be open
	started   time.Time

	processors processors
	panics     panics
	memory     *memory
	seating    sync.Mutex   // held while a client is counted in, by goroutines that accept
	clients    atomic.Int64 // over all pools
	seatless   atomic.Int64 // clients at their end that clients does not count
	nextID     atomic.Uint64

	drained   chan struct{} // draining: one from each loop when it has no session left; never closed
	accepting sync.WaitGroup
	running   sync.WaitGroup
}

// New opens the listeners of all pools and makes everything ready to Run; it
// serves nothing yet. It fails if an address can't be listened on, and then
// leaves nothing open. cfg must come from conf.Load and not be changed; w is
// told of servers that fail, and may be nil.
func New(cfg *conf.Config, w pool.Watcher, log *slog.Logger) (*Server, error) {
	srv := &Server{conf: cfg, log: log, started: time.Now(), memory: newMemory(&cfg.Proxy, log)}
	threads, limit := threads(&cfg.Proxy), openFiles()
	var err error
	if srv.most, err = fitClients(cfg, threads, limit); err != nil {
		return nil, err
	}
	if srv.most < cfg.Proxy.MaxClients {
		log.Warn("max_clients lowered to what the limit of open files allows (ulimit -n)",
			"max_clients", srv.most, "configured", cfg.Proxy.MaxClients, "open_files", limit)
	}
	for i := range cfg.Pools {
		p, err := pool.New(&cfg.Pools[i], &cfg.Proxy, w, log)
		if err != nil {
			return nil, fmt.Errorf("pool %q: %w", cfg.Pools[i].Name, err)
		}
		srv.pools = append(srv.pools, p)
	}
	for i, p := range srv.pools {
		ln, err := listen(srv, i)
		if err != nil {
			srv.closeListeners()
			return nil, fmt.Errorf("pool %q: %w", p.Conf().Name, err)
		}
		srv.listeners = append(srv.listeners, ln)
	}
	if err := srv.makeLoops(threads); err != nil {
		srv.closeListeners()
		return nil, err
	}
	if cfg.Proxy.IOUring {
		srv.useIOUring()
	}
	srv.drained = make(chan struct{}, threads)
	return srv, nil
}

// makeLoops makes n event loops, or none and an error.
func (srv *Server) makeLoops(n int) error {
	var loops []*eventloop.Loop
	for range n {
		l, err := eventloop.New()
		if err != nil {
			closeLoops(loops)
			return fmt.Errorf("event loop: %w", err)
		}
		loops = append(loops, l)
	}
	for i, w := range session.NewWorkers(loops, srv.pools, &srv.conf.Proxy, srv, srv.log) {
		srv.loops = append(srv.loops, newLoop(srv, loops[i], w))
	}
	return nil
}

// closeLoops ends loops that have not run.
func closeLoops(loops []*eventloop.Loop) {
	for _, l := range loops {
		l.Stop()
		l.Run()
	}
}

// useIOUring has the loops use it, where it can be had.
func (srv *Server) useIOUring() {
	for _, l := range srv.loops {
		err := l.UseIOURing()
		if errors.Is(err, errors.ErrUnsupported) {
			return
		}
		if err != nil {
			srv.log.Info("io_uring can't be had: each read and write is a system call of its own; allow it to this process, or set io_uring = false", "err", err)
			return
		}
	}
}

// Pools returns the pools, in the order of the configuration.
func (srv *Server) Pools() []*pool.Pool { return srv.pools }

// Clients is how many clients there are, over all pools. Any goroutine may call it.
func (srv *Server) Clients() int { return int(srv.clients.Load()) }

// Workers returns the sessions of each event loop.
func (srv *Server) Workers() (workers []*session.Worker) {
	for _, l := range srv.loops {
		workers = append(workers, l.sessions)
	}
	return workers
}

// Addrs returns the address that each pool listens on, by the pool's name; a
// port that was 0 in the configuration is the real one.
func (srv *Server) Addrs() map[string]string {
	addrs := map[string]string{}
	for _, ln := range srv.listeners {
		addrs[ln.pool.Conf().Name] = ln.Addr().String()
	}
	return addrs
}

// Run serves until ctx is done. Then it accepts no more clients, answers the
// requests under way, for the drain timeout at most, and closes everything.
// It returns an error if the timeout cut requests off.
func (srv *Server) Run(ctx context.Context) error {
	// A loop does not tell the scheduler of its short waits. What else there is
	// to run, such as accepting and TLS, must not wait for them.
	if n := len(srv.loops) + processorsGiven; n > runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(n)
	}
	for _, l := range srv.loops {
		srv.running.Go(l.Run)
	}
	for _, ln := range srv.listeners {
		srv.accepting.Go(ln.acceptAll)
		srv.log.Info("listening", "pool", ln.pool.Conf().Name, "addr", ln.Addr().String(), "servers", len(ln.pool.Conf().Servers))
	}
	stopTidying := make(chan struct{})
	srv.running.Go(func() { tidyMemory(srv.memory, stopTidying) })
	srv.running.Go(func() { srv.processors.watch(stopTidying) })

	<-ctx.Done()
	close(stopTidying)
	srv.log.Info("draining", "clients", srv.clients.Load(), "timeout", srv.conf.Proxy.DrainTimeout)
	srv.closeListeners()
	srv.accepting.Wait()
	err := srv.drain()
	for _, l := range srv.loops {
		l.Stop()
	}
	srv.running.Wait()
	srv.log.Info("stopped")
	return err
}

func (srv *Server) closeListeners() {
	for _, ln := range srv.listeners {
		ln.Close()
	}
}

// drain waits until no loop has a session left.
func (srv *Server) drain() error {
	for _, l := range srv.loops {
		l.Post(l.sessions.Drain)
	}
	timeout := time.NewTimer(srv.conf.Proxy.DrainTimeout)
	defer timeout.Stop()
	for range srv.loops {
		select {
		case <-srv.drained:
		case <-timeout.C:
			return fmt.Errorf("drain: %d clients still had requests under way after %s", srv.clients.Load(), srv.conf.Proxy.DrainTimeout)
		}
	}
	return nil
}

// Drained is session.Host's.
func (srv *Server) Drained() { srv.drained <- struct{}{} }

// Freed is session.Host's.
func (srv *Server) Freed() { srv.memory.dropped.Store(true) }

// State is session.Host's.
func (srv *Server) State() session.State {
	m := srv.memory
	return session.State{
		Started: srv.started, Clients: srv.clients.Load(), MaxClients: srv.most, Panics: srv.panics.count(),
		MaxMemory: m.limit, MemoryUsed: m.held.Load(), ClosedForMemory: m.closed.Load(),
	}
}
