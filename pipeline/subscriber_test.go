package pipeline_test

import (
	"strings"
	"testing"
	"time"

	"ringway/eventloop"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/pipeline"
)

// listening is a Subscriber on a loop of its own, and what its feed is told, as
// text. Its methods are for the test's goroutine.
type listening struct {
	t    *testing.T
	loop *eventloop.Loop
	sub  *pipeline.Subscriber
	obs  *observer
	told chan string
}

func (l *listening) tell(words ...string)          { l.told <- strings.Join(words, " ") }
func (l *listening) Confirmed(t *pipeline.Topic)   { l.tell("confirmed", t.Name) }
func (l *listening) Left(t *pipeline.Topic)        { l.tell("left", t.Name) }
func (l *listening) Lost(error)                    { l.tell("lost") }
func (l *listening) Unreachable(*pipeline.Failure) { l.tell("unreachable") }

func (l *listening) Refused(t *pipeline.Topic, reply []byte) {
	l.tell("refused", t.Name, strings.TrimSpace(string(reply)))
}

func (l *listening) Message(kind pipeline.TopicKind, name, frame []byte) {
	l.tell("message", kind.String()+string(name))
}

func listen(t *testing.T, cfg *pipeline.Config, tracks bool) *listening {
	t.Helper()
	loop, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	l := &listening{t: t, loop: loop, obs: &observer{changed: make(chan struct{})}, told: make(chan string, 1000)}
	l.sub = pipeline.NewSubscriber(loop, cfg, l.obs, l)
	if tracks {
		l.sub = pipeline.NewTracker(loop, cfg, l.obs, l)
	}
	ended := make(chan struct{})
	go func() {
		loop.Run()
		close(ended)
	}()
	t.Cleanup(func() {
		loop.Stop()
		<-ended
	})
	return l
}

func (l *listening) on(fn func()) {
	done := make(chan struct{})
	l.loop.Post(func() {
		fn()
		close(done)
	})
	<-done
}

func (l *listening) join(topics ...*pipeline.Topic) {
	l.on(func() {
		for _, t := range topics {
			l.sub.Join(t)
		}
	})
}

func (l *listening) expect(want ...string) {
	l.t.Helper()
	for _, w := range want {
		select {
		case got := <-l.told:
			if got != w {
				l.t.Fatalf("told %q, want %q", got, w)
			}
		case <-time.After(patience):
			l.t.Fatalf("not told %q", w)
		}
	}
}

func subscribed(name string) string {
	return fakeredis.Array(fakeredis.Bulk("subscribe"), fakeredis.Bulk(name), ":1\r\n")
}

func published(name string) string {
	return fakeredis.Array(fakeredis.Bulk("message"), fakeredis.Bulk(name), fakeredis.Bulk("x"))
}

func TestSubscriptionsComeBackAfterALoss(t *testing.T) {
	redistest.CheckLeaks(t)
	s := fakeredis.Start(t,
		fakeredis.Script{fakeredis.Expect("subscribe", "a"), fakeredis.Reply(subscribed("a") + published("a")), fakeredis.Close()},
		fakeredis.Script{fakeredis.Expect("subscribe", "a"), fakeredis.Reply(subscribed("a")),
			fakeredis.Expect("unsubscribe", "a"), fakeredis.Reply(published("a") + strings.Replace(subscribed("a"), "$9\r\n", "$11\r\nun", 1))})
	l := listen(t, config(s.Addr()), false)
	topic := &pipeline.Topic{Kind: pipeline.Channel, Name: "a"}
	l.join(topic)
	l.expect("confirmed a", "message a", "lost", "confirmed a")
	l.on(func() { l.sub.Leave(topic) })
	l.expect("message a", "left a")
}

// A server that says what it can't mean is left, and asked again after a while.
func TestSubscriberLeavesAServerThatBreaksTheProtocol(t *testing.T) {
	for _, broken := range []string{"+OK\r\n", subscribed("other"), "\x00garbage\r\n", "$3\r\nabcdef", "*3\r\n:1\r\n:2\r\n:3\r\n"} {
		s := fakeredis.Start(t,
			fakeredis.Script{fakeredis.Expect("subscribe", "a"), fakeredis.Reply(subscribed("a") + broken), fakeredis.Discard()},
			fakeredis.Script{fakeredis.Expect("subscribe", "a"), fakeredis.Reply(subscribed("a")), fakeredis.Discard()})
		l := listen(t, config(s.Addr()), false)
		l.join(&pipeline.Topic{Name: "a"})
		l.expect("confirmed a", "lost", "confirmed a")
	}
}

func TestSubscriberIsToldWhyATopicIsRefused(t *testing.T) {
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) { // they come in any order
		if args[0] == "subscribe" {
			c.Reply("-NOPERM no\r\n")
			return
		}
		c.Reply(fakeredis.Array(fakeredis.Bulk(args[0]), fakeredis.Bulk(args[1]), ":1\r\n"))
	})
	l := listen(t, config(s.Addr()), false)
	l.on(func() {
		l.sub.Join(&pipeline.Topic{Name: "a"})
	})
	l.on(func() { l.sub.Join(&pipeline.Topic{Kind: pipeline.Pattern, Name: "b*"}) })
	for range 2 {
		switch got := <-l.told; got {
		case "refused a -NOPERM no", "confirmed b*":
		default:
			t.Errorf("told %q", got)
		}
	}
}

// A server that takes requests and answers none is noticed.
func TestSubscriberGivesUpASilentServer(t *testing.T) {
	s := fakeredis.StartEach(t, fakeredis.Script{fakeredis.Discard()})
	cfg := config(s.Addr())
	cfg.Timeout = 50 * time.Millisecond
	l := listen(t, cfg, false)
	l.join(&pipeline.Topic{Name: "a"})
	l.expect("lost", "unreachable", "lost", "unreachable")
}

func TestTrackerHearsOfAllKeysOfARealServer(t *testing.T) {
	s := redistest.Start(t)
	l := listen(t, config(s.Addr()), true)
	l.join(&pipeline.Topic{Name: pipeline.TrackingTopic})
	l.expect("confirmed " + pipeline.TrackingTopic)
	s.Do("MSET", "a", "1", "b", "2")
	l.expect("message " + pipeline.TrackingTopic)
	s.Do("CLIENT", "KILL", "TYPE", "pubsub")
	l.expect("lost", "confirmed "+pipeline.TrackingTopic)
	s.Do("FLUSHALL")
	l.expect("message " + pipeline.TrackingTopic)
}

func TestInvalidatedKeysAreReadFromMessagesOfServersAlone(t *testing.T) {
	message := func(payload string) []byte {
		return []byte("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n" + payload)
	}
	if keys, ok := pipeline.InvalidatedKeys(message("*1\r\n$1\r\na\r\n")); !ok || string(keys) != "*1\r\n$1\r\na\r\n" {
		t.Errorf("%q, %v", keys, ok)
	}
	if keys, ok := pipeline.InvalidatedKeys(message("$-1\r\n")); !ok || keys != nil {
		t.Errorf("%q, %v", keys, ok)
	}
	for _, payload := range []string{"$5\r\nhello\r\n", ":1\r\n", "$0\r\n\r\n"} {
		if _, ok := pipeline.InvalidatedKeys(message(payload)); ok {
			t.Errorf("%q is taken for the server's", payload)
		}
	}
}
