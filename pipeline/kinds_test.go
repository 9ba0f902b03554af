package pipeline_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ringway/internal/fakeredis"
	"ringway/pipeline"
)

// A reply of a type that its request can't get is not delivered.
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
