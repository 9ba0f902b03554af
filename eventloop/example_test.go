package eventloop_test

import (
	"fmt"
	"io"
	"net"

	"ringway/eventloop"
)

// echoHandler sends back what it gets.
type echoHandler struct{ conn *eventloop.Conn }

func (h *echoHandler) Data(b []byte) int {
	h.conn.Append(b)
	return len(b)
}
func (h *echoHandler) EOF()         { h.conn.Close() }
func (h *echoHandler) Closed(error) {}
func (h *echoHandler) Drained()     {}

// A server that echoes what its clients send.
func Example() {
	loop, err := eventloop.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan struct{})
	go func() {
		loop.Run()
		close(ended)
	}()
	l, err := eventloop.Listen("tcp", "127.0.0.1:0", 16, false)
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		for {
			fd, _, err := l.AcceptFD()
			if err != nil {
				return // closed
			}
			loop.Post(func() {
				h := &echoHandler{}
				if h.conn, err = loop.Attach(fd, h); err != nil {
					eventloop.CloseFD(fd)
				}
			})
		}
	}()

	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	io.WriteString(client, "hello")
	reply := make([]byte, 5)
	io.ReadFull(client, reply)
	fmt.Printf("%s\n", reply)

	client.Close()
	l.Close()
	loop.Stop()
	<-ended
	// Output: hello
}
