package tlsconn

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"ringway/eventloop"
	"ringway/internal/redistest"
)

// drip is a net.Conn whose bytes come one by one, with an error that calls itself temporary before
// each.
type drip struct {
	net.Conn
	gave bool
}

func (d *drip) Read(p []byte) (int, error) {
	if d.gave = !d.gave; d.gave {
		return 0, errWait
	}
	return d.Conn.Read(p[:1])
}

// All of the package stands on this: crypto/tls can be called again after a temporary error,
// wherever in a record it comes. A version of Go that changes it fails here, and would need
// goroutines again, as tlsrelay has them.
func TestCryptoTLSForgetsTemporaryErrors(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours, theirs := net.Pipe()
			defer ours.Close()
			defer theirs.Close()
			serverConfig, clientConfig := configs(t, version)
			d := &drip{Conn: ours}
			server, client := tls.Server(struct{ net.Conn }{ours}, serverConfig), tls.Client(theirs, clientConfig)
			go client.Handshake()
			if err := server.Handshake(); err != nil {
				t.Fatal(err)
			}
			// The same connection, from now on through drip.
			*connOf(server) = d
			want := make([]byte, 40<<10)
			rand.Read(want)
			go func() {
				client.Write(want)
				client.Write(want[:1])
				client.CloseWrite()
			}()
			var got []byte
			b := make([]byte, 64<<10)
			for {
				n, err := server.Read(b)
				got = append(got, b[:n]...)
				if err == io.EOF {
					break
				}
				if err != nil && err != error(errWait) {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(got, append(want, want[0])) {
				t.Errorf("%d other bytes came", len(got))
			}
		})
	}
}

// Whatever the cuts between two reads, what was sent comes out, and nothing else.
func TestRecordsComeOutWhateverTheCuts(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := handshakes(t)
			serverConfig, clientConfig := configs(t, version)
			for _, cut := range []int{1, 2, 3, 4, 5, 6, 7, 100, 1 << 20} {
				client, r := connect(t, h, serverConfig, clientConfig)
				c := r.Socket.Cipher
				want := make([]byte, 5000)
				rand.Read(want)
				for i := 0; i < len(want); i += 1000 {
					client.Write(want[i : i+1000])
				}
				client.CloseWrite()
				client.NetConn().(*net.TCPConn).CloseWrite()
				sealed := append(slices.Clone(r.Socket.Input), allIn(t, r.Socket.FD)...)
				got, err := openCut(c, sealed, cut)
				if err != io.EOF || !bytes.Equal(got, want) {
					t.Errorf("cut %d: %v, %d bytes", cut, err, len(got))
				}
				r.Socket.Close()
			}
		})
	}
}

// openCut opens records that come in pieces, as a loop does.
func openCut(c eventloop.Cipher, sealed []byte, cut int) (got []byte, err error) {
	var waiting []byte
	for err == nil && len(sealed) > 0 {
		n := min(cut, len(sealed))
		waiting = append(waiting, sealed[:n]...)
		sealed = sealed[n:]
		o := c.Open(nil, waiting, nil)
		got, waiting, err = append(got, o.Plain...), slices.Clone(waiting[o.Done:]), o.Err
	}
	return got, err
}

func TestLoopCarriesBytesBothWays(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, h := startLoop(t), handshakes(t)
			server, config := configs(t, version)
			client, r := connect(t, h, server, config)
			p := attach(t, l, r.Socket)
			want := make([]byte, 8<<20) // more than all buffers on the way hold
			rand.Read(want)
			go func() {
				client.Write(want)
				client.CloseWrite()
			}()
			got := make([]byte, len(want))
			if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
				t.Fatal("other bytes came back", err)
			}
			receive(t, p.eof, "end of input")
			onLoop(l, func() { p.conn.Append([]byte("bye")); p.conn.CloseWritten() })
			if rest, err := io.ReadAll(client); string(rest) != "bye" || err != nil {
				t.Errorf("%q, %v behind the end of input", rest, err)
			}
			if n := lent(l); n != 0 {
				t.Errorf("%d bytes are still lent", n)
			}
		})
	}
}

// What a client sends together with the end of its handshake is not lost, and neither is half a
// record when a connection moves to another loop.
func TestConnectionMovesToAnotherLoop(t *testing.T) {
	a, b, h := startLoop(t), startLoop(t), handshakes(t)
	server, config := configs(t, tls.VersionTLS13)
	raw, fd := accepted(t)
	result := make(chan Result, 1)
	h.Start(Client{FD: fd, Config: server}, func(r Result) { result <- r })
	held := &holder{Conn: raw}
	client := tls.Client(held, config)
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	r := receive(t, result, "result of the handshake")
	p := attach(t, a, r.Socket)
	for i := range 20 {
		held.hold = true
		client.Write([]byte("first"))
		raw.Write(held.held[:7+i]) // half a record
		redistest.Eventually(t, 10*time.Second, "half a record", func() bool { return lent(a) > 0 })
		moved := &peer{eof: make(chan struct{}, 1), closed: make(chan error, 1)}
		var s eventloop.Socket
		onLoop(a, func() { s = p.conn.Detach() })
		onLoop(b, func() { moved.attach(t, b, s) })
		raw.Write(held.held[7+i:])
		held.held, held.hold = nil, false
		got := make([]byte, 5)
		if _, err := io.ReadFull(client, got); err != nil || string(got) != "first" {
			t.Fatalf("%q, %v", got, err)
		}
		p, a, b = moved, b, a
	}
}

func lent(l *eventloop.Loop) (n int) {
	onLoop(l, func() { n = l.Lent() })
	return n
}

// holder is a net.Conn that can keep what is written.
type holder struct {
	net.Conn
	hold bool
	held []byte
}

func (h *holder) Write(b []byte) (int, error) {
	if h.hold {
		h.held = append(h.held, b...)
		return len(b), nil
	}
	return h.Conn.Write(b)
}

// A record that was tampered with ends the connection, and the client is told why.
func TestTamperedRecordEndsTheConnection(t *testing.T) {
	l, h := startLoop(t), handshakes(t)
	server, config := configs(t, tls.VersionTLS13)
	raw, fd := accepted(t)
	result := make(chan Result, 1)
	h.Start(Client{FD: fd, Config: server}, func(r Result) { result <- r })
	held := &holder{Conn: raw}
	client := tls.Client(held, config)
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	p := attach(t, l, receive(t, result, "result").Socket)
	held.hold = true
	client.Write([]byte("hello"))
	held.held[len(held.held)-1] ^= 1
	raw.Write(held.held)
	if err := receive(t, p.closed, "end"); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
		t.Errorf("%v", err)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
		t.Errorf("the client is told %v", err)
	}
}

func TestFailedHandshakesHaveAReason(t *testing.T) {
	h := handshakes(t)
	server, config := configs(t, tls.VersionTLS13)
	only13 := server.Clone()
	only13.MinVersion = tls.VersionTLS13
	withClients := server.Clone()
	withClients.ClientAuth = tls.RequireAndVerifyClientCert
	old := config.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	distrusting := config.Clone()
	distrusting.RootCAs = redistest.NewAuthority(t).Pool()
	stranger := config.Clone()
	stranger.Certificates = redistest.NewAuthority(t).Config("stranger").Certificates
	shake := func(c *tls.Config) func(net.Conn) {
		return func(raw net.Conn) { tls.Client(raw, c).Handshake() }
	}
	for _, test := range []struct {
		name   string
		server *tls.Config
		client func(net.Conn)
		want   string
	}{
		{"plain text", server, func(raw net.Conn) { io.WriteString(raw, "*1\r\n$4\r\nPING\r\n") }, "not_tls"},
		{"a client that leaves", server, func(raw net.Conn) { raw.Close() }, "closed"},
		{"an old version", only13, shake(old), "protocol"},
		{"a client that does not trust us", server, shake(distrusting), "refused_by_client"},
		{"no certificate", withClients, shake(config), "client_certificate"},
		{"a stranger's certificate", withClients, shake(stranger), "client_certificate"},
	} {
		raw, fd := accepted(t)
		result := make(chan Result, 1)
		h.Start(Client{FD: fd, Config: test.server}, func(r Result) { result <- r })
		go test.client(raw)
		if r := receive(t, result, "result"); r.Err == nil || ReasonOf(r.Err).String() != test.want {
			t.Errorf("%s: %v, want %s", test.name, r.Err, test.want)
		}
	}
}

// Close ends handshakes of clients that say nothing.
func TestCloseEndsHandshakes(t *testing.T) {
	h := NewHandshakes()
	server, _ := configs(t, tls.VersionTLS13)
	result := make(chan Result, 10)
	for range 10 {
		_, fd := accepted(t)
		h.Start(Client{FD: fd, Config: server}, func(r Result) { result <- r })
	}
	h.Close()
	for range 10 {
		if r := receive(t, result, "result"); r.Err == nil {
			t.Error("a handshake without a client succeeded")
		}
	}
	if n := h.UnderWay(); n != 0 {
		t.Errorf("%d handshakes are under way", n)
	}
}

// Between two events a connection has none of crypto/tls's buffers, however much came.
func TestIdleConnectionHoldsNoBuffers(t *testing.T) {
	if rawInputAt < 0 || handAt < 0 {
		t.Fatal("crypto/tls has other fields now: an idle client keeps its buffers. See lend.go")
	}
	l, h := startLoop(t), handshakes(t)
	server, config := configs(t, tls.VersionTLS13)
	client, r := connect(t, h, server, config)
	attach(t, l, r.Socket)
	want := make([]byte, 100<<10)
	go client.Write(want)
	if _, err := io.ReadFull(client, want); err != nil {
		t.Fatal(err)
	}
	c := r.Socket.Cipher.(*Conn)
	onLoop(l, func() {
		if n, m := bufferAt(c.tls, rawInputAt).Cap(), bufferAt(c.tls, handAt).Cap(); n+m > 0 {
			t.Errorf("%d and %d bytes", n, m)
		}
		if l.Lent() != 0 {
			t.Errorf("%d bytes are lent", l.Lent())
		}
	})
}

// connOf returns where a tls.Conn has its connection.
func connOf(c *tls.Conn) *net.Conn { return fieldOf[net.Conn](c, "conn") }
