// Package pipeline carries many requests over one connection to a Redis server.
//
// Requests are appended to one output buffer and written together at the end of the loop's
// turn. Redis answers in order, so position is the only match between a request and its
// reply: a Conn that loses count is closed. A request that times out is answered at once,
// but its entry stays in the queue until its late reply was read and dropped. What was never
// written may be sent again over a new connection; what was written is never sent twice.
//
//	conn := pipeline.New(loop, &pipeline.Config{
//		Network: "tcp", Addr: "127.0.0.1:6379", Timeout: time.Second, ConnectTimeout: time.Second,
//		MaxRequests: 1024, MaxBytes: 1 << 20, Replies: resp.DefaultReplyLimits,
//	}, observer) // counts failures
//	loop.Post(func() {
//		if f := conn.Send([]byte("*1\r\n$4\r\nPING\r\n"), receiver, 1); f != nil {
//			log.Print(f) // refused: the server is down
//		}
//	}) // receiver.Reply(1, []byte("+PONG\r\n"), true) follows, or receiver.Fail
//
// A Conn connects with the first request and comes back by itself; conn.go has a table of
// its states. A Link does the same for protocols in which replies do not answer requests one
// by one, such as subscriptions. Both belong to one event loop and are not safe for
// concurrent use.
//
// The package does not choose servers, retry elsewhere or look into requests: package pool
// does, through a Redirector.
package pipeline
