package eventloop

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// interest is what a connection waits for.
type interest uint32

const (
	readable interest = syscall.EPOLLIN
	writable interest = syscall.EPOLLOUT
)

type event syscall.EpollEvent

func (e *event) fd() int { return int(e.Fd) }
func (e event) readable() bool {
	return e.Events&(syscall.EPOLLIN|syscall.EPOLLHUP|syscall.EPOLLERR) != 0
}
func (e event) writable() bool {
	return e.Events&(syscall.EPOLLOUT|syscall.EPOLLHUP|syscall.EPOLLERR) != 0
}
func (e event) broken() bool { return e.Events&(syscall.EPOLLHUP|syscall.EPOLLERR) != 0 }

// poller is an epoll instance, level-triggered, with an eventfd to wake it.
type poller struct {
	fd     int
	wakeFD int
	events [256]event

	// Parked: a duplicate of the epoll descriptor is watched by the runtime's
	// poller. Only then, since it is told of every event.
	file     *os.File // nil if not parked
	raw      syscall.RawConn
	deadline time.Time
	found    int
	onReady  func(fd uintptr) bool // p.lookParked, made once
}

func (p *poller) open(parked bool) error {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("epoll instance: %w", err)
	}
	wake, _, errno := syscall.Syscall(syscall.SYS_EVENTFD2, 0, syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if errno != 0 {
		syscall.Close(fd)
		return fmt.Errorf("eventfd: %w", errno)
	}
	p.fd, p.wakeFD = fd, int(wake)
	if err := p.add(p.wakeFD, readable); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	p.onReady = p.lookParked
	if parked {
		return p.watch()
	}
	return nil
}

// watch has the runtime's poller watch for events.
func (p *poller) watch() error {
	fd, err := syscall.Dup(p.fd)
	if err != nil {
		return fmt.Errorf("epoll instance: %w", err)
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		syscall.Close(fd)
		return fmt.Errorf("epoll instance: %w", err)
	}
	p.file, p.deadline = os.NewFile(uintptr(fd), "epoll"), time.Time{}
	p.raw, err = p.file.SyscallConn()
	return err
}

// enter is called on the loop's goroutine before the first wait.
func (p *poller) enter() {
	if p.file == nil {
		runtime.LockOSThread()
	}
}

// setParked changes the way of waiting. It is called on the loop's goroutine.
func (p *poller) setParked(parked bool) {
	switch {
	case parked == (p.file != nil):
	case parked:
		if p.watch() == nil {
			runtime.UnlockOSThread()
		}
	default:
		p.file.Close()
		p.file, p.raw = nil, nil
		runtime.LockOSThread()
	}
}

func (p *poller) close() {
	syscall.Close(p.wakeFD)
	if p.file != nil {
		p.file.Close()
	}
	syscall.Close(p.fd)
}

// wake makes wait return. Any goroutine may call it.
func (p *poller) wake() {
	one := uint64(1)
	syscall.Write(p.wakeFD, (*[8]byte)(unsafe.Pointer(&one))[:])
}

// wait returns the events that are ready, after at most timeout. They are
// valid until the next call.
func (p *poller) wait(timeout time.Duration) []event {
	var n int
	switch {
	case timeout == 0:
		n = p.look()
	case p.file != nil:
		n = p.park(timeout)
	default:
		n = p.block(timeout)
	}
	for i := 0; i < n; i++ {
		if p.events[i].fd() == p.wakeFD {
			var b [8]byte
			read(p.wakeFD, b[:])
			p.events[i] = p.events[n-1]
			n--
			break
		}
	}
	return p.events[:n]
}

// look asks the kernel without sleeping, and without telling the scheduler:
// the call is shorter than that would take.
func (p *poller) look() int {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.events)), uintptr(len(p.events)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

func (p *poller) block(timeout time.Duration) int {
	ms := int64(-1)
	if timeout != math.MaxInt64 {
		ms = min(int64((timeout+time.Millisecond-1)/time.Millisecond), math.MaxInt32)
	}
	n, _, errno := syscall.Syscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.events)), uintptr(len(p.events)), uintptr(ms), 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// park sleeps on the runtime's poller, as any goroutine that reads does, so
// that no thread is held. The deadline is only touched when it must come
// earlier: waking too early is harmless.
func (p *poller) park(timeout time.Duration) int {
	if n := p.look(); n > 0 {
		return n
	}
	if timeout != math.MaxInt64 {
		now := time.Now()
		if at := now.Add(timeout); p.deadline.IsZero() || at.Before(p.deadline) || !p.deadline.After(now) {
			p.deadline = at
			p.file.SetReadDeadline(at)
		}
	}
	p.found = 0
	if err := p.raw.Read(p.onReady); err != nil {
		p.deadline = time.Time{}
		p.file.SetReadDeadline(p.deadline)
	}
	return p.found
}

func (p *poller) lookParked(uintptr) bool {
	p.found = p.look()
	return p.found > 0
}

func (p *poller) add(fd int, want interest) error {
	ev := syscall.EpollEvent{Events: uint32(want), Fd: int32(fd)}
	return syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_ADD, fd, &ev)
}

func (p *poller) modify(fd int, want interest) {
	ev := syscall.EpollEvent{Events: uint32(want), Fd: int32(fd)}
	if err := syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_MOD, fd, &ev); err != nil {
		panic("bug: modifying a descriptor that the loop does not own: " + err.Error())
	}
}

func (p *poller) remove(fd int) {
	syscall.EpollCtl(p.fd, syscall.EPOLL_CTL_DEL, fd, nil)
}

// read and write are raw: on a non-blocking descriptor they return at once, so
// the scheduler need not know of them (docs/adr has the numbers).
func read(fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func write(fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func closeFD(fd int) { syscall.Close(fd) }
