//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package eventloop

import (
	"fmt"
	"math"
	"syscall"
	"time"
)

// interest is what a connection waits for.
type interest uint32

const (
	readable interest = 1 << iota
	writable
)

type event syscall.Kevent_t

func (e *event) fd() int       { return int(e.Ident) }
func (e event) readable() bool { return e.Filter == syscall.EVFILT_READ }
func (e event) writable() bool { return e.Filter == syscall.EVFILT_WRITE }
func (e event) broken() bool   { return e.Flags&syscall.EV_ERROR != 0 }

// poller is a kqueue, level-triggered, with a pipe to wake it.
type poller struct {
	fd     int
	pipe   [2]int
	events [256]syscall.Kevent_t
	ready  [256]event
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
	var changes []syscall.Kevent_t
	filter := func(bit interest, filter int) {
		if (want^p.wants[fd])&bit == 0 {
			return
		}
		flags := syscall.EV_DELETE
		if want&bit != 0 {
			flags = syscall.EV_ADD
		}
		var ev syscall.Kevent_t
		syscall.SetKevent(&ev, fd, filter, flags)
		changes = append(changes, ev)
	}
	filter(readable, syscall.EVFILT_READ)
	filter(writable, syscall.EVFILT_WRITE)
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
