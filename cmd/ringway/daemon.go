package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// daemonVariable is set in the environment of a daemon that is being started.
const daemonVariable = "RINGWAY_DAEMON"

// readyMark is what a daemon writes when it listens.
const readyMark = "\x00"

// daemonize starts the program once more, in a session of its own, and waits until that listens or
// has failed. A Go program can't fork. In the process that was asked to become a daemon, done is
// true, and code is 0 if the daemon listens; what it printed before is printed. In the daemon done is
// false, and ready is where to print and to say that all is well.
func daemonize(s streams) (ready *readiness, code int, done bool) {
	if os.Getenv(daemonVariable) != "" {
		os.Unsetenv(daemonVariable)
		return &readiness{pipe: os.NewFile(3, "ready")}, exitOK, false
	}
	if err := startDaemon(s.err); err != nil {
		fmt.Fprintf(s.err, "nutcracker: daemonize: %v\n", err)
		return nil, exitFailure, true
	}
	return nil, exitOK, true
}

// startDaemon starts the program once more and copies what it prints until it listens. The error
// says why it does not.
func startDaemon(w io.Writer) error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	r, pipe, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := &exec.Cmd{
		Path:        executable,
		Args:        os.Args, // the name decides what the program is
		Env:         append(os.Environ(), daemonVariable+"=1"),
		ExtraFiles:  []*os.File{pipe},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	} // standard input, output and error are /dev/null
	err = cmd.Start()
	pipe.Close()
	if err != nil {
		return err
	}
	printed, err := io.ReadAll(r) // until the daemon closes its end, or ends
	text, ready := bytes.CutSuffix(printed, []byte(readyMark))
	w.Write(text)
	if ready {
		return cmd.Process.Release()
	}
	if err == nil {
		err = cmd.Wait()
	}
	return fmt.Errorf("the process in the background has ended: %w", err)
}

// readiness is a daemon's way to tell the process that started it how the start goes. A nil
// readiness is that of a process in the foreground.
type readiness struct {
	mu   sync.Mutex
	pipe *os.File // nil once the start is over
}

// Write prints something at the process that started the daemon, while that waits.
func (r *readiness) Write(text []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pipe != nil {
		r.pipe.Write(text) // it may have ended, which is no reason to fail
	}
	return len(text), nil
}

// done says that the daemon listens.
func (r *readiness) done() {
	if r != nil {
		r.Write([]byte(readyMark))
		r.close()
	}
}

// close ends the waiting. Without done before it, the start has failed.
func (r *readiness) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pipe != nil {
		r.pipe.Close()
		r.pipe = nil
	}
}
