package pool

import (
	"slices"
	"testing"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/pipeline"
	"ringway/resp"
)

// replies collects what becomes of requests, each by its tag.
type replies chan string

func (r replies) Reply(_ uint32, b []byte, _ bool) { r <- string(b) }

func (r replies) Fail(_ uint32, f *pipeline.Failure, _ []byte) { r <- f.Error() }

// A request that was not written yet when its server lost the shard goes behind one that
// was written, though it comes back first.
func TestUnwrittenRequestsGoBehindWrittenOnes(t *testing.T) {
	const readonly = "-READONLY You can't write against a read only replica.\r\n"
	demote := make(chan struct{})
	old := fakeredis.Start(t, fakeredis.Script{fakeredis.Expect("APPEND", "k", "1"), fakeredis.Wait(demote), fakeredis.Reply(readonly)})
	next := fakeredis.Start(t, fakeredis.Script{
		fakeredis.Expect("APPEND", "k", "1"), fakeredis.Reply(":1\r\n"), fakeredis.Expect("APPEND", "k", "2"), fakeredis.Reply(":2\r\n"),
	})
	p, _ := newPool(t, 0, func(c *conf.Pool) {
		c.Topology = conf.Replicated
		c.Shards = []conf.Shard{{Name: "s1", Weight: 1}}
	})
	loop, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	l := p.NewLocal(loop, nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		loop.Run()
	}()
	defer func() {
		loop.Post(func() { l.Close() })
		loop.Stop()
		<-done
	}()
	p.SetView(0, View{Primary: Member{Addr: old.Addr()}})
	p.mu.Lock()
	then := serving{primary: p.serverAt(next.Addr(), 0)}
	p.mu.Unlock()

	got := make(replies, 2)
	send := func(args ...string) {
		l.ConnSet(resp.RESP2, 0).Conn(0, 0).Send([]byte(redistest.Request(args...)), got, 0)
	}
	loop.Post(func() { send("APPEND", "k", "1") })
	old.WaitRequests(1)
	loop.Post(func() {
		send("APPEND", "k", "2") // and before it is written at the turn's end
		l.shards[0].follow(then)
		close(demote)
	})
	var all []string
	for range 2 {
		select {
		case reply := <-got:
			all = append(all, reply)
		case <-time.After(30 * time.Second):
			t.Fatal("no reply")
		}
	}
	if want := []string{":1\r\n", ":2\r\n"}; !slices.Equal(all, want) {
		t.Errorf("replies %q, want %q", all, want)
	}
}
