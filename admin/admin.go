// Package admin is the process's side for operators: metrics, health, the console and the page, on
// one address that speaks HTTP and RESP. It reads what the event loops publish (server.Figures); no
// loop waits for it, and a client of this address can't slow the pools' clients down.
//
//	a, err := admin.Listen(cfg, srv, admin.Process{Version: version, Level: level}, log)
//	…
//	go a.Serve()
//	…
//	a.Close()
package admin

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"ringway/conf"
	"ringway/handover"
	"ringway/server"
)

// Admin serves the admin address. Make it with Listen.
type Admin struct {
	// Static after Listen.
	srv     *server.Server
	process Process
	version string
	level   *slog.LevelVar
	log     *slog.Logger
	ln      *door
	http    *http.Server
	web     *sniffed      // the connections that speak HTTP
	seats   chan struct{} // one for each open connection
	stop    chan struct{} // closed by Close

	history  history
	watchers watchers // of the page
	first    struct {
		mu     sync.Mutex
		of     *server.Figures // those of which events were made; guarded by mu
		events []byte          // what new watchers are sent; guarded by mu
	}

	mu     sync.Mutex
	conns  map[net.Conn]struct{} // open ones, guarded by mu
	closed bool                  // guarded by mu
	served sync.WaitGroup        // goroutines of Serve

	upgrading sync.Mutex // held until UPGRADE is answered
}

// Bounds on clients of the admin address, which may be slow, many or hostile.
const (
	maxConns    = 128                    // at once
	idleTimeout = time.Minute            // between two requests of a connection that is kept
	readTimeout = 10 * time.Second       // of one request
	webTimeout  = 30 * time.Second       // of one answer over HTTP, but for /events, which bounds each event
	maxHeader   = 16 << 10               // bytes
	acceptPause = 100 * time.Millisecond // after a failed accept, such as one without a free descriptor
)

// Process is what the process is, besides the proxy that runs in it.
type Process struct {
	Version string         // of Ringway
	Level   *slog.LevelVar // of the log

	// Upgrade has a new process take this one's place, and returns lines that say what came of it; nil
	// if that can't be. Any goroutine may call it.
	Upgrade func() ([]string, error)
	// Inherited is what another process has handed over, whose place this one takes; nil if there is none.
	Inherited *handover.Inherited

	// Reload reads the configuration again, and returns lines that say what has changed; the error has
	// a line for each mistake. Reloaded reports whether the last one has not failed. Both are nil if
	// there is no file. Any goroutine may call them.
	Reload   func(moveKeys bool) ([]string, error)
	Reloaded func() bool

	// Drain makes the process end as SIGTERM does; nil if it can't. Any goroutine may call it.
	Drain func()
}

// ErrListen is in what Listen returns if its address can't be opened.
var ErrListen = errors.New("address for operators")

// Listen opens the address of cfg.Admin, which must be set. It serves nothing until Serve is called.
func Listen(cfg *conf.Config, srv *server.Server, process Process, log *slog.Logger) (*Admin, error) {
	ln, err := listenAs("admin", cfg.Admin.Listen, process.Inherited)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrListen, err)
	}
	a := &Admin{
		srv: srv, process: process, version: process.Version, level: process.Level, log: log,
		ln: ln, web: newSniffed(ln.Addr()), seats: make(chan struct{}, maxConns), stop: make(chan struct{}), conns: map[net.Conn]struct{}{},
	}
	a.http = &http.Server{
		Handler: a.routes(), ReadHeaderTimeout: readTimeout, ReadTimeout: readTimeout, WriteTimeout: webTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return a, nil
}

// Addr returns the address, with the port that the system has chosen if the configured one is 0.
func (a *Admin) Addr() string { return a.ln.Addr().String() }

// Serve serves until Close is called.
func (a *Admin) Serve() {
	a.served.Go(func() { a.http.Serve(a.web) })
	a.served.Go(a.keepHistory)
	for {
		conn, err := a.ln.accept()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil {
			a.log.Warn("admin: accepting failed", "err", err)
			select { // no event says when a descriptor is free
			case <-time.After(acceptPause):
			case <-a.web.closed:
			}
			continue
		}
		select {
		case a.seats <- struct{}{}:
			a.served.Go(func() { a.serveConn(conn) })
		default:
			conn.Close()
		}
	}
	a.served.Wait()
}

// keepHistory takes samples until Close is called, and tells them to those who watch. The first comes
// early, so that a page which is opened at the start shows rates.
func (a *Admin) keepHistory() {
	next := time.NewTimer(firstSample)
	defer next.Stop()
	for {
		a.history.add(a.srv.Figures())
		if a.watchers.any() {
			a.watchers.tell(event("now", a.snapshot(a.history.figures())))
		}
		select {
		case <-next.C:
			next.Reset(sampleEvery)
		case <-a.stop:
			return
		}
	}
}

// serveConn finds out what a client speaks, and serves it.
func (a *Admin) serveConn(raw net.Conn) {
	conn := &countedConn{Conn: raw, release: sync.OnceFunc(func() { <-a.seats })}
	if !a.register(conn) {
		conn.Close()
		return
	}
	conn.onClose = func() { a.unregister(conn) }
	conn.SetReadDeadline(time.Now().Add(idleTimeout))
	peeked, isHTTP, err := sniff(conn)
	switch {
	case err != nil:
		conn.Close()
	case isHTTP:
		a.web.give(peeked)
	default:
		defer conn.Close()
		a.serveConsole(peeked)
	}
}

// Close stops serving at once, and returns when no goroutine is left.
func (a *Admin) Close() {
	a.upgrading.Lock() // which may be why the process ends
	defer a.upgrading.Unlock()
	a.mu.Lock()
	if !a.closed {
		close(a.stop)
	}
	a.closed = true
	open := a.conns
	a.conns = map[net.Conn]struct{}{}
	a.mu.Unlock()
	a.ln.Close()
	a.web.Close()
	a.http.Close()
	for c := range open {
		c.Close()
	}
	a.served.Wait()
}

// register notes an open connection. It reports false if Close was called.
func (a *Admin) register(c net.Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.closed {
		a.conns[c] = struct{}{}
	}
	return !a.closed
}

func (a *Admin) unregister(c net.Conn) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.conns, c)
}
