package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/daemon"

	"ringway/handover"
	"ringway/server"
)

// upgrader starts a new process of the program in this one's place: for SIGUSR2 and the console alike.
type upgrader struct {
	log *processLog

	mu    sync.Mutex     // held during an upgrade, so there is one at a time
	srv   *server.Server // nil until it serves; guarded by mu
	doors []server.Door  // where operators connect; guarded by mu
}

// serves says which server is to be handed over, and where operators connect.
func (u *upgrader) serves(srv *server.Server, doors []server.Door) {
	u.mu.Lock()
	u.srv, u.doors = srv, doors
	u.mu.Unlock()
}

// upgrade starts the program, which may be another one by now, and hands the clients over to it. It
// returns lines that say what came of it. After an error this process goes on as before. By is what asked
// for the upgrade, for the log. Any goroutine but a loop's may call it.
func (u *upgrader) upgrade(by string) ([]string, error) {
	if !u.mu.TryLock() {
		return nil, errors.New("an upgrade is under way")
	}
	defer u.mu.Unlock()
	lines, err := u.run(by)
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			u.log.Error("upgrade failed: this process goes on", "by", by, "err", line)
		}
	}
	return lines, err
}

// run is upgrade. The caller holds u.mu.
func (u *upgrader) run(by string) ([]string, error) {
	switch {
	case u.srv == nil:
		return nil, errors.New("the proxy has not started yet")
	case os.Getpid() == 1:
		return nil, errors.New("this is process 1: a container ends with it; start another container and stop this one, or run ringway under an init")
	}
	program, err := handover.Program()
	var next *handover.Successor
	if err == nil {
		next, err = handover.Start(program)
	}
	if err != nil {
		u.srv.UpgradeFailed()
		return nil, err
	}
	u.log.Info("upgrading: a new process is starting", "by", by, "program", program, "pid", next.PID)
	moved, err := u.srv.HandOver(next, u.doors, func() { tellSuccessor(next.PID) })
	if err != nil {
		return nil, fmt.Errorf("process %d of %s: %w", next.PID, program, err)
	}
	return []string{
		fmt.Sprintf("process %d of %s has taken over", next.PID, program),
		fmt.Sprintf("%s moved, %d still here: they move when nothing of theirs is under way, or leave after drain_timeout", count(moved, "client"), u.srv.Clients()),
	}, nil
}

// tellSuccessor tells the service manager that another process has taken this one's place, while this
// one is still the main process for it. It is called when that process accepts clients.
func tellSuccessor(pid int) { _, _ = daemon.SdNotify(false, fmt.Sprintf("MAINPID=%d", pid)) }

// successor is a start in another process's place. A nil successor is a start by itself.
type successor struct {
	*handover.Inherited
	words lastWords
}

// inherit returns what another process hands over, or nil if there is none. What is printed to s.err from
// now on is told to that process if the start fails.
func (s *streams) inherit() (*successor, error) {
	in, err := handover.Inherit()
	if in == nil {
		return nil, err
	}
	next := &successor{Inherited: in}
	s.err = io.MultiWriter(s.err, &next.words)
	return next, nil
}

// hears returns a writer to w, of whose lines the other process is told if the start fails.
func (n *successor) hears(w io.Writer) io.Writer {
	if n == nil {
		return w
	}
	return io.MultiWriter(w, &n.words)
}

// predecessor returns what the server is to know of the other process.
func (n *successor) predecessor(tookOver func()) *server.Predecessor {
	if n == nil {
		return nil
	}
	return &server.Predecessor{Inherited: n.Inherited, TookOver: tookOver}
}

// inherited returns what was handed over; nil if nothing was.
func (n *successor) inherited() *handover.Inherited {
	if n == nil {
		return nil
	}
	return n.Inherited
}

// failed tells the other process why this one could not start. After a start it has no effect.
func (n *successor) failed() {
	if n != nil {
		n.Send(handover.Failed, n.words.text(), -1)
	}
}

// lastWords keeps the beginning of what is written to it.
type lastWords struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// maxWords is how many bytes it keeps.
const maxWords = 8 << 10

// Write implements io.Writer.
func (w *lastWords) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b.Write(b[:min(len(b), maxWords-w.b.Len())])
	return len(b), nil
}

func (w *lastWords) text() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.TrimSpace(w.b.Bytes())
}
