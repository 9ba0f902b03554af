package faultyconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"ringway/internal/redistest"
)

// echo is a server that gives back what it reads. It returns its address.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

func dial(t *testing.T, r *Relay) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c.(*net.TCPConn)
}

// carries fails the test unless what is written comes back.
func carries(t *testing.T, c net.Conn, size int) {
	t.Helper()
	sent := bytes.Repeat([]byte("0123456789"), size/10)
	go c.Write(sent)
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%d bytes did not come back: %v", size, err)
	}
}

func TestBytesArriveInAnyPieces(t *testing.T) {
	redistest.CheckLeaks(t)
	r := Start(t, echo(t))
	c := dial(t, r)
	for _, f := range []Faults{{}, {Chunk: 1}, {Coalesce: 5 * time.Millisecond}, {Delay: time.Millisecond}, {Chunk: 3, Coalesce: time.Millisecond}} {
		r.Set(f)
		carries(t, c, 5000)
	}
	r.Set(Faults{})
	carries(t, c, 1<<20)
	c.CloseWrite()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("after the end was carried: %d bytes, %v", n, err)
	}
	redistest.Eventually(t, 30*time.Second, "the connection is forgotten", func() bool { return r.Open() == 0 })
}

func TestCutResetsBothEnds(t *testing.T) {
	redistest.CheckLeaks(t)
	f := func(name string, cut func(r *Relay, c net.Conn)) {
		t.Run(name, func(t *testing.T) {
			r := Start(t, echo(t))
			c := dial(t, r)
			carries(t, c, 10)
			cut(r, c)
			if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("got %v, want a reset", err)
			}
			r.Set(Faults{})
			carries(t, dial(t, r), 10)
		})
	}
	f("on demand", func(r *Relay, _ net.Conn) { r.Cut() })
	f("by chance", func(r *Relay, c net.Conn) {
		r.Set(Faults{Cut: 1})
		c.Write([]byte("0123456789"))
	})
}

func TestHalfCloseLeavesTheOtherDirection(t *testing.T) {
	redistest.CheckLeaks(t)
	r := Start(t, echo(t))
	c := dial(t, r)
	carries(t, c, 10)
	r.HalfClose(true)
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("read %d bytes, %v; want an end", n, err)
	}
	if _, err := c.Write([]byte("x")); err != nil {
		t.Error(err)
	}
}

func TestFrozenRelayPassesNothingOn(t *testing.T) {
	redistest.CheckLeaks(t)
	r := Start(t, echo(t))
	c := dial(t, r)
	carries(t, c, 10)
	r.Freeze()
	late := dial(t, r) // is accepted all the same
	for _, c := range []*net.TCPConn{c, late} {
		c.Write([]byte("0123456789"))
		c.SetReadDeadline(time.Now().Add(30 * time.Millisecond))
		if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, errTimeout(err)) {
			t.Errorf("read %d bytes, %v", n, err)
		}
		c.SetReadDeadline(time.Now().Add(30 * time.Second))
	}
	r.Thaw()
	for _, c := range []*net.TCPConn{c, late} {
		if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
			t.Error(err)
		}
	}
}

// errTimeout returns err if it is a timeout.
func errTimeout(err error) error {
	if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
		return err
	}
	return io.ErrUnexpectedEOF
}

func TestRefusedConnectionsAreReset(t *testing.T) {
	redistest.CheckLeaks(t)
	r := Start(t, echo(t))
	old := dial(t, r)
	carries(t, old, 10)
	r.Refuse(true)
	// The reset may be there before the dial has returned.
	if c, err := net.Dial("tcp", r.Addr()); err == nil {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a refused connection was served")
		}
		c.Close()
	}
	carries(t, old, 10)
	r.Refuse(false)
	carries(t, dial(t, r), 10)
	if n := r.Accepted(); n != 3 {
		t.Errorf("%d connections counted, want 3", n)
	}
}

func TestPlayResetsTheRelay(t *testing.T) {
	redistest.CheckLeaks(t)
	r := Start(t, echo(t))
	stop := make(chan struct{})
	time.AfterFunc(200*time.Millisecond, func() { close(stop) })
	r.Play(uint64(time.Now().UnixNano()), 10*time.Millisecond, stop)
	carries(t, dial(t, r), 1000)
}
