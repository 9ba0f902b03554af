package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"ringway/internal/redistest"
)

func TestALinkNamedNutcrackerIsTheSubcommand(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ process, want []string }{
		{[]string{"/usr/sbin/nutcracker", "-d"}, []string{"nutcracker", "-d"}},
		{[]string{"nutcracker"}, []string{"nutcracker"}},
		{[]string{"./ringway", "-c", "x"}, []string{"-c", "x"}},
		{[]string{"ringway"}, nil},
		{nil, nil},
	} {
		if got := commandLine(test.process); !slices.Equal(got, test.want) {
			t.Errorf("%q is %q, want %q", test.process, got, test.want)
		}
	}
}

// nutcrackerYML writes a nutcracker.yml into dir.
func nutcrackerYML(t *testing.T, dir, listen string) string {
	t.Helper()
	path := filepath.Join(dir, "nutcracker.yml")
	text := fmt.Sprintf("alpha:\n  listen: %s\n  redis: true\n  servers:\n   - 127.0.0.1:1:1\n", listen)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A daemon listens and has written its number when the command that started it ends. SIGHUP
// opens its log again, SIGTTIN raises the level, and at the end the number is gone.
func TestDaemonOfNutcracker(t *testing.T) {
	t.Parallel()
	dir, listen, stats := t.TempDir(), redistest.FreeAddr(t), redistest.FreeAddr(t)
	_, port, _ := net.SplitHostPort(stats)
	log, pidFile := filepath.Join(dir, "nutcracker.log"), filepath.Join(dir, "nutcracker.pid")
	args := []string{"nutcracker", "-d", "-c", nutcrackerYML(t, dir, listen), "-o", log, "-p", pidFile, "-a", "127.0.0.1", "-s", port}
	if out, err := exec.Command("ringway", args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%v: %s", err, out)
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(pid, syscall.SIGKILL) })
	for _, addr := range []string{listen, stats} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}

	// The second can't listen: the command that starts it says so, and the first one's file stays.
	out, err := exec.Command("ringway", args...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "address already in use") || !strings.Contains(string(out), "nutcracker: daemonize: ") {
		t.Errorf("a second daemon: %v, %s", err, out)
	}
	if now, _ := os.ReadFile(pidFile); string(now) != string(text) {
		t.Errorf("%s contains %q, want %q", pidFile, now, text)
	}

	logged := func(what string) {
		t.Helper()
		redistest.Eventually(t, patience, what, func() bool {
			text, _ := os.ReadFile(log)
			return strings.Contains(string(text), what)
		})
	}
	logged(`msg="starting as nutcracker"`)
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(pid, syscall.SIGHUP)
	logged("SIGHUP: log file opened again")
	syscall.Kill(pid, syscall.SIGTTIN)
	logged(`msg="SIGTTIN: log level changed" log_level=debug`)
	syscall.Kill(pid, syscall.SIGTERM)
	logged("msg=stopped")
	redistest.Eventually(t, patience, "no file with the number", func() bool {
		_, err := os.Stat(pidFile)
		return os.IsNotExist(err)
	})
}

// In the foreground the log goes to standard error, and the statistics port is open unasked.
func TestNutcrackerInTheForeground(t *testing.T) {
	t.Parallel()
	dir, stats := t.TempDir(), redistest.FreeAddr(t)
	_, port, _ := net.SplitHostPort(stats)
	config := nutcrackerYML(t, dir, "127.0.0.1:0")
	p := start(t, "nutcracker", "-c", config, "-s", port, "-v", "11")
	printed(t, p, `msg="listening for statistics" addr=\S+:`+port)
	p.Signal(syscall.SIGHUP) // nothing to open again
	p.Signal(syscall.SIGTTOU)
	printed(t, p, `msg="SIGTTOU: log level changed" log_level=info`)
	p.Signal(syscall.SIGINT)
	if code := exited(t, p); code != exitOK {
		t.Errorf("exit code %d", code)
	}

	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-o", filepath.Join(dir, "none", "log")}, "opening log file '"},
		{[]string{"-p", filepath.Join(dir, "none", "pid")}, "opening pid file '"},
		{[]string{"-a", "no host"}, "-a and -s, the address and port for statistics"},
	} {
		_, port, _ := net.SplitHostPort(redistest.FreeAddr(t))
		p := start(t, append([]string{"nutcracker", "-c", config, "-s", port}, test.args...)...)
		if code := exited(t, p); code != exitFailure || !strings.Contains(p.Output(), "nutcracker: "+test.want) {
			t.Errorf("%v: exit code %d, %s; want %s", test.args, code, p.Output(), test.want)
		}
	}
}
