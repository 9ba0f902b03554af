package redistest

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// An Option changes how Start runs redis-server.
type Option func(*settings)

type settings struct {
	args     []string
	port     int
	socket   bool
	password string
	sentinel string // text of a Sentinel's configuration, or empty
}

// Args appends arguments to redis-server's command line, such as
// "--maxmemory", "1mb". They come after Start's own and so overrule them.
func Args(args ...string) Option {
	return func(s *settings) { s.args = append(s.args, args...) }
}

// Port fixes the port instead of taking a free one.
func Port(port int) Option { return func(s *settings) { s.port = port } }

// UnixSocket has the server listen on a unix socket as well; Socket names it.
func UnixSocket() Option { return func(s *settings) { s.socket = true } }

// Password sets requirepass and masterauth, and is used by Client and Do.
func Password(password string) Option {
	return func(s *settings) {
		s.password = password
		s.args = append(s.args, "--requirepass", password, "--masterauth", password)
	}
}

// A Server is one redis-server on loopback. Its methods may be called from any
// goroutine until the test ends, unless they say otherwise.
type Server struct {
	t        testing.TB
	path     string
	dir      string
	socket   string
	settings settings

	mu      sync.Mutex // guards process; never held while a start is awaited
	process *Process
}

// Start runs a redis-server without persistence and returns when it answers.
// The test is skipped if redis-server is not installed. It must be called from
// the test's goroutine.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := &Server{t: t, path: Tool(t, "redis-server"), dir: t.TempDir()}
	for _, opt := range opts {
		opt(&s.settings)
	}
	if s.settings.socket {
		s.socket = filepath.Join(shortDir(t), "redis.sock")
	}
	var err error
	fixed := s.settings.port != 0
	for range 5 {
		if !fixed {
			s.settings.port = FreePort(t)
		}
		if err = s.launch(); fixed || !errors.Is(err, errPortTaken) {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// StartN starts n servers with the same options, one after the other.
func StartN(t testing.TB, n int, opts ...Option) []*Server {
	t.Helper()
	servers := make([]*Server, n)
	for i := range servers {
		servers[i] = Start(t, opts...)
	}
	return servers
}

// shortDir returns a directory whose path leaves room for a socket's name:
// that of a unix socket is limited to 107 bytes (103 on BSD), and t.TempDir
// holds the test's whole name.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rw")
	if err == nil && len(dir) > 80 {
		os.Remove(dir)
		dir, err = os.MkdirTemp("/tmp", "rw")
	}
	if err != nil {
		t.Fatalf("directory for a socket: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Addr returns the server's host:port.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.settings.port)) }

// Port returns the server's TCP port.
func (s *Server) Port() int { return s.settings.port }

// Socket returns the path of the server's unix socket, which is shorter than
// 100 bytes, or "" if it was not started with UnixSocket.
func (s *Server) Socket() string { return s.socket }

// Pid returns the id of the server's process; it changes with a Restart.
func (s *Server) Pid() int { return s.current().Pid() }

// Log returns the last 4 KiB of what the server logged.
func (s *Server) Log() string { return s.current().Log() }

// Kill ends the server at once, as kill -9 or a lost machine does, and returns
// when it is gone.
func (s *Server) Kill() { s.current().Kill() }

// Stop freezes the server with SIGSTOP: it keeps its connections, the kernel
// still accepts new ones for it, and it answers nothing until Cont.
func (s *Server) Stop() { s.signal(syscall.SIGSTOP) }

// Cont lets a stopped server go on.
func (s *Server) Cont() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.current().Signal(sig); err != nil {
		s.t.Error(err)
	}
}

// Restart starts the server again on the same port, killing it first if it
// runs, and returns when it answers. Its data are gone.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	if err := s.launch(); err != nil {
		s.t.Error(err)
	}
}

func (s *Server) current() *Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// Client returns a go-redis client for the server, which does not retry and is
// closed when the test ends.
func (s *Server) Client() *redis.Client {
	c := redis.NewClient(&redis.Options{
		Addr:             s.Addr(),
		Password:         s.settings.password,
		MaxRetries:       -1,
		DisableIdentity:  true,
		DisableIndentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{
			Mode: maintnotifications.ModeDisabled,
		},
	})
	s.t.Cleanup(func() { c.Close() })
	return c
}

// Do sends one command on a connection of its own and returns the reply as the
// server wrote it, such as "+OK\r\n". It fails the test, and returns "", if
// there is no reply within a minute.
func (s *Server) Do(args ...string) string {
	s.t.Helper()
	reply, err := s.ask(args...)
	if err != nil {
		s.t.Errorf("%v on %s: %v", args, s.Addr(), err)
	}
	return reply
}

func (s *Server) ask(args ...string) (string, error) {
	c, err := dial(s.Addr(), startTimeout)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if pw := s.settings.password; pw != "" {
		if reply, err := c.ask("AUTH", pw); err != nil || reply != "+OK\r\n" {
			return "", fmt.Errorf("AUTH: reply %q, error %w", reply, err)
		}
	}
	return c.ask(args...)
}

// errPortTaken says that another process listens on the port that redis-server
// was given, so that another port may be tried.
var errPortTaken = errors.New("port is taken")

// launch starts the process and waits until it answers.
func (s *Server) launch() error {
	args, err := s.arguments()
	if err != nil {
		return err
	}
	if s.socket != "" {
		// The socket of a killed server is still there; redis-server would
		// replace it, but it must not be mistaken for the new one before.
		if err := os.Remove(s.socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("old socket: %w", err)
		}
	}
	p, err := startProcess(s.t, s.dir, s.path, args...)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.process = p
	s.mu.Unlock()
	if poll(startTimeout, p.Exited(), s.answers) {
		return nil
	}
	select {
	case <-p.Exited():
		if strings.Contains(p.Log(), "Address already in use") {
			return fmt.Errorf("redis-server on %d: %w", s.settings.port, errPortTaken)
		}
		return fmt.Errorf("redis-server on %d ended at start: %s", s.settings.port, p.Log())
	default:
		return fmt.Errorf("redis-server on %d did not answer within %v: %s", s.settings.port, startTimeout, p.Log())
	}
}

// arguments returns redis-server's command line, writing a Sentinel's
// configuration file first. A Sentinel keeps what it has learnt in that file,
// so it is written once and found again by a Restart.
func (s *Server) arguments() ([]string, error) {
	var args []string
	if s.settings.sentinel != "" {
		file := filepath.Join(s.dir, "sentinel.conf")
		if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
			text := fmt.Sprintf("port %d\nbind 127.0.0.1\n%s", s.settings.port, s.settings.sentinel)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				return nil, fmt.Errorf("sentinel configuration: %w", err)
			}
		}
		return append(args, file, "--sentinel"), nil
	}
	args = append(args,
		"--port", strconv.Itoa(s.settings.port),
		"--bind", "127.0.0.1",
		"--dir", s.dir,
		"--save", "",
		"--appendonly", "no",
		"--daemonize", "no",
	)
	if s.socket != "" {
		args = append(args, "--unixsocket", s.socket, "--unixsocketperm", "700")
	}
	return append(args, s.settings.args...), nil
}

// answers reports whether this very process answers PING: another one on the
// same port would answer too, but not with this process's id.
func (s *Server) answers() bool {
	c, err := dial(s.Addr(), 5*time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	if pw := s.settings.password; pw != "" {
		if reply, err := c.ask("AUTH", pw); err != nil || reply != "+OK\r\n" {
			return false
		}
	}
	if reply, err := c.ask("PING"); err != nil || !strings.HasPrefix(reply, "+PONG") {
		return err == nil && strings.HasPrefix(reply, "-NOAUTH")
	}
	reply, err := c.ask("INFO", "server")
	if err != nil || strings.HasPrefix(reply, "-") {
		return err == nil // INFO may be renamed or forbidden
	}
	return strings.Contains(reply, fmt.Sprintf("\r\nprocess_id:%d\r\n", s.Pid()))
}
