package session

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"ringway/eventloop"
)

// onLoop calls fn on a loop of its own, with a line of replies whose client's end is
// the returned connection. When it returns, fn has.
func onLoop(t *testing.T, fn func(r *replies)) (client net.Conn) {
	t.Helper()
	loop, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	syscall.SetNonblock(fds[0], true)
	f := os.NewFile(uintptr(fds[1]), "client")
	client, err = net.FileConn(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		loop.Run()
	}()
	t.Cleanup(func() {
		client.Close()
		loop.Stop()
		<-done
	})
	called := make(chan struct{})
	loop.Post(func() {
		defer close(called)
		conn, err := loop.Attach(fds[0], silentHandler{})
		if err != nil {
			t.Error(err)
			return
		}
		r := &replies{w: &Worker{loop: loop}, conn: conn}
		fn(r)
		var end *eventloop.Timer
		end = loop.NewTimer(func() {
			if conn.Waiting() == 0 {
				conn.Close()
				return
			}
			end.After(time.Millisecond)
		})
		end.After(time.Millisecond)
	})
	<-called
	return client
}

// silentHandler handles the events of a connection whose client says nothing.
type silentHandler struct{}

func (silentHandler) Data(b []byte) int { return len(b) }
func (silentHandler) Drained()          {}
func (silentHandler) EOF()              {}
func (silentHandler) Closed(error)      {}

// answer is what session.Reply does with the line.
func answer(r *replies, number uint32, b []byte, last bool) {
	r.addSize(number, len(b))
	if number != r.head {
		r.store(number, b, last)
		return
	}
	r.pass(b, last)
}

// Whatever the order in which replies come, and in what pieces, the client gets them
// whole and in the order of its requests, and nothing is left behind.
func TestRepliesLeaveInTheOrderOfTheirRequests(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("RINGWAY_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("RINGWAY_SEED=%d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	type owed struct {
		number uint32
		rest   []byte
		begun  bool
	}
	var want bytes.Buffer
	client := onLoop(t, func(r *replies) {
		r.head, r.tail = 1<<32-20, 1<<32-20 // numbers begin again on the way
		var open []*owed
		for step := range 3000 {
			if len(open) < 40 && rnd.IntN(3) > 0 && step < 2900 {
				size := 1 + rnd.IntN(200)
				if rnd.IntN(20) == 0 {
					size = spillFrom/2 + rnd.IntN(2*spillFrom)
				}
				reply := bytes.Repeat([]byte(fmt.Sprintf("<%d>", step)), size/4+1)
				want.Write(reply)
				number := r.push(position{})
				if r.latest() != number || !r.awaits(number) || r.answered(number) {
					t.Errorf("request %d is not the latest awaited one", number)
				}
				open = append(open, &owed{number: number, rest: reply})
				continue
			}
			if len(open) == 0 {
				continue
			}
			i := rnd.IntN(len(open))
			o := open[i]
			n := len(o.rest)
			if n > 1 && (o.begun || rnd.IntN(4) == 0) && rnd.IntN(2) == 0 {
				n = 1 + rnd.IntN(n-1)
			}
			part, last := o.rest[:n], n == len(o.rest)
			o.rest, o.begun = o.rest[n:], true
			answer(r, o.number, part, last)
			if last {
				open = append(open[:i], open[i+1:]...)
			}
			if r.bytes() < 0 || r.unanswered() < len(open) {
				t.Errorf("%d bytes wait for %d requests, of which %d are open", r.bytes(), r.unanswered(), len(open))
			}
		}
		for _, o := range open {
			answer(r, o.number, o.rest, true)
		}
		if !r.idle() || r.bytes() != 0 || r.early != nil || r.midReply() {
			t.Errorf("left: %d requests, %d bytes, a buffer of %d", r.unanswered(), r.bytes(), cap(r.early))
		}
	})
	got, err := io.ReadAll(client)
	if err != nil || !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%d bytes came, %v; want %d in order", len(got), err, want.Len())
	}
}

func TestPartsOfAnEarlyReplyCanBeTakenBack(t *testing.T) {
	client := onLoop(t, func(r *replies) {
		r.push(position{})
		second := r.push(position{flags: unsized})
		r.store(second, []byte("half of"), false)
		if r.bytes() == 0 {
			t.Error("the part is not counted")
		}
		r.discardParts(second)
		if p := r.at(second); r.bytes() != 0 || p.state != pending || p.flags&unsized == 0 {
			t.Errorf("%d bytes, %+v", r.bytes(), *p)
		}
		r.store(second, []byte("-ERR no\r\n"), true)
		r.pass([]byte("+OK\r\n"), true)
		if !r.idle() || r.bytes() != 0 {
			t.Errorf("%d requests, %d bytes left", r.unanswered(), r.bytes())
		}
	})
	if got, _ := io.ReadAll(client); string(got) != "+OK\r\n-ERR no\r\n" {
		t.Errorf("%q", got)
	}
}

func TestDroppedRepliesHoldNoMemory(t *testing.T) {
	client := onLoop(t, func(r *replies) {
		lent := r.w.loop.Lent()
		for range 5 {
			r.push(position{})
		}
		r.store(r.head+1, make([]byte, 100), true)
		r.store(r.head+2, make([]byte, 2*spillFrom), true)
		r.store(r.head+3, make([]byte, spillFrom), false)
		r.drop()
		if now := r.w.loop.Lent(); now != lent {
			t.Errorf("%d bytes are lent, %d before", now, lent)
		}
	})
	io.ReadAll(client)
}
