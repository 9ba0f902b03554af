package pubsub_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"ringway/conf"
	"ringway/eventloop"
	"ringway/pipeline"
	"ringway/pubsub"
	"ringway/resp"
)

// oneServer is the Servers of a pool with one server.
type oneServer struct{ cfg pipeline.Config }

func (oneServer) Shards() int                         { return 1 }
func (oneServer) ShardOf([]byte) int                  { return 0 }
func (oneServer) Slotted() bool                       { return false }
func (oneServer) Absent(int) bool                     { return false }
func (oneServer) Removed(int) bool                    { return false }
func (oneServer) FollowMoved(int, []byte) (int, bool) { return 0, false }
func (s *oneServer) Primary(int) (*pipeline.Config, pipeline.Observer, error) {
	return &s.cfg, healthIgnored{}, nil
}

// settings is pubsub.Settings; a *pool.Pool has them too.
type settings struct{ pool *conf.Pool }

func (s settings) Conf() *conf.Pool { return s.pool }
func (settings) Proxy() *conf.Proxy { return &conf.Default().Proxy }

// healthIgnored is an Observer that does nothing.
type healthIgnored struct{}

func (healthIgnored) Succeeded()        {}
func (healthIgnored) Failed(error) bool { return false }
func (healthIgnored) Complained([]byte) {}

// printer is a Listener that prints what it gets.
type printer struct{ got chan struct{} }

func (printer) Subscribed(sub *pubsub.Subscription, _ []byte) {
	fmt.Println("subscribed to", sub.Name())
}

func (p printer) Message(sub *pubsub.Subscription, _ int, frame []byte) {
	fmt.Println("message:", strings.Fields(string(frame))[6])
	close(p.got)
}

func (printer) Missed() {}

// publish is a server that publishes a message as soon as somebody subscribes.
func publish(l net.Listener) {
	c, err := l.Accept()
	if err != nil {
		return
	}
	defer c.Close()
	c.Read(make([]byte, 100)) // SUBSCRIBE news
	io.WriteString(c, "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n")
	io.Copy(io.Discard, c)
}

// A loop subscribes at a server on behalf of a listener.
func Example() {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	go publish(server)
	loop, err := eventloop.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	c := conf.DefaultPool("alpha")
	shared := pubsub.NewPool(settings{&c}, slog.New(slog.DiscardHandler))
	subs := pubsub.NewLocal(shared, loop, &oneServer{pipeline.Config{
		Network: "tcp", Addr: server.Addr().String(), ConnectTimeout: 10 * time.Second, Replies: resp.DefaultReplyLimits,
	}})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		loop.Run()
	}()

	listener := printer{got: make(chan struct{})}
	loop.Post(func() { subs.Subscribe(pubsub.Channel, "news", listener) })
	<-listener.got

	loop.Post(subs.Close)
	loop.Stop()
	<-ended
	// Output:
	// subscribed to news
	// message: hello
}
