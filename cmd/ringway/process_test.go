package main

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringway/internal/demo"
	"ringway/internal/redistest"
)

// patience is how long a test waits for something that takes a moment.
const patience = 30 * time.Second

// start runs ringway until the test ends.
func start(t *testing.T, args ...string) *redistest.Process {
	t.Helper()
	path, err := exec.LookPath("ringway") // TestMain put it there
	if err != nil {
		t.Fatal(err)
	}
	return redistest.StartProcess(t, path, args...)
}

// printed waits until the process has printed a match for pattern, and returns
// what its groups matched.
func printed(t *testing.T, p *redistest.Process, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	var found []string
	redistest.Eventually(t, patience, "output that matches "+pattern, func() bool {
		found = re.FindStringSubmatch(p.Output())
		return found != nil
	})
	return found[1:]
}

// exited waits for the process to end and returns its exit code, -1 if a
// signal ended it.
func exited(t *testing.T, p *redistest.Process) int {
	t.Helper()
	select {
	case <-p.Exited():
		return p.ExitCode()
	case <-time.After(patience):
		t.Fatalf("still running; it printed %q", p.Output())
		return 0
	}
}

// configFile writes a configuration file with one pool, alpha, in front of
// servers, and returns its name. Lines are added to the [proxy] table.
func configFile(t *testing.T, listen string, servers []string, lines ...string) string {
	t.Helper()
	text := "[proxy]\n" + strings.Join(lines, "\n") +
		"\n[pools.alpha]\nlisten = \"" + listen + "\"\nservers = [\"" + strings.Join(servers, `", "`) + "\"]\n"
	path := filepath.Join(t.TempDir(), "ringway.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func startNodes(t *testing.T, n int) []string {
	t.Helper()
	nodes, err := demo.Start(n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nodes.Close)
	return nodes.Addrs()
}

// silentServer returns the address of a server that accepts and never answers,
// and a channel with an element for each GET that it has read.
func silentServer(t *testing.T) (addr string, gets <-chan struct{}) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	read := make(chan struct{}, 100) // never closed
	go acceptSilently(ln, read)
	return ln.Addr().String(), read
}

// acceptSilently ends when the listener is closed.
func acceptSilently(ln net.Listener, gets chan<- struct{}) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go readSilently(conn, gets)
	}
}

// readSilently ends when the proxy closes the connection. Not everything that
// it reads is a client's: the proxy also asks servers who they are.
func readSilently(conn net.Conn, gets chan<- struct{}) {
	defer conn.Close()
	for r := bufio.NewScanner(conn); r.Scan(); {
		if r.Text() == "GET" {
			gets <- struct{}{}
		}
	}
}

func TestServesUntilTerminated(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		p := start(t, "-c", configFile(t, "127.0.0.1:0", startNodes(t, 4)))
		addr := printed(t, p, `level=INFO msg=listening .*addr=(\S+)`)[0]
		client := redistest.NewClient(t, addr, "")
		for _, key := range []string{"one", "two", "three", "four"} {
			if err := client.Set(t.Context(), key, "value of "+key, 0).Err(); err != nil {
				t.Fatal(err)
			}
			if got := client.Get(t.Context(), key).Val(); got != "value of "+key {
				t.Errorf("%s is %q", key, got)
			}
		}
		p.Signal(sig)
		if code := exited(t, p); code != exitOK {
			t.Errorf("exit code %d after %v, want 0", code, sig)
		}
	}
}

func TestUnixSocketIsGoneAfterwards(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "rw") // t.TempDir's path is too long for a socket on some systems
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	p := start(t, "-c", configFile(t, socket+" 600", startNodes(t, 1)))
	printed(t, p, "msg=listening")
	info, err := os.Stat(socket)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("socket's permissions are %o, want 600", mode)
	}
	if got := redistest.Dial(t, "unix", socket).Do("PING"); got != "+PONG\r\n" {
		t.Errorf("PING answered %q", got)
	}
	p.Signal(syscall.SIGTERM)
	if code := exited(t, p); code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("socket afterwards: %v, want that it is gone", err)
	}
}

// underWay starts a proxy and a request that will never be answered.
func underWay(t *testing.T, lines ...string) *redistest.Process {
	t.Helper()
	addr, gets := silentServer(t)
	p := start(t, "-c", configFile(t, "127.0.0.1:0", []string{addr}, lines...))
	client := redistest.Dial(t, "tcp", printed(t, p, `msg=listening .*addr=(\S+)`)[0])
	client.Send(redistest.Request("GET", "key"))
	select {
	case <-gets:
	case <-time.After(patience):
		t.Fatal("the request did not reach the server")
	}
	return p
}

func TestDrainTimeoutIsAFailure(t *testing.T) {
	t.Parallel()
	p := underWay(t, `drain_timeout = "50ms"`)
	p.Signal(syscall.SIGTERM)
	if code := exited(t, p); code != exitFailure {
		t.Errorf("exit code %d, want %d", code, exitFailure)
	}
	printed(t, p, `^ringway: drain: .*50ms`)
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := underWay(t, `drain_timeout = "1h"`)
	p.Signal(syscall.SIGTERM)
	printed(t, p, "msg=draining")
	p.Signal(syscall.SIGTERM) // SIGINT is ignored by default where the tests run in the background
	if code := exited(t, p); code != -1 {
		t.Errorf("exit code %d, want none because of the signal", code)
	}
}

func TestLogIsAsConfigured(t *testing.T) {
	t.Parallel()
	p := start(t, "-c", configFile(t, "127.0.0.1:0", startNodes(t, 1), `log_format = "json"`))
	printed(t, p, `^\{"time":.*"level":"INFO","msg":"starting","version":".+","config":".+"\}$`)
	printed(t, p, `^\{"time":.*"msg":"listening"`)

	p = start(t, "-c", configFile(t, "127.0.0.1:0", []string{"127.0.0.1:1 a", "127.0.0.1:1 b"}, `log_format = "json"`))
	printed(t, p, `^\{.*"level":"WARN","msg":"configuration","warning":".*ringway.toml:\d+:\d+: warning: pool \\"alpha\\": `)
}

func TestTakenAddressIsAClearError(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	addr := ln.Addr().String()
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"demo", "--listen", addr}, "^ringway demo: .*" + addr + ".*address already in use; .* choose another address with --listen$"},
		{[]string{"-c", configFile(t, addr, []string{"127.0.0.1:1"})}, `^ringway: pool "alpha": .*` + addr + ".*address already in use; .* the setting listen$"},
	} {
		p := start(t, test.args...)
		if code := exited(t, p); code != exitFailure {
			t.Errorf("%v: exit code %d, want %d", test.args, code, exitFailure)
		}
		printed(t, p, test.want)
	}
}

// The commands that the demo prints work as printed.
func TestDemoDoesWhatItSays(t *testing.T) {
	t.Parallel()
	cli := redistest.RequireTool(t, "redis-cli")
	p := start(t, "demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	printed(t, p, `Ctrl-C`)
	var got []string
	for line := range strings.Lines(p.Output()) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "redis-cli ") {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cmd := exec.CommandContext(ctx, "sh", "-c", line)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Dir(cli)+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		cancel()
		if err != nil {
			t.Errorf("%s: %v", line, err)
		}
		got = append(got, strings.Join(strings.Fields(string(out)), " "))
	}
	want := []string{"OK", "hello", "OK", "4 3 2 1", "2", "2"}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("the commands answered %q, want %q", got, want)
	}
	p.Signal(os.Interrupt)
	if code := exited(t, p); code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
}

func TestDemoTakesNodesAndAddress(t *testing.T) {
	t.Parallel()
	p := start(t, "demo", "-nodes=7", "--traffic", "--listen", "localhost:0", "--admin", "127.0.0.1:0")
	addr := printed(t, p, `^Ringway listens on (\S+); behind it is a ring of 7 `)[0]
	printed(t, p, `^  node7 +127.0.0.1:\d+ +160 +\d+\.\d % #+$`)
	printed(t, p, `Ctrl-C`)
	printed(t, p, `http://127.0.0.1:\d+/ in a browser`)
	client := redistest.Dial(t, "tcp", addr)
	if got := client.Do("PING"); got != "+PONG\r\n" {
		t.Errorf("PING answered %q", got)
	}
	redistest.Eventually(t, patience, "traffic", func() bool { return client.Do("DBSIZE") != ":0\r\n" })
	p.Signal(syscall.SIGTERM)
	if code := exited(t, p); code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
}
