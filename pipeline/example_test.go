package pipeline_test

import (
	"fmt"
	"io"
	"net"
	"time"

	"ringway/eventloop"
	"ringway/pipeline"
	"ringway/resp"
)

// printer is a Receiver that prints what it gets and then stops the loop.
type printer struct{ loop *eventloop.Loop }

func (p printer) Reply(tag uint32, b []byte, last bool) {
	fmt.Printf("request %d: %q\n", tag, b)
	if last {
		p.loop.Stop()
	}
}

func (p printer) Fail(tag uint32, f *pipeline.Failure, _ []byte) {
	fmt.Printf("request %d: %v\n", tag, f)
	p.loop.Stop()
}

// health is an Observer that does nothing.
type health struct{}

func (health) Succeeded()        {}
func (health) Failed(error) bool { return false }
func (health) Complained([]byte) {}

// One request to a server that answers PING.
func Example() {
	const ping = "*1\r\n$4\r\nPING\r\n"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		if _, err := io.ReadFull(c, make([]byte, len(ping))); err == nil {
			io.WriteString(c, "+PONG\r\n")
		}
	}()

	loop, err := eventloop.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	conn := pipeline.New(loop, &pipeline.Config{
		Network: "tcp", Addr: l.Addr().String(), Timeout: 10 * time.Second, ConnectTimeout: 10 * time.Second,
		MaxRequests: 1024, MaxBytes: 1 << 20, Replies: resp.DefaultReplyLimits,
	}, health{})
	loop.Post(func() {
		if f := conn.Send([]byte(ping), printer{loop}, 1); f != nil {
			fmt.Println("refused:", f)
		}
	})
	loop.Run() // until printer stops it
	// Output: request 1: "+PONG\r\n"
}
