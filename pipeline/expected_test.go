package pipeline_test

import (
	"testing"

	"ringway/internal/fakeredis"
)

func TestRepliesFullCountsExpectedBytes(t *testing.T) {
	t.Parallel()
	first, second, end := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s := fakeredis.Start(t,
		fakeredis.Script{
			fakeredis.ExpectAny(3), fakeredis.Wait(first), fakeredis.Reply("+1\r\n"), fakeredis.Wait(second), fakeredis.Reply("+2\r\n+3\r\n"),
			fakeredis.ExpectAny(1), fakeredis.Wait(end), fakeredis.Close(),
		})
	cfg := config(s.Addr())
	cfg.MaxReplies = 1000
	r := newRig(t, cfg)
	expect := func(request string, size int) {
		r.send(request)
		r.on(func() { r.conn.Expect(size) })
	}
	full := func(want bool) {
		t.Helper()
		r.on(func() {
			if r.conn.RepliesFull() != want {
				t.Errorf("full %t, want %t", !want, want)
			}
		})
	}
	expect(get("a"), 600)
	full(false)
	r.send(get("b"))
	expect(get("c"), 600)
	full(true)
	w := make(waiter, 1)
	r.on(func() { r.conn.Wait(w) })
	close(first)
	r.expect(1, "+1\r\n")
	full(false)
	close(second)
	r.expect(2, "+2\r\n")
	r.expect(3, "+3\r\n")
	w.wait(t)

	expect(get("d"), 5000)
	full(true)
	r.on(func() { r.conn.Wait(w) })
	close(end)
	w.wait(t)
	full(false)
}
