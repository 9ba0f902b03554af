package tlsrelay

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringway/eventloop"
	"ringway/internal/redistest"
)

// tlsServer listens with a certificate for "here" and hands each connection, the
// handshake not yet done, to serve on a goroutine of its own.
func tlsServer(t *testing.T, a *redistest.Authority, change func(*tls.Config), serve func(c *tls.Conn)) (addr string) {
	t.Helper()
	c := a.Config("here")
	if change != nil {
		change(c)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(tls.Server(conn, c))
			}()
		}
	}()
	return ln.Addr().String()
}

func trusting(a *redistest.Authority) func() (*tls.Config, error) {
	return func() (*tls.Config, error) { return &tls.Config{RootCAs: a.Pool(), ServerName: "here"}, nil }
}

func target(addr string, config func() (*tls.Config, error)) eventloop.Target {
	return eventloop.Target{Network: "tcp", Addr: addr, Timeout: time.Minute, Wrap: Wrap(addr, config)}
}

// dialFor attaches a recorder to a TLS connection.
func dialFor(t *testing.T, l *eventloop.Loop, addr string, config func() (*tls.Config, error)) (*recorder, error) {
	t.Helper()
	r, result := newRecorder(), make(chan error, 1)
	onLoop(l, func() {
		l.Dial(target(addr, config), func(s eventloop.Socket, err error) {
			if err == nil {
				r.conn, err = l.AttachSocket(s, r)
			}
			result <- err
		})
	})
	return r, receive(t, result, "result of dialing")
}

func echoAll(c *tls.Conn) { io.Copy(c, c) }

func TestTLSCarriesBytesBothWays(t *testing.T) {
	l := startLoop(t)
	a := redistest.NewAuthority(t)
	r, err := dialFor(t, l, tlsServer(t, a, nil, echoAll), trusting(a))
	if err != nil {
		t.Fatal(err)
	}
	// More than all buffers on the way hold, so that both directions wait
	// for each other.
	want := bytes.Repeat([]byte("0123456789abcdef"), 256<<10)
	onLoop(l, func() { r.conn.Write(want) })
	var got []byte
	for len(got) < len(want) {
		got = append(got, receive(t, r.data, "data")...)
	}
	if !bytes.Equal(got, want) {
		t.Error("other bytes came back")
	}
	onLoop(l, r.conn.Close)
}

// The peer's end is seen after all it wrote, and does not keep the loop from
// writing on.
func TestTLSCarriesTheEndOfInput(t *testing.T) {
	l := startLoop(t)
	a := redistest.NewAuthority(t)
	rest := make(chan string, 1)
	r, err := dialFor(t, l, tlsServer(t, a, nil, func(c *tls.Conn) {
		io.WriteString(c, "last words")
		c.CloseWrite()
		b := make([]byte, 4)
		io.ReadFull(c, b)
		rest <- string(b)
	}), trusting(a))
	if err != nil {
		t.Fatal(err)
	}
	if got := receive(t, r.data, "data"); string(got) != "last words" {
		t.Errorf("%q", got)
	}
	receive(t, r.eof, "end of input")
	onLoop(l, func() { r.conn.Append([]byte("bye!")) })
	if got := receive(t, rest, "rest"); got != "bye!" {
		t.Errorf("the peer read %q", got)
	}
	onLoop(l, r.conn.Close)
}

// What was written before Close arrives, and then the peer sees the end.
func TestTLSConnectionClosedByTheLoopEndsAtThePeer(t *testing.T) {
	l := startLoop(t)
	a := redistest.NewAuthority(t)
	all := make(chan string, 1)
	r, err := dialFor(t, l, tlsServer(t, a, nil, func(c *tls.Conn) {
		b, _ := io.ReadAll(c)
		all <- string(b)
	}), trusting(a))
	if err != nil {
		t.Fatal(err)
	}
	onLoop(l, func() { r.conn.Append([]byte("words")) })
	onLoop(l, r.conn.Close)
	if got := receive(t, all, "end"); got != "words" {
		t.Errorf("the peer read %q", got)
	}
}

// A peer that reads nothing does not keep the connection's goroutines: the
// loop's Run would not return.
func TestTLSConnectionToAStuckPeerCanBeClosed(t *testing.T) {
	l := startLoop(t)
	a := redistest.NewAuthority(t)
	stuck := make(chan struct{})
	defer close(stuck)
	r, err := dialFor(t, l, tlsServer(t, a, nil, func(c *tls.Conn) {
		c.Handshake()
		<-stuck
	}), trusting(a))
	if err != nil {
		t.Fatal(err)
	}
	onLoop(l, func() { r.conn.Write(make([]byte, 32<<20)) })
	onLoop(l, r.conn.Close)
}

func TestTLSRefusalsNameTheirCause(t *testing.T) {
	l := startLoop(t)
	a, stranger := redistest.NewAuthority(t), redistest.NewAuthority(t)
	addr := tlsServer(t, a, nil, echoAll)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	go func() {
		for c, err := plain.Accept(); err == nil; c, err = plain.Accept() {
			io.WriteString(c, "-ERR who are you?\r\n")
			c.Close()
		}
	}()
	for _, test := range []struct {
		name, addr string
		config     func() (*tls.Config, error)
		want       string
	}{
		{"an authority nobody trusts", addr, trusting(stranger), "unknown authority"},
		{"another name", addr, func() (*tls.Config, error) { return &tls.Config{RootCAs: a.Pool()}, nil }, "127.0.0.1"},
		{"no TLS there", plain.Addr().String(), trusting(a), "tls: first record does not look like a TLS handshake"},
		{"files that can't be read", addr, func() (*tls.Config, error) { return nil, os.ErrNotExist }, os.ErrNotExist.Error()},
	} {
		if _, err := dialFor(t, l, test.addr, test.config); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

// In TLS 1.3 a server refuses a client's certificate after the handshake: that
// must not look like a reset.
func TestTLSErrorAfterTheHandshakeIsPassedToClosed(t *testing.T) {
	l := startLoop(t)
	a := redistest.NewAuthority(t)
	addr := tlsServer(t, a, func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }, func(c *tls.Conn) { c.Handshake() })
	r, err := dialFor(t, l, addr, trusting(a))
	if err != nil {
		t.Fatal(err)
	}
	if err := receive(t, r.closed, "end"); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("closed with %v", err)
	}
}

func TestTLSPeerThatDisappearsIsReported(t *testing.T) {
	l := startLoop(t)
	a := redistest.NewAuthority(t)
	reset := make(chan struct{})
	r, err := dialFor(t, l, tlsServer(t, a, nil, func(c *tls.Conn) {
		c.Handshake()
		<-reset
		c.NetConn().(*net.TCPConn).SetLinger(0)
		c.NetConn().Close()
	}), trusting(a))
	if err != nil {
		t.Fatal(err)
	}
	close(reset)
	if err := receive(t, r.closed, "end"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("closed with %v", err)
	}
}

// An attempt whose result is no longer wanted leaves nothing behind, and neither does
// a loop that stops while it dials.
func TestUnwantedTLSConnectionIsClosed(t *testing.T) {
	a := redistest.NewAuthority(t)
	ended := make(chan error, 4)
	addr := tlsServer(t, a, nil, func(c *tls.Conn) {
		_, err := io.Copy(io.Discard, c)
		ended <- err
	})
	l := startLoop(t)
	onLoop(l, func() {
		l.Dial(target(addr, trusting(a)), func(s eventloop.Socket, err error) { s.Close() })
	})
	receive(t, ended, "end")
	l, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	l.Stop()
	l.Dial(target(addr, trusting(a)), func(eventloop.Socket, error) { t.Error("reported to a stopped loop") })
	l.Run() // with which the attempt ends
}

// Stop does not wait for a handshake that is under way, and does not report it.
func TestStopEndsTheHandshake(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // shakes no hands
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	l, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	config := func() (*tls.Config, error) { return &tls.Config{}, nil }
	l.Dial(target(silent.Addr().String(), config), func(eventloop.Socket, error) { t.Error("an attempt is reported after the end") })
	conn, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ended := make(chan struct{})
	go func() {
		l.Run()
		close(ended)
	}()
	l.Stop()
	receive(t, ended, "end of the loop")
}
