// Package server is the process's front door. It listens for clients, runs the event loops
// and places clients on them, bounds the number of clients and their memory, and drains.
// Package session handles what a client sends.
//
// A proxy that runs until it is interrupted:
//
//	cfg, _, err := conf.Load("ringway.toml")
//	…
//	srv, err := server.New(cfg, nil, slog.Default())
//	…
//	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
//	defer stop()
//	err = srv.Run(ctx)
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"ringway/audit"
	"ringway/conf"
	"ringway/eventloop"
	"ringway/handover"
	"ringway/pool"
	"ringway/session"
	"ringway/tlsconn"
)

// Server is a running proxy: its pools, their listeners and the event loops.
type Server struct {
	// Static after New.
	log     *slog.Logger
	audit   audit.Log
	watcher pool.Watcher
	loops   []*loop
	started time.Time

	// Used by several goroutines; each synchronizes itself.
	running    atomic.Pointer[running]
	maxClients atomic.Int64    // at once: max_clients, or fewer if the limit of open files is too low
	reloading  sync.Mutex      // held by Reload
	ctx        context.Context // of what Reload has left to be done: it ends before the loops do
	cancel     context.CancelFunc
	processors processors
	panics     panics
	memory     *memory
	admission  sync.Mutex    // held while a client is counted (tryAdmit)
	clients    atomic.Int64  // over all pools, as max_clients counts them
	uncounted  atomic.Int64  // clients at their end, which clients does not count any more
	nextID     atomic.Uint64 // of clients: the last one that was given
	figures    figures
	upgrades   upgradeCounts
	handshakes *tlsconn.Handshakes
	headers    headers
	delayed    delayedClients

	// The end.
	predecessor *Predecessor  // the process whose place this one takes; nil if there is none
	handedOver  chan struct{} // closed when another process has taken this one's place
	stopping    chan struct{} // closed when Run's context is done

	draining  atomic.Bool    // the process is about to end
	skip      chan struct{}  // has room for one value: SkipDelay was called
	hurries   bool           // it was: leave has set it, before drain
	delaying  atomic.Bool    // drain_delay is running
	drained   chan struct{}  // one value from each loop that has drained; buffered, never closed
	accepting sync.WaitGroup // goroutines that accept
	serving   sync.WaitGroup // loops, and goroutines that end with them
}

// New opens the listeners of all pools and makes everything ready to Run; it serves
// nothing yet. It returns an error, and leaves nothing open, if it can't listen on an
// address or the limit of open files leaves no room for clients. cfg must come from
// package conf and not be changed afterwards. w is called when servers fail, and may be
// nil; if it is a ControlPlane, Reload tells it of pools that come and go. log gets changes of state.
func New(cfg *conf.Config, w pool.Watcher, log *slog.Logger) (*Server, error) {
	return newServer(cfg, w, log, nil, nil)
}

// NewSuccessor is New for a process that takes another one's place, with its listening sockets. from may
// be nil.
func NewSuccessor(cfg *conf.Config, w pool.Watcher, log *slog.Logger, from *Predecessor) (*Server, error) {
	return newServer(cfg, w, log, from, nil)
}

// NewActivated is New for a process for which a service manager has opened listening sockets. A socket
// belongs to the pool that listens at its address, or else to the one whose name its file has.
// NewActivated owns the files.
func NewActivated(cfg *conf.Config, w pool.Watcher, log *slog.Logger, files []*os.File) (*Server, error) {
	opened, err := activate(cfg, files)
	if err != nil {
		return nil, err
	}
	defer opened.close()
	return newServer(cfg, w, log, nil, opened)
}

// newServer is New, with sockets that others have opened.
func newServer(cfg *conf.Config, w pool.Watcher, log *slog.Logger, from *Predecessor, opened activated) (*Server, error) {
	srv := &Server{
		log: log, watcher: w, started: time.Now(), memory: newMemory(&cfg.Proxy, log),
		predecessor: from, handedOver: make(chan struct{}), skip: make(chan struct{}, 1), stopping: make(chan struct{}), handshakes: tlsconn.NewHandshakes(),
	}
	var inherited *handover.Inherited
	if from != nil {
		inherited = from.Inherited
	}
	srv.ctx, srv.cancel = context.WithCancel(context.Background())
	threads := threads(&cfg.Proxy)
	most, err := srv.fitClients(cfg, threads)
	if err != nil {
		return nil, err
	}
	srv.maxClients.Store(int64(most))
	now := &running{conf: cfg, loaded: time.Now()}
	for i := range cfg.Pools {
		s, err := listen(&cfg.Pools[i], &cfg.Proxy, cmp.Or(opened.take(cfg.Pools[i].Name), takeInherited(inherited, &cfg.Pools[i])))
		if err != nil {
			now.close()
			return nil, err
		}
		ln, err := srv.newListener(&cfg.Pools[i], &cfg.Proxy, s, i)
		if err != nil {
			s.Close()
			now.close()
			return nil, err
		}
		now.listeners = append(now.listeners, ln)
	}
	srv.running.Store(now)
	if err := srv.makeLoops(threads); err != nil {
		now.close()
		return nil, err
	}
	if cfg.Proxy.IOUring {
		srv.useIOUring()
	}
	srv.drained = make(chan struct{}, threads)
	return srv, nil
}

// makeLoops makes n event loops with their sessions. If it returns an error it has made
// none.
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
	for i, w := range session.NewWorkers(loops, srv.Pools(), &srv.Conf().Proxy, srv, srv.log) {
		srv.loops = append(srv.loops, newLoop(srv, loops[i], w))
	}
	return nil
}

// closeLoops frees loops that have never run.
func closeLoops(loops []*eventloop.Loop) {
	for _, l := range loops {
		l.Stop()
		l.Run()
	}
}

// useIOUring switches the loops to io_uring. Without it they work as well, with one system
// call for each read and write.
func (srv *Server) useIOUring() {
	for _, l := range srv.loops {
		err := l.UseIOURing()
		if errors.Is(err, errors.ErrUnsupported) {
			return
		}
		if err != nil {
			srv.log.Info("io_uring unavailable: using one system call per read and write; allow io_uring to this process, or set io_uring = false", "err", err)
			return
		}
	}
}

// Clients returns how many clients there are, over all pools. Any goroutine may call it.
func (srv *Server) Clients() int { return int(srv.clients.Load()) }

// Workers returns the session.Worker of each event loop. Its methods must be called on
// that loop.
func (srv *Server) Workers() (workers []*session.Worker) {
	for _, l := range srv.loops {
		workers = append(workers, l.sessions)
	}
	return workers
}

// Addrs returns the address that each pool listens on, by the pool's name. A port that is
// 0 in the configuration is the one that the system has chosen.
func (srv *Server) Addrs() map[string]string {
	addrs := map[string]string{}
	for _, ln := range srv.now().served() {
		addrs[ln.pool.Conf().Name] = ln.Addr().String()
	}
	return addrs
}

// Run serves until ctx is done, and for drain_delay more, or until a HandOver has given the clients to another
// process. Then it accepts no more clients, answers the requests under
// way, for drain_timeout at most, and closes everything. It returns an error if clients
// still had requests under way after that time. It must be called once.
func (srv *Server) Run(ctx context.Context) error {
	// Go's scheduler does not see the loops' short waits in the kernel (docs/adr/0002-waiting.md)
	// and gives the processor to nothing else meanwhile. Other goroutines, such as those that
	// accept and encrypt, need processors of the scheduler besides the loops'.
	if n := len(srv.loops) + usableProcessors; n > runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(n)
	}
	for _, l := range srv.loops {
		srv.serving.Go(l.Run)
	}
	if srv.predecessor != nil {
		if err := srv.takeOver(ctx); err != nil {
			srv.now().close()
			srv.end()
			return err
		}
	}
	for _, ln := range srv.now().served() {
		ln.start()
	}
	if srv.predecessor != nil {
		srv.tookOver(ctx)
	}
	stopWatching := make(chan struct{})
	srv.serving.Go(func() { scavengeMemory(srv.memory, stopWatching) })
	srv.serving.Go(func() { srv.processors.watch(stopWatching) })
	srv.serving.Go(func() { srv.watchCertificates(stopWatching) })

	select {
	case <-ctx.Done():
	case <-srv.handedOver:
	}
	close(srv.stopping)
	srv.leave()
	close(stopWatching)
	srv.now().close()
	srv.headers.stop()
	srv.delayed.stop()
	srv.accepting.Wait()
	srv.handshakes.Close()
	err := srv.drain()
	srv.end()
	srv.log.Info("stopped")
	return err
}

// end ends the loops, and what a Reload has left to be done.
func (srv *Server) end() {
	srv.cancel()
	for _, l := range srv.loops {
		l.Stop()
	}
	srv.serving.Wait()
}

// Drained is session.Host's: a loop has no session left.
func (srv *Server) Drained() { srv.drained <- struct{}{} }

// Freed is session.Host's: the next collection may find garbage (scavenge.go).
func (srv *Server) Freed() { srv.memory.freed.Store(true) }

// State is session.Host's: the process's part of INFO.
func (srv *Server) State() session.State {
	m := srv.memory
	return session.State{
		Started: srv.started, Clients: srv.clients.Load(), MaxClients: int(srv.maxClients.Load()), Panics: srv.panics.count(),
		ConfigHash: srv.Conf().Hash, Loaded: srv.now().loaded, MaxMemory: m.limit.Load(), MemoryUsed: m.held.Load(), ClosedForMemory: m.closed.Load(),
	}
}
