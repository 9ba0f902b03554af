package pipeline_test

import (
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringway/eventloop"
	"ringway/pipeline"
)

// byHand is a Conn on a loop that the test turns, by a clock that it sets.
type byHand struct {
	t    *testing.T
	loop *eventloop.Loop
	conn *pipeline.Conn
	now  int64
	dial func(s eventloop.Socket, err error) // ends the attempt under way
	peer int                                 // the server's end of the connection
	done chan outcome
}

func newByHand(t *testing.T, change func(*pipeline.Config)) *byHand {
	t.Helper()
	loop, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { loop.Stop(); loop.Run() })
	r := &byHand{t: t, loop: loop, now: loop.Now() + int64(time.Hour), peer: -1, done: make(chan outcome, 16)}
	loop.ByHand(func(_ eventloop.Target, done func(eventloop.Socket, error)) { r.dial = done })
	loop.Turn(r.now)
	cfg := config("127.0.0.1:1")
	change(cfg)
	r.conn = pipeline.New(loop, cfg, &observer{changed: make(chan struct{})})
	return r
}

// pass lets time pass, and makes a turn.
func (r *byHand) pass(d time.Duration) {
	r.now += int64(d)
	r.loop.Turn(r.now)
}

// accept makes the connection that was asked for.
func (r *byHand) accept() {
	r.t.Helper()
	ends, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, fd := range ends {
		syscall.SetNonblock(fd, true)
	}
	r.peer = ends[1]
	r.dial(eventloop.Socket{FD: ends[0]}, nil)
	r.pass(0)
}

func (r *byHand) send() {
	if f := r.conn.Send([]byte(get("a")), &receiver{done: r.done, parts: map[uint32]*outcome{}}, 0); f != nil {
		r.t.Fatal(f)
	}
}

// A connection that is lost for good keeps no buffer, even if its timer fires afterwards.
func TestLostConnectionKeepsNoBuffer(t *testing.T) {
	r := newByHand(t, func(cfg *pipeline.Config) { cfg.Once, cfg.Timeout = true, time.Second })
	r.send()
	r.accept()
	syscall.Close(r.peer)
	r.pass(0)
	if o := <-r.done; !errors.Is(o.failure, io.EOF) && !errors.Is(o.failure, syscall.ECONNRESET) {
		t.Fatalf("%+v", o)
	}
	r.pass(2 * time.Second)
	r.conn.Close()
	if n := r.loop.Lent(); n != 0 {
		t.Errorf("%d bytes are lent", n)
	}
}

// AfterReplies calls when what is in flight has ended, however that ends.
func TestAfterRepliesOfWhatWasNotSent(t *testing.T) {
	for name, end := range map[string]func(r *byHand){
		"refused":   func(r *byHand) { r.dial(eventloop.Socket{}, syscall.ECONNREFUSED) },
		"timed out": func(r *byHand) { r.pass(2 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newByHand(t, func(cfg *pipeline.Config) { cfg.Timeout = time.Second })
			r.send()
			passed := false
			r.conn.AfterReplies(func() { passed = true })
			end(r)
			if <-r.done; !passed {
				t.Error("nothing is in flight, and AfterReplies has not called")
			}
			r.conn.Close()
		})
	}
}

// markedRequests is a Redirector that records whether refused requests were marked.
type markedRequests struct {
	takesAll
	marked []bool
}

func (f *markedRequests) Refused(_ *pipeline.Conn, _ []byte, r pipeline.Request) bool {
	f.marked = append(f.marked, r.Marked)
	return false
}

// The marker that a connection sends by itself does not make the request before it a marked one.
func TestMarkerOfTheConnectionIsNotOneOfTheRequest(t *testing.T) {
	r := newByHand(t, func(cfg *pipeline.Config) { cfg.ReplyCheck = 100 * time.Millisecond })
	f := &markedRequests{}
	r.conn.SetRedirector(f)
	r.send()
	r.accept()
	r.pass(200 * time.Millisecond)
	var buf [1024]byte
	n, _ := syscall.Read(r.peer, buf[:])
	if !strings.Contains(string(buf[:max(n, 0)]), "ECHO") {
		t.Fatalf("no marker in %q", buf[:max(n, 0)])
	}
	syscall.Write(r.peer, []byte("-LOADING Redis is loading the dataset in memory\r\n"))
	r.pass(0)
	if len(f.marked) != 1 || f.marked[0] {
		t.Errorf("marked: %v", f.marked)
	}
	syscall.Close(r.peer)
}
