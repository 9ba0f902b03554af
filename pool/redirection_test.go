package pool

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/hashring"
	"ringway/internal/fakeredis"
	"ringway/pipeline"
	"ringway/pubsub"
	"ringway/resp"
)

// outcomes is a Listener that receives the outcomes of its subscriptions.
type outcomes chan string

func (o outcomes) Subscribed(_ *pubsub.Subscription, reply []byte) { o <- string(reply) }
func (outcomes) Message(*pubsub.Subscription, int, []byte)         {}
func (outcomes) Missed()                                           {}

// runLocal runs the loop of a new Local until the test ends.
func runLocal(t *testing.T, p *Pool) *Local {
	t.Helper()
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
	t.Cleanup(func() {
		loop.Post(l.Close)
		loop.Stop()
		<-done
	})
	return l
}

// subscriptions makes l's part of subscriptions, on its loop.
func subscriptions(l *Local) *pubsub.Local {
	subs := pubsub.NewLocal(pubsub.NewPool(l.Pool, l.log), l.loop, l)
	l.SetChangeListener(subs)
	return subs
}

// subscribe subscribes to a shard channel, and returns what comes of it.
func subscribe(l *Local) outcomes {
	got := make(outcomes, 1)
	l.loop.Post(func() {
		if _, wait, now := subscriptions(l).Subscribe(pubsub.ShardChannel, "c", got); !wait {
			got <- string(now)
		}
	})
	return got
}

// followingPool returns a pool of one shard of a topology, whose primary is at
// addr.
func followingPool(t *testing.T, topology, addr string) *Pool {
	t.Helper()
	p, _ := newPool(t, 1, func(c *conf.Pool) {
		c.Topology = topology
		if topology == conf.Cluster {
			c.Servers[0].Addr = addr
		} else {
			c.Shards = []conf.Shard{{Name: "s1", Weight: 1}}
		}
	})
	if topology != conf.Cluster {
		p.SetView(0, View{Primary: Member{Addr: addr}})
	}
	return p
}

// refusing plays a server that answers whatever it is asked with what reply
// returns.
func refusing(t *testing.T, reply func() string) *fakeredis.Server {
	return fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) {
		if strings.EqualFold(args[0], "ssubscribe") {
			c.Reply(reply())
		} else {
			c.Reply("+OK\r\n")
		}
	})
}

// A redirection that is not valid is the client's reply: what it names is used neither as
// an index nor as an address.
func TestAnInvalidRedirectionIsTheReply(t *testing.T) {
	cluster := []string{
		"-MOVED 99999 127.0.0.1:1", "-MOVED 16384 127.0.0.1:1", "-MOVED -1 127.0.0.1:1",
		"-MOVED 9223372036854775808 127.0.0.1:1", "-MOVED x 127.0.0.1:1",
		"-MOVED 1", "-MOVED 1 ", "-MOVED", "-MOVED 1 nowhere", "-MOVED 1 127.0.0.1:", "-MOVED 1 127.0.0.1:0",
		"-MOVED 1 127.0.0.1:65536", "-MOVED 1 127.0.0.1:x", "-MOVED 1 /tmp/x.sock",
		"-MOVED 1 " + strings.Repeat("a", 300) + ":1",
	}
	for topology, replies := range map[string][]string{
		conf.Cluster:    cluster,
		conf.Replicated: append([]string{"-MOVED 1 127.0.0.1:1"}, cluster...),
		conf.Sentinel:   {"-MOVED 1 127.0.0.1:1", "-MOVED 99999 127.0.0.1:1"},
	} {
		for _, reply := range replies {
			t.Run(fmt.Sprintf("%s %.40s", topology, reply), func(t *testing.T) {
				s := refusing(t, func() string { return reply + "\r\n" })
				l := runLocal(t, followingPool(t, topology, s.Addr()))
				if o := subscribe(l).next(t); o != reply+"\r\n" {
					t.Errorf("got %q, want %q", o, reply)
				}
			})
		}
	}
}

// Servers that redirect a subscription in a circle, or to themselves, are asked a few times
// and no more.
func TestASubscriptionIsNotRedirectedForEver(t *testing.T) {
	movedTo := func(s **fakeredis.Server) func() string {
		return func() string { return fmt.Sprintf("-MOVED %d %s\r\n", hashring.Slot([]byte("c")), (*s).Addr()) }
	}
	var one, two, self *fakeredis.Server
	one, two, self = refusing(t, movedTo(&two)), refusing(t, movedTo(&one)), refusing(t, movedTo(&self))
	for name, addr := range map[string]string{"circle": one.Addr(), "self": self.Addr()} {
		t.Run(name, func(t *testing.T) {
			l := runLocal(t, followingPool(t, conf.Cluster, addr))
			if o := subscribe(l).next(t); !strings.HasPrefix(o, "-MOVED ") {
				t.Errorf("got %q", o)
			}
		})
	}
}

func (o outcomes) next(t *testing.T) string {
	t.Helper()
	select {
	case reply := <-o:
		return reply
	case <-time.After(30 * time.Second):
		t.Fatal("the subscription came to nothing")
		return ""
	}
}

// failures counts how often a request fails.
type failures int

func (*failures) Reply(uint32, []byte, bool)               {}
func (n *failures) Fail(uint32, *pipeline.Failure, []byte) { *n++ }

// ASKING and the request behind it are one request to its Receiver, which fails once.
func TestRequestBehindASKINGThatWasNotSentFailsOnce(t *testing.T) {
	p := followingPool(t, conf.Cluster, "127.0.0.1:1")
	l := runLocal(t, p)
	done := make(chan struct{})
	l.loop.Post(func() {
		defer close(done)
		connSet := l.ConnSetAs(nil, resp.RESP2, 0)
		ro := &route{conns: connSet, shard: 0, server: l.shards[0].primary}
		failed := new(failures)
		rt := &retry{shard: l.shards[0], conns: connSet, to: failed, replies: 1, skip: 1, behindAsking: true, until: l.loop.Now() - 1}
		if ro.Unsent(nil, ErrNoPrimary, pipeline.Request{Receiver: rt, Replies: 2}) {
			t.Error("it was taken, though its time is over")
		}
		for range 2 {
			rt.Fail(0, &pipeline.Failure{Cause: ErrNoPrimary}, nil)
		}
		if *failed != 1 {
			t.Errorf("it failed %d times", *failed)
		}
	})
	<-done
}
