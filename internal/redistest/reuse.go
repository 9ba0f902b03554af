package redistest

import (
	"bytes"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// resetTimeout is how long a server may take to become as new. One that is paused, or busy
// with a script, does not, and is killed.
const resetTimeout = 500 * time.Millisecond

// reuse keeps redis-servers without options from one test to the next: to start a process
// costs more than most tests do with it.
var reuse idleServers

type idleServers struct {
	mu      sync.Mutex // guards the fields below
	on      bool       // between begin and end
	servers []*Server
}

// begin permits that servers stay after their tests. Whoever calls it calls end.
func (i *idleServers) begin() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.on = true
}

// end kills all servers that were kept.
func (i *idleServers) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.on = false
	for _, s := range i.servers {
		s.discard()
	}
	i.servers = nil
}

// may reports whether servers are kept. While a test checks for leaks they are not: a
// process would look like one.
func (i *idleServers) may() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.on && os.Getenv(checksLeaks) == ""
}

// take returns a server that still runs, or nil.
func (i *idleServers) take() *Server {
	i.mu.Lock()
	defer i.mu.Unlock()
	for len(i.servers) > 0 {
		last := len(i.servers) - 1
		s := i.servers[last]
		i.servers = i.servers[:last]
		if s.runs() {
			return s
		}
		s.discard()
	}
	return nil
}

func (i *idleServers) put(s *Server) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.servers = append(i.servers, s)
}

// startReusable is Start for a server without options.
func startReusable(t testing.TB, path string) *Server {
	t.Helper()
	var s *Server
	if old := reuse.take(); old != nil {
		s = old.handOver(t)
	} else {
		s = launchReusable(t, path)
	}
	t.Cleanup(func() {
		if !t.Failed() && reuse.may() && s.runs() && s.reset() {
			reuse.put(s)
			return
		}
		s.end()
		s.discard()
	})
	return s
}

func launchReusable(t testing.TB, path string) *Server {
	t.Helper()
	port, err := takePort()
	if err != nil {
		t.Fatalf("free port: %v", err)
	}
	s := &Server{port: port}
	dir := makeTempDir(t)
	s.Process = runProcess(t, dir, path, plainArgs(port, dir))
	if s.untilReady() {
		s.fresh = s.settings(startTimeout)
		return s
	}
	output := lastLines(s.Output(), 20)
	s.discard()
	if strings.Contains(output, "Address already in use") { // another process took the port meanwhile
		return launchReusable(t, path)
	}
	t.Fatalf("redis-server does not answer PING:\n%s", output)
	return nil
}

// handOver returns the server as one of test t, in whose Output the tests before do not appear.
func (s *Server) handOver(t testing.TB) *Server {
	p := &Process{t: t, path: s.path, args: s.args, dir: s.dir, logPath: s.logPath, logFrom: s.logFrom + len(s.Output())}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.cmd, p.done = s.cmd, s.done
	return &Server{Process: p, port: s.port, fresh: s.fresh}
}

// runs reports whether the process runs and no test has sent it a signal.
func (s *Server) runs() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return false
	default:
		return !s.signaled
	}
}

// discard kills the process and gives back its port and directory.
func (s *Server) discard() {
	s.Kill()
	returnPort(s.port)
	os.RemoveAll(s.dir)
}

// reset empties the server and reports whether it then is as it was when it was started:
// without data, scripts, clients, counts and replicas, and with the same configuration and users.
func (s *Server) reset() bool {
	c, err := dial("tcp", s.Addr(), resetTimeout)
	if err != nil {
		return false
	}
	defer c.conn.Close()
	for _, request := range []string{
		"CLIENT KILL TYPE normal", "CLIENT KILL TYPE pubsub", "CLIENT UNPAUSE", "FLUSHALL SYNC", "SCRIPT FLUSH SYNC",
		"FUNCTION FLUSH SYNC", "SLOWLOG RESET", "LATENCY RESET", "ACL LOG RESET", "CONFIG RESETSTAT",
	} {
		if reply, err := c.exchange(strings.Fields(request)...); err != nil || strings.HasPrefix(reply, "-") {
			return false
		}
	}
	// A test that saved leaves a file, from which a restarted server would load.
	files, err := os.ReadDir(s.dir)
	return err == nil && len(files) == 1 && bytes.Equal(s.settings(resetTimeout), s.fresh)
}

// settings returns what a test may have changed and reset does not undo. It is nil if the server
// does not answer in time.
func (s *Server) settings(timeout time.Duration) []byte {
	c, err := dial("tcp", s.Addr(), timeout)
	if err != nil {
		return nil
	}
	defer c.conn.Close()
	var all []byte
	for _, request := range []string{"CONFIG GET *", "ACL LIST", "ROLE", "MODULE LIST", "INFO keyspace"} {
		reply, err := c.exchange(strings.Fields(request)...)
		if err != nil {
			return nil
		}
		all = append(all, reply...)
	}
	return all
}
