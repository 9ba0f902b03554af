package pipeline_test

import (
	"io"
	"strings"
	"testing"

	"ringway/internal/fakeredis"
	"ringway/pipeline"
)

// wanted is an Acker that does nothing by itself. It belongs to the loop.
type wanted struct{ times int }

func (w *wanted) AckWanted(*pipeline.Conn) { w.times++ }

// ackRig is a connection with an Acker, to a server that answers each request, at once.
type ackRig struct {
	*rig
	acker wanted
}

func newAckRig(t *testing.T, replies ...string) *ackRig {
	var script fakeredis.Script
	for _, reply := range replies {
		script = append(script, fakeredis.ExpectAny(1), fakeredis.Reply(reply))
	}
	s := fakeredis.Start(t, append(script, fakeredis.Discard()))
	r := &ackRig{rig: newRig(t, config(s.Addr()))}
	r.on(func() { r.conn.SetAcker(&r.acker) })
	return r
}

// read waits until the connection has read something that it has not delivered, for the nth time.
func (r *ackRig) read(n int) {
	r.t.Helper()
	r.eventually("something was read", func() bool { return r.acker.times >= n })
}

func (r *ackRig) nothing() {
	r.t.Helper()
	r.turns()
	select {
	case o := <-r.done:
		r.t.Fatalf("request %d ended with %q, %v", o.tag, o.reply, o.failure)
	default:
	}
}

func TestRepliesWaitUntilReplicasHaveWhatTheyAcknowledge(t *testing.T) {
	t.Parallel()
	r := newAckRig(t, "+1\r\n", "+2\r\n", "+3\r\n")
	r.send(get("a"))
	r.read(1)
	r.on(r.conn.MarkForAck)
	r.send(get("b")) // read after the mark: Acked is not about it
	r.read(2)
	r.nothing()
	r.on(r.conn.Acked)
	r.expect(1, "+1\r\n")
	r.nothing()
	r.on(r.conn.Acked)
	r.nothing()
	r.on(func() {
		r.conn.MarkForAck()
		r.conn.Acked()
	})
	r.expect(2, "+2\r\n")
	r.send(get("c"))
	r.read(3)
	r.on(func() { r.conn.SetAcker(nil) })
	r.expect(3, "+3\r\n")
}

// What was marked belongs to a connection that is gone: the next one's replies wait for a mark of
// their own.
func TestMarksEndWithTheConnection(t *testing.T) {
	t.Parallel()
	s := fakeredis.Start(t,
		fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Reply("+1\r\n"), fakeredis.ExpectAny(1), fakeredis.Close()},
		fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Reply("+2\r\n"), fakeredis.Discard()})
	r := &ackRig{rig: newRig(t, config(s.Addr()))}
	r.on(func() { r.conn.SetAcker(&r.acker) })
	r.send(get("a"))
	r.read(1)
	r.on(r.conn.MarkForAck)
	r.send(get("b")) // the server closes the connection
	r.expectFailure(1, io.EOF, true)
	r.expectFailure(2, io.EOF, true)
	r.send(get("c"))
	r.read(2)
	r.on(r.conn.Acked)
	r.nothing()
	r.on(func() {
		r.conn.MarkForAck()
		r.conn.Acked()
	})
	r.expect(3, "+2\r\n")
}

// A reply that is larger than what is read before an acknowledgement comes in parts.
func TestLargeRepliesWaitInParts(t *testing.T) {
	t.Parallel()
	reply := "$5000000\r\n" + strings.Repeat("x", 5_000_000) + "\r\n"
	r := newAckRig(t, reply, "+2\r\n")
	r.send(get("a"), get("b"))
	parts := 0
	for got := []outcome(nil); len(got) < 2; parts++ {
		r.read(parts + 1)
		r.on(func() {
			r.conn.MarkForAck()
			r.conn.Acked()
		})
		for len(r.done) > 0 {
			got = append(got, <-r.done)
		}
		if len(got) == 2 && (got[0].reply != reply || got[1].reply != "+2\r\n") {
			t.Fatalf("%.40q… of %d bytes, then %q", got[0].reply, len(got[0].reply), got[1].reply)
		}
	}
	if parts < 4 {
		t.Errorf("all was read before the acknowledgement %d", parts)
	}
}
