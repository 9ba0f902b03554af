package tlsrelay

import (
	"bytes"
	"testing"
	"time"

	"ringway/eventloop"
)

// startLoop runs a loop until the test ends.
func startLoop(t *testing.T) *eventloop.Loop {
	t.Helper()
	l, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
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

// recorder is a Handler that tells a test what happened.
type recorder struct {
	conn   *eventloop.Conn
	data   chan []byte // copies of what Data was given
	eof    chan struct{}
	closed chan error
}

func newRecorder() *recorder {
	return &recorder{data: make(chan []byte, 1<<16), eof: make(chan struct{}, 1), closed: make(chan error, 1)}
}

func (r *recorder) Data(b []byte) int {
	r.data <- bytes.Clone(b)
	return len(b)
}
func (r *recorder) EOF()             { r.eof <- struct{}{} }
func (r *recorder) Closed(err error) { r.closed <- err }
func (r *recorder) Drained()         {}

func receive[T any](t *testing.T, ch chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(10 * time.Second):
		t.Fatalf("no %s within 10s", what)
	}
	return v
}
