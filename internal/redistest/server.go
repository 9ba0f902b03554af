package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is a redis-server that listens on 127.0.0.1 and keeps nothing on disk. Its
// methods belong to the test's goroutine, except those of Process and those that only
// return addresses.
type Server struct {
	*Process

	// Static after construction.
	port     int
	tlsPort  int    // where it listens for TLS, or 0
	socket   string // path of its Unix socket, or ""
	password string

	throughout *Authority // set by TLSThroughout, or nil
	fresh      []byte     // of a reusable server: its settings when it was new

	clientOnce sync.Once
	client     *redis.Client
}

// Option changes how a Server is started.
type Option func(*settings)

type settings struct {
	args     []string
	password string
	socket   bool
	file     bool
	tls      bool

	throughout *Authority
}

// Args adds arguments to redis-server's command line, such as "--maxclients",
// "10". They come last, so they override the package's own. For a password use
// Password, so that the Server's own clients know it.
func Args(args ...string) Option {
	return func(s *settings) { s.args = append(s.args, args...) }
}

// Password makes the server require this password (of the default user), and give it to
// its primary.
func Password(password string) Option {
	return func(s *settings) {
		s.password = password
		s.args = append(s.args, "--requirepass", password, "--masterauth", password)
	}
}

// UnixSocket makes the server listen on a Unix socket too; see Server.Socket.
func UnixSocket() Option {
	return func(s *settings) { s.socket = true }
}

// ConfigFile gives the server a configuration file, empty at first. A server that has one writes it
// anew, with fsync, when Sentinel promotes it.
func ConfigFile() Option { return func(s *settings) { s.file = true } }

// Debug allows the DEBUG command, for example DEBUG SLEEP. It needs Redis 7.
func Debug() Option { return Args("--enable-debug-command", "yes") }

// ReplicaOf makes the server a replica of primary. Start returns when it
// answers, which may be before the first synchronization is done.
func ReplicaOf(primary *Server) Option {
	return Args("--replicaof", "127.0.0.1 "+strconv.Itoa(primary.peerPort()))
}

// Start runs a redis-server until the test ends and returns when it answers
// PING.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	path := RequireTool(t, "redis-server")
	if len(opts) == 0 && reuse.may() {
		return startReusable(t, path)
	}
	const attempts = 5
	for i := range attempts {
		s := launch(t, path, opts)
		if s.untilReady() {
			return s
		}
		// Another process may have taken the port since FreePort looked.
		if i == attempts-1 || !strings.Contains(s.Output(), "Address already in use") {
			t.Fatalf("redis-server does not answer PING:\n%s", lastLines(s.Output(), 20))
		}
		s.Kill()
	}
	panic("bug: left the loop without a server")
}

// StartN runs n servers, all with the same options.
func StartN(t testing.TB, n int, opts ...Option) []*Server {
	t.Helper()
	servers := make([]*Server, n)
	for i := range servers {
		servers[i] = Start(t, opts...)
	}
	return servers
}

// launch starts a process and does not wait for it.
func launch(t testing.TB, path string, opts []Option) *Server {
	t.Helper()
	var set settings
	for _, o := range opts {
		o(&set)
	}
	dir := tempDir(t)
	s := &Server{port: FreePort(t), password: set.password, throughout: set.throughout}
	args := plainArgs(s.port, dir)
	if set.socket {
		s.socket = filepath.Join(dir, "redis.sock")
		args = append(args, "--unixsocket", s.socket, "--unixsocketperm", "700")
	}
	if set.tls {
		s.tlsPort = FreePort(t)
		args = append(args, "--tls-port", strconv.Itoa(s.tlsPort))
	}
	if args = append(args, set.args...); set.file {
		file := filepath.Join(dir, "redis.conf")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append([]string{file}, args...)
	}
	s.Process = startProcess(t, dir, path, args)
	return s
}

// plainArgs are the arguments of every server.
func plainArgs(port int, dir string) []string {
	return []string{
		"--port", strconv.Itoa(port), "--bind", "127.0.0.1", "--dir", dir,
		"--save", "", "--appendonly", "no", "--daemonize", "no",
		"--repl-diskless-sync-delay", "0", // a replica's first copy comes at once, not after 5 s
	}
}

// untilReady waits until the server answers PING. It reports false if the server ends or
// the time is over first.
func (s *Server) untilReady() bool { return poll(startTimeout, s.Exited(), s.answers) }

// answers reports whether this process answers, with its data loaded. Another process on
// the same port would answer with another id.
func (s *Server) answers() bool {
	c, err := dial("tcp", s.Addr(), time.Second)
	if err != nil {
		return false
	}
	defer c.conn.Close()
	if s.password != "" {
		if _, err := c.exchange("AUTH", s.password); err != nil {
			return false
		}
	}
	if reply, err := c.exchange("PING"); err != nil || reply != "+PONG\r\n" {
		return false
	}
	reply, err := c.exchange("INFO", "server")
	if err != nil || strings.HasPrefix(reply, "-") {
		return err == nil // a test may forbid or rename INFO
	}
	return strings.Contains(reply, fmt.Sprintf("\r\nprocess_id:%d\r\n", s.Pid()))
}

// Addr returns the server's "127.0.0.1:port".
func (s *Server) Addr() string { return loopback(s.port) }

// Port returns the server's TCP port.
func (s *Server) Port() int { return s.port }

// Socket returns the path of the server's Unix socket; "" without UnixSocket.
func (s *Server) Socket() string { return s.socket }

// Restart kills the server if it still runs, starts it again on the same port
// with the same options and no data, and returns when it answers PING.
func (s *Server) Restart() {
	s.t.Helper()
	s.Process.Restart()
	if !s.untilReady() {
		s.t.Fatalf("restarted redis-server does not answer PING:\n%s", lastLines(s.Output(), 20))
	}
}

// Client returns the go-redis client of this server, the same one every time.
// It is safe for use by many goroutines and is closed when the test ends.
func (s *Server) Client() *redis.Client {
	s.clientOnce.Do(func() {
		s.client = NewClient(s.t, s.Addr(), s.password)
	})
	return s.client
}

// IsPrimary reports whether the server says that it is a primary. It returns false if the
// server does not answer: Sentinels that change a server's role end its connections.
func (s *Server) IsPrimary() bool {
	reply, err := s.ask("ROLE")
	return err == nil && strings.HasPrefix(reply, "*3\r\n$6\r\nmaster\r\n")
}

// Do sends one request on a new connection, which is authenticated first if the
// server has a password, and returns the reply as it came over the wire, error
// replies included. It fails the test if no complete reply comes.
func (s *Server) Do(args ...string) string {
	s.t.Helper()
	reply, err := s.ask(args...)
	if err != nil {
		s.t.Fatalf("reply of %s to %q: %q, %v", s.Addr(), args, reply, err)
	}
	return reply
}

func (s *Server) ask(args ...string) (reply string, err error) {
	c, err := dial("tcp", s.Addr(), startTimeout)
	if err != nil {
		return "", err
	}
	defer c.conn.Close()
	if s.password != "" {
		if reply, err := c.exchange("AUTH", s.password); err != nil || reply != "+OK\r\n" {
			return reply, fmt.Errorf("AUTH was not taken: %v", err)
		}
	}
	return c.exchange(args...)
}
