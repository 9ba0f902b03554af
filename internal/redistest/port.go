package redistest

import (
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
)

// Ports are handed out in blocks. A process owns a block for as long as it
// listens on the block's first port, so two test binaries that run at the same
// time never hand out the same port, and the port of a server that is down
// stays the test's own. The blocks lie below the range from which Linux takes
// ports for outgoing connections, and clear of the usual ports of Redis,
// Sentinel and nutcracker.
const (
	firstBlock = 10240
	blockSize  = 128
	blockCount = 90
)

var ports struct {
	mu     sync.Mutex
	claims []net.Listener // one per block owned, kept for the life of the process
	bases  []int          // the blocks' first ports
	next   int            // counts up; its place in the blocks is the next port to try
}

// FreePort returns a TCP port on which nothing listens on 127.0.0.1 and which
// no other test binary is given. It may be called from any goroutine.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Error(err)
	}
	return port
}

func freePort() (int, error) {
	ports.mu.Lock()
	defer ports.mu.Unlock()
	for range 2 {
		usable := len(ports.bases) * (blockSize - 1)
		for range usable {
			n := ports.next % usable
			ports.next++
			port := ports.bases[n/(blockSize-1)] + 1 + n%(blockSize-1)
			if listenable(port) {
				return port, nil
			}
		}
		if !claimBlockLocked() {
			return anyPort()
		}
	}
	return anyPort()
}

// claimBlockLocked adds a block to the process's own and reports whether one
// was to be had.
func claimBlockLocked() bool {
	for i := range blockCount {
		base := firstBlock + (os.Getpid()+i)%blockCount*blockSize
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base))
		if err != nil {
			continue
		}
		ports.claims = append(ports.claims, l)
		ports.next = len(ports.bases) * (blockSize - 1)
		ports.bases = append(ports.bases, base)
		return true
	}
	return false
}

func listenable(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// anyPort lets the kernel choose, for machines on which every block is taken.
func anyPort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
