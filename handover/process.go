package handover

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Variable is set in the environment of a process that is to take another one's place.
const Variable = "RINGWAY_HANDOVER"

// inheritedFD is the descriptor of the socket in a new process: the first of exec.Cmd.ExtraFiles.
const inheritedFD = 3

// ProtocolVersion is that of the messages. Programs that do not agree on it can't take each other's place.
const ProtocolVersion = 1

// Beginning is the body of Begin.
type Beginning struct {
	Version int              // ProtocolVersion
	PID     int              // of the old process
	Kinds   []ConnectionKind // kinds of connections to servers that are in use: clients wait less if they are there already
	Reached []string         // pools of which it has reached a server: the new one has to reach them as well
}

// ConnectionKind is a kind of connections to a pool's servers.
type ConnectionKind struct {
	Pool  string
	RESP3 bool `json:",omitempty"`
	DB    int  `json:",omitempty"`
}

// Takeover is the body of TakeOver.
type Takeover struct {
	LastID uint64 // the last id that a client was given
}

// Ending is the body of Done.
type Ending struct {
	Left int // clients that stayed with the old process
}

// Socket is a listening socket that is handed over.
type Socket struct {
	For     string // "pool NAME", "admin" or "statistics"
	Network string // as configured
	Addr    string // likewise

	file *os.File
}

// Program returns the program that Start starts: the one that this process was started by, which may
// have been replaced since. A link keeps its name, so that one which leads elsewhere by now leads to the new
// program.
func Program() (string, error) {
	executable, err := os.Executable()
	if err != nil {
		return "", err
	}
	if started != "" {
		return started, nil
	}
	return executable, nil
}

// started is the name that this process was started by, as a path from the root; "" if it can't be
// told for sure.
var started = func() string {
	executable, err := os.Executable()
	if err != nil || len(os.Args) == 0 {
		return ""
	}
	name, err := exec.LookPath(os.Args[0])
	if err != nil {
		return ""
	}
	if name, err = filepath.Abs(name); err != nil {
		return ""
	}
	a, errA := os.Stat(name)
	b, errB := os.Stat(executable)
	if errA != nil || errB != nil || !os.SameFile(a, b) {
		return ""
	}
	return name
}()

// Successor is a process that was started to take this one's place.
type Successor struct {
	*Conn
	PID    int
	Exited <-chan struct{} // closed when it has ended
	how    *exec.Cmd
}

// Start starts a program with this process's arguments, environment and standard streams, and a socket
// to it.
func Start(program string) (*Successor, error) {
	ours, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	cmd := &exec.Cmd{
		Path: program, Args: os.Args, Env: append(os.Environ(), Variable+"="+strconv.Itoa(os.Getpid())),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, ExtraFiles: []*os.File{theirs},
	}
	if err := cmd.Start(); err != nil {
		ours.Close()
		return nil, err
	}
	exited := make(chan struct{})
	go func() {
		cmd.Wait()
		close(exited)
	}()
	return &Successor{Conn: ours, PID: cmd.Process.Pid, Exited: exited, how: cmd}, nil
}

// End ends the process if it is still there.
func (s *Successor) End() {
	s.Close()
	s.how.Process.Kill()
	<-s.Exited
}

// EndAt ends the process when a channel is closed, until the function that it returns is called.
func (s *Successor) EndAt(stop <-chan struct{}) (cancel func()) {
	over := make(chan struct{})
	go func() {
		select {
		case <-stop:
			s.how.Process.Kill()
		case <-over:
		}
	}()
	return func() { close(over) }
}

// endWait is how long AwaitReady waits for the reason why a process has ended.
const endWait = 2 * time.Second

// SendListener sends a listening socket.
func (c *Conn) SendListener(at Socket, ln syscall.Conn) error {
	raw, err := ln.SyscallConn()
	if err != nil {
		return err
	}
	cerr := raw.Control(func(fd uintptr) { err = c.SendJSON(Listener, at, int(fd)) })
	if err = errors.Join(cerr, err); err != nil {
		return fmt.Errorf("listening socket %s: %w", at.Addr, err)
	}
	return nil
}

// AwaitReady waits until the process is ready, for limit at most. The error says why it is not.
func (s *Successor) AwaitReady(limit time.Duration) error {
	s.SetReadDeadline(time.Now().Add(limit))
	m, err := s.Receive()
	m.Close()
	switch {
	case err == nil && m.Kind == Ready:
		s.SetReadDeadline(time.Time{})
		return nil
	case err == nil && m.Kind == Failed && len(m.Body) > 0:
		return errors.New(string(m.Body))
	case err == nil && m.Kind != Failed:
		return fmt.Errorf("it has sent message %d, which is none of these", m.Kind)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("it is not ready after %s", limit)
	}
	select {
	case <-s.Exited:
		return fmt.Errorf("it has ended: %s", s.how.ProcessState)
	case <-time.After(endWait):
		return fmt.Errorf("it says no more: %w", err)
	}
}

// Inherited is what a process that is to take another's place has from it.
type Inherited struct {
	*Conn
	Beginning

	mu      sync.Mutex
	sockets []Socket // guarded by mu
}

// Inherit returns what the process has from the one whose place it is to take, or nil if there is
// none. Only the first call does.
func Inherit() (*Inherited, error) {
	if os.Getenv(Variable) == "" {
		return nil, nil
	}
	os.Unsetenv(Variable)
	syscall.CloseOnExec(inheritedFD)
	conn, err := newConn(os.NewFile(inheritedFD, "handover"))
	if err != nil {
		return nil, fmt.Errorf("hand-over: %w", err)
	}
	in := &Inherited{Conn: conn}
	if err := in.receive(); err != nil {
		in.CloseRest()
		conn.Close()
		return nil, fmt.Errorf("hand-over: %w", err)
	}
	return in, nil
}

// beginWait is how long the old process may take to say with what the new one begins.
const beginWait = 10 * time.Second

// receive receives the listening sockets.
func (in *Inherited) receive() error {
	in.SetReadDeadline(time.Now().Add(beginWait))
	defer in.SetReadDeadline(time.Time{})
	for {
		m, err := in.Receive()
		if err != nil {
			return err
		}
		switch m.Kind {
		case Listener:
			var s Socket
			if err := json.Unmarshal(m.Body, &s); err != nil || m.FD < 0 {
				m.Close()
				return fmt.Errorf("listening socket: %w", err)
			}
			s.file = os.NewFile(uintptr(m.FD), "listener")
			in.sockets = append(in.sockets, s)
		case Begin:
			if err := json.Unmarshal(m.Body, &in.Beginning); err != nil {
				return err
			}
			if in.Version != ProtocolVersion {
				return fmt.Errorf("the running process speaks version %d of this, want %d: restart it", in.Version, ProtocolVersion)
			}
			return nil
		default:
			m.Close()
		}
	}
}

// Take returns the listening socket for an address of the configuration, or nil if there is none. The
// caller owns the file. A socket for the same purpose comes first. A nil Inherited has no sockets.
func (in *Inherited) Take(purpose, network, addr string) *os.File {
	if in == nil {
		return nil
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	found := -1
	for i, s := range in.sockets {
		if s.Network == network && s.Addr == addr && (found < 0 || s.For == purpose) {
			found = i
		}
	}
	if found < 0 {
		return nil
	}
	f := in.sockets[found].file
	in.sockets = append(in.sockets[:found], in.sockets[found+1:]...)
	return f
}

// TakeListener is Take for a net.Listener, which removes no socket file when it is closed.
func (in *Inherited) TakeListener(purpose, network, addr string) (net.Listener, error) {
	f := in.Take(purpose, network, addr)
	if f == nil {
		return nil, nil
	}
	defer f.Close()
	return net.FileListener(f)
}

// CloseRest closes the sockets that were not taken: the configuration has their addresses no more.
func (in *Inherited) CloseRest() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, s := range in.sockets {
		s.file.Close()
	}
	in.sockets = nil
}
