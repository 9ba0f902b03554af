package pipeline_test

import (
	"testing"

	"ringway/internal/fakeredis"
	"ringway/pipeline"
)

// Where there are no markers, what a script adds to its reply goes to nobody, even if
// the script was sent while the connection was being made.
func TestBufferedScriptWithoutMarkersHasItsConnectionToItself(t *testing.T) {
	t.Parallel()
	refused := func(c *fakeredis.Conn, args []string) {
		switch args[0] {
		case "ECHO", "PING":
			c.Reply("-NOPERM this user has no permissions\r\n")
		case "EVAL":
			c.Reply("$1\r\na\r\n$5\r\nPWNED\r\n")
		default:
			c.Reply(fakeredis.Bulk(args[len(args)-1]))
		}
	}
	s := fakeredis.StartHandler(t, refused)
	cfg := config(s.Addr())
	cfg.MarkerSupport = new(pipeline.MarkerSupport)
	learn := newRig(t, cfg) // another connection of the same user
	to := learn.receiver()
	for i := uint32(1); i <= 2; i++ {
		learn.on(func() { learn.conn.ProbeMarkerSupport(); learn.conn.Send([]byte(get("k")), to, i) })
		learn.expect(i, fakeredis.Bulk("k"))
	}
	r := newRig(t, cfg)
	to = r.receiver()
	full := false
	r.on(func() {
		r.conn.SendMarked([]byte(script), to, 1)
		if full = r.conn.Full(); !full { // as sessions do
			r.conn.Send([]byte(get("victim")), to, 2)
		}
	})
	r.expect(1, "$1\r\na\r\n")
	if !full {
		if o := r.next(); o.reply == "$5\r\nPWNED\r\n" {
			t.Fatalf("another request got what the script added: %q", o.reply)
		}
	}
}
