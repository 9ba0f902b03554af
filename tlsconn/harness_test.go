package tlsconn

import (
	"crypto/tls"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"ringway/eventloop"
	"ringway/internal/redistest"
)

// versions are those that tests go through.
var versions = map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13}

// handshakes returns a Handshakes for a test.
func handshakes(t testing.TB) *Handshakes {
	h := NewHandshakes()
	t.Cleanup(h.Close)
	return h
}

// accepted returns the two ends of a TCP connection: a client's, and the descriptor that a server
// has accepted.
func accepted(t testing.TB) (client net.Conn, fd int) {
	t.Helper()
	ln, err := eventloop.Listen("tcp", "127.0.0.1:0", 8, false)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if fd, _, err = ln.AcceptFD(); err != nil {
		t.Fatal(err)
	}
	return client, fd
}

// connect returns a client, and the server's side after the handshake.
func connect(t testing.TB, h *Handshakes, server, client *tls.Config) (*tls.Conn, Result) {
	t.Helper()
	raw, fd := accepted(t)
	result := make(chan Result, 1)
	h.Start(Client{FD: fd, Config: server}, func(r Result) { result <- r })
	c := tls.Client(raw, client)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	r := receive(t, result, "result of the handshake")
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	return c, r
}

// configs returns the configurations of a server and of a client of one version.
func configs(t testing.TB, version uint16) (server, client *tls.Config) {
	a := redistest.NewAuthority(t)
	server = a.Config("here")
	server.DynamicRecordSizingDisabled = true
	return server, &tls.Config{RootCAs: a.Pool(), ServerName: "here", MinVersion: version, MaxVersion: version}
}

func receive[T any](t testing.TB, ch chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s within 10s", what)
	}
	return v
}

// startLoop runs a loop until the test ends.
func startLoop(t testing.TB) *eventloop.Loop {
	t.Helper()
	l, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.UseIOURing(); err != nil && os.Getenv("RINGWAY_REQUIRE_TOOLS") == "" {
		t.Logf("without io_uring: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		l.Run()
		close(ended)
	}()
	t.Cleanup(func() {
		l.Stop()
		<-ended
	})
	return l
}

// onLoop runs fn on the loop and waits for it.
func onLoop(l *eventloop.Loop, fn func()) {
	done := make(chan struct{})
	l.Post(func() {
		fn()
		close(done)
	})
	<-done
}

// peer is a Handler that sends back what it gets, unless told otherwise.
type peer struct {
	conn   *eventloop.Conn
	data   func(b []byte) int
	eof    chan struct{}
	closed chan error
}

func attach(t testing.TB, l *eventloop.Loop, s eventloop.Socket) *peer {
	p := &peer{eof: make(chan struct{}, 1), closed: make(chan error, 1)}
	onLoop(l, func() { p.attach(t, l, s) })
	return p
}

func (p *peer) attach(t testing.TB, l *eventloop.Loop, s eventloop.Socket) {
	var err error
	if p.conn, err = l.AttachSocket(s, p); err != nil {
		t.Error(err)
	}
}

func (p *peer) Data(b []byte) int {
	if p.data != nil {
		return p.data(b)
	}
	p.conn.Write(b)
	return len(b)
}
func (p *peer) EOF()             { p.eof <- struct{}{} }
func (p *peer) Closed(err error) { p.closed <- err }
func (p *peer) Drained()         {}

// allIn reads all that comes to a descriptor.
func allIn(t testing.TB, fd int) (all []byte) {
	t.Helper()
	b := make([]byte, 64<<10)
	for {
		n, err := syscall.Read(fd, b)
		switch {
		case err == syscall.EAGAIN:
			time.Sleep(time.Millisecond)
		case err != nil:
			t.Fatal(err)
		case n == 0:
			return all
		}
		all = append(all, b[:max(n, 0)]...)
	}
}
