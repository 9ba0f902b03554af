//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package eventloop

import (
	"fmt"
	"math"
	"syscall"
	"time"
	"unsafe"
)

// interest is what a connection wants to be told of, as bits.
type interest uint32

const (
	readable interest = 1 << iota
	writable
	hangUp // the peer has ended its side, whatever is unread
)

type event syscall.Kevent_t

func (e *event) fd() int       { return int(e.Ident) }
func (e event) readable() bool { return e.Filter == syscall.EVFILT_READ }
func (e event) writable() bool { return e.Filter == syscall.EVFILT_WRITE }
func (e event) hangUp() bool   { return e.readable() && e.Flags&syscall.EV_EOF != 0 }
func (e event) broken() bool   { return e.Flags&syscall.EV_ERROR != 0 }

// poller is a kqueue, level-triggered, with a pipe to wake it.
type poller struct {
	fd     int
	pipe   [2]int
	events [maxEvents]syscall.Kevent_t
	ready  [maxEvents]event
	wants  map[int]interest // filters that are registered
}

func (p *poller) open() error {
	fd, err := syscall.Kqueue()
	if err != nil {
		return fmt.Errorf("kqueue: %w", err)
	}
	syscall.CloseOnExec(fd)
	if err := syscall.Pipe(p.pipe[:]); err != nil {
		syscall.Close(fd)
		return fmt.Errorf("pipe: %w", err)
	}
	for _, end := range p.pipe {
		syscall.CloseOnExec(end)
		syscall.SetNonblock(end, true)
	}
	p.fd, p.wants = fd, map[int]interest{}
	return p.add(p.pipe[0], readable)
}

func (p *poller) close() {
	syscall.Close(p.pipe[0])
	syscall.Close(p.pipe[1])
	syscall.Close(p.fd)
}

// wake makes wait return. Any goroutine may call it.
func (p *poller) wake() { syscall.Write(p.pipe[1], []byte{1}) }

// hasEvents reports whether wait would return at once, as far as is known: it always does. Any
// goroutine may call it.
func (p *poller) hasEvents() bool { return true }

// wait returns the events that are ready, after at most timeout. They are
// valid until the next call.
func (p *poller) wait(timeout time.Duration) []event {
	var ts *syscall.Timespec
	if timeout != math.MaxInt64 {
		t := syscall.NsecToTimespec(int64(timeout))
		ts = &t
	}
	n, err := syscall.Kevent(p.fd, nil, p.events[:], ts)
	if err != nil {
		return nil
	}
	found := p.ready[:0]
	for _, ev := range p.events[:n] {
		if int(ev.Ident) == p.pipe[0] {
			var b [64]byte
			syscall.Read(p.pipe[0], b[:])
			continue
		}
		found = append(found, event(ev))
	}
	return found
}

func (p *poller) add(fd int, want interest) error {
	p.wants[fd] = 0
	return p.change(fd, want)
}

func (p *poller) modify(fd int, want interest) {
	if err := p.change(fd, want); err != nil {
		panic("bug: modifying a descriptor that the loop does not own: " + err.Error())
	}
}

func (p *poller) change(fd int, want interest) error {
	was := p.wants[fd]
	var changes []syscall.Kevent_t
	set := func(filter, flags int) {
		var ev syscall.Kevent_t
		syscall.SetKevent(&ev, fd, filter, flags)
		changes = append(changes, ev)
	}
	// A hang-up comes with the filter for reading. Edge-triggered, it reports bytes that are not
	// read once for each that arrive, and not for ever.
	const reads = readable | hangUp
	if (want^was)&reads != 0 {
		if was&reads != 0 {
			set(syscall.EVFILT_READ, syscall.EV_DELETE)
		}
		switch {
		case want&readable != 0:
			set(syscall.EVFILT_READ, syscall.EV_ADD)
		case want&hangUp != 0:
			set(syscall.EVFILT_READ, syscall.EV_ADD|syscall.EV_CLEAR)
		}
	}
	if (want^was)&writable != 0 {
		if was&writable != 0 {
			set(syscall.EVFILT_WRITE, syscall.EV_DELETE)
		} else {
			set(syscall.EVFILT_WRITE, syscall.EV_ADD)
		}
	}
	p.wants[fd] = want
	if len(changes) == 0 {
		return nil
	}
	_, err := syscall.Kevent(p.fd, changes, nil, nil)
	return err
}

func (p *poller) remove(fd int) {
	p.change(fd, 0)
	delete(p.wants, fd)
}

func read(fd int, b []byte) (int, error)  { return syscall.Read(fd, b) }
func write(fd int, b []byte) (int, error) { return syscall.Write(fd, b) }

func closeFD(fd int) { syscall.Close(fd) }

// writev writes one buffer after the other.
func writev(fd int, iov []syscall.Iovec) (n int, err error) {
	for _, v := range iov {
		size := int(v.Len)
		m, err := write(fd, unsafe.Slice(v.Base, size))
		if err != nil && n == 0 {
			return m, err
		}
		n += max(m, 0)
		if m < size {
			break
		}
	}
	return n, nil
}
