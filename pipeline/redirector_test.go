package pipeline_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"ringway/internal/fakeredis"
	"ringway/pipeline"
)

// takesAll is a Redirector that takes over whatever it is offered.
type takesAll struct{ taken atomic.Int32 }

func (g *takesAll) take() bool { g.taken.Add(1); return true }

func (g *takesAll) Refused(*pipeline.Conn, []byte, pipeline.Request) bool { return g.take() }
func (g *takesAll) Review(*pipeline.Conn, pipeline.Request) bool          { return g.take() }
func (g *takesAll) Unsent(*pipeline.Conn, error, pipeline.Request) bool   { return g.take() }
func (g *takesAll) Down(*pipeline.Conn, error)                            {}
func (g *takesAll) Opened(*pipeline.Conn)                                 {}

// The end of a large value is no error, whatever it looks like: else a value
// could send requests to where its writer wants them.
func TestAPartOfAReplyIsNoRefusal(t *testing.T) {
	t.Parallel()
	const refusal = "-MOVED 1 127.0.0.1:1\r\n"
	head := "*2\r\n$200000\r\n" + strings.Repeat("v", 200000) + "\r\n"
	passed := make(chan struct{})
	s := fakeredis.Start(t, fakeredis.Script{
		fakeredis.ExpectAny(1), fakeredis.Reply(head), fakeredis.Wait(passed), fakeredis.Reply(refusal), fakeredis.Discard(),
	})
	g := &takesAll{}
	r := newRig(t, config(s.Addr()))
	r.on(func() { r.conn.SetRedirector(g) })
	to := r.receiver()
	r.sendTo(to, get("k"))
	for seen := 0; seen < len(head); {
		r.on(func() {
			if o := to.parts[1]; o != nil {
				seen = len(o.reply)
			}
		})
	}
	close(passed)
	r.expect(1, head+refusal)
	if n := g.taken.Load(); n != 0 {
		t.Errorf("%d replies were taken for refusals", n)
	}
}

func TestARefusalIsOfferedWithItsRequest(t *testing.T) {
	t.Parallel()
	s := fakeredis.Start(t, fakeredis.Script{
		fakeredis.ExpectAny(3), fakeredis.Reply("+1\r\n-READONLY x\r\n+3\r\n"), fakeredis.Discard(),
	})
	g := &takesAll{}
	r := newRig(t, config(s.Addr()))
	r.on(func() { r.conn.SetRedirector(g) })
	r.send(get("a"), get("b"), get("c"))
	r.expect(1, "+1\r\n")
	if o := r.next(); o.tag != 3 || o.reply != "+3\r\n" {
		t.Errorf("request %d: %q", o.tag, o.reply)
	}
	if n := g.taken.Load(); n != 1 {
		t.Errorf("%d replies were taken for refusals, want 1", n)
	}
}
