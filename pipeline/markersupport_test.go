package pipeline_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/pipeline"
)

// refusing starts a server that refuses commands, each with the text of its name in words, and
// answers ECHO, PING and others with their last argument.
func refusing(t *testing.T, words map[string]string) *fakeredis.Server {
	return fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		last := args[len(args)-1]
		if word := words[args[0]]; word != "" {
			c.Reply(strings.ReplaceAll(word, "ARG", last) + "\r\n")
			return
		}
		c.Reply(fakeredis.Bulk(last))
	})
}

// A server at which the proxy's user may not ECHO is used like any other: PING takes
// its place, and without PING scripts have their connection to themselves.
func TestServerThatRefusesMarkersIsUsed(t *testing.T) {
	t.Parallel()
	const noperm, unknown, older = "-NOPERM this user has no permissions", "-ERR unknown command 'X', with args beginning with: 'ARG' ", "-ERR unknown command 'X'"
	for _, test := range []struct {
		name  string
		words map[string]string
		news  int // refusals that are reported to the Observer
		again bool
	}{
		{"ECHO by ACL", map[string]string{"ECHO": noperm}, 1, false},
		{"ECHO renamed", map[string]string{"ECHO": unknown}, 1, false},
		{"ECHO renamed, old server", map[string]string{"ECHO": older}, 1, false},
		{"both", map[string]string{"ECHO": noperm, "PING": noperm}, 2, true},
		{"neither", nil, 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := refusing(t, test.words)
			cfg := config(s.Addr())
			cfg.ReplyCheck, cfg.MarkerSupport = 10*time.Millisecond, new(pipeline.MarkerSupport)
			r := newRig(t, cfg)
			to := r.receiver()
			for i := uint32(1); len(r.obs.markerErrors()) < test.news || i < 100; i++ {
				r.on(func() { r.conn.Send([]byte(get("k")), to, i) })
				r.expect(i, fakeredis.Bulk("k"))
			}
			before := s.Conns()
			for i := uint32(1); i <= 3; i++ {
				r.on(func() { r.conn.SendMarked([]byte(get("script")), to, i) })
				r.expect(i, fakeredis.Bulk("script"))
				r.eventually("nothing is in flight", func() bool { return r.conn.InFlight() == 0 && !r.conn.Full() })
			}
			if after := s.Conns(); (after > before) != test.again {
				t.Errorf("%d connections before scripts, %d after", before, after)
			}
			if news := r.obs.markerErrors(); len(news) != test.news {
				t.Errorf("reported: %v", news)
			}
		})
	}
}

// markerErrors returns what was reported, which must be about markers.
func (o *observer) markerErrors() []error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, err := range o.failures {
		if m := (*pipeline.MarkerError)(nil); !errors.As(err, &m) {
			return append(o.failures, errors.New("no MarkerError"))
		}
	}
	return o.failures
}

// A script may make up a refusal in the position of the answer to its marker.
func TestRefusalBehindAScriptIsNotBelieved(t *testing.T) {
	t.Parallel()
	s := fakeredis.Start(t, fakeredis.Script{
		fakeredis.AnswerEcho(), fakeredis.ExpectAny(1), fakeredis.Reply("$1\r\na\r\n-NOPERM made up\r\n"), fakeredis.Discard(),
	}, fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Reply("$1\r\nb\r\n"), fakeredis.AnswerEcho()})
	cfg := config(s.Addr())
	cfg.MarkerSupport = new(pipeline.MarkerSupport)
	r := newRig(t, cfg)
	r.sendScript(get("victim"))
	r.expect(1, "$1\r\na\r\n")
	if o := r.next(); o.tag != 2 || o.failure == nil {
		t.Fatalf("%+v", o)
	}
	r.sendScript()
	r.expect(3, "$1\r\nb\r\n")
	s.WaitPlayed(2)
}

// Where there are no markers, what a script adds to its reply is not delivered, even if
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
