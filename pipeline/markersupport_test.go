package pipeline_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/pipeline"
)

// refusing is a server that refuses commands in the given words, by their names, and
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

// A server at which the proxy's user may not ECHO is used as any other: PING takes
// its place, and without that scripts have their connection to themselves.
func TestServerThatRefusesMarkersIsUsed(t *testing.T) {
	t.Parallel()
	const noperm, unknown, older = "-NOPERM this user has no permissions", "-ERR unknown command 'X', with args beginning with: 'ARG' ", "-ERR unknown command 'X'"
	for _, test := range []struct {
		name  string
		words map[string]string
		news  int // refusals that the Observer is told of
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
				t.Errorf("told: %v", news)
			}
		})
	}
}

// told returns what was reported, which must be about markers.
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

// A script may make up a refusal in the place of the answer to its fence.
func TestRefusalBehindAScriptTeachesNothing(t *testing.T) {
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

// A reply of a type that its request does not have goes to nobody.
func TestReplyOfAnotherKindEndsTheConnection(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kinds pipeline.Kinds
		reply string
		right bool
	}{
		{pipeline.KindStatus, "+OK\r\n", true}, {pipeline.KindStatus, ":1\r\n", false}, {pipeline.KindStatus, "-ERR x\r\n", true},
		{pipeline.KindInteger, ":1\r\n", true}, {pipeline.KindInteger, "$1\r\n1\r\n", false},
		{pipeline.KindString, "$-1\r\n", true}, {pipeline.KindString, "_\r\n", true}, {pipeline.KindString, "+OK\r\n", false}, {pipeline.KindString, "*0\r\n", false},
		{pipeline.KindString, "$" + "20000\r\n" + strings.Repeat("x", 20000) + "\r\n", true}, {pipeline.KindInteger, "$" + "20000\r\n" + strings.Repeat("x", 20000) + "\r\n", false},
		{pipeline.KindAggregate, "*1\r\n:1\r\n", true}, {pipeline.KindAggregate, "%1\r\n:1\r\n:2\r\n", true}, {pipeline.KindAggregate, "~0\r\n", true}, {pipeline.KindAggregate, ":0\r\n", false},
		{pipeline.AnyKind, ",1.5\r\n", true}, {pipeline.KindInteger, "!3\r\nERR\r\n", true},
	} {
		s := fakeredis.Start(t, fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Reply(test.reply), fakeredis.Discard()})
		cfg := config(s.Addr())
		cfg.ReplyCheck = time.Minute
		r := newRig(t, cfg)
		to := r.receiver()
		r.on(func() { r.conn.SendKind([]byte(get("k")), to, 1, test.kinds) })
		switch o := r.next(); {
		case test.right && (o.failure != nil || o.reply != test.reply):
			t.Errorf("%.20q: %.20q, %v", test.reply, o.reply, o.failure)
		case !test.right && (o.failure == nil || !errors.Is(o.failure, pipeline.ErrKind) || o.parts > 0):
			t.Errorf("%.20q was taken for kinds %b: %.20q, %v", test.reply, test.kinds, o.reply, o.failure)
		}
	}
}
