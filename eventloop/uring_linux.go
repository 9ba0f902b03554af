package eventloop

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// uring makes several reads and writes in one system call, by io_uring(7). The calls are the same
// as read and write: each returns at once what there is, or takes what there is room for. So all
// results are there when run returns, and the kernel has nothing left to do later.
//
// Constants and layouts are those of Linux's include/uapi/linux/io_uring.h.
type uring struct {
	fd   int
	maps [2][]byte // the two rings, and the entries of submissions

	entries []submission
	sqTail  *uint32 // shared with the kernel, which reads it
	tail    uint32  // of what was submitted; entries from here on are added
	added   uint32

	results []completion
	cqTail  *uint32 // shared with the kernel, which writes it
	cqHead  *uint32 // shared with the kernel, which reads it
	head    uint32

	returned [maxBatch]int32
	trial    [2]byte
	broken   bool // the kernel takes no more calls
}

const (
	opSend = 26
	opRecv = 27

	setupSubmitAll = 1 << 7 // one call that is refused does not end the batch; since Linux 5.18
	enterGetEvents = 1 << 0

	offsetRings   = 0
	offsetEntries = 0x10000000
	singleMap     = 1 << 0 // both rings are in one mapping; since Linux 5.4
)

// submission is struct io_uring_sqe.
type submission struct {
	op       uint8
	_        uint8
	_        uint16
	fd       int32
	_        uint64
	addr     uint64
	size     uint32
	msgFlags uint32
	index    uint64 // comes back as that of the completion
	_        [3]uint64
}

// completion is struct io_uring_cqe.
type completion struct {
	index uint64
	res   int32
	_     uint32
}

// setup is struct io_uring_params. The offsets are of the fields of a ring.
type setup struct {
	sqEntries, cqEntries, flags, _, _, features, _ uint32
	_                                              [3]uint32

	sqHead, sqTail, sqMask, sqSize, sqFlags, sqDropped, sqArray, _ uint32
	_                                                              uint64

	cqHead, cqTail, cqMask, cqSize, cqOverflow, cqResults, cqFlags, _ uint32
	_                                                                 uint64
}

// openURing returns an error if the kernel has no io_uring, an old one, or does
// not let this process have it, as many containers do.
func openURing() (*uring, error) {
	p := setup{flags: setupSubmitAll}
	fd, _, errno := syscall.Syscall(unix.SYS_IO_URING_SETUP, maxBatch, uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	u := &uring{fd: int(fd)}
	if err := u.mapRings(&p); err != nil {
		u.close()
		return nil, err
	}
	if err := u.try(); err != nil {
		u.close()
		return nil, err
	}
	return u, nil
}

func (u *uring) mapRings(p *setup) (err error) {
	if p.features&singleMap == 0 {
		return errors.New("io_uring of a kernel before 5.4")
	}
	rings := max(p.sqArray+4*p.sqEntries, p.cqResults+uint32(unsafe.Sizeof(completion{}))*p.cqEntries)
	for i, m := range []struct {
		offset int64
		size   int
	}{{offsetRings, int(rings)}, {offsetEntries, int(unsafe.Sizeof(submission{})) * int(p.sqEntries)}} {
		u.maps[i], err = syscall.Mmap(u.fd, m.offset, m.size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED|syscall.MAP_POPULATE)
		if err != nil {
			return fmt.Errorf("mapping io_uring: %w", err)
		}
	}
	field := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&u.maps[0][offset])) }
	u.sqTail, u.cqTail, u.cqHead = field(p.sqTail), field(p.cqTail), field(p.cqHead)
	u.tail, u.head = *u.sqTail, *u.cqHead
	u.results = unsafe.Slice((*completion)(unsafe.Pointer(field(p.cqResults))), p.cqEntries)
	u.entries = unsafe.Slice((*submission)(unsafe.Pointer(&u.maps[1][0])), p.sqEntries)
	for i, order := 0, unsafe.Slice(field(p.sqArray), p.sqEntries); i < len(order); i++ {
		order[i] = uint32(i) // entries are submitted in order
	}
	return nil
}

// try checks what all else relies on: that a call which would wait returns at once.
func (u *uring) try() error {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(pair[0])
	defer syscall.Close(pair[1])
	u.read(pair[0], u.trial[:])
	u.write(pair[1], u.trial[:])
	u.read(pair[0], u.trial[:])
	if got := u.run(); u.broken || got[0] != -int32(syscall.EAGAIN) || got[1] != 2 || got[2] != 2 {
		return fmt.Errorf("io_uring returned %d to calls that it should know", got)
	}
	return nil
}

func (u *uring) close() {
	for _, m := range u.maps {
		if m != nil {
			syscall.Munmap(m)
		}
	}
	syscall.Close(u.fd)
}

// read adds a read into b, whose bytes must be in the heap, since a stack may move before run has
// returned. At most maxBatch calls are added before run.
func (u *uring) read(fd int, b []byte) { u.add(opRecv, fd, b, syscall.MSG_DONTWAIT) }

// write adds a write of b, likewise.
func (u *uring) write(fd int, b []byte) {
	u.add(opSend, fd, b, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
}

func (u *uring) add(op uint8, fd int, b []byte, flags uint32) {
	e := u.entry(u.added)
	e.op, e.fd, e.msgFlags = op, int32(fd), flags
	e.addr, e.size = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))), uint32(len(b))
	e.index = uint64(u.added)
	u.added++
}

func (u *uring) entry(i uint32) *submission { return &u.entries[(u.tail+i)&uint32(len(u.entries)-1)] }

// run makes the calls that were added, in order, and returns the result of each: a number of bytes,
// or a negative error number. The results are valid until the next run.
func (u *uring) run() []int32 {
	n := u.added
	if n == 0 {
		return nil
	}
	atomic.StoreUint32(u.sqTail, u.tail+n)
	r, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(u.fd), uintptr(n), 0, 0, 0, 0)
	taken := uint32(r)
	switch errno {
	case 0:
	case syscall.EAGAIN, syscall.EBUSY, syscall.EINTR: // short of memory, say
		taken = 0
	default:
		taken, u.broken = 0, true
	}
	// Calls that the kernel did not take are made one by one, so that io_uring can be given up at
	// any time.
	for i := taken; i < n; i++ {
		u.returned[i] = u.entry(i).call()
	}
	u.tail += taken
	atomic.StoreUint32(u.sqTail, u.tail)
	u.collect(taken)
	u.added = 0
	return u.returned[:n]
}

// collect takes n results off their ring. They are there, since no call waits for anything. If the
// kernel ever postponed a call, its result would have to be waited for all the same.
func (u *uring) collect(n uint32) {
	for {
		for tail := atomic.LoadUint32(u.cqTail); u.head != tail; u.head++ {
			c := &u.results[u.head&uint32(len(u.results)-1)]
			u.returned[c.index] = c.res
			n--
		}
		atomic.StoreUint32(u.cqHead, u.head)
		if n == 0 {
			return
		}
		syscall.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(u.fd), 0, uintptr(n), enterGetEvents, 0, 0)
	}
}

// call makes the call without io_uring.
func (e *submission) call() int32 {
	trap := uintptr(callRead)
	if e.op == opSend {
		trap = callWrite
	}
	n, _, errno := syscall.RawSyscall6(trap, uintptr(e.fd), uintptr(e.addr), uintptr(e.size), uintptr(e.msgFlags), 0, 0)
	if errno != 0 {
		return -int32(errno)
	}
	return int32(n)
}
