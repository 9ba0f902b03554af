package pool

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/hashring"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/resp"
)

// scriptMove is a Cluster whose slots have moved from one server to another that the pool does
// not know yet.
type scriptMove struct {
	t        *testing.T
	p        *Pool
	l        *Local
	old, new *fakeredis.Server
	executed chan string // the commands that the new server got
	got      replies
}

func startScriptMove(t *testing.T) *scriptMove {
	t.Helper()
	s := &scriptMove{t: t, executed: make(chan string, 8), got: make(replies, 8)}
	s.new = fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		if args[0] == "ECHO" {
			c.Reply(fakeredis.Bulk(args[1]))
			return
		}
		s.executed <- args[0]
		c.Reply("+" + args[0] + "\r\n")
	})
	s.old = fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		if args[0] == "ECHO" {
			c.Reply(fakeredis.Bulk(args[1]))
			return
		}
		c.Reply(fmt.Sprintf("-MOVED %d %s\r\n", hashring.Slot([]byte("k")), s.new.Addr()))
	})
	s.p = followingPool(t, conf.Cluster, s.old.Addr())
	s.p.Conf().FailoverWait = 30 * time.Second
	loop, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	s.l = s.p.NewLocal(loop, func(m *Map, _ []byte) (int, bool) { return m.Index([]byte("k")), true })
	done := make(chan struct{})
	go func() {
		defer close(done)
		loop.Run()
	}()
	t.Cleanup(func() {
		loop.Post(s.l.Close)
		loop.Stop()
		<-done
	})
	return s
}

// send sends a plain request, and eval a script, to who has the slot by the loop's Map. On the loop.
func (s *scriptMove) send() {
	s.l.ConnSet(resp.RESP2, 0).Conn(s.l.Map().Index([]byte("k")), 0).Send([]byte(redistest.Request("INCR", "k")), s.got, 0)
}

func (s *scriptMove) eval() {
	s.l.ConnSet(resp.RESP2, 0).Conn(s.l.Map().Index([]byte("k")), 0).SendMarked([]byte(redistest.Request("EVAL", "return 1", "1", "k")), s.got, 0)
}

// expectOrder fails the test unless the new server got the script first.
func (s *scriptMove) expectOrder() {
	s.t.Helper()
	var order []string
	for range 2 {
		select {
		case name := <-s.executed:
			order = append(order, name)
		case <-time.After(30 * time.Second):
			s.t.Fatalf("the new server got only %q", order)
		}
	}
	if !slices.Equal(order, []string{"EVAL", "INCR"}) {
		s.t.Errorf("the new server got %q", order)
	}
	for range 2 {
		<-s.got
	}
}

// A script's -MOVED makes no server known, so it waits. When that of the request behind it does,
// the script goes first.
func TestScriptKeepsItsPlaceBeforeARequestThatFollowsMoved(t *testing.T) {
	s := startScriptMove(t)
	s.l.loop.Post(func() {
		s.eval()
		s.send()
	})
	s.expectOrder()
}

// The control plane makes the server known while the script waits: new requests for the slot do
// not overtake it.
func TestScriptKeepsItsPlaceWhenTheMapChanges(t *testing.T) {
	s := startScriptMove(t)
	s.l.loop.Post(s.eval)
	waits := func() bool {
		n := make(chan int)
		s.l.loop.Post(func() { n <- len(s.l.shards[0].scriptRetries) })
		return <-n > 0
	}
	redistest.Eventually(t, 30*time.Second, "the script waits", waits)
	slot := uint16(hashring.Slot([]byte("k")))
	s.p.SetCluster([]ClusterShard{
		{ID: "a", View: View{Primary: Member{Addr: s.old.Addr()}}, Slots: []SlotRange{{0, slot - 1}, {slot + 1, hashring.Slots - 1}}},
		{ID: "b", View: View{Primary: Member{Addr: s.new.Addr()}}, Slots: []SlotRange{{slot, slot}}},
	})
	s.l.loop.Post(s.send)
	s.expectOrder()
}
