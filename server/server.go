// Package server is the side that clients see: listeners, sessions, and a
// request's way from the first byte to the last byte of its reply.
//
// A session reads requests, finds out what each needs (package command), sends
// them to the servers that own their keys (package pool) or answers by itself,
// and puts the replies back into the order of the requests. All of that happens
// on the event loop that the session belongs to, without a lock and without a
// word to another goroutine.
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
)

// Server is a running proxy: its pools, their listeners and the event loops.
type Server struct {
	// Static after New.
	conf      *conf.Config
	log       *slog.Logger
	pools     []*pool.Pool
	workers   []*worker
	listeners []*listener
	policies  []*policy // of the pools
	most      int       // clients at once: max_clients, if that many files may be open
	started   time.Time

	processors processors
	panics     panics
	memory     *memory
	seating    sync.Mutex   // held while a client is counted in, by goroutines that accept
	clients    atomic.Int64 // over all pools
	seatless   atomic.Int64 // clients at their end that clients does not count
	nextID     atomic.Uint64

	hinted         sync.Map // pools and errors of which it was logged what to set
	refusedMerging sync.Map // pools and servers of which it was logged that SETs are not merged

	idleWorkers chan struct{} // draining: one from each worker when it has no session left; never closed
	accepting   sync.WaitGroup
	loops       sync.WaitGroup
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
		srv.policies = append(srv.policies, newPolicy(&cfg.Pools[i]))
	}
	for i, p := range srv.pools {
		ln, err := listen(srv, i)
		if err != nil {
			srv.closeListeners()
			return nil, fmt.Errorf("pool %q: %w", p.Conf().Name, err)
		}
		srv.listeners = append(srv.listeners, ln)
	}
	for range threads {
		loop, err := eventloop.New()
		if err != nil {
			srv.closeListeners()
			srv.closeLoops()
			return nil, fmt.Errorf("event loop: %w", err)
		}
		loop.OnPanic(srv.panicked)
		srv.workers = append(srv.workers, newWorker(srv, loop))
	}
	introduce(srv.workers)
	if cfg.Proxy.IOUring {
		srv.useIOUring()
	}
	srv.idleWorkers = make(chan struct{}, threads)
	return srv, nil
}

// useIOUring has the loops use it, where it can be had.
func (srv *Server) useIOUring() {
	for _, w := range srv.workers {
		err := w.loop.UseIOURing()
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
	if n := len(srv.workers) + processorsGiven; n > runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(n)
	}
	for _, w := range srv.workers {
		srv.loops.Go(w.loop.Run)
	}
	for _, ln := range srv.listeners {
		srv.accepting.Go(ln.acceptAll)
		srv.log.Info("listening", "pool", ln.pool.Conf().Name, "addr", ln.Addr().String(), "servers", len(ln.pool.Conf().Servers))
	}
	stopTidying := make(chan struct{})
	srv.loops.Go(func() { tidyMemory(srv.memory, stopTidying) })
	srv.loops.Go(func() { srv.processors.watch(stopTidying) })

	<-ctx.Done()
	close(stopTidying)
	srv.log.Info("draining", "clients", srv.clients.Load(), "timeout", srv.conf.Proxy.DrainTimeout)
	srv.closeListeners()
	srv.accepting.Wait()
	err := srv.drain()
	for _, w := range srv.workers {
		w.loop.Stop()
	}
	srv.loops.Wait()
	srv.log.Info("stopped")
	return err
}

func (srv *Server) closeListeners() {
	for _, ln := range srv.listeners {
		ln.Close()
	}
}

// closeLoops ends loops that have not run.
func (srv *Server) closeLoops() {
	for _, w := range srv.workers {
		w.loop.Stop()
		w.loop.Run()
	}
}

// drain waits until no worker has a session left.
func (srv *Server) drain() error {
	for _, w := range srv.workers {
		w.loop.Post(w.drain)
	}
	timeout := time.NewTimer(srv.conf.Proxy.DrainTimeout)
	defer timeout.Stop()
	for range srv.workers {
		select {
		case <-srv.idleWorkers:
		case <-timeout.C:
			return fmt.Errorf("drain: %d clients still had requests under way after %s", srv.clients.Load(), srv.conf.Proxy.DrainTimeout)
		}
	}
	return nil
}
