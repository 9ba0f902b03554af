package fakeredis

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// client is a connection whose reads and writes fail the test.
type client struct {
	t testing.TB
	net.Conn
}

func connect(t testing.TB, s *Server) client {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(waitLimit))
	t.Cleanup(func() { conn.Close() })
	return client{t, conn}
}

func (c client) send(raw string) {
	c.t.Helper()
	if _, err := io.WriteString(c, raw); err != nil {
		c.t.Fatal(err)
	}
}

func (c client) receive(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != want {
		c.t.Fatalf("got %q, %v, want %q", got[:n], err, want)
	}
}

// recorder is a test whose errors the real test decides about.
type recorder struct {
	testing.TB
	mu     sync.Mutex
	errors []string
}

func (r *recorder) Helper()        {}
func (r *recorder) Cleanup(func()) {}

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.errors, "\n")
}

func TestScriptRunsStepByStep(t *testing.T) {
	release := make(chan struct{})
	waiting := make(chan struct{})
	s := Start(t, Script{
		Expect("GET", "k"),
		Call(func() { close(waiting) }),
		Wait(release),
		Reply(Bulk("v")),
		ExpectAny(2),
		Split(Array("+a\r\n", ":1\r\n")),
		Garbage([]byte{0, 255}),
		Close(),
	})
	c := connect(t, s)
	c.send("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n")
	<-waiting
	close(release)
	c.receive("$1\r\nv\r\n")
	c.send("PING\r\n*1\r\n$4\r\nPING\r\n")
	c.receive("*2\r\n+a\r\n:1\r\n\x00\xff")
	if n, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after Close: read %d bytes, %v", n, err)
	}
	s.WaitPlayed(1)
	want := []Request{{0, []string{"GET", "k"}}, {0, []string{"PING"}}, {0, []string{"PING"}}}
	if got := s.Requests(); !reflect.DeepEqual(got, want) {
		t.Errorf("recorded %v, want %v", got, want)
	}
}

func TestResetIsSeenAsAReset(t *testing.T) {
	s := Start(t, Script{ExpectAny(1), Reset()})
	c := connect(t, s)
	c.send("PING\r\n")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestHalfClosedConnectionIsStillRead(t *testing.T) {
	s := Start(t, Script{HalfClose(), Expect("PING"), Close()})
	c := connect(t, s)
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %v, want EOF", err)
	}
	c.send("PING\r\n")
	s.WaitPlayed(1)
}

func TestStalledConnectionStopsItsClient(t *testing.T) {
	s := Start(t, Script{ExpectAny(1), Stall()})
	c := connect(t, s)
	c.send("PING\r\n")
	s.WaitRequests(1)
	chunk := make([]byte, 1<<20)
	c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	for range 256 { // far more than the two systems' buffers hold
		if _, err := c.Write(chunk); err != nil {
			if ne, ok := errors.AsType[net.Error](err); !ok || !ne.Timeout() {
				t.Errorf("got %v, want a timeout", err)
			}
			return
		}
	}
	t.Error("a stalled server took 256 MB")
}

func TestEveryConnectionHasItsScript(t *testing.T) {
	s := Start(t, Script{Reply("+first\r\n")}, Script{Reply("+second\r\n")})
	connect(t, s).receive("+first\r\n")
	connect(t, s).receive("+second\r\n")
	s.WaitConns(2)
	if n := s.Conns(); n != 2 {
		t.Errorf("got %d connections, want 2", n)
	}
}

func TestHandlerAnswersEveryConnection(t *testing.T) {
	s := StartHandler(t, func(c *Conn, args []string) {
		if args[0] == "QUIT" {
			c.Close()
			return
		}
		c.Reply(Bulk(fmt.Sprint(c.Number(), " ", args)))
	})
	for i := range 3 {
		c := connect(t, s)
		c.send("ECHO a\r\n")
		c.receive(Bulk(fmt.Sprintf("%d [ECHO a]", i)))
		c.send("QUIT\r\n")
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("after QUIT: got %v, want EOF", err)
		}
	}
	if got := len(s.WaitRequests(6)); got != 6 {
		t.Errorf("recorded %d requests, want 6", got)
	}
}

func TestRefusingServerKeepsItsConnections(t *testing.T) {
	s := StartHandler(t, func(c *Conn, _ []string) { c.Reply("+OK\r\n") })
	c := connect(t, s)
	s.WaitConns(1)
	s.Refuse()
	if conn, err := net.Dial("tcp", s.Addr()); err == nil {
		conn.Close()
		t.Error("a new connection was accepted")
	}
	c.send("PING\r\n")
	c.receive("+OK\r\n")
}

func TestDeparturesFromTheScriptFailTheTest(t *testing.T) {
	f := func(want, sent string, scripts ...Script) {
		t.Helper()
		r := &recorder{TB: t}
		s := Start(r, scripts...)
		c := connect(t, s)
		c.send(sent)
		c.Conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, c) // until the fake server has closed its end
		s.end()
		if got := r.text(); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("got %q, want %q in it", got, want)
		}
	}
	f(`got ["SET"], want ["GET"]`, "SET\r\n", Script{Expect("GET")})
	f(`step 1: waiting for ["GET"]: EOF`, "PING\r\n", Script{ExpectAny(1), Expect("GET")})
	f(`waiting for request 2 of 2: EOF`, "PING\r\n", Script{ExpectAny(2)})
	f(`["PING"] came after the script's end`, "PING\r\n", Script{})
	f(`has no script`, "")
	f(`after the script's end: `, "*x\r\n", Script{})
	f(`malformed request`, "*1\r\n+x\r\n", Script{Discard()})
	f(`unexpected EOF`, "*1\r\n$3\r\nab", Script{Discard()})
	f(``, "PING\r\n", Script{Expect("PING"), Reply("+PONG\r\n")})
	f(``, "PING\r\n", Script{Discard()})
}

func FuzzRequestsAreReadBack(f *testing.F) {
	f.Add("*1\r\n$4\r\nPING\r\n")
	f.Add("SET a b\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n")
	f.Add("*1\r\n$9223372036854775807\r\n")
	f.Add("*9999999999\r\n$1\r\n")
	f.Add("*-1\r\n")
	f.Add("*1\n$4\nPING\n")
	f.Fuzz(func(t *testing.T, raw string) {
		args, err := readRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			return
		}
		bulks := make([]string, len(args))
		for i, a := range args {
			bulks[i] = Bulk(a)
		}
		again, err := readRequest(bufio.NewReader(strings.NewReader(Array(bulks...))))
		if err != nil || !reflect.DeepEqual(again, args) {
			t.Errorf("%q was read as %q and then as %q, %v", raw, args, again, err)
		}
	})
}
