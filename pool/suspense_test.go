package pool

import (
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/resp"
)

// suspenseRig is a shard whose primary has been sent one request, and answers it
// when told so.
type suspenseRig struct {
	t      *testing.T
	pool   *Pool
	local  *Local
	got    replies
	answer chan struct{}
}

func newSuspenseRig(t *testing.T, next ...fakeredis.Script) *suspenseRig {
	r := &suspenseRig{t: t, got: make(replies, 8), answer: make(chan struct{})}
	old := fakeredis.Start(t, append([]fakeredis.Script{{
		fakeredis.Expect("APPEND", "k", "1"), fakeredis.Wait(r.answer), fakeredis.Reply(":1\r\n"), fakeredis.Discard(),
	}}, next...)...)
	r.pool = followingPool(t, conf.Sentinel, old.Addr())
	r.local = runLocal(t, r.pool)
	r.pool.SetView(0, View{Primary: Member{Addr: old.Addr()}})
	r.send("APPEND", "k", "1")
	old.WaitRequests(1)
	r.pool.HoldReplies(0)
	r.settle()
	close(r.answer)
	r.settle()
	select {
	case reply := <-r.got:
		t.Fatalf("%q although replies are held", reply)
	default:
	}
	return r
}

func (r *suspenseRig) on(fn func()) {
	done := make(chan struct{})
	r.local.loop.Post(func() {
		fn()
		close(done)
	})
	<-done
}

func (r *suspenseRig) settle() {
	for range 5 {
		r.on(func() {})
	}
}

func (r *suspenseRig) send(args ...string) {
	r.on(func() { r.local.ConnSet(resp.RESP2, 0).Conn(0, 0).Send([]byte(redistest.Request(args...)), r.got, 0) })
}

func (r *suspenseRig) expect(part string) {
	r.t.Helper()
	select {
	case reply := <-r.got:
		if !strings.Contains(reply, part) {
			r.t.Errorf("%q, want %q", reply, part)
		}
	case <-time.After(30 * time.Second):
		r.t.Fatal("no reply")
	}
}

// A false alarm is noticed by nobody: the reply is passed on, and writes go on.
func TestHeldRepliesComeWhenNothingHasHappened(t *testing.T) {
	for name, end := range map[string]func(r *suspenseRig){
		"unheld": func(r *suspenseRig) { r.pool.Release(0) },
		"held":   func(r *suspenseRig) { r.pool.Hold(0) },
		"same primary": func(r *suspenseRig) {
			r.pool.SetView(0, View{Primary: Member{Addr: r.local.shards[0].primary.addr}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newSuspenseRig(t)
			end(r)
			r.expect(":1\r\n")
			r.on(func() {
				if full := r.local.ConnSet(resp.RESP2, 0).Conn(0, 0).Full(); full != (name == "held") {
					t.Errorf("writes wait: %v", full)
				}
			})
		})
	}
}

// What the old primary has answered since is worth nothing; what it was not sent
// goes to the new one.
func TestHeldRepliesOfAnOvertakenPrimaryAreOfUnknownOutcome(t *testing.T) {
	for name, told := range map[string]bool{"told": true, "followed": false} {
		t.Run(name, func(t *testing.T) {
			next := fakeredis.Start(t, fakeredis.Script{fakeredis.Expect("APPEND", "k", "2"), fakeredis.Reply(":2\r\n"), fakeredis.Discard()})
			r := newSuspenseRig(t)
			r.on(func() {
				r.local.ConnSet(resp.RESP2, 0).Conn(0, 0).Send([]byte(redistest.Request("APPEND", "k", "2")), r.got, 0)
				if told {
					r.local.shards[0].overtaken()
				}
				r.pool.mu.Lock()
				then := r.pool.serverAt(next.Addr(), 0)
				r.pool.mu.Unlock()
				at := r.local.shards[0].told
				at.primary = then
				r.local.shards[0].follow(at)
			})
			r.expect("(sent)")
			r.expect(":2\r\n")
		})
	}
}

// Writes that were given back go out again when the failover is called off.
func TestWritesGivenBackGoOutWhenHoldEnds(t *testing.T) {
	r := newSuspenseRig(t, fakeredis.Script{fakeredis.Expect("APPEND", "k", "2"), fakeredis.Reply(":2\r\n"), fakeredis.Discard()})
	r.on(func() {
		r.local.ConnSet(resp.RESP2, 0).Conn(0, 0).Send([]byte(redistest.Request("APPEND", "k", "2")), r.got, 0)
		r.local.shards[0].overtaken()
	})
	r.expect("(sent)")
	r.pool.Release(0)
	r.expect(":2\r\n")
}
