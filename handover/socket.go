package handover

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Kind says what a Message is.
type Kind uint8

// The kinds of messages; the figure in the package's comment shows their order.
const (
	Listener Kind = iota + 1 // with a listening socket; the body is a Socket
	Begin                    // all of them have come; the body is a Beginning
	Ready                    // the new process could serve
	Failed                   // it can't; the body is the reason, as text
	TakeOver                 // the body is a Takeover
	Serving                  // the new process accepts clients
	Offer                    // a client, with its socket; the body is a number and a Record
	Accept                   // of an Offer; the body is its number
	Refuse                   // of an Offer; the body is its number and the reason, as text
	Yours                    // the client of an Offer that was accepted now is the new process's
	Withdraw                 // the old process keeps that client
	Done                     // the old process is about to end
)

// maxMessage bounds the body of a message: a client with more to tell stays.
const maxMessage = 4 << 20

// headerSize is that of a message's header: the size of the body, the kind, and whether a descriptor
// comes with it.
const headerSize = 6

// Message is what Receive returns.
type Message struct {
	Kind Kind
	Body []byte
	FD   int // a descriptor, which belongs to the caller; -1 if there is none
}

// Close closes the message's descriptor, if there is one.
func (m *Message) Close() {
	if m.FD >= 0 {
		syscall.Close(m.FD)
		m.FD = -1
	}
}

// Conn is one end of the socket between the two processes. Any goroutine may Send; one at a time may
// Receive.
type Conn struct {
	socket *net.UnixConn

	sending sync.Mutex // held while a message is written

	// Of the goroutine that receives.
	in  []byte
	fds []int // that came with bytes of in, oldest first
}

// ErrTooLarge reports a message that is larger than any may be.
var ErrTooLarge = errors.New("message too large")

// newConn returns the Conn of a connected unix socket, which it takes over.
func newConn(file *os.File) (*Conn, error) {
	defer file.Close()
	c, err := net.FileConn(file)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("not a unix socket")
	}
	return &Conn{socket: u}, nil
}

// pair returns both ends of a new socket, the second one as a file for the other process.
func pair() (ours *Conn, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	theirs = os.NewFile(uintptr(fds[1]), "handover")
	if ours, err = newConn(os.NewFile(uintptr(fds[0]), "handover")); err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// Send sends a message, with a descriptor if fd is not -1. The descriptor stays the caller's.
func (c *Conn) Send(kind Kind, body []byte, fd int) error {
	if len(body) > maxMessage {
		return ErrTooLarge
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, headerSize+len(body)), uint32(len(body)))
	var rights []byte
	if b = append(b, byte(kind), 0); fd >= 0 {
		b[headerSize-1] = 1
		rights = syscall.UnixRights(fd)
	}
	b = append(b, body...)
	c.sending.Lock()
	defer c.sending.Unlock()
	n, _, err := c.socket.WriteMsgUnix(b, rights, nil)
	if err == nil && n < len(b) {
		_, err = c.socket.Write(b[n:]) // the descriptor went with the first byte
	}
	return err
}

// SendJSON is Send with a body in JSON.
func (c *Conn) SendJSON(kind Kind, body any, fd int) error {
	b, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.Send(kind, b, fd)
}

// Receive returns the next message. Its body is the caller's.
func (c *Conn) Receive() (Message, error) {
	for {
		m, size, err := c.next()
		if err != nil || size > 0 {
			c.in = c.in[size:]
			return m, err
		}
		if err := c.read(); err != nil {
			return Message{FD: -1}, err
		}
	}
}

// next returns the first message that was read, and its size; 0 if it has not come whole.
func (c *Conn) next() (m Message, size int, err error) {
	m.FD = -1
	if len(c.in) < headerSize {
		return m, 0, nil
	}
	n := binary.BigEndian.Uint32(c.in)
	if n > maxMessage {
		return m, 0, ErrTooLarge
	}
	if size = headerSize + int(n); len(c.in) < size {
		return m, 0, nil
	}
	m.Kind, m.Body = Kind(c.in[4]), append([]byte(nil), c.in[headerSize:size]...)
	if c.in[5] != 0 {
		if len(c.fds) == 0 {
			return m, 0, errors.New("a descriptor is missing")
		}
		m.FD, c.fds = c.fds[0], c.fds[1:]
	}
	return m, size, nil
}

// read reads some bytes, and the descriptors that come with them.
func (c *Conn) read() error {
	b, rights := make([]byte, 64<<10), make([]byte, syscall.CmsgSpace(16*4))
	n, rn, flags, _, err := c.socket.ReadMsgUnix(b, rights)
	if err != nil {
		return err
	}
	controls, err := syscall.ParseSocketControlMessage(rights[:rn])
	if err != nil {
		return fmt.Errorf("control message: %w", err)
	}
	for i := range controls {
		fds, err := syscall.ParseUnixRights(&controls[i])
		if err != nil {
			return fmt.Errorf("control message: %w", err)
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
		}
		c.fds = append(c.fds, fds...)
	}
	switch {
	case flags&syscall.MSG_CTRUNC != 0:
		return errors.New("a descriptor could not be received: too many open files")
	case n == 0:
		return errors.New("the other process has ended")
	}
	c.in = append(c.in, b[:n]...)
	return nil
}

// SetReadDeadline makes Receive return an error at a time; never if that is zero. Any goroutine may call it.
func (c *Conn) SetReadDeadline(t time.Time) { c.socket.SetReadDeadline(t) }

// Close closes the socket, which ends Receive on both sides, and descriptors that were not received. It may be
// called twice. No other goroutine may receive meanwhile, but one whose Receive this ends.
func (c *Conn) Close() { c.socket.Close() }

// Drop closes descriptors that have come and that no Receive has returned. The goroutine that receives calls it
// when it stops.
func (c *Conn) Drop() {
	for _, fd := range c.fds {
		syscall.Close(fd)
	}
	c.fds = nil
}

// Numbered returns a body that begins with a number, as those about an Offer do.
func Numbered(number uint64, rest []byte) []byte {
	return append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(rest)), number), rest...)
}

// CutNumber returns the number that a body begins with, and the rest.
func CutNumber(body []byte) (number uint64, rest []byte, err error) {
	if len(body) < 8 {
		return 0, nil, errors.New("a message without its number")
	}
	return binary.BigEndian.Uint64(body), body[8:], nil
}
