package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"ringway/internal/redistest"
)

// serviceManager is what NOTIFY_SOCKET is.
type serviceManager struct {
	t    *testing.T
	path string
	mu   sync.Mutex
	told []string // guarded by mu
}

func startServiceManager(t *testing.T) *serviceManager {
	t.Helper()
	dir, err := os.MkdirTemp("", "rw") // t.TempDir's path is too long for a socket on some systems
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	m := &serviceManager{t: t, path: filepath.Join(dir, "n")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	t.Cleanup(func() { conn.Close(); reading.Wait() })
	reading.Go(func() {
		b := make([]byte, 4096)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.told = append(m.told, string(b[:n]))
			m.mu.Unlock()
		}
	})
	return m
}

// expect waits until the service manager has been told what matches, and forgets what came up to it.
func (m *serviceManager) expect(pattern string) (groups []string) {
	m.t.Helper()
	re := regexp.MustCompile("(?s)^" + pattern + "$")
	redistest.Eventually(m.t, patience, "the service manager is told "+pattern, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		for i, text := range m.told {
			if groups = re.FindStringSubmatch(text); groups != nil {
				m.told = m.told[i+1:]
				return true
			}
		}
		return false
	})
	return groups[1:]
}

// startWith starts the proxy by a shell that sets variables; $$ in them is the process's number.
func startWith(t *testing.T, variables string, args ...string) *redistest.Process {
	t.Helper()
	path, err := exec.LookPath("ringway")
	if err != nil {
		t.Fatal(err)
	}
	return redistest.StartProcess(t, "/bin/sh", append([]string{"-c", variables + ` exec "` + path + `" "$@"`, "sh"}, args...)...)
}

// The service manager hears when the process is ready, reads its configuration again, is alive and ends.
func TestServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	m := startServiceManager(t)
	path := configFile(t, "127.0.0.1:0", startNodes(t, 1), `drain_delay = "1s"`)
	p := startWith(t, "export NOTIFY_SOCKET="+m.path+" WATCHDOG_USEC=100000 WATCHDOG_PID=$$;", "-c", path)
	m.expect("READY=1\nSTATUS=serving pool alpha at 127.0.0.1:.*")
	m.expect("WATCHDOG=1")
	m.expect("WATCHDOG=1")
	p.Signal(syscall.SIGHUP)
	usec, err := strconv.ParseInt(m.expect("RELOADING=1\nMONOTONIC_USEC=([0-9]+)")[0], 10, 64)
	if err != nil || usec <= 0 {
		t.Errorf("%d us, %v", usec, err)
	}
	m.expect("READY=1\nSTATUS=serving, configuration reloaded at .*")
	if err := os.WriteFile(path, []byte("mistake"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Signal(syscall.SIGHUP)
	m.expect("RELOADING=1\nMONOTONIC_USEC=[0-9]+")
	m.expect("READY=1\nSTATUS=serving as before: the last reload failed.*")
	p.Signal(syscall.SIGTERM)
	m.expect("STOPPING=1\nEXTEND_TIMEOUT_USEC=16000000\nSTATUS=draining 0 clients, for 11s at most")
	m.expect("WATCHDOG=1") // still, for drain_delay
	if code := exited(t, p); code != exitOK {
		t.Errorf("exit code %d, want 0", code)
	}
}

// Not for t.Parallel: it sets a variable of the process.
func TestServiceManagerHearsOfAnotherMainProcess(t *testing.T) {
	m := startServiceManager(t)
	t.Setenv("NOTIFY_SOCKET", m.path)
	tellSuccessor(1234)
	m.expect("MAINPID=1234")
}

// A service manager's sockets are used by the pools that listen there, or that have their names.
func TestSocketsOfTheServiceManager(t *testing.T) {
	t.Parallel()
	tool := redistest.RequireTool(t, "systemd-socket-activate")
	ringway, err := exec.LookPath("ringway")
	if err != nil {
		t.Fatal(err)
	}
	free := func() string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		return ln.Addr().String()
	}
	// connect waits for systemd-socket-activate to listen; the connection makes it start the proxy.
	connect := func(addr string) *redistest.Conn {
		redistest.Eventually(t, patience, addr+" to be listened on", func() bool {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				conn.Close()
			}
			return err == nil
		})
		return redistest.Dial(t, "tcp", addr)
	}
	for name, test := range map[string]struct {
		listen, name string // of the pool alpha; name is the socket's
		other        bool   // there is a second socket for the same pool
		want         string // in the log; "" if it serves
	}{
		"by address":    {name: "anything"},
		"by name":       {listen: "127.0.0.1:0", name: "alpha"},
		"of no pool":    {listen: "127.0.0.1:0", name: "beta", want: `socket "beta" of the service manager: it belongs to no pool: none listens at 127.0.0.1:[0-9]+, and none has its name`},
		"two of a pool": {listen: "127.0.0.1:0", name: "alpha", other: true, want: `socket "alpha" of the service manager: pool alpha has a socket already`},
	} {
		t.Run(name, func(t *testing.T) {
			addr := free()
			if test.listen == "" {
				test.listen = addr
			}
			args := []string{"-l", addr, "--fdname=" + test.name}
			if test.other {
				args = []string{"-l", addr, "-l", free(), "--fdname=alpha:alpha"}
			}
			p := redistest.StartProcess(t, tool, append(args, ringway, "-c", configFile(t, test.listen, startNodes(t, 1)))...)
			c := connect(addr)
			if test.want != "" {
				printed(t, p, test.want)
				if code := exited(t, p); code != exitFailure {
					t.Errorf("exit code %d, want %d", code, exitFailure)
				}
				return
			}
			if got := c.Do("SET", "k", "v"); got != "+OK\r\n" {
				t.Errorf("%q", got)
			}
			if got := printed(t, p, `msg=listening .*addr=(\S+)`)[0]; got != addr {
				t.Errorf("it listens on %s, want %s", got, addr)
			}
			p.Signal(syscall.SIGTERM)
			if code := exited(t, p); code != exitOK {
				t.Errorf("exit code %d, want 0", code)
			}
		})
	}
}

// The unit leaves little that the process could do to its machine.
func TestUnitIsHardened(t *testing.T) {
	t.Parallel()
	tool := redistest.RequireTool(t, "systemd-analyze")
	out, err := exec.CommandContext(t.Context(), tool, "security", "--offline=true", "--no-pager", "../../examples/ringway.service").CombinedOutput()
	found := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`).FindSubmatch(out)
	if found == nil {
		t.Skip("systemd-analyze security does not work here: ", err)
	}
	if exposure, err := strconv.ParseFloat(string(found[1]), 64); err != nil || exposure > 2 {
		t.Errorf("exposure %s, want 2.0 at most", found[1])
	}
}

// After an upgrade the service manager knows the new process, and that is the one which feeds the watchdog.
func TestServiceManagerFollowsAnUpgrade(t *testing.T) {
	t.Parallel()
	m := startServiceManager(t)
	p := startWith(t, "export NOTIFY_SOCKET="+m.path+" WATCHDOG_USEC=100000 WATCHDOG_PID=$$;", "-c", configFile(t, "127.0.0.1:0", startNodes(t, 1)))
	m.expect("READY=1\nSTATUS=serving pool alpha at 127.0.0.1:.*")
	p.Signal(syscall.SIGUSR2)
	pid, err := strconv.Atoi(m.expect("MAINPID=([0-9]+)")[0])
	if err != nil || pid == p.Pid() {
		t.Fatalf("main process %d, %v", pid, err)
	}
	defer syscall.Kill(pid, syscall.SIGKILL)
	if code := exited(t, p); code != exitOK {
		t.Errorf("exit code %d of the old process, want 0", code)
	}
	m.expect("WATCHDOG=1") // perhaps the old process's last
	m.expect("WATCHDOG=1")
	m.expect("WATCHDOG=1")
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	m.expect("STOPPING=1\n.*")
}
