package pubsub

import (
	"os"
	"strings"
	"testing"
	"time"

	"ringway/eventloop"
	"ringway/internal/fakeredis"
	"ringway/internal/redistest"
	"ringway/pipeline"
	"ringway/resp"
)

func TestMain(m *testing.M) { os.Exit(redistest.RunCheckingLeaks(m)) }

// observer ignores the server's health.
type observer struct{}

func (observer) Succeeded()        {}
func (observer) Failed(error) bool { return false }
func (observer) Complained([]byte) {}

func config(addr string) *pipeline.Config {
	return &pipeline.Config{Network: "tcp", Addr: addr, ConnectTimeout: 10 * time.Second, Replies: resp.DefaultReplyLimits}
}

// listening is a connection on a loop of its own, which records its events as text. Its
// methods are for the test's goroutine.
type listening struct {
	t      *testing.T
	loop   *eventloop.Loop
	conn   *connection
	events chan string
}

func (l *listening) record(words ...string)        { l.events <- strings.Join(words, " ") }
func (l *listening) confirmed(t *Topic)            { l.record("confirmed", t.Name) }
func (l *listening) unsubscribed(t *Topic)         { l.record("left", t.Name) }
func (l *listening) lost(error)                    { l.record("lost") }
func (l *listening) unreachable(*pipeline.Failure) { l.record("unreachable") }

func (l *listening) refused(t *Topic, reply []byte) {
	l.record("refused", t.Name, strings.TrimSpace(string(reply)))
}

func (l *listening) message(kind TopicKind, name, frame []byte) {
	l.record("message", kind.String()+string(name))
}

func listen(t *testing.T, cfg *pipeline.Config, tracks bool) *listening {
	t.Helper()
	loop, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	l := &listening{t: t, loop: loop, events: make(chan string, 1000)}
	l.conn = newConnection(loop, cfg, observer{}, l)
	if tracks {
		l.conn = newInvalidations(loop, cfg, observer{}, l)
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

func (l *listening) subscribe(topics ...*Topic) {
	l.on(func() {
		for _, t := range topics {
			l.conn.subscribe(t)
		}
	})
}

func (l *listening) expect(want ...string) {
	l.t.Helper()
	for _, w := range want {
		select {
		case got := <-l.events:
			if got != w {
				l.t.Fatalf("got %q, want %q", got, w)
			}
		case <-time.After(30 * time.Second):
			l.t.Fatalf("no %q", w)
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
	t.Parallel()
	s := fakeredis.Start(t,
		fakeredis.Script{fakeredis.Expect("subscribe", "a"), fakeredis.Reply(subscribed("a") + published("a")), fakeredis.Close()},
		fakeredis.Script{fakeredis.Expect("subscribe", "a"), fakeredis.Reply(subscribed("a")),
			fakeredis.Expect("unsubscribe", "a"), fakeredis.Reply(published("a") + strings.Replace(subscribed("a"), "$9\r\n", "$11\r\nun", 1))})
	l := listen(t, config(s.Addr()), false)
	topic := &Topic{Kind: Channel, Name: "a"}
	l.subscribe(topic)
	l.expect("confirmed a", "message a", "lost", "confirmed a")
	l.on(func() { l.conn.unsubscribe(topic) })
	l.expect("message a", "left a")
}

// A connection to a server that breaks the protocol is closed, and made again after a while.
func TestConnectionLeavesAServerThatBreaksTheProtocol(t *testing.T) {
	t.Parallel()
	for _, broken := range []string{"+OK\r\n", subscribed("other"), "\x00garbage\r\n", "$3\r\nabcdef", "*3\r\n:1\r\n:2\r\n:3\r\n"} {
		s := fakeredis.Start(t,
			fakeredis.Script{fakeredis.Expect("subscribe", "a"), fakeredis.Reply(subscribed("a") + broken), fakeredis.Discard()},
			fakeredis.Script{fakeredis.Expect("subscribe", "a"), fakeredis.Reply(subscribed("a")), fakeredis.Discard()})
		l := listen(t, config(s.Addr()), false)
		l.subscribe(&Topic{Name: "a"})
		l.expect("confirmed a", "lost", "confirmed a")
	}
}

func TestConnectionReportsWhyATopicIsRefused(t *testing.T) {
	t.Parallel()
	s := fakeredis.StartHandler(t, func(c *fakeredis.Conn, args []string) { // they come in any order
		if args[0] == "subscribe" {
			c.Reply("-NOPERM no\r\n")
			return
		}
		c.Reply(fakeredis.Array(fakeredis.Bulk(args[0]), fakeredis.Bulk(args[1]), ":1\r\n"))
	})
	l := listen(t, config(s.Addr()), false)
	l.on(func() {
		l.conn.subscribe(&Topic{Name: "a"})
	})
	l.on(func() { l.conn.subscribe(&Topic{Kind: Pattern, Name: "b*"}) })
	for range 2 {
		switch got := <-l.events; got {
		case "refused a -NOPERM no", "confirmed b*":
		default:
			t.Errorf("got %q", got)
		}
	}
}

// A server that reads requests and answers none is given up.
func TestConnectionGivesUpASilentServer(t *testing.T) {
	t.Parallel()
	s := fakeredis.StartEach(t, fakeredis.Script{fakeredis.Discard()})
	cfg := config(s.Addr())
	cfg.Timeout = 50 * time.Millisecond
	l := listen(t, cfg, false)
	l.subscribe(&Topic{Name: "a"})
	l.expect("lost", "unreachable", "lost", "unreachable")
}

func TestInvalidationsComeOfAllKeysOfARealServer(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	l := listen(t, config(s.Addr()), true)
	l.subscribe(&Topic{Name: InvalidationChannel})
	l.expect("confirmed " + InvalidationChannel)
	s.Do("MSET", "a", "1", "b", "2")
	l.expect("message " + InvalidationChannel)
	s.Do("CLIENT", "KILL", "TYPE", "pubsub")
	l.expect("lost", "confirmed "+InvalidationChannel)
	s.Do("FLUSHALL")
	l.expect("message " + InvalidationChannel)
}

func TestInvalidatedKeysAreReadFromMessagesOfServersAlone(t *testing.T) {
	t.Parallel()
	message := func(payload string) []byte {
		return []byte("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n" + payload)
	}
	if keys, ok := invalidatedKeys(message("*1\r\n$1\r\na\r\n")); !ok || string(keys) != "*1\r\n$1\r\na\r\n" {
		t.Errorf("%q, %v", keys, ok)
	}
	if keys, ok := invalidatedKeys(message("$-1\r\n")); !ok || keys != nil {
		t.Errorf("%q, %v", keys, ok)
	}
	for _, payload := range []string{"$5\r\nhello\r\n", ":1\r\n", "$0\r\n\r\n"} {
		if _, ok := invalidatedKeys(message(payload)); ok {
			t.Errorf("%q is taken for the server's", payload)
		}
	}
}

// Subscriptions back off as well, and no topic is reported as refused.
func TestConnectionToAServerThatIsFull(t *testing.T) {
	s := fakeredis.StartEach(t, fakeredis.Script{fakeredis.ExpectAny(1), fakeredis.Reply("-ERR max number of clients reached\r\n"), fakeredis.Close()})
	l := listen(t, config(s.Addr()), false)
	l.subscribe(&Topic{Kind: Channel, Name: "c"})
	l.expect("lost", "unreachable", "lost", "unreachable")
}

// A server that wants a password which the proxy does not have is asked again only after a
// while.
func TestConnectionToAServerThatWantsAPasswordBacksOff(t *testing.T) {
	s := redistest.Start(t, redistest.Password("secret"))
	l := listen(t, config(s.Addr()), false)
	l.subscribe(&Topic{Kind: Channel, Name: "c"})
	l.expect("lost", "unreachable", "lost", "unreachable")
}

// afterAnswers waits for the answers that are due, over a loss as well, but not for a server that can't be
// reached.
func TestAfterAnswers(t *testing.T) {
	t.Parallel()
	pong := fakeredis.Array(fakeredis.Bulk("pong"), fakeredis.Bulk(""))
	expect := []fakeredis.Step{fakeredis.Expect("subscribe", "a"), fakeredis.Expect("PING")}
	s := fakeredis.Start(t,
		append(fakeredis.Script(expect), fakeredis.Reply(subscribed("a")), fakeredis.Close()),
		append(fakeredis.Script(expect), fakeredis.Reply(subscribed("a")+published("a")+pong), fakeredis.Expect("PING"), fakeredis.Close()))
	l := listen(t, config(s.Addr()), false)
	afterAnswers := func() { l.conn.afterAnswers(func() { l.record("answered") }) }
	l.on(afterAnswers)
	l.expect("answered") // there are no topics
	l.subscribe(&Topic{Name: "a"})
	l.on(afterAnswers)
	l.expect("confirmed a", "lost", "confirmed a", "message a", "answered")
	s.Refuse()
	l.on(afterAnswers)
	l.expect("lost", "answered", "unreachable")
	l.on(afterAnswers)
	l.expect("answered")
}
