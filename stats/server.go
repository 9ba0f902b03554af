package stats

// Server counts what one loop sees of one server, over all of its connections to it.
type Server struct {
	Latency  Histogram // of all requests answered, without markers and handshakes, from Send to the reply
	Errors   uint64    // error replies
	Timeouts uint64    // requests that had no reply within timeout
	Lost     uint64    // requests sent whose reply did not come because the connection ended

	Connects        uint64 // connections made
	ConnectFails    uint64 // attempts that failed
	ConnectTimeouts uint64 // of ConnectFails, those that took longer than connect_timeout
	Disconnects     uint64 // connections lost, or closed by the proxy because of a fault
	Closed          uint64 // of Disconnects, those that the server has closed in order

	BytesOut uint64 // of requests, as the kernel has taken them
	BytesIn  uint64 // of replies

	Answer *Answer // for the receiver of a reply, shared by all servers of the pool on the loop; nil for none
	Addr   string  // of the server

	run serverRun
}

// Answer is the reply that a loop is handling now: its server, or nil outside of that, and when the
// request was sent, as eventloop.Loop.Now.
type Answer struct {
	Server *Server
	Sent   int64
}

// serverRun is replies to requests that were sent in one turn and answered in another.
type serverRun struct {
	sent, now uint32
	count     uint64
}

// Replied counts a reply that has come now to a request that was sent then. Both are times in Units
// from the same clock, which may wrap around.
func (s *Server) Replied(sent, now uint32) {
	if s.run.sent == sent && s.run.now == now {
		s.run.count++
		return
	}
	s.beginRun(sent, now) // apart, so that Replied is inlined
}

func (s *Server) beginRun(sent, now uint32) {
	s.endRun()
	s.run = serverRun{sent, now, 1}
}

func (s *Server) endRun() {
	if r := &s.run; r.count > 0 {
		s.Latency.Add(r.now-r.sent, r.count)
		r.count = 0
	}
}

// Merge adds what other has counted. It leaves other alone but for its run.
func (s *Server) Merge(other *Server) {
	other.endRun()
	s.Latency.Merge(&other.Latency)
	s.Errors += other.Errors
	s.Timeouts += other.Timeouts
	s.Lost += other.Lost
	s.Connects += other.Connects
	s.ConnectFails += other.ConnectFails
	s.ConnectTimeouts += other.ConnectTimeouts
	s.Disconnects += other.Disconnects
	s.Closed += other.Closed
	s.BytesOut += other.BytesOut
	s.BytesIn += other.BytesIn
}
