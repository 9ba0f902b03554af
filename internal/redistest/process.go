package redistest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// Process is a program that a test started. Any goroutine may call its methods, except
// those that fail the test (Restart): these, like testing.TB.Fatal, belong to the
// test's goroutine.
type Process struct {
	// Static after construction.
	t       testing.TB
	path    string
	args    []string
	dir     string // working directory
	logPath string // standard output and error of every run
	logFrom int    // how much of it is from before this test

	mu       sync.Mutex // guards the fields below
	cmd      *exec.Cmd
	done     chan struct{} // closed when cmd has ended and been waited for
	signaled bool          // whether a test sent it a signal
}

// StartProcess runs the program at path (see RequireTool) in a new directory
// until the test ends; then it is killed. StartProcess does not wait until the program
// is ready. Output returns what the program prints; if the test fails, it is logged.
func StartProcess(t testing.TB, path string, args ...string) *Process {
	t.Helper()
	return startProcess(t, tempDir(t), path, args)
}

func startProcess(t testing.TB, dir, path string, args []string) *Process {
	t.Helper()
	p := runProcess(t, dir, path, args)
	t.Cleanup(p.end)
	return p
}

// runProcess is startProcess for a process that the caller ends.
func runProcess(t testing.TB, dir, path string, args []string) *Process {
	t.Helper()
	p := &Process{t: t, path: path, args: args, dir: dir}
	p.logPath = filepath.Join(dir, filepath.Base(path)+".log")
	p.start()
	return p
}

// end kills the process and, if the test failed, logs what it said last.
func (p *Process) end() {
	p.Kill()
	if p.t.Failed() {
		p.t.Logf("last words of %s %s:\n%s", p.path, strings.Join(p.args, " "), lastLines(p.Output(), 20))
	}
}

func (p *Process) start() {
	p.t.Helper()
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatalf("log of %s: %v", p.path, err)
	}
	defer log.Close()
	cmd := exec.Command(p.path, p.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	cmd.SysProcAttr = dieWithParent()
	done := make(chan struct{})
	if err := spawn(cmd); err != nil {
		p.t.Fatalf("start of %s: %v", p.path, err)
	}
	go waitFor(cmd, done)
	p.mu.Lock()
	p.cmd, p.done = cmd, done
	p.mu.Unlock()
}

// waitFor returns when the process has ended. cmd.ProcessState then says how.
func waitFor(cmd *exec.Cmd, done chan<- struct{}) {
	cmd.Wait()
	close(done)
}

// spawns sends every start to one goroutine, which keeps its thread for the life of the
// process. Linux sends a child its parent-death signal when the thread that forked it
// ends, and threads do end in tests: with an event loop that had locked one.
var spawns = sync.OnceValue(func() chan<- func() {
	ch := make(chan func()) // never closed
	go runSpawns(ch)
	return ch
})

func runSpawns(ch <-chan func()) {
	runtime.LockOSThread()
	for f := range ch {
		f()
	}
}

func spawn(cmd *exec.Cmd) error {
	result := make(chan error, 1) // never closed
	spawns() <- func() { result <- cmd.Start() }
	return <-result
}

func (p *Process) current() (*exec.Cmd, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd, p.done
}

// Pid returns the process id of the current (or last) run.
func (p *Process) Pid() int {
	cmd, _ := p.current()
	return cmd.Process.Pid
}

// Exited returns a channel that is closed when the current run has ended.
func (p *Process) Exited() <-chan struct{} {
	_, done := p.current()
	return done
}

// ExitCode returns the exit code of the current run, or -1 while it runs and
// after it was ended by a signal.
func (p *Process) ExitCode() int {
	cmd, done := p.current()
	select {
	case <-done:
		return cmd.ProcessState.ExitCode()
	default:
		return -1
	}
}

// Signal sends a signal. If the process has ended already, that is not an error.
func (p *Process) Signal(sig os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signaled = true
	p.cmd.Process.Signal(sig)
}

// Kill ends the process with SIGKILL and returns when it has ended: its connections are
// reset or closed, and its port is free. Killing a dead process does nothing.
func (p *Process) Kill() {
	p.Signal(os.Kill)
	<-p.Exited()
}

// Stop freezes the process with SIGSTOP: its connections stay open and new ones
// are accepted by the system, but the process does not answer until Cont.
func (p *Process) Stop() { p.Signal(syscall.SIGSTOP) }

// Cont continues a stopped process.
func (p *Process) Cont() { p.Signal(syscall.SIGCONT) }

// Restart kills the process if it still runs and starts it again with the same
// arguments in the same directory. It does not wait until it is ready.
func (p *Process) Restart() {
	p.t.Helper()
	p.Kill()
	p.start()
}

// Output returns what all runs have printed so far to standard output and
// standard error.
func (p *Process) Output() string {
	b, err := os.ReadFile(p.logPath)
	if err != nil {
		return err.Error()
	}
	return string(b[min(p.logFrom, len(b)):])
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
