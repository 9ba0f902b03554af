package pubsub

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/internal/redistest"
	"ringway/pipeline"
)

// oneServer is a pool with one shard.
type oneServer struct{ cfg *pipeline.Config }

func (oneServer) Shards() int                         { return 1 }
func (oneServer) ShardOf([]byte) int                  { return 0 }
func (oneServer) Slotted() bool                       { return false }
func (oneServer) Absent(int) bool                     { return false }
func (oneServer) Removed(int) bool                    { return false }
func (oneServer) FollowMoved(int, []byte) (int, bool) { return 0, false }
func (s oneServer) Primary(int) (*pipeline.Config, pipeline.Observer, error) {
	if s.cfg == nil {
		return nil, nil, errors.New("ERR no primary")
	}
	return s.cfg, observer{}, nil
}

// client records what it is told of subscriptions and invalidations, as text.
type client chan string

func (c client) Subscribed(_ *Subscription, reply []byte) { c <- "joined" + string(reply) }
func (c client) Message(_ *Subscription, _ int, frame []byte) {
	c <- strings.Join(strings.Fields(string(frame)), " ")
}
func (c client) Missed()          { c <- "missed" }
func (c client) TrackingChanged() { c <- "listening" }
func (c client) Invalidated(keys []byte) {
	c <- "invalidated " + strings.Join(strings.Fields(string(keys)), " ")
}

func (c client) expect(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		select {
		case got := <-c:
			if got != w {
				t.Fatalf("got %q, want %q", got, w)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("no %q", w)
		}
	}
}

// fixedSettings is Settings that never change.
type fixedSettings struct{ pool *conf.Pool }

func (f fixedSettings) Conf() *conf.Pool   { return f.pool }
func (f fixedSettings) Proxy() *conf.Proxy { return &conf.Default().Proxy }

// newLocal runs a loop with subscriptions until the test ends. on runs a function there
// and waits for it.
func newLocal(t *testing.T, cfg *pipeline.Config) (l *Local, on func(func())) {
	t.Helper()
	loop, err := eventloop.New()
	if err != nil {
		t.Fatal(err)
	}
	c := conf.DefaultPool("alpha")
	l = NewLocal(NewPool(fixedSettings{&c}, slog.New(slog.DiscardHandler)), loop, oneServer{cfg})
	ended := make(chan struct{})
	go func() {
		loop.Run()
		close(ended)
	}()
	t.Cleanup(func() {
		loop.Post(l.Close)
		loop.Stop()
		<-ended
	})
	return l, func(fn func()) {
		done := make(chan struct{})
		loop.Post(func() {
			fn()
			close(done)
		})
		<-done
	}
}

// When a server's name resolves to another address, messages and invalidations come from
// there.
func TestConnectionsFollowAServersName(t *testing.T) {
	s := redistest.Start(t)
	l, on := newLocal(t, config(s.Addr()))
	messages, changes := make(client, 100), make(client, 100)
	on(func() { l.Subscribe(Channel, "news", messages) })
	messages.expect(t, "joined")
	on(func() { l.Track(changes) })
	changes.expect(t, "listening")

	on(func() { l.Resolved(s.Addr(), []netip.Addr{netip.MustParseAddr("127.0.0.1")}) }) // as before
	s.Do("SET", "k", "v")
	changes.expect(t, "invalidated *1 $1 k")
	s.Do("PUBLISH", "news", "one")
	messages.expect(t, "*3 $7 message $4 news $3 one")

	on(func() { l.Resolved(s.Addr(), []netip.Addr{netip.MustParseAddr("127.0.0.9")}) })
	messages.expect(t, "missed")
	changes.expect(t, "invalidated ", "listening", "listening")
}

// MONITOR does not wait where no primary is known.
func TestMonitorWithoutPrimariesIsOpenAtOnce(t *testing.T) {
	l, on := newLocal(t, nil)
	opened := false
	on(func() { l.Monitor(func([]byte) {}, func() { opened = true }) })
	if !opened {
		t.Error("it waits")
	}
}
