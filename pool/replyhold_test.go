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

// heldRepliesRig is a shard whose primary has been sent one request, while its replies are
// held. The primary answers when answer is closed.
type heldRepliesRig struct {
	t      *testing.T
	pool   *Pool
	local  *Local
	got    replies
	answer chan struct{}
}

func newHeldRepliesRig(t *testing.T, next ...fakeredis.Script) *heldRepliesRig {
	r := &heldRepliesRig{t: t, got: make(replies, 8), answer: make(chan struct{})}
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

func (r *heldRepliesRig) on(fn func()) {
	done := make(chan struct{})
	r.local.loop.Post(func() {
		fn()
		close(done)
	})
	<-done
}

func (r *heldRepliesRig) settle() {
	for range 5 {
		r.on(func() {})
	}
}

func (r *heldRepliesRig) send(args ...string) {
	r.on(func() { r.local.ConnSet(resp.RESP2, 0).Conn(0, 0).Send([]byte(redistest.Request(args...)), r.got, 0) })
}

func (r *heldRepliesRig) expect(part string) {
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

// A false alarm has no effect: the reply is passed on, and writes go on.
func TestHeldRepliesComeWhenNothingHasHappened(t *testing.T) {
	for name, end := range map[string]func(r *heldRepliesRig){
		"released": func(r *heldRepliesRig) { r.pool.Release(0) },
		"held":     func(r *heldRepliesRig) { r.pool.Hold(0) },
		"same primary": func(r *heldRepliesRig) {
			r.pool.SetView(0, View{Primary: Member{Addr: r.local.shards[0].primary.addr}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHeldRepliesRig(t)
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

// What the old primary has answered since then is dropped; what was not sent to it goes to
// the new one.
func TestHeldRepliesOfAnOldPrimaryAreOfUnknownOutcome(t *testing.T) {
	for name, givenUp := range map[string]bool{"given up": true, "followed": false} {
		t.Run(name, func(t *testing.T) {
			next := fakeredis.Start(t, fakeredis.Script{fakeredis.Expect("APPEND", "k", "2"), fakeredis.Reply(":2\r\n"), fakeredis.Discard()})
			r := newHeldRepliesRig(t)
			r.on(func() {
				r.local.ConnSet(resp.RESP2, 0).Conn(0, 0).Send([]byte(redistest.Request("APPEND", "k", "2")), r.got, 0)
				if givenUp {
					r.local.shards[0].giveUpReplies()
				}
				r.pool.mu.Lock()
				then := r.pool.serverAt(next.Addr(), 0)
				r.pool.mu.Unlock()
				now := r.local.shards[0].serving
				now.primary = then
				r.local.shards[0].follow(now)
			})
			r.expect("(sent)")
			r.expect(":2\r\n")
		})
	}
}

// Writes that came back unsent go out again when the failover is called off.
func TestWritesThatCameBackGoOutWhenHoldEnds(t *testing.T) {
	r := newHeldRepliesRig(t, fakeredis.Script{fakeredis.Expect("APPEND", "k", "2"), fakeredis.Reply(":2\r\n"), fakeredis.Discard()})
	r.on(func() {
		r.local.ConnSet(resp.RESP2, 0).Conn(0, 0).Send([]byte(redistest.Request("APPEND", "k", "2")), r.got, 0)
		r.local.shards[0].giveUpReplies()
	})
	r.expect("(sent)")
	r.pool.Release(0)
	r.expect(":2\r\n")
}
