package session_test

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/server"
)

// lockedBuffer is a log that a test can read while the proxy writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// A PROXY header that a balancer puts in front of a client's bytes is not answered: the client
// would take the answer for the reply to its first request. The log says what to configure.
func TestOtherProtocolsAreClosedAndLoggedOnce(t *testing.T) {
	inClear(t)
	t.Parallel()
	var log lockedBuffer
	srv, err := server.New(config(t, fakeredis.Start(t).Addr()), nil, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { srv.Run(ctx) })
	defer running.Wait()
	defer cancel()
	for range 2 {
		for _, test := range []struct{ sent, reply, hint string }{
			{"PROXY TCP4 10.0.0.1 10.0.0.2 4711 6379\r\n" + encode("PING"), "", "send-proxy"},
			{"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x7f\x00\x00\x01\x7f\x00\x00\x01\x12\x34\x56\x78" + encode("PING"), "", "send-proxy"},
			{"\x16\x03\x01\x02\x00\x01\x00", "-ERR Protocol error: TLS handshake on a plain-text port\r\n", "TLS"},
		} {
			c := redistest.Dial(t, "tcp", srv.Addrs()["alpha"])
			c.Send(test.sent)
			if got := c.WaitClosed(); got != test.reply {
				t.Errorf("%q to %q", got, test.sent)
			}
			eventually(t, "the log explains", func() bool { return log.count(test.hint) > 0 })
		}
	}
	if n := log.count("clients closed"); n != 2 {
		t.Errorf("%d explanations, want one for each cause", n)
	}
}

// A unix socket whose owner accepts no more connections at the moment still has an owner.
func TestBusySocketOfAnotherProcessIsNotRemoved(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 4 { // its queue is full
		c, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(c)
		syscall.SetNonblock(c, true)
		syscall.Connect(c, &syscall.SockaddrUnix{Name: path})
	}
	cfg := config(t, fakeredis.Start(t).Addr())
	cfg.Pools[0].Listen.Network, cfg.Pools[0].Listen.Addr = "unix", path
	if _, err := server.New(cfg, nil, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("%v", err)
	}
	if err := syscall.Access(path, 0); err != nil {
		t.Errorf("the socket was removed: %v", err)
	}
}
