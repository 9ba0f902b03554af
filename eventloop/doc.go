// Package eventloop runs buffered non-blocking connections on one goroutine.
//
// A Loop owns an epoll (kqueue on BSD and macOS) instance, its connections, its timers and
// one large read buffer. It works in turns: wait for readiness, let every ready connection
// read once and pass its bytes to a Handler, run what other goroutines posted and the timers
// that are due, run what was deferred, and then write each connection that has output. A
// connection is written at most once per turn, except for large outputs: batching comes from
// load. Output that its handler will add to soon (MoreComing) may wait for the end of the
// next turn.
//
//	loop, err := eventloop.New()
//	if err != nil {
//		return err
//	}
//	go loop.Run() // until loop.Stop
//	loop.Post(func() {
//		conn, err = loop.Attach(fd, handler) // handler.Data gets what comes; conn.Append answers
//	})
//
// Everything of a Loop and its Conns belongs to the loop's goroutine; only Post, Stop, Busy
// and the functions that say so may be called from others. A callback must not block: all
// other connections wait for it.
//
// The package knows no Redis, and no TLS: a Relay, such as that of package tlsrelay, brings it.
package eventloop
