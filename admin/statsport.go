package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"ringway/conf"
	"ringway/server"
)

// StatsPort serves statistics as twemproxy's nutcracker does: whoever connects gets one line of JSON,
// and the connection is closed. Make it with ListenStats.
type StatsPort struct {
	// Static after ListenStats.
	srv     *server.Server
	version string
	host    string // name of this machine
	log     *slog.Logger
	ln      *door
	seats   chan struct{}   // one for each open connection
	closing context.Context // done when Close is called
	cancel  func()          // ends closing
	done    chan struct{}   // closed when Serve returns
}

// Bounds on clients of the statistics port.
const (
	maxStatsConns    = 16              // at once
	statsTimeout     = 5 * time.Second // to take the statistics
	statsGoodbye     = time.Second     // to close the connection afterwards
	maxStatsRequests = 64 << 10        // bytes that a client may send, all of them ignored
)

// ListenStats opens the address for statistics of cfg.Proxy, which must be set. It serves nothing
// until Serve is called.
func ListenStats(cfg *conf.Config, srv *server.Server, process Process, log *slog.Logger) (*StatsPort, error) {
	ln, err := listenAs("statistics", cfg.Proxy.StatsListen, process.Inherited)
	if err != nil {
		return nil, fmt.Errorf("address for statistics: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // as nutcracker has it
	}
	closing, cancel := context.WithCancel(context.Background())
	return &StatsPort{
		srv: srv, version: process.Version, host: host, log: log, ln: ln,
		seats: make(chan struct{}, maxStatsConns), closing: closing, cancel: cancel, done: make(chan struct{}),
	}, nil
}

// Addr returns the address, with the port that the system has chosen if the configured one is 0.
func (p *StatsPort) Addr() string { return p.ln.Addr().String() }

// Serve serves until Close is called.
func (p *StatsPort) Serve() {
	defer close(p.done)
	var served sync.WaitGroup
	defer served.Wait()
	for {
		conn, err := p.ln.accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			p.log.Warn("statistics: accepting failed", "err", err)
			select { // no event says when a descriptor is free
			case <-time.After(acceptPause):
			case <-p.closing.Done():
			}
			continue
		}
		select {
		case p.seats <- struct{}{}:
			served.Go(func() { p.serveConn(conn) })
		default:
			conn.Close()
		}
	}
}

// serveConn writes the statistics and closes the connection. It takes what the client has sent, such
// as an HTTP request: closing a socket with unread input would reset the connection, and the client
// might lose the statistics.
func (p *StatsPort) serveConn(conn net.Conn) {
	defer func() { <-p.seats }()
	defer conn.Close()
	defer context.AfterFunc(p.closing, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(statsTimeout))
	if _, err := conn.Write(p.statistics()); err != nil {
		return
	}
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		conn.SetReadDeadline(time.Now().Add(statsGoodbye))
		io.CopyN(io.Discard, conn, maxStatsRequests)
	}
}

// Close stops serving at once, and returns when no connection is left. Serve must have been called.
func (p *StatsPort) Close() {
	p.cancel()
	p.ln.Close()
	<-p.done
}
