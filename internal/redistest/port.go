package redistest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// Ports come from 10000 to 19999. That is below the range from which systems
// take the local ports of outgoing connections, and leaves room above for the
// bus of a Redis Cluster server, which listens at its port plus 10000. Packages
// are tested by processes that run side by side, so every process takes ports
// from blocks of its own. It locks a file for each of its blocks; the system drops
// the lock when the process ends.
const (
	firstPort     = 10000
	portsPerBlock = 100
	portBlocks    = 100

	portLocks = "ringway-ports-" // prefix of the name of the directory of locks
)

var ports struct {
	mu     sync.Mutex
	blocks []int        // first port of every block this process holds
	locks  []*os.File   // kept open: an open file is what holds the lock
	next   int          // how many ports were looked at; counts through the blocks
	taken  map[int]bool // handed out to a test that still runs
}

// FreePort returns a TCP port of loopback on which no process listens. No other call
// returns it before the test ends.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := takePort()
	if err != nil {
		t.Fatalf("free port: %v", err)
	}
	t.Cleanup(func() { returnPort(port) })
	return port
}

// FreeAddr returns "127.0.0.1:" and a port from FreePort.
func FreeAddr(t testing.TB) string {
	t.Helper()
	return loopback(FreePort(t))
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func takePort() (int, error) {
	ports.mu.Lock()
	defer ports.mu.Unlock()
	if ports.taken == nil {
		ports.taken = make(map[int]bool)
	}
	for {
		for range len(ports.blocks) * portsPerBlock {
			i := ports.next % (len(ports.blocks) * portsPerBlock)
			ports.next++
			port := ports.blocks[i/portsPerBlock] + i%portsPerBlock
			if !ports.taken[port] && bindable(port) && bindable(port+10000) {
				ports.taken[port] = true
				return port, nil
			}
		}
		if err := takeBlockLocked(); err != nil {
			return 0, err
		}
	}
}

func returnPort(port int) {
	ports.mu.Lock()
	defer ports.mu.Unlock()
	delete(ports.taken, port)
}

// takeBlockLocked adds a free block. It first tries the one that corresponds to the
// process id, so that even users with separate lock files rarely get the same.
func takeBlockLocked() error {
	dir := filepath.Join(os.TempDir(), portLocks+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for i := range portBlocks {
		first := firstPort + (os.Getpid()+i)%portBlocks*portsPerBlock
		f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(first)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		// The lock also fails if this process holds it through another descriptor.
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			f.Close()
			continue
		}
		ports.blocks = append(ports.blocks, first)
		ports.locks = append(ports.locks, f)
		ports.next = (len(ports.blocks) - 1) * portsPerBlock
		return nil
	}
	return fmt.Errorf("all %d blocks of ports are locked, see %s", portBlocks, dir)
}

func bindable(port int) bool {
	l, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}
