//go:build !linux

package bench

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// poller waits with poll(2), which every Unix has. It is good enough to try the harness.
// Use Linux for figures to compare.
type poller struct {
	fds []unix.PollFd
}

func newPoller() (*poller, error) { return &poller{}, nil }

// add watches fd; wait will report it as index, which counts up from 0.
func (p *poller) add(fd, index int) error {
	p.fds = append(p.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	return nil
}

// wait appends to ready the indexes of sockets that something happened on,
// waiting at most d for the first. It reports every socket each millisecond, because it
// does not know which connections have unwritten bytes.
func (p *poller) wait(ready []int, d time.Duration) ([]int, error) {
	ms := min(1, int((d+time.Millisecond-1)/time.Millisecond))
	n, err := unix.Poll(p.fds, ms)
	if err != nil && err != unix.EINTR {
		return ready, fmt.Errorf("poll: %w", err)
	}
	for i := range p.fds {
		if n <= 0 || p.fds[i].Revents != 0 {
			ready = append(ready, i)
		}
		if p.fds[i].Revents&(unix.POLLNVAL|unix.POLLHUP) != 0 {
			p.fds[i].Fd = -1
		}
	}
	return ready, nil
}

func (p *poller) close() {}

func readSocket(fd int, b []byte) (int, error)  { return unix.Read(fd, b) }
func writeSocket(fd int, b []byte) (int, error) { return unix.Write(fd, b) }

func sharpenTimers() {}

// threadCPU returns 0: the time is unknown here.
func threadCPU() time.Duration { return 0 }
