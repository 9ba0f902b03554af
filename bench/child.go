package bench

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// readyTimeout is how long a started process may take until it answers on its port.
const readyTimeout = 10 * time.Second

// nestedEnv is set in processes that a harness started. A harness refuses to run in one:
// if it were started by mistake instead of a proxy, it would start another harness
// instead of its own proxy, and so on.
const nestedEnv = "RINGWAY_BENCH_NESTED"

// child is a process that the harness started.
type child struct {
	name string
	cmd  *exec.Cmd
	log  *tailBuffer
	done chan struct{} // closed when the process has ended and was waited for
}

// spawner starts processes that end with the harness. One thread starts all of them and
// lives as long as they do, because Linux sends the parent-death signal when the thread
// that forked ends.
type spawner struct {
	work     chan func()
	stopOnce sync.Once
	children []*child
}

func newSpawner() *spawner {
	s := &spawner{work: make(chan func())}
	go s.serve()
	return s
}

// serve runs the functions that start sends, until close.
func (s *spawner) serve() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for f := range s.work {
		f()
	}
}

// start starts a program in dir. Its output is kept for error messages.
func (s *spawner) start(name, dir, path string, args ...string) (*child, error) {
	c := &child{name: name, cmd: exec.Command(path, args...), log: &tailBuffer{}, done: make(chan struct{})}
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = dir, c.log, c.log
	c.cmd.Env = append(os.Environ(), nestedEnv+"=1")
	c.cmd.WaitDelay = time.Second
	dieWithParent(c.cmd)
	result := make(chan error, 1)
	s.work <- func() { result <- c.cmd.Start() }
	if err := <-result; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go c.wait()
	s.children = append(s.children, c)
	return c, nil
}

// wait reaps the process.
func (c *child) wait() {
	_ = c.cmd.Wait()
	close(c.done)
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// close ends every process it started, by its id, and waits for them. A
// process that does not end within two seconds of SIGTERM is killed.
func (s *spawner) close() {
	s.stopOnce.Do(func() {
		for _, c := range s.children {
			_ = c.cmd.Process.Signal(syscall.SIGTERM)
		}
		deadline := time.NewTimer(2 * time.Second)
		defer deadline.Stop()
		for _, c := range s.children {
			select {
			case <-c.done:
			case <-deadline.C:
				deadline.Reset(0)
				_ = c.cmd.Process.Kill()
				<-c.done
			}
		}
		close(s.work)
	})
}

// errNotReady is the error for a process that did not become ready.
var errNotReady = errors.New("not ready")

// awaitReady waits until the server at addr answers a GET with anything that is
// not an error. c is the server's process, nil if the harness did not start it.
func awaitReady(addr string, c *child) error {
	var ended chan struct{}
	log := func() string { return "" }
	if c != nil {
		ended, log = c.done, c.log.String
	}
	deadline := time.Now().Add(readyTimeout)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := probe(addr)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: %w: %w\n%s", addr, errNotReady, err, log())
		}
		select {
		case <-ended:
			return fmt.Errorf("%s: %w: the process ended\n%s", addr, errNotReady, log())
		case <-tick.C:
		}
	}
}

// probe sends one GET, which every proxy forwards, and looks at the reply's first byte.
func probe(addr string) error {
	network, address := splitAddr(addr)
	conn, err := net.DialTimeout(network, address, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Second))
	if _, err := conn.Write([]byte("*2\r\n$3\r\nGET\r\n$11\r\nbench:ready\r\n")); err != nil {
		return err
	}
	first := make([]byte, 64)
	n, err := conn.Read(first)
	if err != nil {
		return err
	}
	if first[0] != '$' && first[0] != '_' {
		return fmt.Errorf("reply %q", clip(bytes.TrimSpace(first[:n])))
	}
	return nil
}

// freeAddr returns a loopback address on which no process listened a moment ago.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// tailBuffer keeps the last bytes written to it. It is safe for concurrent use.
type tailBuffer struct {
	mu   sync.Mutex // guards text
	text []byte
}

const tailSize = 2048

// Write keeps the last 2 KiB of everything written. It never fails.
func (t *tailBuffer) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if extra := len(t.text) - tailSize; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(b), nil
}

// String returns what was kept.
func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
