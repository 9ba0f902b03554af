package eventloop

import (
	"bytes"
	"os"
	"syscall"
)

// Detach takes the connection away from the loop and returns its socket, for another loop to
// AttachSocket. No input or output may be waiting, and the connection must not have a Relay.
func (c *Conn) Detach() (s Socket) {
	if c.Waiting() > 0 || c.Unread() > 0 {
		panic("bug: detaching a connection with bytes in its buffers")
	}
	if c.secured != nil {
		s.Cipher, s.Input = c.secured.cipher, bytes.Clone(c.secured.in)
		c.dropSealedIn()
	}
	c.loop.poll.remove(c.fd)
	s.FD = c.forget()
	return s
}

// Duplicate returns a second descriptor for the connection's socket, which belongs to the caller.
func (c *Conn) Duplicate() (fd int, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if fd, err = syscall.Dup(c.fd); err != nil {
		return -1, os.NewSyscallError("dup", err)
	}
	syscall.CloseOnExec(fd)
	return fd, nil
}

// Direct reports whether the connection's bytes are those of its socket: it has no Relay and no Cipher.
func (c *Conn) Direct() bool { return c.relay == nil && c.secured == nil }

// TakeUnread returns the bytes that the handler has left, which are no longer the connection's. It is
// for a connection that is about to be detached; do not call it from Data.
func (c *Conn) TakeUnread() []byte {
	if c.Unread() == 0 {
		return nil
	}
	b := append([]byte(nil), c.in[c.inOff:]...)
	c.dropIn(false)
	return b
}

// PutUnread gives a connection that has read nothing yet the bytes that another one had left. Redeliver
// presents them.
func (c *Conn) PutUnread(b []byte) {
	if len(b) > 0 {
		c.in = append(c.loop.bufs.get(len(b)), b...)
	}
}
