package eventloop

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// The number of a descriptor of a loop that has ended may be in use again.
func TestEndedLoopTouchesNoDescriptor(t *testing.T) {
	l := newLoop(t)
	l.Stop()
	l.Run()
	var pipes [][2]int
	for range 16 { // one of them gets the number that woke the loop
		var p [2]int
		if err := syscall.Pipe(p[:]); err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(p[0])
		defer syscall.Close(p[1])
		syscall.SetNonblock(p[0], true)
		pipes = append(pipes, p)
	}
	l.Post(func() { t.Error("something ran on a loop that has ended") })
	l.Stop()
	for _, p := range pipes {
		if n, err := syscall.Read(p[0], make([]byte, 8)); !errors.Is(err, syscall.EAGAIN) {
			t.Errorf("%d bytes, %v: written to another's descriptor", n, err)
		}
	}
}

// Stop does not wait for connections that are being made, and does not report them.
func TestStopEndsAttemptsToConnect(t *testing.T) {
	l := newLoop(t)
	ended := make(chan struct{})
	go func() {
		l.Run()
		close(ended)
	}()
	done := func(Socket, error) { t.Error("an attempt is reported after the end") }
	onLoop(l, func() {
		l.Dial(Target{Network: "tcp", Addr: full(t), Timeout: time.Hour}, done)
	})
	l.Stop()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the loop waits for attempts to connect")
	}
}

// full returns an address at which attempts to connect get no answer: the queue of
// those that wait to be accepted is full.
func full(t *testing.T) string {
	t.Helper()
	ln, err := Listen("tcp", "127.0.0.1:0", 1, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	for range 8 {
		conn, err := net.DialTimeout("tcp", ln.Addr().String(), 50*time.Millisecond)
		if err != nil {
			return ln.Addr().String()
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Skip("this system's queues do not fill")
	return ""
}
