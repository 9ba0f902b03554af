package eventloop

import (
	"fmt"
	"math"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// interest is what a connection wants to be told of, as bits.
type interest uint32

const (
	readable interest = syscall.EPOLLIN
	writable interest = syscall.EPOLLOUT
	hangUp   interest = syscall.EPOLLRDHUP // the peer has ended its side, whatever is unread
)

type event syscall.EpollEvent

func (e *event) fd() int { return int(e.Fd) }
func (e event) readable() bool {
	return e.Events&(syscall.EPOLLIN|syscall.EPOLLHUP|syscall.EPOLLERR) != 0
}
func (e event) writable() bool {
	return e.Events&(syscall.EPOLLOUT|syscall.EPOLLHUP|syscall.EPOLLERR) != 0
}
func (e event) hangUp() bool { return e.Events&syscall.EPOLLRDHUP != 0 }
func (e event) broken() bool { return e.Events&(syscall.EPOLLHUP|syscall.EPOLLERR) != 0 }

// poller is an epoll instance, level-triggered, with an eventfd to wake it.
type poller struct {
	fd     int
	wakeFD int
	events [maxEvents]event
	dozes  bool // events come in quick succession
}

// maxDoze is the longest wait that Go's scheduler is not told of. The wait holds one of the
// scheduler's slots (see server.Run), and a collection that must stop the loop interrupts it, like
// any code that runs long.
const maxDoze = 10 * time.Millisecond

func (p *poller) open() error {
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
	return nil
}

func (p *poller) close() {
	syscall.Close(p.wakeFD)
	syscall.Close(p.fd)
}

// wake makes wait return. Any goroutine may call it.
func (p *poller) wake() {
	one := uint64(1)
	syscall.Write(p.wakeFD, (*[8]byte)(unsafe.Pointer(&one))[:])
}

// wait returns the events that are ready, after at most timeout. They are valid until the next
// call.
func (p *poller) wait(timeout time.Duration) []event {
	var n int
	if p.dozes {
		n, p.dozes = p.doze(min(timeout, maxDoze))
	}
	if !p.dozes {
		n, p.dozes = p.sleep(timeout)
	}
	for i := 0; i < n; i++ {
		if p.events[i].fd() == p.wakeFD {
			var b [8]byte
			syscall.Read(p.wakeFD, b[:])
			p.events[i] = p.events[n-1]
			n--
			break
		}
	}
	return p.events[:n]
}

// hasEvents reports whether wait would return at once. Any goroutine may call it.
func (p *poller) hasEvents() bool {
	fds := [1]unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(fds[:], 0)
	return n != 0 || err != nil
}

// doze waits without telling the scheduler: if told, its monitor would take the processor away from
// this thread, and the thread get it back, all the time. It reports whether the next wait should be
// a doze too, which an interruption does not change. ADR 0002 has the numbers.
func (p *poller) doze(timeout time.Duration) (n int, again bool) {
	r, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.events)), uintptr(len(p.events)), milliseconds(timeout), 0, 0)
	if errno != 0 {
		return 0, true
	}
	return int(r), r > 0 || timeout < maxDoze
}

// sleep waits as any other system call does. It reports whether the next wait is likely to be
// short.
func (p *poller) sleep(timeout time.Duration) (n int, dozeNext bool) {
	before := nanotime()
	r, _, errno := syscall.Syscall6(syscall.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.events)), uintptr(len(p.events)), milliseconds(timeout), 0, 0)
	if errno != 0 {
		return 0, false
	}
	return int(r), r > 0 && nanotime()-before < int64(maxDoze)
}

// milliseconds converts a timeout for epoll_pwait: rounded up, -1 for none.
func milliseconds(timeout time.Duration) uintptr {
	if timeout == math.MaxInt64 {
		return ^uintptr(0)
	}
	return uintptr(min((timeout+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
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

// read and write are raw system calls: on a non-blocking socket they return at once, so the
// scheduler need not know of them. They are recv and send, which spare the kernel what read and
// write do before they find that the descriptor is a socket (ADR 0015).
func read(fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(callRead, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func write(fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(callWrite, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func writev(fd int, iov []syscall.Iovec) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(iov))), uintptr(len(iov)))
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func closeFD(fd int) { syscall.Close(fd) }
