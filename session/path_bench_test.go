package session

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"ringway/audit"
	"ringway/conf"
	"ringway/eventloop"
	"ringway/internal/fakeredis"
	"ringway/pipeline"
	"ringway/pool"
	"ringway/resp"
)

// BenchmarkPath is what a request and its reply cost the proxy between the
// system calls, one operation being one request of one of 50 clients. Sessions
// are handed what clients would send, connections what four servers would
// answer, and what they have to write is thrown away.
func BenchmarkPath(b *testing.B) {
	value := strings.Repeat("v", 64)
	key := func() string { return fmt.Sprintf("key:%012d", rand.IntN(100000)) }
	get := func() []string { return []string{"GET", key()} }
	set := func() []string { return []string{"SET", key(), value} }
	bulk := "$64\r\n" + value + "\r\n"
	for _, depth := range []int{1, 16, 64} {
		for _, statistics := range []bool{true, false} {
			b.Run(fmt.Sprintf("GET/pipeline%d/statistics=%t", depth, statistics), func(b *testing.B) { newPath(b, statistics).run(depth, get, bulk) })
		}
	}
	b.Run("SET/pipeline64", func(b *testing.B) { newPath(b, true).run(64, set, "+OK\r\n") })
}

const (
	pathClients = 50
	pathServers = 4

	// requestsPerTick is how many requests a loop runs in a tenth of a second.
	requestsPerTick = 100000

	// maxAnswered is how many replies a server's write has at most: what Redis
	// makes of the 16 KiB that it reads at once.
	maxAnswered = 400
)

// path is an event loop with sessions that are the benchmark's.
type path struct {
	b *testing.B
	w *Worker
}

// newPath starts a loop and has it connect to four servers.
func newPath(b *testing.B, statistics bool) *path {
	var addrs []string
	for range pathServers {
		s := fakeredis.StartHandler(b, func(c *fakeredis.Conn, _ []string) { c.Reply("$-1\r\n") })
		addrs = append(addrs, fmt.Sprintf("%q", s.Addr()))
	}
	cfg, _, err := conf.Parse(fmt.Appendf(nil, "[proxy]\nthreads = 1\n[pools.a]\nlisten = \"127.0.0.1:0\"\nhash = \"fnv1a_64\"\nservers = [%s]\n",
		strings.Join(addrs, ", ")), "path.toml")
	if err != nil {
		b.Fatal(err)
	}
	cfg.Proxy.Statistics = statistics
	log := slog.New(slog.DiscardHandler)
	servers, err := pool.New(&cfg.Pools[0], &cfg.Proxy, nil, log)
	if err != nil {
		b.Fatal(err)
	}
	loop, err := eventloop.New()
	if err != nil {
		b.Fatal(err)
	}
	w := NewWorkers([]*eventloop.Loop{loop}, []*pool.Pool{servers}, &cfg.Proxy, noHost{}, log)[0]
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		loop.Run()
	}()
	b.Cleanup(func() {
		loop.Stop()
		<-ended
	})
	p := &path{b, w}
	p.useAllServers()
	return p
}

// noHost is a process that bounds nothing.
type noHost struct{}

func (noHost) Left(int)               {}
func (noHost) Uncount(int)            {}
func (noHost) UncountedLeft()         {}
func (noHost) Audit() *audit.Log      { return new(audit.Log) }
func (noHost) DescriptorsShort() bool { return false }
func (noHost) SpeakTLS(c Client)      { c.Socket.Close() }
func (noHost) Freed()                 {}
func (noHost) Drained()               {}
func (noHost) State() State           { return State{} }

// useAllServers sends requests that reach every server, so that the proxy is
// connected to all of them.
func (p *path) useAllServers() {
	fds := p.socketpair()
	f := os.NewFile(uintptr(fds[1]), "client")
	c, err := net.FileConn(f)
	f.Close()
	if err != nil {
		p.b.Fatal(err)
	}
	defer c.Close()
	p.w.loop.Post(func() { p.w.Adopt(Client{Socket: eventloop.Socket{FD: fds[0]}, ID: 1, Addr: "client", Local: "proxy"}) })
	const n = 200
	for i := range n {
		c.Write(resp.AppendRequest(nil, [][]byte{[]byte("GET"), fmt.Appendf(nil, "%d:%d", i, rand.Int())}))
	}
	if _, err := io.ReadFull(c, make([]byte, n*len("$-1\r\n"))); err != nil {
		p.b.Fatal(err)
	}
}

// socketpair returns two sockets that do not block and are connected to each other.
func (p *path) socketpair() [2]int {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		panic(err)
	}
	for _, fd := range fds {
		syscall.SetNonblock(fd, true)
	}
	return fds
}

// run measures clients that each have so many requests in a pipeline.
func (p *path) run(depth int, request func() []string, reply string) {
	batches := make([][]byte, 64)
	for i := range batches {
		for range depth {
			var args [][]byte
			for _, arg := range request() {
				args = append(args, []byte(arg))
			}
			batches[i] = resp.AppendRequest(batches[i], args)
		}
	}
	replies := bytes.Repeat([]byte(reply), maxAnswered)
	done := make(chan struct{})
	p.w.loop.Post(func() {
		defer close(done)
		sessions := p.sessions()
		conns := make([]*pipeline.Conn, pathServers)
		for i := range conns {
			conns[i] = sessions[0].conns.Conn(i, 0)
		}
		sockets := make([]*eventloop.Conn, pathServers)
		for i, c := range conns {
			sockets[i] = socketOf(c)
		}
		p.b.ReportAllocs()
		p.b.ResetTimer()
		for n := 0; n < p.b.N; n += pathClients * depth {
			if n/requestsPerTick != (n-pathClients*depth)/requestsPerTick {
				p.w.Tick()
			}
			for i, s := range sessions {
				s.Data(batches[(n+i)%len(batches)])
			}
			for _, c := range sockets {
				p.discard(c)
			}
			p.answer(conns, replies, len(reply))
			for _, s := range sessions {
				p.discard(s.conn)
			}
		}
		p.b.StopTimer()
		for _, s := range sessions {
			s.close()
		}
	})
	<-done
}

// sessions returns sessions whose clients neither send nor read.
func (p *path) sessions() (sessions []*session) {
	for i := range pathClients {
		fds := p.socketpair()
		p.b.Cleanup(func() { syscall.Close(fds[1]) })
		s := newSession(p.w.pools[0], &clientInfo{id: uint64(i)})
		p.w.attach(s, eventloop.Socket{FD: fds[0]})
		s.sizes = sizes{answered: true, limit: p.w.conf.ClientPipeline, previous: 64} // as of a client whose replies are small
		sessions = append(sessions, s)
	}
	return sessions
}

// answer has each server in turn answer some of its requests until all are.
func (p *path) answer(conns []*pipeline.Conn, replies []byte, size int) {
	for more := true; more; {
		more = false
		for _, c := range conns {
			if n := min(c.InFlight(), maxAnswered); n > 0 {
				c.Data(replies[:n*size])
				more = true
			}
		}
	}
}

// discard throws away what a connection has to write.
func (p *path) discard(c *eventloop.Conn) {
	if out := c.TakeUnwritten(); out != nil {
		p.w.loop.Release(out)
	}
}

// socketOf returns what a connection to a server writes to.
func socketOf(c *pipeline.Conn) *eventloop.Conn {
	return (*eventloop.Conn)(unsafe.Pointer(reflect.ValueOf(c).Elem().FieldByName("conn").Pointer()))
}
