package pipeline_test

import (
	"net"
	"strings"
	"testing"

	"ringway/eventloop"
	"ringway/internal/fakeredis"
	"ringway/pipeline"
)

func TestLargeReplyIsPassedOnInParts(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	value := fakeredis.Bulk(strings.Repeat("v", size))
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		if args[1] == "large" {
			c.Reply(value)
			return
		}
		c.Reply(fakeredis.Bulk(args[1]))
	})
	r := newRig(t, config(s.Addr()))
	r.send(get("a"), get("large"), get("b"))
	r.expect(1, fakeredis.Bulk("a"))
	if o := r.next(); o.tag != 2 || o.reply != value || o.parts < 2 {
		t.Fatalf("request %d: %d bytes in %d parts, %v", o.tag, len(o.reply), o.parts, o.failure)
	}
	r.expect(3, fakeredis.Bulk("b"))
}

// A read that brings only the beginning of a line of a large reply is no reason
// to pass on nothing: a Receiver may look at the first byte of what it is given.
func TestNoPartOfALargeReplyIsEmpty(t *testing.T) {
	t.Parallel()
	value := fakeredis.Bulk(strings.Repeat("v", streamFrom))
	var r *rig
	script := fakeredis.Script{fakeredis.Expect("GET", "k")}
	pieces := []string{"*4\r\n" + value, "$", "1\r\n", "a\r\n", ":", "1\r", "\n", "*0\r", "\n"}
	for i, b := range pieces {
		if i > 0 { // the test, and with it the loop, may end with the last one
			script = append(script, fakeredis.Call(func() { r.turns() }))
		}
		script = append(script, fakeredis.Reply(b))
	}
	s := fakeredis.Start(t, script)
	r = newRig(t, config(s.Addr()))
	to := r.receiver()
	r.sendTo(to, get("k"))
	if o := r.next(); o.reply != strings.Join(pieces, "") || o.failure != nil {
		t.Errorf("%d bytes, %v", len(o.reply), o.failure)
	}
	r.on(func() {
		if to.empty > 0 {
			t.Errorf("%d empty parts", to.empty)
		}
	})
}

// streamFrom is the constant of package pipeline.
const streamFrom = 16 << 10

func TestRepliesInSingleBytes(t *testing.T) {
	t.Parallel()
	replies := []string{"+OK\r\n", "$3\r\nabc\r\n", "*2\r\n*1\r\n:1\r\n$-1\r\n", "-ERR x\r\n", ":12\r\n"}
	s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(len(replies)), fakeredis.Split(strings.Join(replies, ""))})
	r := newRig(t, config(s.Addr()))
	for range replies {
		r.send(get("k"))
	}
	r.expect(1, replies...)
}

// A breach of the protocol ends the connection; the request in flight fails,
// the next one has a new connection and its own reply.
func TestServerThatBreaksTheProtocolIsLeft(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("*1\r\n", 10000) + ":1\r\n"
	for _, test := range []struct {
		name, reply string
		whole       bool // the request's own reply is complete before the fault
	}{
		{"garbage", "\x00\xff\x17garbage\r\n", false},
		{"unknown type", "@1\r\n", false},
		{"bad length", "$abc\r\n", false},
		{"length out of range", "$9223372036854775807\r\n", false},
		{"negative length", "$-2\r\n", false},
		{"count out of range", "*9223372036854775807\r\n", false},
		{"too deep", deep, false},
		{"bulk without its end", "$3\r\nabcdef\r\n", false},
		{"line break in a line", "+a\nb\r\n", false},
		{"push", ">2\r\n$7\r\nmessage\r\n$1\r\nx\r\n", false},
		{"one reply too many", "+1\r\n+2\r\n", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := fakeredis.Start(t,
				fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Reply(test.reply), fakeredis.Discard()},
				fakeredis.Script{fakeredis.Expect("GET", "b"), fakeredis.Reply("+own\r\n")})
			r := newRig(t, config(s.Addr()))
			r.send(get("a"))
			if test.whole {
				r.expect(1, "+1\r\n")
			} else {
				r.expectFailure(1, pipeline.ErrProtocol, true)
			}
			if errs := r.obs.failed(t, 1); len(errs) != 1 {
				t.Errorf("failures: %v", errs)
			}
			r.send(get("b"))
			r.expect(2, "+own\r\n")
		})
	}
}

// A reply that is there before its request was written cannot be the reply to
// it. The request is in the output already when the reply is read, as happens
// when a client and the server are ready in the same turn.
func TestReplyToARequestThatWasNotWrittenIsNotBelieved(t *testing.T) {
	t.Parallel()
	answer, answered := make(chan struct{}), make(chan struct{})
	s := fakeredis.Start(t,
		fakeredis.Script{
			fakeredis.Expect("GET", "a"), fakeredis.Reply("+1\r\n"), fakeredis.Wait(answer), fakeredis.Reply("+forged\r\n"),
			fakeredis.Call(func() { close(answered) }), fakeredis.Discard(),
		},
		fakeredis.Script{fakeredis.Expect("GET", "b"), fakeredis.Reply("+own\r\n")})
	r := newRig(t, config(s.Addr()))
	r.send(get("a"))
	r.expect(1, "+1\r\n")
	client := r.attachClient(func() {
		if f := r.conn.Send([]byte(get("b")), r.receiver(), 2); f != nil {
			t.Error(f)
		}
	})
	r.on(func() { // both become ready while the loop is here, the client first
		client.Write([]byte{'x'})
		close(answer)
		<-answered
	})
	r.expect(2, "+own\r\n")
}

// attachClient puts one end of a connection on the loop, which calls onData
// when something is written to the other end, which is returned.
func (r *rig) attachClient(onData func()) net.Conn {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	defer l.Close()
	attached := make(chan error, 1)
	r.loop.Dial(eventloop.Target{Network: "tcp", Addr: l.Addr().String(), Timeout: waitLimit}, func(s eventloop.Socket, err error) {
		if err == nil {
			_, err = r.loop.AttachSocket(s, handler{onData})
		}
		attached <- err
	})
	far, err := l.Accept()
	if err == nil {
		r.t.Cleanup(func() { far.Close() })
		err = <-attached
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return far
}

// handler is an eventloop.Handler.
type handler struct{ onData func() }

func (h handler) Data(b []byte) int { h.onData(); return len(b) }
func (h handler) EOF()              {}
func (h handler) Closed(error)      {}
func (h handler) Drained()          {}

func TestLostInTheMiddleOfALargeReply(t *testing.T) {
	t.Parallel()
	s := fakeredis.Start(t,
		fakeredis.Script{fakeredis.ExpectAny(2), fakeredis.Reply("$1000000\r\n" + strings.Repeat("x", 300000)), fakeredis.Close()},
		fakeredis.Script{fakeredis.Expect("GET", "c"), fakeredis.Reply("+3\r\n")})
	r := newRig(t, config(s.Addr()))
	r.send(get("large"), get("b"))
	o := r.next()
	if o.tag != 1 || o.failure == nil || !o.failure.Sent || o.parts == 0 {
		t.Fatalf("request %d: %d bytes in %d parts, %v", o.tag, len(o.reply), o.parts, o.failure)
	}
	if o := r.next(); o.tag != 2 || o.failure == nil || o.parts != 0 {
		t.Fatalf("request %d: %q, %v", o.tag, o.reply, o.failure)
	}
	r.send(get("c"))
	r.expect(3, "+3\r\n")
}
