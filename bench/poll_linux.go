package bench

import (
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poller waits until some of a generator's sockets can be read or written. It
// belongs to one goroutine, which has locked its thread.
type poller struct {
	fd     int
	events []unix.EpollEvent
	// coarse is set if the kernel has no epoll_pwait2 (before 5.11). Waits are then whole
	// milliseconds.
	coarse bool
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create1: %w", err)
	}
	return &poller{fd: fd, events: make([]unix.EpollEvent, 512)}, nil
}

// add watches fd; wait will report it as index. Writability is watched too and
// reported once per change, which costs nothing while sockets have room.
func (p *poller) add(fd, index int) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET | unix.EPOLLRDHUP, Fd: int32(index)}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// wait appends to ready the indexes of sockets that something happened on,
// waiting at most d for the first.
func (p *poller) wait(ready []int, d time.Duration) ([]int, error) {
	n, err := p.waitRaw(max(d, 0))
	if err == unix.EINTR {
		return ready, nil
	}
	if err != nil {
		return ready, fmt.Errorf("epoll_wait: %w", err)
	}
	for _, ev := range p.events[:n] {
		ready = append(ready, int(ev.Fd))
	}
	return ready, nil
}

func (p *poller) waitRaw(d time.Duration) (int, error) {
	if p.coarse {
		return unix.EpollWait(p.fd, p.events, int((d+time.Millisecond-1)/time.Millisecond))
	}
	ts := unix.NsecToTimespec(int64(d))
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), uintptr(unsafe.Pointer(&p.events[0])),
		uintptr(len(p.events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.ENOSYS:
		p.coarse = true
		return 0, unix.EINTR
	}
	return 0, errno
}

func (p *poller) close() { unix.Close(p.fd) }

// readSocket and writeSocket skip the scheduler's bookkeeping that unix.Read
// and unix.Write do: the sockets never block, and a cheaper generator leaves more of the
// machine to the target.
func readSocket(fd int, b []byte) (int, error)  { return rawIO(unix.SYS_READ, fd, b) }
func writeSocket(fd int, b []byte) (int, error) { return rawIO(unix.SYS_WRITE, fd, b) }

func rawIO(trap uintptr, fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	runtime.KeepAlive(b)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// sharpenTimers asks the kernel to wake this thread in time. By default it may be up to 50
// microseconds late.
func sharpenTimers() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0) }

// threadCPU returns the processor time of the calling thread.
func threadCPU() time.Duration {
	var ru unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &ru) != nil {
		return 0
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}
